/* Bits and little-endian words, whatever the order of bytes of the machine. */
#ifndef QNODEOS_DECODE_BITS_H
#define QNODEOS_DECODE_BITS_H

#include <stdint.h>

/* Place of the lowest bit set; `mask` is not 0. */
static inline int lowest_bit(uint64_t mask) {
#if defined(__GNUC__)
    return __builtin_ctzll(mask);
#else
    int k = 0;
    for (; !(mask & 1); mask >>= 1)
        k++;
    return k;
#endif
}

/* Compilers make one load, or one store, of the eight. */
static inline uint64_t load_little(const uint8_t *at) {
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 |
           (uint64_t)at[7] << 56;
}

static inline void store_little(uint8_t *at, uint64_t value) {
    int k;
    for (k = 0; k < 8; k++)
        at[k] = (uint8_t)(value >> 8 * k);
}

#endif
