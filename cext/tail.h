/* The tags at the end of a stream that may still find partners in its next chunk. */
#ifndef QN_TAIL_H
#define QN_TAIL_H

#include <stdlib.h>
#include <string.h>

#include "join.h"

typedef struct {
    int64_t *times;
    ptrdiff_t count, room;
} qn_tail;

/* Room for that many more; 0, or -1 where memory ran out. */
QN_INLINE int qn_tail_reserve(qn_tail *tail, ptrdiff_t more)
{
    if (tail->count + more <= tail->room) return 0;
    ptrdiff_t room = 2 * (tail->count + more) + 64;
    int64_t *times = (int64_t *)realloc(tail->times, (size_t)room * sizeof(int64_t));
    if (!times) return -1;
    tail->times = times;
    tail->room = room;
    return 0;
}

/* Keep of the tail and of new[0 .. n) what is not earlier than `earliest`. */
QN_INLINE int qn_tail_keep(qn_tail *tail, const int64_t *new_times, ptrdiff_t n, int64_t earliest)
{
    ptrdiff_t start = n, gone = 0;
    /* As a rule only the last few are kept, so they are looked for from the end. */
    while (start > 0 && n - start < 64 && new_times[start - 1] >= earliest) start--;
    if (n - start == 64) start = qn_gallop(new_times, 0, n, earliest);
    if (start > 0) tail->count = 0;
    while (gone < tail->count && tail->times[gone] < earliest) gone++;
    tail->count -= gone;
    if (gone) memmove(tail->times, tail->times + gone, (size_t)tail->count * sizeof(int64_t));
    if (qn_tail_reserve(tail, n - start)) return -1;
    if (n > start)
        memcpy(tail->times + tail->count, new_times + start, (size_t)(n - start) * sizeof(int64_t));
    tail->count += n - start;
    return 0;
}

/* Pairs of a tail (as a) and a chunk (as b), both ascending, go into the sink. */
QN_INLINE void qn_tail_pairs(
    int path, const qn_tail *tail, const int64_t *new_times, ptrdiff_t n, qn_sink *sink)
{
    if (tail->count == 0 || n == 0 || new_times[0] > tail->times[tail->count - 1] + sink->high)
        return;
    qn_join_known(path, tail->times, tail->count, new_times, n, sink);
}

#endif
