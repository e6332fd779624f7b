/* Pairs of two ascending arrays a and b with low <= b - a <= high, block by block.

   A block of a lies in vector lanes as 32-bit distances from its first time, and each time of b
   near it is compared with all lanes at once: no merge, and one branch to foretell a block in place
   of one a tag. What 32 bits cannot hold (a block or a window of 2^30 ps) takes two cursors, and so
   does a window so wide that most lanes would hit. Where b is rare its few times are searched. */
#ifndef QN_JOIN_H
#define QN_JOIN_H

#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "order.h"

#define QN_SPAN_LIMIT ((int64_t)1 << 30)
#define QN_TILE 4096
#define QN_HITS 512

/* One time of b and the lanes of a block that pair with it, in one word so that noting it is one
   store: index of b from the tile's first, number of the block in the tile, 16 lanes. */
typedef uint64_t qn_hit;
#define QN_HIT(at_b, block, lanes) ((uint64_t)(at_b) << 32 | (uint64_t)(block) << 16 | (lanes))

/* What to do with the pairs: only count, add to a histogram, or store the indices. */
enum { QN_COUNT = 0, QN_HISTOGRAM = 1, QN_INDICES = 2 };

typedef struct {
    int kind;
    /* The caller passed b as a: a histogram runs the other way, indices trade places. */
    int mirrored;
    int64_t low, high;
    int64_t total;
    /* QN_HISTOGRAM: high = low + bins * bin - 1. reciprocal: see qn_bin_of. */
    int64_t *counts;
    uint64_t bin, reciprocal;
    /* QN_INDICES: grows by realloc; offsets are added to the indices that are stored. */
    int64_t *of_a, *of_b;
    int64_t room, offset_a, offset_b;
    int no_memory;
} qn_sink;

/* d / bin without a division where it fits: with e = reciprocal * bin - 2^64 <= bin the quotient is
   exact as long as d * e < 2^64, so for d and bin below 2^32. */
QN_INLINE uint64_t qn_reciprocal(uint64_t bin, uint64_t span)
{
#if defined(__SIZEOF_INT128__)
    if (bin > 1 && bin < ((uint64_t)1 << 32) && span <= ((uint64_t)1 << 32))
        return UINT64_MAX / bin + 1;
#endif
    (void)bin;
    (void)span;
    return 0;
}

QN_INLINE uint64_t qn_bin_of(uint64_t d, uint64_t bin, uint64_t reciprocal)
{
#if defined(__SIZEOF_INT128__)
    if (reciprocal) return (uint64_t)(((unsigned __int128)d * reciprocal) >> 64);
#endif
    return bin == 1 ? d : d / bin;
}

QN_NOINLINE int qn_grow(qn_sink *sink)
{
    int64_t room = sink->room < 1024 ? 1024 : sink->room * 2;
    int64_t *more = (int64_t *)realloc(sink->of_a, (size_t)room * sizeof(int64_t));
    if (more) sink->of_a = more;
    else return sink->no_memory = 1;
    more = (int64_t *)realloc(sink->of_b, (size_t)room * sizeof(int64_t));
    if (more) sink->of_b = more;
    else return sink->no_memory = 1;
    sink->room = room;
    return 0;
}

QN_INLINE void qn_take(qn_sink *sink, const int64_t *a, const int64_t *b, ptrdiff_t i, ptrdiff_t j)
{
    if (sink->kind == QN_HISTOGRAM) {
        uint64_t d = (uint64_t)(sink->mirrored ? sink->high - (b[j] - a[i]) : b[j] - a[i] - sink->low);
        sink->counts[qn_bin_of(d, sink->bin, sink->reciprocal)]++;
    } else if (sink->kind == QN_INDICES) {
        if (sink->total >= sink->room && qn_grow(sink)) return;
        sink->of_a[sink->total] = sink->offset_a + i;
        sink->of_b[sink->total] = sink->offset_b + j;
        sink->total++;
    } else {
        sink->total++;
    }
}

