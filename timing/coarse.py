"""The coarse step of acquisition: the offset to some microseconds, by FFT over a grid of skews."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timing.clock import ClockModel
from timing.peak import Floats, log_tail
from timing.tags import PS_PER_S, TimesPs

STRADDLE = 0.7
"""Mean share of a peak's height that is left when it straddles two bins."""

_LEAST_OVERLAP = 0.25
_SMOOTH_BINS = 2048


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, and how sure an answer must be.

    Offsets are those of the labels on the tags, local minus remote. A block of the local tags, of
    length `block_ps`, is searched against all remote tags in reach. The cost grows with the number
    of skews, 2 max_skew block / bin, and for each with (block + remote span) / bin.
    """

    max_offset_ps: int = PS_PER_S
    max_skew: float = 15e-6
    bin_ps: int = 4_000_000
    block_ps: int = PS_PER_S
    false_alarm: float = 1e-6

    def skew_step(self, span_ps: float) -> float:
        """Step of the skew grid: the smear left over is at most half a bin either way."""
        return self.bin_ps / max(span_ps, float(self.bin_ps))

    def skews(self, span_ps: float) -> Floats:
        """The skews tried on a record of the given length."""
        steps = math.ceil(2 * self.max_skew / self.skew_step(span_ps))
        return np.linspace(-self.max_skew, self.max_skew, steps + 1) if steps else np.zeros(1)

    def needed_snr(self, cells: float) -> float:
        """Signal to noise at which one cell among so many is no chance."""
        return math.sqrt(2 * math.log(max(cells, 1.0) / self.false_alarm))


@dataclass(frozen=True, slots=True)
class CoarsePeak:
    """The most significant offset and skew; the truth lies within the half widths of `model`.

    `log_false_alarm` is the natural logarithm of a bound for all `cells` searched;
    `detectable_cps` the pair rate that would have reached the `needed` signal to noise.
    """

    model: ClockModel
    half_width_ps: float
    half_skew: float
    snr: float
    needed: float
    cells: float
    log_false_alarm: float
    detectable_cps: float


@dataclass(frozen=True, slots=True)
class _Cell:
    noise: float
    position_ps: float
    skew: float
    count: float
    mean: float
    spread: float


def coarse_peak(local_ps: TimesPs, remote_ps: TimesPs, search: Search) -> CoarsePeak | None:
    """The highest peak of the correlation of two ascending streams, significant or not.

    None if no offset within the search range makes the streams overlap by a quarter of the shorter.
    """
    local_zero, remote_zero = int(local_ps[0]), int(remote_ps[0])
    local = (local_ps - local_zero).astype(np.float64)
    remote = (remote_ps - remote_zero).astype(np.float64)
    bin_ps = float(search.bin_ps)
    span_ps = min(local[-1], remote[-1])
    pivot_ps = remote[-1] / 2
    skews = search.skews(span_ps)
    # Stretching moves the ends of the remote stream; it is placed late to keep its bins positive.
    pad = math.ceil(search.max_skew * pivot_ps / bin_ps) + 1
    bins_local = int(local[-1] / bin_ps) + 1
    bins_remote = int(remote[-1] / bin_ps) + 1
    size = _fast_size(bins_local + bins_remote + 2 * pad)

    # Lags are those between the first tags of the two streams.
    lags = np.arange(1 - bins_remote, bins_local)
    overlap = np.minimum(bins_local, lags + bins_remote) - np.maximum(0, lags)
    offsets_ps = lags * bin_ps + float(local_zero - remote_zero)
    allowed = (overlap >= _LEAST_OVERLAP * min(bins_local, bins_remote)) & (
        np.abs(offsets_ps) <= search.max_offset_ps + bin_ps
    )
    lags, overlap = lags[allowed], overlap[allowed]
    if len(lags) < 16:
        return None
    chance = overlap * (len(local) / bins_local) * (len(remote) / bins_remote)

    spectrum = np.fft.rfft(np.bincount((local / bin_ps).astype(np.int64)), size)
    best: _Cell | None = None
    for skew in skews.tolist():
        bins = ((remote + skew * (remote - pivot_ps)) / bin_ps + pad).astype(np.int64)
        other = np.fft.rfft(np.bincount(bins), size)
        correlation = np.fft.irfft(spectrum * np.conj(other), size)[lags - pad]
        cell = _highest(correlation, chance, lags, bin_ps, skew)
        if best is None or cell.noise > best.noise:
            best = cell
    assert best is not None
    # One bin and two bins together are tried at every lag.
    cells = 2.0 * len(lags) * len(skews)
    needed = search.needed_snr(cells)
    step = search.skew_step(span_ps)
    return CoarsePeak(
        model=ClockModel(
            epoch_ps=remote_zero + round(pivot_ps),
            offset_whole_ps=local_zero - remote_zero + round(best.position_ps),
            offset_ps=0.0,
            skew=best.skew,
        ),
        half_width_ps=2 * bin_ps,
        half_skew=step,
        snr=best.noise / best.spread,
        needed=needed,
        cells=cells,
        log_false_alarm=min(
            0.0, math.log(cells) + log_tail(best.count, best.mean) / best.spread**2
        ),
        detectable_cps=(
            needed
            * best.spread
            * math.sqrt(float(chance.max()))
            / STRADDLE
            * PS_PER_S
            / (float(overlap.max()) * bin_ps)
        ),
    )


def _highest(
    correlation: Floats, chance: Floats, lags: NDArray[np.int64], bin_ps: float, skew: float
) -> _Cell:
    """The cell with the largest excess over the local background, in units of its noise."""
    # Rates that change slowly lift the background over wide ranges of lags; only the local mean
    # tells. It is kept from vanishing where tags are few.
    level = chance * np.maximum(_smoothed(correlation / chance), 0.5)
    best: _Cell | None = None
    for together in (1, 2):
        counts, mean = correlation, level
        if together == 2:
            counts, mean = correlation[:-1] + correlation[1:], level[:-1] + level[1:]
        noise = (counts - mean) / np.sqrt(mean)
        at = int(np.argmax(noise))
        if best is None or noise[at] > best.noise:
            best = _Cell(
                noise=float(noise[at]),
                position_ps=(float(lags[at]) + (together - 1) / 2) * bin_ps,
                skew=skew,
                count=float(counts[at]),
                mean=float(mean[at]),
                # Dead times and bursts make the noise wider than Poissonian.
                spread=max(1.0, float(np.std(noise[:: max(1, len(noise) // 20000)]))),
            )
    assert best is not None
    return best


def _smoothed(values: Floats) -> Floats:
    """Running mean over a wide window, narrower at the ends."""
    half = min(_SMOOTH_BINS, len(values)) // 2
    total = np.concatenate(([0.0], np.cumsum(values)))
    at = np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half, len(values))
    mean: Floats = (total[high] - total[low]) / (high - low)
    return mean


def _fast_size(least: int) -> int:
    """The smallest length of the form 2^a, 3 2^a or 5 2^a that is large enough, for the FFT."""
    power = 1 << max(4, least.bit_length())
    return min(s for s in (power // 8 * 5, power // 4 * 3, power) if s >= least)
