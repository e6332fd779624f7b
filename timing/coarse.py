"""The coarse step of acquisition: candidates for offset and skew, to a bin of some microseconds.

The block of local tags is cut into segments; each is correlated with the remote tags over all lags
in reach, by FFT or, where few lags are in reach, pair by pair; and the correlations are summed
along every drift (`drift`). What stands out is a candidate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cext.histogram import difference_histogram
from timing.clock import ClockModel
from timing.drift import Table, drifting_sums
from timing.search import CANDIDATES, STRADDLE, Search, Step
from timing.tags import PS_PER_S, TimesPs

_LEAST_OVERLAP = 0.1
_SLOWEST = 48
"""Backgrounds with fewer waves over all lags than this are changes of the rates, and removed."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offset and skew that may be the clock, within the half widths of `model`."""

    model: ClockModel
    half_width_ps: float
    half_skew: float
    snr: float


@dataclass(frozen=True, slots=True)
class Block:
    """What one step looks at: local tags of a block, and the remote ones in reach of it."""

    local_ps: TimesPs
    remote_ps: TimesPs
    start_ps: int
    stop_ps: int

    @property
    def middle_ps(self) -> int:
        """Middle of the block, local scale."""
        return (self.start_ps + self.stop_ps) // 2


@dataclass(frozen=True, slots=True)
class _Lags:
    """Correlations by segment; lag k of the table is `zero_ps` + k `bin_ps`, modulo its length.

    In units of the noise of a sum over all segments, to which chance gives `mean` pairs a lag.
    """

    table: Table
    mean: float
    zero_ps: float
    bin_ps: float
    circular: bool


def block_of(
    local_ps: TimesPs, remote_ps: TimesPs, search: Search, start_ps: int, step: Step
) -> Block:
    """The tags that a step looks at when its block starts at a local instant."""
    stop_ps = start_ps + step.block_ps
    low, high = np.searchsorted(local_ps, [start_ps, stop_ps + 1])
    # The search is about labels: a remote time is a local one less the offset.
    edges = [
        start_ps - search.centre_offset_ps - search.max_offset_ps,
        stop_ps - search.centre_offset_ps + search.max_offset_ps + 1,
    ]
    limits = np.iinfo(np.int64)
    first, past = np.searchsorted(remote_ps, np.clip(edges, limits.min, limits.max))
    return Block(local_ps[low:high], remote_ps[first:past], start_ps, stop_ps)


def candidates(block: Block, search: Search, step: Step) -> list[Candidate]:
    """The cells that stand out most, highest first; at most some dozens."""
    pivot_ps = int(block.remote_ps[0]) + int(block.remote_ps[-1] - block.remote_ps[0]) // 2
    stretched_ps = _stretched(block.remote_ps, search.centre_skew, pivot_ps)
    make = _pair_by_pair if step.direct else _by_fft
    lags = make(block, stretched_ps, search, step)
    cells = _highest(lags, step)
    found: list[Candidate] = []
    for snr, drift, lag in cells:
        for whole in (0, -1) if lags.circular else (0,):
            at_ps = lags.zero_ps + (lag + whole * lags.table.shape[1]) * lags.bin_ps
            candidate = _candidate(at_ps, drift * lags.bin_ps, snr, block, search, step, pivot_ps)
            if candidate is not None:
                found.append(candidate)
    return found


def detectable_cps(block: Block, step: Step) -> float:
    """The pair rate that would have reached the needed signal to noise."""
    span_s = max(1, step.block_ps) / PS_PER_S
    remote_s = max(1, int(block.remote_ps[-1] - block.remote_ps[0])) / PS_PER_S
    singles = len(block.local_ps) / span_s * len(block.remote_ps) / remote_s
    return step.needed_snr / STRADDLE * math.sqrt(singles) / step.sensitivity


def _stretched(remote_ps: TimesPs, skew: float, pivot_ps: int) -> TimesPs:
    if skew == 0.0:
        return remote_ps
    ahead = (remote_ps - pivot_ps).astype(np.float64)
    stretched: TimesPs = remote_ps + np.rint(skew * ahead).astype(np.int64)
    return stretched


def _segments(block: Block, step: Step) -> list[TimesPs]:
    edges_ps = block.start_ps + step.block_ps * np.arange(step.segments + 1) // step.segments
    cuts = np.searchsorted(block.local_ps, edges_ps)
    cuts[-1] = len(block.local_ps)
    return [block.local_ps[a:b] for a, b in pairwise(cuts)]