/* First index in [from, to) with t >= value, searched in steps that double. */
QN_INLINE ptrdiff_t qn_gallop(const int64_t *t, ptrdiff_t from, ptrdiff_t to, int64_t value)
{
    ptrdiff_t step = 1, low = from;
    while (low + step < to && t[low + step] < value) {
        low += step;
        step *= 2;
    }
    ptrdiff_t high = low + step < to ? low + step : to;
    while (low < high) {
        ptrdiff_t middle = low + (high - low) / 2;
        if (t[middle] < value) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* a[from .. to) with two cursors; *first is the index in b to start from, and is moved on. */
QN_NOINLINE void qn_two_cursors(
    const int64_t *a, ptrdiff_t from, ptrdiff_t to,
    const int64_t *b, ptrdiff_t m, ptrdiff_t *first, qn_sink *sink)
{
    ptrdiff_t j = *first, past = j;
    int64_t low = sink->low, high = sink->high, total = 0;
    if (sink->kind == QN_COUNT) {
        for (ptrdiff_t i = from; i < to; i++) {
            while (j < m && b[j] < a[i] + low) j++;
            if (past < j) past = j;
            while (past < m && b[past] <= a[i] + high) past++;
            total += past - j;
        }
        sink->total += total;
    } else {
        for (ptrdiff_t i = from; i < to; i++) {
            while (j < m && b[j] < a[i] + low) j++;
            for (ptrdiff_t k = j; k < m && b[k] <= a[i] + high; k++) qn_take(sink, a, b, i, k);
        }
    }
    *first = j;
}

/* a[from .. to) against the few b[j .. past): each b is searched in a. */
QN_INLINE void qn_search_each(
    const int64_t *a, ptrdiff_t from, ptrdiff_t to,
    const int64_t *b, ptrdiff_t j, ptrdiff_t past, qn_sink *sink)
{
    ptrdiff_t i = from;
    for (; j < past; j++) {
        i = qn_gallop(a, i, to, b[j] - sink->high);
        for (ptrdiff_t k = i; k < to && a[k] <= b[j] - sink->low; k++) qn_take(sink, a, b, k, j);
    }
}

#define QN_(name) name##_portable
#define QN_TARGET
#define QN_LANES 4
#define QN_VECTORS 4
#define QN_ISA 0
#include "join_body.h"
#if QN_HAS_X86_PATHS
#define QN_(name) name##_avx2
#define QN_TARGET QN_TARGET_AVX2
#define QN_LANES 8
#define QN_VECTORS 2
#define QN_ISA 1
#include "join_body.h"
#define QN_(name) name##_avx512
#define QN_TARGET QN_TARGET_AVX512
#define QN_LANES 16
#define QN_VECTORS 1
#define QN_ISA 2
#include "join_body.h"
#endif

/* All pairs of a tile a[start .. stop) with b, by what suits the rates in it; the index in b to go on
   from. */
QN_INLINE ptrdiff_t qn_join_tile(
    int path, const int64_t *a, ptrdiff_t start, ptrdiff_t stop,
    const int64_t *b, ptrdiff_t j, ptrdiff_t m, qn_sink *sink)
{
    int64_t last = a[stop - 1] + sink->high;
    j = qn_gallop(b, j, m, a[start] + sink->low);
    if (j == m || b[j] > last) return j;
    ptrdiff_t past = qn_gallop(b, j, m, last + 1);
    double reach = (double)sink->high - (double)sink->low + 1;
    double partners = reach * (double)(past - j) / ((double)(last - a[start] - sink->low) + 1);
    if ((past - j) * 64 < stop - start)
        qn_search_each(a, start, stop, b, j, past, sink);
    else if (reach >= (double)QN_SPAN_LIMIT || partners > 64) {
        ptrdiff_t cursor = j;
        qn_two_cursors(a, start, stop, b, past, &cursor, sink);
    }
#if QN_HAS_X86_PATHS
    else if (path == QN_AVX512) qn_blocks_avx512(a, start, stop, b, j, past, sink);
    else if (path == QN_AVX2) qn_blocks_avx2(a, start, stop, b, j, past, sink);
#endif
    else qn_blocks_portable(a, start, stop, b, j, past, sink);
    (void)path;
    return j;
}

/* All pairs of two arrays that are known to ascend. */
QN_INLINE void qn_join_known(
    int path, const int64_t *a, ptrdiff_t n, const int64_t *b, ptrdiff_t m, qn_sink *sink)
{
    ptrdiff_t j = 0;
    for (ptrdiff_t start = 0; start < n && j < m; start += QN_TILE)
        j = qn_join_tile(path, a, start, start + QN_TILE < n ? start + QN_TILE : n, b, j, m, sink);
}

/* Where the walk stopped: -1, or the index of the first bad time of a or of b. */
typedef struct {
    ptrdiff_t bad_a, bad_b;
} qn_verdict;

/* All pairs of a[from .. to) with b, each time of a and of b[from_b .. to_b) checked for order on
   the way. from_b must not lie behind the first partner of a[from]. */
QN_INLINE qn_verdict qn_join(
    int path, const int64_t *a, ptrdiff_t from, ptrdiff_t to,
    const int64_t *b, ptrdiff_t m, ptrdiff_t from_b, ptrdiff_t to_b, qn_sink *sink)
{
    qn_verdict verdict = {-1, -1};
    ptrdiff_t j = from_b, checked = from_b;
    for (ptrdiff_t start = from; start < to; start += QN_TILE) {
        ptrdiff_t stop = start + QN_TILE < to ? start + QN_TILE : to;
        verdict.bad_a = qn_first_bad_time(path, a, start, stop);
        if (verdict.bad_a >= 0) return verdict;
        int64_t last = a[stop - 1] + sink->high;
        /* Beyond to_b too, where another thread checks: nothing may be binned unchecked. */
        while (checked < m && (checked == from_b || b[checked - 1] <= last)) {
            ptrdiff_t more = checked + QN_TILE < m ? checked + QN_TILE : m;
            verdict.bad_b = qn_first_bad_time(path, b, checked, more);
            if (verdict.bad_b >= 0) return verdict;
            checked = more;
        }
        j = qn_join_tile(path, a, start, stop, b, j, m, sink);
    }
    verdict.bad_b = qn_first_bad_time(path, b, checked, to_b);
    return verdict;
}

#endif
