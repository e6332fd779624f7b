"""Pairs and folds of many channels in one pass over a merged stream: all pairs, all folds."""

from math import comb

import numpy as np

from cext._common cimport checked_bound
from cext.merged_pass cimport QN_MOST_CHANNELS, QN_MOST_FOLD, MergedPass, point

MOST_CHANNELS = QN_MOST_CHANNELS
MOST_FOLD = QN_MOST_FOLD
# Table entries of all folds; 64 channels allow all folds of five.
MOST_FOLDS = 10_000_000


def fold_rank(rows):
    """Place of a fold in `FoldCounter.folds`: sum of comb(row_k, k + 1) over its ascending rows."""
    ordered = sorted(rows)
    if len(set(ordered)) != len(ordered) or (ordered and ordered[0] < 0):
        raise ValueError(f"fold_rank: found rows {rows}, expected different ones from 0")
    return sum(comb(row, k + 1) for k, row in enumerate(ordered))


cdef class FoldCounter(MergedPass):
    """Pairs of all channels with each other, and n-folds of all sets of n channels, in one pass.

    `pairs[p, q]`, int64, is the number of all pairs with low_ps <= t_q - t_p <= high_ps, p and q
    rows in the order of `channels`; on the diagonal of two different tags, in both orders.
    `folds[fold_rank(rows)]`, int64, is the number of all choices of one tag from each of `fold`
    channels whose last is at most `spread_ps` (high_ps if not given) after the first: all pairs
    within them are at most that far apart. `accidentals[p, q]` are the pairs in the window moved by
    `accidental_shift_ps`, which must exceed it; None if not asked for. Delays are added to times.
    The counts do not depend on how the stream is cut into chunks, nor on `threads` or `path`.
    """

    cdef readonly object low_ps, high_ps, spread_ps, fold, pairs, folds, accidentals

    def __init__(
        self, channels, low_ps, high_ps, *, fold=0, spread_ps=None, accidental_shift_ps=None,
        delays_ps=None, threads=1, path=None,
    ):
        cdef int c, k
        self.set_up(channels, delays_ps, threads, path)
        count = len(self.channels)
        self.f.low = checked_bound("FoldCounter", "low_ps", low_ps)
        self.f.high = checked_bound("FoldCounter", "high_ps", high_ps)
        if low_ps > high_ps:
            raise ValueError(
                f"FoldCounter: the window [{low_ps}, {high_ps}] ps is empty, "
                "expected low_ps <= high_ps"
            )
        self.f.reach = max(abs(low_ps), abs(high_ps))
        if fold != 0 and not 2 <= fold <= QN_MOST_FOLD:
            raise ValueError(f"FoldCounter: found fold {fold}, expected 0 or 2 to {QN_MOST_FOLD}")
        spread_ps = high_ps if spread_ps is None else spread_ps
        self.low_ps, self.high_ps, self.spread_ps, self.fold = low_ps, high_ps, spread_ps, fold
        self.pairs = np.zeros((count, count), dtype=np.int64)
        self.tables = {"pairs": self.pairs}
        if fold:
            if spread_ps < 0:
                raise ValueError(f"FoldCounter: found spread_ps {spread_ps}, expected at least 0")
            if comb(count, fold) > MOST_FOLDS:
                raise ValueError(
                    f"FoldCounter: {count} channels have {comb(count, fold)} folds of {fold}, "
                    f"expected at most {MOST_FOLDS}"
                )
            self.f.fold = fold
            self.f.spread = checked_bound("FoldCounter", "spread_ps", spread_ps)
            self.f.reach = max(self.f.reach, spread_ps)
            self.folds = np.zeros(comb(count, fold), dtype=np.int64)
            self.tables["folds"] = self.folds
            # A choice of more than there are is none, but the table is read for it nowhere.
            for c in range(QN_MOST_CHANNELS + 1):
                for k in range(QN_MOST_FOLD + 1):
                    self.f.choose[c][k] = min(comb(c, k), 2**62)
            if count < fold:
                self.f.fold = 0
        self.keep = self.f.reach
        if accidental_shift_ps is not None:
            if accidental_shift_ps <= 2 * max(abs(low_ps), abs(high_ps)):
                raise ValueError(
                    f"FoldCounter: found accidental_shift_ps {accidental_shift_ps}, expected more "
                    f"than twice the window of [{low_ps}, {high_ps}] ps"
                )
            checked_bound("FoldCounter", "accidental_shift_ps", accidental_shift_ps + high_ps)
            self.f.shift = accidental_shift_ps
            self.keep = max(self.keep, self.f.shift + self.f.high)
            self.accidentals = np.zeros((count, count), dtype=np.int64)
            self.tables["delayed"] = self.accidentals
        point(&self.f, self.tables)