def _by_fft(block: Block, remote_ps: TimesPs, search: Search, step: Step) -> _Lags:
    """Circular over the longer of the two spans, so that every lag sees the whole block."""
    local_zero, remote_zero = block.start_ps, int(remote_ps[0])
    span_ps = max(block.stop_ps - block.start_ps, int(remote_ps[-1]) - remote_zero) + 1
    size = _fast_size(max(64, math.ceil(span_ps / step.bin_ps)))
    bin_ps = span_ps / size
    other = np.conj(np.fft.rfft(_binned(remote_ps, remote_zero, bin_ps, size)))
    slowest = min(_SLOWEST, size // 16)
    table = np.empty((step.segments, size), dtype=np.float32)
    for row, times_ps in zip(table, _segments(block, step), strict=True):
        spectrum = np.fft.rfft(_binned(times_ps, local_zero, bin_ps, size))
        spectrum *= other
        spectrum[:slowest] = 0
        row[:] = np.fft.irfft(spectrum, size)
        # Counts that chance gives have this variance.
        chance = len(times_ps) * len(remote_ps) / size
        row /= math.sqrt(max(chance, 1e-9) * step.segments)
    mean = len(block.local_ps) * len(remote_ps) / size
    return _Lags(table, mean, float(local_zero - remote_zero), bin_ps, circular=True)


def _binned(times_ps: TimesPs, zero_ps: int, bin_ps: float, size: int) -> Table:
    bins = ((times_ps - zero_ps) * (1 / bin_ps)).astype(np.int64)
    return np.bincount(bins, minlength=size)[:size].astype(np.float32)


def _pair_by_pair(block: Block, remote_ps: TimesPs, search: Search, step: Step) -> _Lags:
    bin_ps = max(1, round(step.bin_ps))
    low_ps = search.centre_offset_ps - search.max_offset_ps - step.drift_bins * bin_ps
    bins = math.ceil((2 * search.max_offset_ps) / bin_ps) + 2 * step.drift_bins
    table = np.empty((step.segments, bins), dtype=np.float32)
    mean = 0.0
    for row, times_ps in zip(table, _segments(block, step), strict=True):
        counts = difference_histogram(remote_ps, times_ps, low_ps, bin_ps, bins)
        chance = max(1e-9, float(counts.mean()))
        row[:] = (counts - chance) / math.sqrt(chance * step.segments)
        mean += chance
    return _Lags(table, mean, float(low_ps) + bin_ps / 2, float(bin_ps), circular=False)


def _highest(found: _Lags, step: Step) -> list[tuple[float, int, float]]:
    """(signal to noise, drift, lag in the middle) of the highest cells, the highest first."""
    table = found.table
    lags = table.shape[1]
    threshold = 0.9 * step.needed_snr
    heights: list[NDArray[np.float64]] = []
    drifts: list[NDArray[np.int64]] = []
    places: list[NDArray[np.float64]] = []
    spread = 1.0
    for drift, ahead, sums in drifting_sums(table, step.drift_bins):
        if drift == 0:
            # Dead times and bursts make the noise wider than Poissonian.
            spread = max(1.0, float(np.std(sums[:: max(1, lags // 20_000)])))
        for together in (1, 2):
            values = sums if together == 1 else (sums[1:] + sums[:-1]) * np.float32(0.5**0.5)
            at = np.flatnonzero(values > threshold * spread)
            if len(at) > 4 * CANDIDATES:
                at = at[np.argpartition(values[at], -4 * CANDIDATES)[-4 * CANDIDATES :]]
            heights.append(_as_normal(values[at] / spread, together * found.mean))
            drifts.append(np.full(len(at), drift))
            places.append((at + ahead + (together - 1) / 2) % lags)
    height, drift_of = np.concatenate(heights), np.concatenate(drifts)
    place = np.concatenate(places)
    kept: list[tuple[float, int, float]] = []
    for index in np.argsort(-height).tolist():
        here = (float(height[index]), int(drift_of[index]), float(place[index]))
        if all(abs(here[1] - d) > 2 or abs(here[2] - p) > 2 for _, d, p in kept):
            kept.append(here)
            if len(kept) == CANDIDATES:
                break
    return kept


def _as_normal(noise: NDArray[np.float32], mean: float) -> NDArray[np.float64]:
    """The excess of a normal distribution that is as unlikely as this one of few counts.

    From Chernoff's bound of the Poisson tail, exp(-(n ln(n/mean) - n + mean)).
    """
    mean = max(mean, 1e-3)
    count = mean + noise.astype(np.float64) * math.sqrt(mean)
    normal: NDArray[np.float64] = np.sqrt(
        2 * np.maximum(count * np.log(count / mean) - count + mean, 0.0)
    )
    return normal


def _candidate(
    lag_ps: float,
    drift_ps: float,
    snr: float,
    block: Block,
    search: Search,
    step: Step,
    pivot_ps: int,
) -> Candidate | None:
    """A cell as a clock, None where it is not in the range or the streams hardly overlap."""
    # From the middle of the first segment to that of the last.
    leap_ps = step.block_ps * (step.segments - 1) / step.segments
    skew = drift_ps / leap_ps
    epoch_ps = block.middle_ps - round(lag_ps)
    # The stretch about the pivot is a part of the offset elsewhere.
    offset_ps = round(lag_ps) + round(search.centre_skew * (epoch_ps - pivot_ps))
    if abs(offset_ps - search.centre_offset_ps) > search.max_offset_ps + 2 * step.bin_ps:
        return None
    start_ps = max(int(block.remote_ps[0]), block.start_ps - offset_ps)
    stop_ps = min(int(block.remote_ps[-1]), block.stop_ps - offset_ps)
    shorter = min(block.stop_ps - block.start_ps, int(block.remote_ps[-1] - block.remote_ps[0]))
    if stop_ps - start_ps < _LEAST_OVERLAP * shorter:
        return None
    return Candidate(
        model=ClockModel(
            epoch_ps=epoch_ps,
            offset_whole_ps=offset_ps,
            offset_ps=0.0,
            skew=search.centre_skew + skew,
        ),
        half_width_ps=2 * step.bin_ps,
        # The drift shows only where the streams overlap.
        half_skew=1.5 * step.bin_ps / min(leap_ps, stop_ps - start_ps),
        snr=snr,
    )


def _fast_size(least: int) -> int:
    """The smallest length of the form 2^a, 3 2^a, 5 2^a or 9 2^a that is large enough, for FFTs."""
    power = 1 << max(4, (least - 1).bit_length())
    sizes = (power // 16 * 9, power // 8 * 5, power // 4 * 3, power)
    return min(size for size in sizes if size >= least)
