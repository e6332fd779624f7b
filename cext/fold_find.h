/* Which tags of a merged stream make folds: the indices behind the counts of fold.h. */
#ifndef QN_FOLD_FIND_H
#define QN_FOLD_FIND_H

#include <stdlib.h>

#include "fold.h"

typedef struct {
    /* Row of each of the 256 channel numbers, QN_NO_CHANNEL for those not asked for. */
    const uint8_t *row;
    int fold;
    int64_t spread;
    /* `count` folds of `fold` indices each; grows by realloc. */
    int64_t *found;
    ptrdiff_t count, room;
    int no_memory;
    const int64_t *times;
    const uint8_t *channels;
} qn_finder;

QN_NOINLINE int qn_finder_grow(qn_finder *f)
{
    ptrdiff_t room = f->room < 256 ? 256 : f->room * 2;
    int64_t *found =
        (int64_t *)realloc(f->found, (size_t)room * (size_t)f->fold * sizeof(int64_t));
    if (!found) return f->no_memory = 1;
    f->found = found;
    f->room = room;
    return 0;
}

/* Every choice of earlier tags of different rows that the tag j closes, in the order of their
   indices. */
QN_NOINLINE void qn_find_close(void *what, ptrdiff_t j)
{
    qn_finder *f = (qn_finder *)what;
    const int64_t *t = f->times;
    ptrdiff_t at[QN_MOST_FOLD], first = j;
    int q = f->row[f->channels[j]], need = f->fold - 1, depth = 0;
    if (q == QN_NO_CHANNEL || f->no_memory) return;
    while (first > 0 && t[j] - t[first - 1] <= f->spread) first--;
    uint64_t taken = (uint64_t)1 << q;
    at[0] = first;
    while (depth >= 0) {
        if (at[depth] >= j) {
            if (--depth >= 0) taken &= ~((uint64_t)1 << f->row[f->channels[at[depth]++]]);
            continue;
        }
        int p = f->row[f->channels[at[depth]]];
        if (p == QN_NO_CHANNEL || taken >> p & 1) {
            at[depth]++;
        } else if (depth + 1 < need) {
            taken |= (uint64_t)1 << p;
            at[depth + 1] = at[depth] + 1;
            depth++;
        } else {
            if (f->count == f->room && qn_finder_grow(f)) return;
            int64_t *to = f->found + f->count++ * f->fold;
            for (int k = 0; k < need; k++) to[k] = at[k];
            to[need] = j;
            at[depth]++;
        }
    }
}

/* Finds the folds that the tags t[from .. n) close with tags from t[0] on; -1, or the index of a
   bad time. */
QN_INLINE ptrdiff_t qn_find_run(qn_finder *f, int path, ptrdiff_t from, ptrdiff_t n)
{
    return qn_each_survivor(path, f->times, from, n, f->spread, qn_find_close, f);
}

#endif
