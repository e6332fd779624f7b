"""From a line known to microseconds to one known to picoseconds: narrowing, then a fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from timing.clock import ClockModel
from timing.peak import Floats, LineFit, fit_line, near_pairs
from timing.tags import TimesPs

_CELLS = 16
_CANDIDATES = 400_000
"""Most pairs looked at in one step; beyond it a share of the remote tags is used."""


@dataclass(frozen=True, slots=True)
class CommonRecord:
    """The tags of both streams in the span that both cover, and the middle of it, remote scale."""

    local_ps: TimesPs
    remote_ps: TimesPs
    start_ps: int
    stop_ps: int

    def halves(self) -> tuple[CommonRecord, CommonRecord]:
        """The remote tags of each half of the span, with all local tags."""
        middle_ps = self.middle_ps
        cut = int(np.searchsorted(self.remote_ps, middle_ps))
        return (
            CommonRecord(self.local_ps, self.remote_ps[:cut], self.start_ps, middle_ps),
            CommonRecord(self.local_ps, self.remote_ps[cut:], middle_ps, self.stop_ps),
        )

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


def common_record(local_ps: TimesPs, remote_ps: TimesPs, model: ClockModel) -> CommonRecord:
    """What the two streams have in common under a clock."""
    start_ps = max(int(remote_ps[0]), model.instant_to_remote(int(local_ps[0])))
    stop_ps = min(int(remote_ps[-1]), model.instant_to_remote(int(local_ps[-1])))
    stop_ps = max(start_ps + 1, stop_ps)
    low, high = np.searchsorted(remote_ps, [start_ps, stop_ps + 1])
    edges = [model.instant_to_local(start_ps), model.instant_to_local(stop_ps) + 1]
    first, past = np.searchsorted(local_ps, edges)
    return CommonRecord(local_ps[first:past], remote_ps[low:high], start_ps, stop_ps)


def narrowed(
    record: CommonRecord, model: ClockModel, half_width_ps: float, half_skew: float
) -> tuple[ClockModel, float]:
    """The line that most pairs lie on, found in ever narrower windows; and the last half width.

    Each step counts pairs in 16 cells across the window for each skew that differs by a cell at the
    record's ends, and keeps a quarter of the window. It stops where a narrower window loses pairs:
    the cell has reached the jitter.
    """
    half_span_ps = record.span_ps / 2
    model = model.rebased(record.middle_ps)
    before = 0.0
    narrowest_ps = max(_CELLS, 8 * record.grain_ps)
    while half_width_ps > narrowest_ps:
        x, t = residuals(record, model, half_width_ps)
        cell_ps = 2 * half_width_ps / _CELLS
        step = cell_ps / half_span_ps
        count = max(1, math.ceil(half_skew / step))
        best = (-1.0, 0.0, 0.0)
        for skew in (step * k for k in range(-count, count + 1)):
            cells = np.floor((x - skew * t) / cell_ps).astype(np.int64) + _CELLS // 2
            inside = (cells >= 0) & (cells < _CELLS)
            counts = np.bincount(cells[inside], minlength=_CELLS)
            pairs = counts[:-1] + counts[1:]
            at = int(np.argmax(pairs))
            if pairs[at] > best[0]:
                best = (float(pairs[at]), (at + 1 - _CELLS // 2) * cell_ps, skew)
        excess = (best[0] - 2 * len(x) / _CELLS) * _thinning(record, half_width_ps)
        if excess < 0.5 * before:
            return model, max(4 * half_width_ps, narrowest_ps)
        before = excess
        model = model.adjusted(best[1], best[2], model.covariance)
        half_width_ps, half_skew = half_width_ps / 4, step
    return model, max(half_width_ps, narrowest_ps)


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
        half_width_ps = min(half_width_ps, max(8 * sigma_ps, 4.0))
    assert fit is not None
    return model, fit


def residuals(
    record: CommonRecord, model: ClockModel, half_width_ps: float
) -> tuple[Floats, Floats]:
    """Local minus mapped remote time of all pairs in the window, and their time from the epoch."""
    remote_ps = record.remote_ps[:: _thinning(record, half_width_ps)]
    mapped_ps = model.to_local(remote_ps)
    half_ps = math.ceil(half_width_ps)
    of_remote, of_local = near_pairs(mapped_ps, record.local_ps, -half_ps, half_ps)
    x = (record.local_ps[of_local] - mapped_ps[of_remote]).astype(np.float64)
    t = (remote_ps[of_remote] - model.epoch_ps).astype(np.float64)
    return x, t


def _resolution(times_ps: TimesPs) -> int:
    """The largest tick that all gaps between a sample of tags are multiples of."""
    gaps_ps = np.diff(times_ps[:1000])
    return max(1, int(np.gcd.reduce(gaps_ps))) if len(gaps_ps) else 1


def _thinning(record: CommonRecord, half_width_ps: float) -> int:
    expected = len(record.local_ps) * len(record.remote_ps) * 2 * half_width_ps / record.span_ps
    return max(1, math.ceil(expected / _CANDIDATES))
