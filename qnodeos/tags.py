"""Time tags for scripts: open recordings, count coincidences, histograms and g2.

All times are integer picoseconds in ascending int64 arrays, as a `TagBatch` or `Recording` holds
them. The kernels raise ValueError for arrays of another kind and for times that step back.

What a coincidence is has three meanings, named in `Semantics`; `docs/kernels.md` compares them.
For streams in chunks there are `PairCounter`, `PairMatcher` and `DifferenceHistogram` for two
channels, `FoldCounter` and `PairHistograms` for up to 64 in one merged stream.

Two recordings of one light by free-running clocks: `synchronise(a, b, Search(...))` finds and
follows the offset, `examine` says what is wrong with them, `stability` how steady the clocks are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cext.coincidence import (
    PairCounter,
    PairMatcher,
    all_pairs,
    count_pairs,
    count_pairs_at,
    match_pairs,
    nearest_pairs,
)
from cext.fold import FoldCounter, PairHistograms, fold_rank, match_folds
from cext.histogram import DifferenceHistogram, difference_histogram, phase_histogram
from timing.acquire import Acquisition, NoCorrelation, Search
from timing.conditioning import (
    ChannelDelays,
    DeadTime,
    DownSelect,
    MarkerGate,
    OpenCloseGate,
    OrderRepair,
    StreamMerge,
)
from timing.diagnose import Finding, confirmed_unit, examine, swapped, wide_peak
from timing.offline import synchronise
from timing.offline_measure import SyncedFiles, TakeMapped
from timing.packed import PackedError, TagPacker, TagUnpacker, pack_tags, unpack_tags
from timing.recordings import Recording, RecordingError, open_recording
from timing.stability import StabilityPoint, phase_of_frequency, stability
from timing.tags import PS_PER_S, Channels, TagBatch, TimesPs

__all__ = [
    "PS_PER_S",
    "Acquisition",
    "ChannelDelays",
    "Channels",
    "DeadTime",
    "DelayHistogram",
    "DifferenceHistogram",
    "DownSelect",
    "Finding",
    "FoldCounter",
    "MarkerGate",
    "NoCorrelation",
    "OpenCloseGate",
    "OrderRepair",
    "PackedError",
    "PairAnalysis",
    "PairCounter",
    "PairHistograms",
    "PairMatcher",
    "Recording",
    "RecordingError",
    "Search",
    "Semantics",
    "StabilityPoint",
    "StreamMerge",
    "SyncedFiles",
    "TagBatch",
    "TagPacker",
    "TagUnpacker",
    "TakeMapped",
    "TimesPs",
    "accidental_coincidences",
    "analyze_pair",
    "confirmed_unit",
    "count_coincidences",
    "count_with_accidentals",
    "delay_histogram",
    "examine",
    "find_coincidences",
    "find_single_peak",
    "fold_rank",
    "match_coincidences",
    "match_folds",
    "open_recording",
    "pack_tags",
    "phase_histogram",
    "phase_of_frequency",
    "stability",
    "swapped",
    "synchronise",
    "unpack_tags",
    "wide_peak",
]

Semantics = Literal["all", "nearest", "exclusive"]
"""What counts as a coincidence of a and b within the window.

`all`: every pair of tags, so one tag can count several times. `nearest`: each tag of a with the one
tag of b nearest to the middle of its window, which may serve several tags of a. `exclusive`: first
match in time order, each tag of a and of b at most once.
"""

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


def count_coincidences(
    a: TimesPs,
    b: TimesPs,
    window_ps: int,
    delay_ps: int = 0,
    *,
    exclusive: bool = False,
    semantics: Semantics = "all",
    threads: int = 1,
) -> int:
    """Pairs with |b - a - delay_ps| <= window_ps // 2, both edges included.

    `window_ps` is the full width. What counts says `semantics`; `exclusive=True` is short for that
    one. `threads` share the counting of all pairs.
    """
    low, high = _window(window_ps, delay_ps)
    if semantics == "all" and not exclusive:
        return count_pairs(a, b, low, high, threads=threads)
    return len(
        find_coincidences(a, b, window_ps, delay_ps, "exclusive" if exclusive else semantics)[0]
    )


def find_coincidences(
    a: TimesPs, b: TimesPs, window_ps: int, delay_ps: int = 0, semantics: Semantics = "all"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices into a and b of the coincidences that `count_coincidences` counts, ascending in a."""
    low, high = _window(window_ps, delay_ps)
    if semantics == "all":
        return all_pairs(a, b, low, high)
    if semantics == "nearest":
        return nearest_pairs(a, b, low, high)
    if semantics == "exclusive":
        return match_pairs(a, b, low, high)
    raise ValueError(
        f"find_coincidences: no semantics {semantics!r}, expected all, nearest or exclusive"
    )


