/* Which instructions a kernel may use: asked of the processor at run time, never of the compiler.

   The same source makes one function a path. A path is compiled where the compiler can name its
   instructions for one function only (gcc and clang on x86-64); elsewhere, aarch64 for one, the
   portable path is all there is, and the compiler vectorises it for what the target always has. */
#ifndef QN_DISPATCH_H
#define QN_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

enum { QN_PORTABLE = 0, QN_AVX2 = 1, QN_AVX512 = 2 };

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define QN_HAS_X86_PATHS 1
#include <immintrin.h>
#define QN_TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt")))
#define QN_TARGET_AVX512 \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,bmi2,popcnt,lzcnt")))
#else
#define QN_HAS_X86_PATHS 0
#endif

#if defined(__GNUC__) || defined(__clang__)
#define QN_LOWEST_BIT(word) ((int)__builtin_ctzll(word))
#define QN_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define QN_INLINE static inline __attribute__((always_inline, unused))
#define QN_NOINLINE static __attribute__((noinline, unused))
#else
static inline int qn_lowest_bit(uint64_t word)
{
    int bit = 0;
    while (!(word >> bit & 1)) bit++;
    return bit;
}
#define QN_LOWEST_BIT(word) qn_lowest_bit(word)
#define QN_UNLIKELY(condition) (condition)
#define QN_INLINE static inline
#define QN_NOINLINE static
#endif

/* The widest path that this processor runs. */
QN_INLINE int qn_best_path(void)
{
#if QN_HAS_X86_PATHS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
        return QN_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt"))
        return QN_AVX2;
#endif
    return QN_PORTABLE;
}

/* Differences and sums of times wrap on purpose in a few places; unsigned arithmetic may. */
#define QN_SUB(x, y) ((int64_t)((uint64_t)(x) - (uint64_t)(y)))
#define QN_ADD(x, y) ((int64_t)((uint64_t)(x) + (uint64_t)(y)))

/* Beyond +-2^62 ps the difference of two times no longer fits into int64. */
#define QN_TIME_LIMIT ((int64_t)1 << 62)

#endif
