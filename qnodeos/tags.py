"""Time tags for scripts: open recordings, count coincidences, histograms and g2.

All times are integer picoseconds in ascending int64 arrays, as a `TagBatch` or `Recording` holds
them. The kernels raise ValueError for arrays of another kind and for times that step back.

What a coincidence is has three meanings, named in `Semantics`; `docs/kernels.md` compares them.
For streams in chunks there are `PairCounter`, `NearestMatcher`, `PairMatcher` and
`DifferenceHistogram` for two channels, `FoldCounter`, `FoldFinder` and `PairHistograms` for up to
64 in one merged stream, `FoldMatcher` for several streams and `PhaseHistogram` for one.

Two recordings of one light by free-running clocks: `synchronise(a, b, Search(...))` finds and
follows the offset, `can_support` says beforehand whether rates and span suffice,
`examine` what is wrong with the recordings, `stability` how steady the clocks are.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cext.coincidence import (
    NearestMatcher,
    PairCounter,
    PairMatcher,
    all_pairs,
    count_pairs,
    count_pairs_at,
    match_pairs,
    nearest_pairs,
)
from cext.fold import FoldCounter, fold_rank
from cext.fold_find import FoldFinder, find_folds
from cext.fold_match import FoldMatcher, match_folds
from cext.histogram import DifferenceHistogram
from cext.pair_histograms import PairHistograms
from cext.phase import PhaseHistogram, phase_histogram
from qnodeos.delay_histograms import (
    DelayHistogram,
    delay_histogram,
    delay_histograms,
    find_single_peak,
)
from timing.acquire import Acquisition, NoCorrelation, Search, Support, can_support
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
from timing.segments import StoredBatch, StoredStream, read_stream, streams_in
from timing.stability import StabilityPoint, phase_of_frequency, stability
from timing.tags import PS_PER_S, Channels, TagBatch, TimesPs
from timing.time_steps import CombWarning, bin_on_grid, time_step_ps

__all__ = [
    "DEFAULT_BIN_PS",
    "PS_PER_S",
    "Acquisition",
    "ChannelDelays",
    "Channels",
    "CombWarning",
    "DeadTime",
    "DelayHistogram",
    "DifferenceHistogram",
    "DownSelect",
    "Finding",
    "FoldCounter",
    "FoldFinder",
    "FoldMatcher",
    "MarkerGate",
    "NearestMatcher",
    "NoCorrelation",
    "OpenCloseGate",
    "OrderRepair",
    "PackedError",
    "PairAnalysis",
    "PairCounter",
    "PairHistograms",
    "PairMatcher",
    "PhaseHistogram",
    "Recording",
    "RecordingError",
    "Search",
    "Semantics",
    "StabilityPoint",
    "StoredBatch",
    "StoredStream",
    "StreamMerge",
    "Support",
    "SyncedFiles",
    "TagBatch",
    "TagPacker",
    "TagUnpacker",
    "TakeMapped",
    "TimesPs",
    "accidental_coincidences",
    "analyze_pair",
    "bin_on_grid",
    "can_support",
    "confirmed_unit",
    "count_coincidences",
    "count_with_accidentals",
    "delay_histogram",
    "delay_histograms",
    "examine",
    "find_coincidences",
    "find_folds",
    "find_single_peak",
    "fold_rank",
    "match_coincidences",
    "match_folds",
    "open_recording",
    "pack_tags",
    "phase_histogram",
    "phase_of_frequency",
    "read_stream",
    "stability",
    "streams_in",
    "swapped",
    "synchronise",
    "time_step_ps",
    "unpack_tags",
    "wide_peak",
]

Semantics = Literal["all", "nearest", "exclusive"]
"""What counts as a coincidence of a and b within the window.

`all`: every pair of tags, so one tag can count several times. `nearest`: each tag of a with the one
tag of b nearest to the middle of its window, which may serve several tags of a. `exclusive`: first
match in time order, each tag of a and of b at most once.
"""

DEFAULT_BIN_PS = 100


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
    one. `threads` share the work.
    """
    low, high = _window(window_ps, delay_ps)
    if semantics == "all" and not exclusive:
        return count_pairs(a, b, low, high, threads=threads)
    meant: Semantics = "exclusive" if exclusive else semantics
    return len(find_coincidences(a, b, window_ps, delay_ps, meant, threads=threads)[0])


def find_coincidences(
    a: TimesPs,
    b: TimesPs,
    window_ps: int,
    delay_ps: int = 0,
    semantics: Semantics = "all",
    *,
    threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices into a and b of the coincidences that `count_coincidences` counts, ascending in a."""
    low, high = _window(window_ps, delay_ps)
    if semantics == "all":
        return all_pairs(a, b, low, high, threads=threads)
    if semantics == "nearest":
        return nearest_pairs(a, b, low, high, threads=threads)
    if semantics == "exclusive":
        return match_pairs(a, b, low, high, threads=threads)
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
    bin_ps: int | None = None,
    range_ps: int,
    delay_ps: int | None = None,
    threads: int = 1,
) -> PairAnalysis:
    """Coincidences and g2 of two channels, or of one with itself; delays are b - a.

    Without `delay_ps` the window is put on the one peak that stands out, else on zero delay.
    Without `bin_ps` bins are about 100 ps wide, on the recording's time steps; one given that is
    off them brings a CombWarning. Raises ValueError where a channel holds no tags or a width is
    below 1 ps.
    """
    grid_ps = recording.bin_grid_ps
    if bin_ps is None:
        bin_ps = bin_on_grid(DEFAULT_BIN_PS, grid_ps)
    elif bin_ps % grid_ps:
        warnings.warn(
            f"bins of {bin_ps} ps hold unequal numbers of the time steps of {recording.path}, "
            f"which shows as a comb; expected a multiple of {grid_ps} ps, such as "
            f"{bin_on_grid(bin_ps, grid_ps)} ps",
            CombWarning,
            stacklevel=2,
        )
    same = channel_a == channel_b
    a, b = recording.of(channel_a), recording.of(channel_b)
    span_ps = recording.stop_ps - recording.start_ps
    histogram = delay_histogram(a, b, range_ps, bin_ps, span_ps, same=same, threads=threads)
    peak = find_single_peak(histogram, window_ps) if delay_ps is None and not same else None
    delay = delay_ps if delay_ps is not None else peak or 0
    coincidences = count_coincidences(a, b, window_ps, delay, threads=threads)
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
