"""Histograms of several pairs of channels in one pass over a merged stream."""

from libc.stdint cimport int32_t

import numpy as np

from cext._common cimport checked_bound
from cext._paths cimport qn_reciprocal
from cext.merged_pass cimport MergedPass, point


cdef class PairHistograms(MergedPass):
    """Histograms of t_q - t_p for several pairs (p, q) of channels, in one pass.

    `counts[k, bin]`, int64, is over all pairs of tags of the k-th of `pairs`; bin i holds
    [low_ps + i bin_ps, low_ps + (i + 1) bin_ps) ps. A pair (p, p) compares each tag with the others
    of its channel. `delays_ps` of each of `channels`, in the order of first mention in `pairs`,
    are added to the times. The counts do not depend on how the stream is cut into chunks.
    """

    cdef readonly object pairs, low_ps, bin_ps, counts
    cdef object numbers

    def __init__(
        self, pairs, low_ps, bin_ps, bins, *, delays_ps=None, threads=1, path=None
    ):
        cdef int32_t[::1] flat
        self.pairs = tuple((int(p), int(q)) for p, q in pairs)
        self.set_up(
            dict.fromkeys(channel for pair in self.pairs for channel in pair), delays_ps, threads,
            path,
        )
        if len(set(self.pairs)) != len(self.pairs):
            raise ValueError(f"PairHistograms: a pair stands twice in {self.pairs}")
        if bin_ps < 1 or bins < 1:
            raise ValueError(
                f"PairHistograms: found {bins} bins of {bin_ps} ps, expected at least 1 of each"
            )
        checked_bound("PairHistograms", "low_ps", low_ps)
        checked_bound("PairHistograms", "bins * bin_ps", bins * bin_ps)
        checked_bound("PairHistograms", "low_ps + bins * bin_ps", low_ps + bins * bin_ps)
        self.low_ps, self.bin_ps = low_ps, bin_ps
        count = len(self.channels)
        numbers = np.full((count, count), -1, dtype=np.int32)
        for k, (p, q) in enumerate(self.pairs):
            numbers[self.channels.index(p), self.channels.index(q)] = k
        self.numbers = numbers
        flat = numbers.reshape(-1)
        self.f.of_pair = &flat[0]
        self.f.histogram_low = low_ps
        self.f.histogram_span = bins * bin_ps
        self.f.bins = bins
        self.f.bin = bin_ps
        self.f.reciprocal = qn_reciprocal(bin_ps, bins * bin_ps)
        self.f.reach = max(abs(low_ps), abs(low_ps + bins * bin_ps - 1))
        self.keep = self.f.reach
        self.counts = np.zeros((len(self.pairs), bins), dtype=np.int64)
        self.tables = {"histograms": self.counts}
        point(&self.f, self.tables)