def count_with_accidentals(
    a: TimesPs,
    b: TimesPs,
    window_ps: int,
    delay_ps: int = 0,
    *,
    shifts_ps: tuple[int, ...],
    threads: int = 1,
) -> tuple[int, float]:
    """All pairs in the window, and the mean number in copies of it moved by each of `shifts_ps`.

    The latter are the accidentals as measured, where no correlation reaches; ValueError for a shift
    whose window touches the one of the coincidences, and for none.
    """
    if not shifts_ps or min(abs(shift) for shift in shifts_ps) <= window_ps:
        raise ValueError(
            f"count_with_accidentals: found shifts {shifts_ps} ps, expected at least one and each "
            f"beyond the window of {window_ps} ps"
        )
    low, high = _window(window_ps, delay_ps)
    counts = count_pairs_at(a, b, low, high, (0, *shifts_ps), threads=threads)
    return int(counts[0]), float(counts[1:].mean())


def _window(window_ps: int, delay_ps: int) -> tuple[int, int]:
    """First and last value of b - a in a window of that full width about the delay."""
    return delay_ps - window_ps // 2, delay_ps + window_ps // 2


def match_coincidences(
    a: TimesPs, b: TimesPs, window_ps: int, delay_ps: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices into a and b of the exclusive coincidences that `count_coincidences` counts."""
    return find_coincidences(a, b, window_ps, delay_ps, "exclusive")


def accidental_coincidences(tags_a: int, tags_b: int, window_ps: int, span_ps: int) -> float:
    """Coincidences expected of unrelated steady streams: N_a N_b w / T.

    w is the number of picosecond values that the window of `count_coincidences` accepts.
    """
    return tags_a * tags_b * (window_ps // 2 * 2 + 1) / span_ps


def delay_histogram(
    a: TimesPs, b: TimesPs, range_ps: int, bin_ps: int, span_ps: int, *, same: bool = False
) -> DelayHistogram:
    """Histogram of b - a over +-range_ps (rounded up to whole bins) of tags that span `span_ps`.

    `same` says that both are one channel: the pairs of each tag with itself are left out. Raises
    ValueError for an empty array or a width, range or span below 1 ps.
    """
    if len(a) == 0 or len(b) == 0:
        raise ValueError("delay_histogram: an array holds no tags, so nothing can be normalised")
    if bin_ps < 1 or range_ps < 1 or span_ps < 1:
        raise ValueError(
            f"delay_histogram: found bin {bin_ps} ps, range {range_ps} ps, span {span_ps} ps, "
            "expected at least 1 ps of each"
        )
    each_side = -(-range_ps // bin_ps)
    low_ps = -each_side * bin_ps - bin_ps // 2
    counts = difference_histogram(a, b, low_ps, bin_ps, 2 * each_side + 1)
    if same:
        counts[each_side] -= len(a)
    return DelayHistogram(low_ps, bin_ps, counts, len(a) * len(b) * bin_ps / span_ps)


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


@dataclass(frozen=True, slots=True, eq=False)
class PairAnalysis:
    """Coincidences and g2 of two channels of one recording.

    `coincidences` counts all pairs in a window of full width `window_ps` about `delay_ps`;
    `delay_found` says that the delay is that of a peak found, not a given one or zero.
    """

    channel_a: int
    channel_b: int
    tags_a: int
    tags_b: int
    window_ps: int
    delay_ps: int
    delay_found: bool
    coincidences: int
    accidentals: float
    histogram: DelayHistogram

    @property
    def significance_sigma(self) -> float:
        """Excess of coincidences over accidentals in Poisson standard deviations of the latter."""
        return (self.coincidences - self.accidentals) / math.sqrt(max(self.accidentals, 1.0))


def analyze_pair(
    recording: Recording,
    channel_a: int,
    channel_b: int,
    *,
    window_ps: int,
    bin_ps: int,
    range_ps: int,
    delay_ps: int | None = None,
) -> PairAnalysis:
    """Coincidences and g2 of two channels, or of one with itself; delays are b - a.

    Without `delay_ps` the window is put on the one peak that stands out, else on zero delay.
    Raises ValueError where a channel holds no tags or a width is below 1 ps.
    """
    same = channel_a == channel_b
    a, b = recording.of(channel_a), recording.of(channel_b)
    span_ps = recording.stop_ps - recording.start_ps
    histogram = delay_histogram(a, b, range_ps, bin_ps, span_ps, same=same)
    peak = find_single_peak(histogram, window_ps) if delay_ps is None and not same else None
    delay = delay_ps if delay_ps is not None else peak or 0
    coincidences = count_coincidences(a, b, window_ps, delay)
    if same and abs(delay) <= window_ps // 2:
        coincidences -= len(a)
    return PairAnalysis(
        channel_a=channel_a,
        channel_b=channel_b,
        tags_a=len(a),
        tags_b=len(b),
        window_ps=window_ps,
        delay_ps=delay,
        delay_found=peak is not None,
        coincidences=coincidences,
        accidentals=accidental_coincidences(len(a), len(b), window_ps, span_ps),
        histogram=histogram,
    )
