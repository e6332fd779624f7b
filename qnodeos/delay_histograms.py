"""Normalised delay histograms (g2) with errors, of two channels or of many pairs at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cext.histogram import difference_histogram
from cext.pair_histograms import PairHistograms
from timing.tags import Channels, TimesPs

# A peak counts as the only one if it leads the next by this many standard deviations.
PEAK_LEAD_SIGMA = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class DelayHistogram:
    """Counts of b - a over all pairs; bin k holds [low_ps + k bin_ps, low_ps + (k+1) bin_ps).

    The bins are odd in number and the middle one is centred on zero delay. `expected_per_bin` is
    what two unrelated steady streams of the same rates give: rate_a rate_b bin T.
    """

    low_ps: int
    bin_ps: int
    counts: NDArray[np.int64]
    expected_per_bin: float

    @property
    def delay_ps(self) -> NDArray[np.float64]:
        """Centres of the bins, ps."""
        starts = self.low_ps + self.bin_ps * np.arange(len(self.counts), dtype=np.float64)
        return starts + (self.bin_ps - 1) / 2

    @property
    def g2(self) -> NDArray[np.float64]:
        """Second-order correlation: counts / (rate_a rate_b bin T), 1 for unrelated light."""
        return self.counts / self.expected_per_bin

    @property
    def g2_error(self) -> NDArray[np.float64]:
        """Standard error of `g2`: Poisson, sqrt(counts) / expected; of an empty bin, one count's.

        The rates are taken as known: their own error, 1/sqrt(tags), is common to all bins.
        """
        return np.sqrt(np.maximum(self.counts, 1)) / self.expected_per_bin


def delay_histogram(
    a: TimesPs,
    b: TimesPs,
    range_ps: int,
    bin_ps: int,
    span_ps: int,
    *,
    same: bool = False,
    threads: int = 1,
) -> DelayHistogram:
    """Histogram of b - a over +-range_ps (rounded up to whole bins) of tags that span `span_ps`.

    `same` says that both are one channel: the pairs of each tag with itself are left out. Raises
    ValueError for an empty array or a width, range or span below 1 ps.
    """
    if len(a) == 0 or len(b) == 0:
        raise ValueError("delay_histogram: an array holds no tags, so nothing can be normalised")
    low_ps, bins = _centred_bins("delay_histogram", range_ps, bin_ps, span_ps)
    counts = difference_histogram(a, b, low_ps, bin_ps, bins, threads=threads)
    if same:
        counts[bins // 2] -= len(a)
    return DelayHistogram(low_ps, bin_ps, counts, len(a) * len(b) * bin_ps / span_ps)


def delay_histograms(
    time_ps: TimesPs,
    channel: Channels,
    pairs: Iterable[tuple[int, int]],
    range_ps: int,
    bin_ps: int,
    span_ps: int,
    *,
    threads: int = 1,
) -> dict[tuple[int, int], DelayHistogram]:
    """`delay_histogram` of each pair (a, b) of channels of one merged stream, in one pass.

    A pair (a, a) compares each tag with the others of its channel. Raises ValueError for a channel
    without tags, a pair that stands twice and a width, range or span below 1 ps.
    """
    pairs = [(int(a), int(b)) for a, b in pairs]
    tags = np.bincount(channel, minlength=256)
    for silent in (c for pair in pairs for c in pair if not 0 <= c <= 255 or tags[c] == 0):
        raise ValueError(
            f"delay_histograms: channel {silent} holds no tags, so nothing can be normalised"
        )
    low_ps, bins = _centred_bins("delay_histograms", range_ps, bin_ps, span_ps)
    kernel = PairHistograms(pairs, low_ps, bin_ps, bins, threads=threads)
    kernel.push(time_ps, channel)
    return {
        (a, b): DelayHistogram(
            low_ps, bin_ps, kernel.counts[k], int(tags[a]) * int(tags[b]) * bin_ps / span_ps
        )
        for k, (a, b) in enumerate(pairs)
    }


def _centred_bins(kernel: str, range_ps: int, bin_ps: int, span_ps: int) -> tuple[int, int]:
    """Start of the first bin and the odd number of bins, the middle one centred on zero."""
    if bin_ps < 1 or range_ps < 1 or span_ps < 1:
        raise ValueError(
            f"{kernel}: found bin {bin_ps} ps, range {range_ps} ps, span {span_ps} ps, "
            "expected at least 1 ps of each"
        )
    each_side = -(-range_ps // bin_ps)
    return -each_side * bin_ps - bin_ps // 2, 2 * each_side + 1


def find_single_peak(histogram: DelayHistogram, window_ps: int) -> int | None:
    """Delay (ps) of the one peak that stands out, or None if there is none or several alike.

    The sum over a window must lead every sum of a window apart from it by five standard deviations,
    which refuses pulse trains and flat or antibunched light. The delay is the peak's mean.
    """
    width = min(max(1, window_ps // histogram.bin_ps), len(histogram.counts))
    sums = np.convolve(histogram.counts, np.ones(width, dtype=np.int64), mode="valid")
    best = int(np.argmax(sums))
    # A peak wider than the window spills into its neighbours; those are no rivals.
    rivals = np.concatenate((sums[: max(0, best - 2 * width)], sums[best + 2 * width + 1 :]))
    if len(rivals) == 0:
        return None
    top, next_best = int(sums[best]), int(rivals.max())
    if top - next_best <= PEAK_LEAD_SIGMA * math.sqrt(top + next_best):
        return None
    inside = slice(best, best + width)
    above = np.clip(histogram.counts[inside] - histogram.expected_per_bin, 0, None)
    return round(float(np.average(histogram.delay_ps[inside], weights=above)))
