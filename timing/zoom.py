"""From a line known to microseconds to one known to picoseconds: narrowing, then a fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cext.coincidence import all_pairs
from cext.histogram import difference_histogram
from timing.clock import ClockModel
from timing.drift import drifting_sums
from timing.peak import Floats, LineFit, fit_line, log_tail
from timing.tags import TimesPs

_SEGMENTS = 16
_CELLS = 64
_WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16)
_WIDE = 6
_SHARPER = 1.1
_MOST_PAIRS = 1_000_000
"""Pairs looked at in one step; beyond it a share of the remote tags is used."""
_MOST_FITTED = 200_000
"""Pairs by chance in a fit, likewise."""
_CHANCE = math.log(1e-3)
_OBVIOUS = 8.0
_MET_BETTER = 1.4


@dataclass(frozen=True, slots=True)
class CommonRecord:
    """The tags of both streams in the span that both cover, [start, stop) on the remote scale."""

    local_ps: TimesPs
    remote_ps: TimesPs
    start_ps: int
    stop_ps: int

    def part(self, start_ps: int, stop_ps: int) -> CommonRecord:
        """The remote tags of a part of the span, with all local tags."""
        low, high = np.searchsorted(self.remote_ps, [start_ps, stop_ps])
        return CommonRecord(self.local_ps, self.remote_ps[low:high], start_ps, stop_ps)

    @property
    def middle_ps(self) -> int:
        """Middle of the span on the remote timescale."""
        return (self.start_ps + self.stop_ps) // 2

    @property
    def grain_ps(self) -> float:
        """Standard deviation of time differences from the resolution of the two taggers alone."""
        return math.hypot(_resolution(self.local_ps), _resolution(self.remote_ps)) / math.sqrt(12)

    @property
    def span_ps(self) -> int:
        """Length of the span."""
        return self.stop_ps - self.start_ps

    def pairs_by_chance(self, width_ps: float) -> float:
        """How many pairs a window of this full width shows where nothing is correlated."""
        return len(self.local_ps) * len(self.remote_ps) * width_ps / max(1, self.span_ps)


@dataclass(frozen=True, slots=True)
class Ridge:
    """The line that most pairs lie on, to within the half widths, and how sure it is.

    `log_chance` bounds the natural logarithm of the probability that chance shows it in the cells
    looked at; `wide`: many cells together show it best, so it may be as narrow as it is.
    """

    model: ClockModel
    half_width_ps: float
    half_skew: float
    log_chance: float
    wide: bool


def common_record(local_ps: TimesPs, remote_ps: TimesPs, model: ClockModel) -> CommonRecord:
    """What the two streams have in common under a clock."""
    start_ps = max(int(remote_ps[0]), model.instant_to_remote(int(local_ps[0])))
    stop_ps = min(int(remote_ps[-1]), model.instant_to_remote(int(local_ps[-1]))) + 1
    stop_ps = max(start_ps + 1, stop_ps)
    low, high = np.searchsorted(remote_ps, [start_ps, stop_ps])
    edges = [model.instant_to_local(start_ps), model.instant_to_local(stop_ps)]
    first, past = np.searchsorted(local_ps, edges)
    return CommonRecord(local_ps[first:past], remote_ps[low:high], start_ps, stop_ps)


def narrowed(
    record: CommonRecord, model: ClockModel, half_width_ps: float, half_skew: float, snr: float
) -> Ridge | None:
    """Follow a line into ever narrower windows until the jitter is seen; None where it vanishes.

    Each step counts pairs in 64 cells across the window for each of 16 segments, sums along the
    drifts (`drift`) and keeps what is least likely by chance. A candidate was chosen because it
    stood out by `snr`; one of chance shows that excess again in the window, and somewhat more in
    cells that meet it better, where a true one shows several times as much.
    """
    log_known = -((_MET_BETTER * snr) ** 2) / 2 if snr < _OBVIOUS else 0.0
    before = Ridge(model.rebased(record.middle_ps), half_width_ps, half_skew, 0.0, False)
    while True:
        ridge = _narrower(record, before)
        gain = 1.0 if not before.wide else _SHARPER
        if before.log_chance < 0 and ridge.log_chance > gain * before.log_chance:
            return before
        if ridge.log_chance > log_known + _CHANCE:
            return None
        if ridge.half_width_ps <= 4 * max(1.0, record.grain_ps / 2):
            return ridge
        before = ridge


def _narrower(record: CommonRecord, ridge: Ridge) -> Ridge:
    """One step, to a sixteenth of the window or less."""
    remote_ps = record.remote_ps
    expected = record.pairs_by_chance(2 * ridge.half_width_ps)
    thinning = max(1, math.ceil(expected / _MOST_PAIRS))
    cell_ps = max(1, math.ceil(2 * ridge.half_width_ps / _CELLS))
    drift = min(_SEGMENTS - 1, math.ceil(ridge.half_skew * record.span_ps / cell_ps))
    bins = _CELLS + 2 * drift
    low_ps = -(bins // 2) * cell_ps
    # Clear of the drifting sums, which take the table as circular.
    table = np.zeros((_SEGMENTS, bins + drift), dtype=np.float32)
    edges_ps = record.start_ps + record.span_ps * np.arange(_SEGMENTS + 1) // _SEGMENTS
    cuts = np.searchsorted(remote_ps, edges_ps)
    for row, first, past in zip(table, cuts[:-1], cuts[1:], strict=True):
        mapped_ps = ridge.model.to_local(remote_ps[first:past:thinning])
        if not len(mapped_ps):
            continue
        near = np.searchsorted(
            record.local_ps, [mapped_ps[0] + low_ps, mapped_ps[-1] + low_ps + bins * cell_ps]
        )
        local_ps = record.local_ps[near[0] : near[1]]
        row[:bins] = difference_histogram(mapped_ps, local_ps, low_ps, cell_ps, bins)
    total = float(table.sum())
    rows = [
        (step, np.roll(sums, ahead)[:bins]) for step, ahead, sums in drifting_sums(table, drift)
    ]
    running = np.zeros((len(rows), bins + 1))
    np.cumsum([sums for _, sums in rows], axis=1, out=running[:, 1:])
    best: tuple[float, int, int, float] | None = None
    for width in _WIDTHS:
        counts = running[:, width:] - running[:, :-width]
        row, at = divmod(int(np.argmax(counts)), counts.shape[1])
        count = float(counts[row, at])
        mean = max(0.05, (total - count) / max(1, bins - width) * width)
        chance = log_tail(count, mean)
        if best is None or chance < best[0]:
            best = (chance, rows[row][0], width, (at + width / 2) * cell_ps + low_ps)
    assert best is not None
    chance, step, width, position_ps = best
    # From the middle of the first segment to that of the last.
    leap_ps = record.span_ps * (_SEGMENTS - 1) / _SEGMENTS
    model = ridge.model.adjusted(
        position_ps - 0.5, step * cell_ps / leap_ps, ridge.model.covariance
    )
    return Ridge(
        model=model,
        half_width_ps=max(2.0, width) * cell_ps,
        half_skew=max(1.5, width) * cell_ps / leap_ps,
        log_chance=math.log(len(rows) * bins * len(_WIDTHS)) + chance,
        wide=width >= _WIDE,
    )


def fitted(
    record: CommonRecord, model: ClockModel, half_width_ps: float
) -> tuple[ClockModel, LineFit] | None:
    """Maximum-likelihood line through the pairs of the window; None where there is no ridge.

    The fit is repeated in a window of eight standard deviations, where the background matters less.
    """
    fit: LineFit | None = None
    sigma_ps = half_width_ps / 6
    # Taggers that share a tick have differences of whole ticks, on which the fit would collapse.
    grain_ps = record.grain_ps
    for _ in range(3):
        x, t = residuals(record, model, half_width_ps)
        if not len(x):
            return None
        fit = fit_line(
            x, t, width=2 * half_width_ps, position=0.0, sigma=sigma_ps, least_sigma=grain_ps
        )
        if fit is None:
            return None
        (offset, cross), (_, skew) = fit.covariance.tolist()
        model = model.adjusted(fit.position, fit.slope, ((offset, cross), (cross, skew)))
        sigma_ps = fit.sigma
        half_width_ps = min(3 * half_width_ps, max(8 * sigma_ps, 4.0))
    assert fit is not None
    return model, fit


def residuals(
    record: CommonRecord, model: ClockModel, half_width_ps: float
) -> tuple[Floats, Floats]:
    """Local minus mapped remote time of all pairs in the window, and their time from the epoch."""
    thinning = max(1, math.ceil(record.pairs_by_chance(2 * half_width_ps) / _MOST_FITTED))
    remote_ps = np.ascontiguousarray(record.remote_ps[::thinning])
    mapped_ps = model.to_local(remote_ps)
    half_ps = math.ceil(half_width_ps)
    of_remote, of_local = all_pairs(mapped_ps, record.local_ps, -half_ps, half_ps - 1)
    x = (record.local_ps[of_local] - mapped_ps[of_remote]).astype(np.float64)
    t = (remote_ps[of_remote] - model.epoch_ps).astype(np.float64)
    return x, t


def _resolution(times_ps: TimesPs) -> int:
    """The largest tick that all gaps between a sample of tags are multiples of."""
    gaps_ps = np.diff(times_ps[:1000])
    return max(1, int(np.gcd.reduce(gaps_ps))) if len(gaps_ps) else 1
