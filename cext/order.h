/* Do the times ascend? A pass of differences whose sign bits are gathered, which any compiler
   vectorises even where the target has no comparison of 64-bit lanes. */
#ifndef QN_ORDER_H
#define QN_ORDER_H

#include "dispatch.h"

#define QN_ORDER_BODY                                                   \
    uint64_t signs = 0;                                                 \
    for (ptrdiff_t k = from; k < to; k++)                               \
        signs |= ((uint64_t)t[k] - (uint64_t)t[k - 1]) |                \
                 ((uint64_t)t[k] + (uint64_t)(QN_TIME_LIMIT - 1));      \
    return (int64_t)signs < 0;

/* Whether among t[from .. to), from >= 1, a difference is negative or a time is not within -2^62
   (left out) and 2^62 (let through). Between such times no difference wraps, so no step back is
   missed. */
QN_NOINLINE int qn_suspicious_portable(const int64_t *t, ptrdiff_t from, ptrdiff_t to)
{
    QN_ORDER_BODY
}
#if QN_HAS_X86_PATHS
QN_TARGET_AVX2 QN_NOINLINE int qn_suspicious_avx2(const int64_t *t, ptrdiff_t from, ptrdiff_t to)
{
    QN_ORDER_BODY
}
QN_TARGET_AVX512 QN_NOINLINE int qn_suspicious_avx512(const int64_t *t, ptrdiff_t from, ptrdiff_t to)
{
    QN_ORDER_BODY
}
#endif
#undef QN_ORDER_BODY

/* Index of the first time among t[from .. to) that lies before its predecessor or not within
   +-2^62 ps; -1 if there is none. t[from - 1] is read where from > 0. */
QN_INLINE ptrdiff_t qn_first_bad_time(
    int path, const int64_t *t, ptrdiff_t from, ptrdiff_t to)
{
    int suspicious;
    if (from >= to) return -1;
    if (from == 0) {
        if (t[0] <= -QN_TIME_LIMIT || t[0] >= QN_TIME_LIMIT) return 0;
        from = 1;
    }
#if QN_HAS_X86_PATHS
    if (path == QN_AVX512) suspicious = qn_suspicious_avx512(t, from, to);
    else if (path == QN_AVX2) suspicious = qn_suspicious_avx2(t, from, to);
    else
#endif
        suspicious = qn_suspicious_portable(t, from, to);
    (void)path;
    if (!suspicious) return t[to - 1] >= QN_TIME_LIMIT ? to - 1 : -1;
    for (ptrdiff_t k = from; k < to; k++)
        if (t[k] < t[k - 1] || t[k] >= QN_TIME_LIMIT || t[k] <= -QN_TIME_LIMIT) return k;
    return -1;
}

#endif
