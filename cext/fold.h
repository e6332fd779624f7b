/* What is done with the survivors of the gap filter: pairs, folds and histograms of many channels. */
#ifndef QN_FOLD_H
#define QN_FOLD_H

#include <string.h>

#include "gap.h"
#include "join.h"

#define QN_NO_CHANNEL 255
#define QN_MOST_CHANNELS 64
#define QN_MOST_FOLD 8

typedef struct {
    /* Row of each of the 256 channel numbers, QN_NO_CHANNEL for those not asked for. */
    uint8_t row[256];
    int channels;
    int64_t reach;
    /* pairs[p * channels + q]: low <= t_q - t_p <= high; NULL if not asked for. */
    int64_t low, high;
    int64_t *pairs;
    /* folds[rank]: tags of `fold` channels, the last at most `spread` after the first. */
    int fold;
    int64_t spread;
    int64_t *folds;
    /* choose[c][k]: number of ways to take k of c. */
    int64_t choose[QN_MOST_CHANNELS + 1][QN_MOST_FOLD + 1];
    /* delayed[p * channels + q]: low <= t_q - t_p - shift <= high, for a shift beyond every window. */
    int64_t shift;
    int64_t *delayed;
    /* Histograms: the one of p and q is number of_pair[p * channels + q], or none for -1. */
    const int32_t *of_pair;
    int64_t histogram_low, histogram_span, bins;
    uint64_t bin, reciprocal;
    int64_t *histograms;
} qn_fold;

/* Rank of ascending rows c_0 < c_1 < ... among all choices, ordered by the last, then the one ahead
   of it: the sum of choose(c_k, k + 1). */
QN_INLINE int64_t qn_rank(const qn_fold *f, const uint8_t *rows, int count)
{
    int64_t rank = 0;
    for (int k = 0; k < count; k++) rank += f->choose[rows[k]][k + 1];
    return rank;
}

/* Folds that end with a tag of row q, from the numbers of earlier tags in reach of each row. */
QN_NOINLINE void qn_close_folds(qn_fold *f, int q, const int64_t *number, uint64_t present)
{
    uint8_t rows[QN_MOST_CHANNELS], at[QN_MOST_FOLD], chosen[QN_MOST_FOLD];
    int count = 0, need = f->fold - 1, depth = 0;
    int64_t product[QN_MOST_FOLD + 1];
    while (present) {
        rows[count++] = (uint8_t)QN_LOWEST_BIT(present);
        present &= present - 1;
    }
    if (count < need) return;
    product[0] = 1;
    at[0] = 0;
    while (depth >= 0) {
        if (at[depth] > count - (need - depth)) {
            depth--;
            if (depth >= 0) at[depth]++;
            continue;
        }
        product[depth + 1] = product[depth] * number[rows[at[depth]]];
        if (depth + 1 < need) {
            at[depth + 1] = (uint8_t)(at[depth] + 1);
            depth++;
            continue;
        }
        int k = 0, placed = 0;
        for (int d = 0; d < need; d++) {
            uint8_t row = rows[at[d]];
            if (!placed && row > q) {
                chosen[k++] = (uint8_t)q;
                placed = 1;
            }
            chosen[k++] = row;
        }
        if (!placed) chosen[k] = (uint8_t)q;
        f->folds[qn_rank(f, chosen, f->fold)] += product[need];
        at[depth]++;
    }
}

/* All pairs and folds that the tag j closes with t[from .. j). */
QN_INLINE void qn_close(
    qn_fold *f, const int64_t *t, const uint8_t *channel, ptrdiff_t from, ptrdiff_t j)
{
    int q = f->row[channel[j]], n = f->channels;
    ptrdiff_t i = j - 1;
    if (q == QN_NO_CHANNEL) return;
    int64_t number[QN_MOST_CHANNELS];
    uint64_t present = 0;
    int others = 0;
    for (; i >= from && t[j] - t[i] <= f->reach; i--) {
        int64_t d = t[j] - t[i];
        int p = f->row[channel[i]];
        if (p == QN_NO_CHANNEL) continue;
        if (f->pairs) {
            f->pairs[p * n + q] += f->low <= d && d <= f->high;
            f->pairs[q * n + p] += f->low <= -d && -d <= f->high;
        }
        if (f->histograms) {
            int32_t forth = f->of_pair[p * n + q], back = f->of_pair[q * n + p];
            uint64_t span = (uint64_t)f->histogram_span;
            uint64_t early = (uint64_t)(d - f->histogram_low);
            uint64_t late = (uint64_t)(-d - f->histogram_low);
            if (forth >= 0 && early < span)
                f->histograms[forth * f->bins + (int64_t)qn_bin_of(early, f->bin, f->reciprocal)]++;
            if (back >= 0 && late < span)
                f->histograms[back * f->bins + (int64_t)qn_bin_of(late, f->bin, f->reciprocal)]++;
        }
        if (f->fold && p != q && d <= f->spread) {
            if (!(present >> p & 1)) number[p] = 0;
            number[p]++;
            present |= (uint64_t)1 << p;
            others++;
        }
    }
    if (f->fold && others >= f->fold - 1) qn_close_folds(f, q, number, present);
}

typedef struct {
    qn_fold *fold;
    const int64_t *times;
    const uint8_t *channels;
} qn_fold_visit;

QN_INLINE void qn_fold_close(void *what, ptrdiff_t j)
{
    const qn_fold_visit *visit = (const qn_fold_visit *)what;
    qn_close(visit->fold, visit->times, visit->channels, 0, j);
}

/* Counts what the tags t[from .. n) close with tags from t[0] on; -1, or the index of a bad time.
   Tags ahead of t[0] are out of reach of t[from]. */
QN_INLINE ptrdiff_t qn_fold_run(
    qn_fold *f, int path, const int64_t *t, const uint8_t *channel, ptrdiff_t from, ptrdiff_t n)
{
    qn_fold_visit visit = {f, t, channel};
    return qn_each_survivor(path, t, from, n, f->reach, qn_fold_close, &visit);
}

/* Pairs in the delayed window that the tags t[from .. n) close. */
QN_NOINLINE void qn_delayed_run(
    qn_fold *f, const int64_t *t, const uint8_t *channel, ptrdiff_t from, ptrdiff_t n)
{
    int64_t near = f->shift + f->low, far = f->shift + f->high;
    ptrdiff_t first = 0, past = 0;
    if (from < n) first = past = qn_gallop(t, 0, from, t[from] - far);
    for (ptrdiff_t j = from; j < n; j++) {
        int q = f->row[channel[j]];
        while (first < j && t[j] - t[first] > far) first++;
        if (past < first) past = first;
        while (past < j && t[j] - t[past] >= near) past++;
        if (q == QN_NO_CHANNEL) continue;
        for (ptrdiff_t i = first; i < past; i++) {
            int p = f->row[channel[i]];
            if (p != QN_NO_CHANNEL) f->delayed[p * f->channels + q]++;
        }
    }
}

#endif
