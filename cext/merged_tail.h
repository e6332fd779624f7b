/* The end of a merged stream between two chunks, and delays of channels with the sorting they ask. */
#ifndef QN_MERGED_TAIL_H
#define QN_MERGED_TAIL_H

#include <stdlib.h>
#include <string.h>

#include "join.h"

typedef struct {
    int64_t *times;
    uint8_t *channels;
    ptrdiff_t count, room;
} qn_tags;

QN_INLINE int qn_tags_reserve(qn_tags *tags, ptrdiff_t more)
{
    if (tags->count + more <= tags->room) return 0;
    ptrdiff_t room = 2 * (tags->count + more) + 64;
    int64_t *times = (int64_t *)realloc(tags->times, (size_t)room * sizeof(int64_t));
    if (!times) return -1;
    tags->times = times;
    uint8_t *channels = (uint8_t *)realloc(tags->channels, (size_t)room);
    if (!channels) return -1;
    tags->channels = channels;
    tags->room = room;
    return 0;
}

QN_INLINE int qn_tags_append(
    qn_tags *tags, const int64_t *times, const uint8_t *channels, ptrdiff_t n)
{
    if (qn_tags_reserve(tags, n)) return -1;
    if (n) {
        memcpy(tags->times + tags->count, times, (size_t)n * sizeof(int64_t));
        memcpy(tags->channels + tags->count, channels, (size_t)n);
    }
    tags->count += n;
    return 0;
}

QN_INLINE void qn_tags_drop(qn_tags *tags, ptrdiff_t n)
{
    tags->count -= n;
    memmove(tags->times, tags->times + n, (size_t)tags->count * sizeof(int64_t));
    memmove(tags->channels, tags->channels + n, (size_t)tags->count);
}

/* Index from which on the ascending t[0 .. n) is not earlier than `earliest`, looked for from the
   end, where it lies as a rule. */
QN_INLINE ptrdiff_t qn_tail_start(const int64_t *t, ptrdiff_t n, int64_t earliest)
{
    ptrdiff_t start = n;
    while (start > 0 && n - start < 64 && t[start - 1] >= earliest) start--;
    return n - start == 64 ? qn_gallop(t, 0, n, earliest) : start;
}

/* Merge the ascending [0, half) and [half, n) in place; spare has room for the overlap. */
QN_INLINE void qn_merge_halves(
    int64_t *t, uint8_t *c, ptrdiff_t half, ptrdiff_t n, int64_t *spare_t, uint8_t *spare_c)
{
    ptrdiff_t from = half, i = 0, j = half, k;
    while (from > 0 && t[from - 1] > t[half]) from--;
    ptrdiff_t held = half - from;
    if (held == 0) return;
    memcpy(spare_t, t + from, (size_t)held * sizeof(int64_t));
    memcpy(spare_c, c + from, (size_t)held);
    for (k = from; i < held; k++) {
        int later = j < n && t[j] < spare_t[i];
        t[k] = later ? t[j] : spare_t[i];
        c[k] = later ? c[j] : spare_c[i];
        if (later) j++;
        else i++;
    }
}

/* Sort t[0 .. n) with its channels, stable; cheap where tags are out of place by a few only, as
   delays leave them: merges touch no more than what overlaps. */
QN_NOINLINE void qn_sort_nearly(
    int64_t *t, uint8_t *c, ptrdiff_t n, int64_t *spare_t, uint8_t *spare_c)
{
    const ptrdiff_t run = 32;
    for (ptrdiff_t start = 0; start < n; start += run) {
        ptrdiff_t stop = start + run < n ? start + run : n;
        for (ptrdiff_t i = start + 1; i < stop; i++) {
            int64_t time = t[i];
            uint8_t channel = c[i];
            ptrdiff_t k = i;
            for (; k > start && t[k - 1] > time; k--) {
                t[k] = t[k - 1];
                c[k] = c[k - 1];
            }
            t[k] = time;
            c[k] = channel;
        }
    }
    for (ptrdiff_t width = run; width < n; width *= 2)
        for (ptrdiff_t start = 0; start + width < n; start += 2 * width) {
            ptrdiff_t length = start + 2 * width < n ? 2 * width : n - start;
            qn_merge_halves(t + start, c + start, width, length, spare_t, spare_c);
        }
}

#endif
