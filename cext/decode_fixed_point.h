/* Products with a 64-bit fraction: floor(n * fraction / 2^64). */
#ifndef QNODEOS_DECODE_FIXED_POINT_H
#define QNODEOS_DECODE_FIXED_POINT_H

#include <stdint.h>

static inline uint64_t high_product(uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)a * b >> 64);
#else
    const uint64_t low = 0xFFFFFFFFu;
    const uint64_t mid = (a >> 32) * (b & low) + ((a & low) * (b & low) >> 32);
    const uint64_t cross = (a & low) * (b >> 32) + (mid & low);
    return (a >> 32) * (b >> 32) + (mid >> 32) + (cross >> 32);
#endif
}

#endif
