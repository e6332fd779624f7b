/* The gap filter: in a merged ascending stream almost every neighbouring gap exceeds the window.

   Two tags within `reach` of each other have only gaps of at most `reach` between them. So a tag can
   close a pair only where the gap before it is that small: testing the gaps needs no branch and runs
   in vectors, and only the survivors, one bit each in `bitmap`, are looked at. */
#ifndef QN_GAP_H
#define QN_GAP_H

#include "dispatch.h"
#include "order.h"

#define QN_GAP_TILE 4096
#define QN_GAP_WORDS (QN_GAP_TILE / 64)

/* Bit k of the map says t[k] - t[k - 1] <= reach, for k in [0, n); t[-1] is read. n <= QN_GAP_TILE.
   Returns whether a gap may be negative or a time beyond 2^62 ps, see order.h. */
QN_NOINLINE int qn_gaps_portable(
    const int64_t *t, ptrdiff_t n, int64_t reach, uint64_t *bitmap)
{
    uint64_t bad = 0, over = (uint64_t)reach + 1;
    for (ptrdiff_t word = 0; word * 64 < n; word++) {
        uint64_t bits = 0;
        ptrdiff_t start = word * 64, stop = start + 64 < n ? start + 64 : n;
        for (; start + 8 <= stop; start += 8) {
            uint64_t any = 0;
            /* The sign of gap - (reach + 1): no comparison of 64-bit lanes, which SSE2 lacks. */
            for (int k = 0; k < 8; k++) {
                uint64_t gap = (uint64_t)t[start + k] - (uint64_t)t[start + k - 1];
                any |= gap - over;
                bad |= gap | ((uint64_t)t[start + k] + (uint64_t)(QN_TIME_LIMIT - 1));
            }
            if ((int64_t)any < 0) {
                uint64_t some = 0;
                for (int k = 0; k < 8; k++)
                    some |= (((uint64_t)t[start + k] - (uint64_t)t[start + k - 1] - over) >> 63) << k;
                bits |= some << (start & 63);
            }
        }
        for (; start < stop; start++) {
            uint64_t gap = (uint64_t)t[start] - (uint64_t)t[start - 1];
            bits |= (gap - over) >> 63 << (start & 63);
            bad |= gap | ((uint64_t)t[start] + (uint64_t)(QN_TIME_LIMIT - 1));
        }
        bitmap[word] = bits;
    }
    return (int64_t)bad < 0;
}

#if QN_HAS_X86_PATHS
QN_TARGET_AVX2 QN_NOINLINE int qn_gaps_avx2(
    const int64_t *t, ptrdiff_t n, int64_t reach, uint64_t *bitmap)
{
    ptrdiff_t whole = n / 64;
    __m256i over = _mm256_set1_epi64x(reach + 1), bad = _mm256_setzero_si256();
    __m256i lift = _mm256_set1_epi64x(QN_TIME_LIMIT - 1);
    for (ptrdiff_t word = 0; word < whole; word++) {
        const int64_t *at = t + word * 64;
        uint64_t bits = 0;
        for (int k = 0; k < 64; k += 4) {
            __m256i here = _mm256_loadu_si256((const __m256i *)(at + k));
            __m256i gap = _mm256_sub_epi64(here, _mm256_loadu_si256((const __m256i *)(at + k - 1)));
            int signs = _mm256_movemask_pd((__m256d)_mm256_sub_epi64(gap, over));
            bits |= (uint64_t)(unsigned)signs << k;
            bad = _mm256_or_si256(bad, _mm256_or_si256(gap, _mm256_add_epi64(here, lift)));
        }
        bitmap[word] = bits;
    }
    int rest = n > whole * 64
                   ? qn_gaps_portable(t + whole * 64, n - whole * 64, reach, bitmap + whole) : 0;
    return rest | (_mm256_movemask_pd((__m256d)bad) != 0);
}

QN_TARGET_AVX512 QN_NOINLINE int qn_gaps_avx512(
    const int64_t *t, ptrdiff_t n, int64_t reach, uint64_t *bitmap)
{
    ptrdiff_t whole = n / 64;
    __m512i over = _mm512_set1_epi64(reach), bad = _mm512_setzero_si512();
    __m512i lift = _mm512_set1_epi64(QN_TIME_LIMIT - 1);
    for (ptrdiff_t word = 0; word < whole; word++) {
        const int64_t *at = t + word * 64;
        uint8_t *bytes = (uint8_t *)(bitmap + word);
        for (int k = 0; k < 8; k++) {
            __m512i here = _mm512_loadu_si512(at + 8 * k);
            __m512i gap = _mm512_sub_epi64(here, _mm512_loadu_si512(at + 8 * k - 1));
            bytes[k] = (uint8_t)_mm512_cmple_epi64_mask(gap, over);
            bad = _mm512_ternarylogic_epi64(bad, gap, _mm512_add_epi64(here, lift), 0xFE);
        }
    }
    int rest = n > whole * 64
                   ? qn_gaps_portable(t + whole * 64, n - whole * 64, reach, bitmap + whole) : 0;
    return rest | (_mm512_movepi64_mask(bad) != 0);
}
#endif

QN_INLINE int qn_gaps(int path, const int64_t *t, ptrdiff_t n, int64_t reach, uint64_t *bitmap)
{
#if QN_HAS_X86_PATHS
    if (path == QN_AVX512) return qn_gaps_avx512(t, n, reach, bitmap);
    if (path == QN_AVX2) return qn_gaps_avx2(t, n, reach, bitmap);
#endif
    (void)path;
    return qn_gaps_portable(t, n, reach, bitmap);
}

/* Visits the survivors among t[from .. n), t[0] on being the stream; -1, or the index of the first
   bad time, where it stops. Inlined, so that the visit is no call. */
QN_INLINE ptrdiff_t qn_each_survivor(
    int path, const int64_t *t, ptrdiff_t from, ptrdiff_t n, int64_t reach,
    void (*visit)(void *what, ptrdiff_t at), void *what)
{
    uint64_t bitmap[QN_GAP_WORDS];
    if (from >= n) return -1;
    if (from == 0) {
        if (qn_first_bad_time(path, t, 0, 1) >= 0) return 0;
        from = 1;
    }
    for (ptrdiff_t start = from; start < n; start += QN_GAP_TILE) {
        ptrdiff_t stop = start + QN_GAP_TILE < n ? start + QN_GAP_TILE : n;
        if (qn_gaps(path, t + start, stop - start, reach, bitmap)) {
            ptrdiff_t bad = qn_first_bad_time(path, t, start, stop);
            if (bad >= 0) return bad;
        }
        if (t[stop - 1] >= QN_TIME_LIMIT) return stop - 1;
        for (ptrdiff_t word = 0; word * 64 < stop - start; word++) {
            uint64_t bits = bitmap[word];
            while (bits) {
                visit(what, start + word * 64 + QN_LOWEST_BIT(bits));
                bits &= bits - 1;
            }
        }
    }
    return -1;
}

#endif
