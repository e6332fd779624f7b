"""What two whole recordings show of their clocks, measured span by span and summed up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cext.coincidence import all_pairs, count_pairs_at
from cext.histogram import difference_histogram
from timing.acquire import Acquisition
from timing.clock import ClockModel
from timing.diagnose import clock_step
from timing.sync import Overlap, SyncStatus
from timing.tags import PS_PER_S, TimesPs

Floats = NDArray[np.float64]
TakeMapped = Callable[[TimesPs, NDArray[np.int64]], None]
"""Called with mapped remote times, local scale, and the places of those tags in the stream."""

DELAYED_WINDOWS = (-7, -5, 5, 7)
"""Where accidentals are counted, in window widths."""


@dataclass(frozen=True, slots=True)
class SpanPoint:
    """One tracked span, a tenth of a second or more: local middle, and what was measured in it.

    `offset_ps` is local minus remote time as the span's own pairs tell it, less the straight line
    of its segment; `sigma_ps` its standard deviation. NaN where the pairs are too few. Segments
    count the steps before.
    """

    local_ps: int
    offset_ps: float
    sigma_ps: float
    pairs: int
    accidentals: float
    segment: int


@dataclass(frozen=True, slots=True)
class Step:
    """A jump of one clock against the other soon after a local instant, the last one tracked."""

    local_ps: int
    step_ps: float
    sigma_ps: float


@dataclass(frozen=True, slots=True, eq=False)
class SyncedFiles:
    """What two recordings show of their clocks.

    `line`: local = remote + offset + skew (remote - epoch), the straight line through the measured
    offsets of the longest segment between steps, its epoch in the middle, its covariance scaled by
    their scatter. `residual_rms_ps` is the rms of those offsets about the line: clocks, path and
    counting together. `tracked_s` of `common_s` seconds were tracked. `delay_ps` and `counts` are
    the histogram of local minus mapped times over all spans; the tracker's residual and bound are
    those it stated last, for clocks of the given noise; `pairs` and `accidentals` are
    those in a window of full width `window_ps`.
    """

    acquisition: Acquisition
    line: ClockModel
    segment: int
    points: list[SpanPoint]
    steps: list[Step]
    tracker_residual_ps: float | None
    tracker_bound_ps: float | None
    window_ps: int
    clock_noise_1s: float
    jitter_ps: float
    pairs: int
    accidentals: float
    tracked_s: float
    common_s: float
    losses: int
    acquisitions: int
    residual_rms_ps: float
    delay_ps: Floats
    counts: NDArray[np.int64]

    @property
    def pair_rate_cps(self) -> float:
        """True pairs a second of tracked time."""
        return (self.pairs - self.accidentals) / max(self.tracked_s, 1e-12)

    def phase(self, tau0_s: float) -> Floats:
        """Offsets about the line, seconds: weighted means over each `tau0_s`, NaN where none is."""
        mine = [point for point in self.points if point.segment == self.segment]
        values = np.array([point.offset_ps for point in mine]) / PS_PER_S
        known = np.isfinite(values)
        if not known.any():
            return np.empty(0)
        at_s = np.array([point.local_ps - mine[0].local_ps for point in mine]) / PS_PER_S
        step = (at_s / tau0_s).astype(np.int64)
        weights = 1 / np.array([point.sigma_ps for point in mine])[known] ** 2
        weight = np.bincount(step[known], weights, int(step[-1]) + 1)
        total = np.bincount(step[known], weights * values[known], len(weight))
        with np.errstate(invalid="ignore"):
            return np.where(weight > 0, total / weight, np.nan)


@dataclass(slots=True)
class Measured:
    """What is gathered on the way through the records: one entry a span in each list."""

    window_ps: int
    jitter_ps: float
    noise_1s: float
    mapped: TakeMapped | None
    bin_ps: int = field(init=False)
    counts: NDArray[np.int64] = field(init=False)
    at_ps: list[int] = field(default_factory=list)
    remote_at_ps: list[int] = field(default_factory=list)
    whole_ps: list[int] = field(default_factory=list)
    rest_ps: list[float] = field(default_factory=list)
    sigma_ps: list[float] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    accidentals: list[float] = field(default_factory=list)
    segment: list[int] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    known_stop_ps: int | None = None
    """End of the last span that showed its pairs."""
    tracked_ps: int = 0
    losses: int = 0
    acquisitions: int = 0
    residual_ps: float | None = None
    bound_ps: float | None = None
    last: ClockModel | None = None
    unproved: list[tuple[TimesPs, NDArray[np.int64]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bin_ps = max(1, round(self.jitter_ps / 8))
        half = max(64, math.ceil(self.window_ps / self.bin_ps))
        self.counts = np.zeros(2 * half + 1, np.int64)

    def take(self, overlap: Overlap, prior: ClockModel, first_of: dict[int, int]) -> None:
        """Measure one tracked span and hand its tags on. `prior` mapped the remote tags before;
        `first_of` is the place in the stream of the first tag of each remote batch."""
        local, remote = overlap.local.time_ps, overlap.remote_mapped_ps
        low_ps = -(len(self.counts) // 2) * self.bin_ps - self.bin_ps // 2
        self.counts += difference_histogram(remote, local, low_ps, self.bin_ps, len(self.counts))
        reach = self.window_ps // 2
        of_remote, of_local = all_pairs(remote, local, -reach, reach)
        x = (local[of_local] - remote[of_remote]).astype(np.float64)
        delays = tuple(shift * self.window_ps for shift in DELAYED_WINDOWS)
        chance = float(count_pairs_at(remote, local, -reach, reach, delays).mean())
        model = composed(prior, overlap.model)
        middle_ps = (overlap.start_ps + overlap.stop_ps) // 2
        remote_at_ps = model.instant_to_remote(middle_ps)
        whole_ps, rest_ps = model.shift_ps(np.array([remote_at_ps]))
        position_ps, sigma_ps = _centre(x, chance, self.window_ps, self.jitter_ps)
        self.at_ps.append(middle_ps)
        self.remote_at_ps.append(remote_at_ps)
        self.whole_ps.append(whole_ps)
        self.rest_ps.append(float(rest_ps[0]) + position_ps)
        self.sigma_ps.append(sigma_ps)
        self.pairs.append(len(x))
        self.accidentals.append(chance)
        self.segment.append(len(self.steps))
        if self.mapped is not None and len(remote):
            batches, inverse = np.unique(overlap.remote.sequence, return_inverse=True)
            firsts = np.array([first_of[batch] for batch in batches.tolist()], np.int64)
            self.unproved.append((remote, firsts[inverse] + overlap.remote.index))
        if math.isfinite(position_ps):
            self.last, self.known_stop_ps = model, overlap.stop_ps
            self.tracked_ps += overlap.stop_ps - overlap.start_ps
            if self.mapped is not None:
                for part in self.unproved:
                    self.mapped(*part)
                self.unproved.clear()

    def rewind(self) -> None:
        """Forget the spans since the last that showed its pairs: the clock may have stepped."""
        self.unproved.clear()
        while self.rest_ps and math.isnan(self.rest_ps[-1]):
            for entries in (
                self.at_ps,
                self.remote_at_ps,
                self.whole_ps,
                self.rest_ps,
                self.sigma_ps,
                self.pairs,
                self.accidentals,
                self.segment,
            ):
                entries.pop()

    def found_again(self, now: ClockModel) -> None:
        """A clock was acquired: tell whether it is where the last one would have led."""
        if self.last is None or self.known_stop_ps is None:
            return
        at_ps = self.last.instant_to_remote(self.known_stop_ps)
        step = clock_step(self.last, now, at_ps, self.noise_1s)
        if step is not None:
            self.steps.append(Step(self.known_stop_ps, *step))
            self.last = None  # told once

    def ended(self, status: SyncStatus) -> None:
        """A synchroniser has done its part."""
        self.losses += status.losses
        self.acquisitions += status.acquisitions
        if status.statistics is not None:
            self.residual_ps = status.statistics.residual_ps
            self.bound_ps = status.statistics.bound_ps

    def result(
        self, found: Acquisition, local_ps: TimesPs, remote_ps: TimesPs
    ) -> SyncedFiles | None:
        """All of it summed up; None if no span was tracked."""
        if not self.at_ps:
            return None
        segments = np.array(self.segment)
        lines: dict[int, ClockModel] = {}
        offsets_ps = np.empty(len(segments))
        for segment in np.unique(segments).tolist():
            mine = np.flatnonzero(segments == segment)
            lines[segment], offsets_ps[mine] = self._line(mine)
        longest = int(np.argmax(np.bincount(segments)))
        line, about_ps = lines[longest], offsets_ps[segments == longest]
        known_ps = about_ps[np.isfinite(about_ps)]
        points = [
            SpanPoint(*entry)
            for entry in zip(
                self.at_ps,
                offsets_ps.tolist(),
                self.sigma_ps,
                self.pairs,
                self.accidentals,
                self.segment,
                strict=True,
            )
        ]
        start_ps = max(int(local_ps[0]), line.instant_to_local(int(remote_ps[0])))
        stop_ps = min(int(local_ps[-1]), line.instant_to_local(int(remote_ps[-1])))
        delay_ps = np.arange(len(self.counts), dtype=np.float64) - len(self.counts) // 2
        return SyncedFiles(
            acquisition=found,
            line=line,
            segment=longest,
            points=points,
            steps=self.steps,
            tracker_residual_ps=self.residual_ps,
            tracker_bound_ps=self.bound_ps,
            window_ps=self.window_ps,
            clock_noise_1s=self.noise_1s,
            jitter_ps=_width(delay_ps * self.bin_ps, self.counts) or self.jitter_ps,
            pairs=sum(self.pairs),
            accidentals=sum(self.accidentals),
            tracked_s=min(self.tracked_ps, stop_ps - start_ps) / PS_PER_S,
            common_s=(stop_ps - start_ps) / PS_PER_S,
            losses=self.losses,
            acquisitions=self.acquisitions,
            residual_rms_ps=float(np.sqrt(np.mean(known_ps**2))) if len(known_ps) else math.nan,
            delay_ps=delay_ps * self.bin_ps,
            counts=self.counts,
        )

    def _line(self, mine: NDArray[np.int64]) -> tuple[ClockModel, Floats]:
        """The straight line through the measured offsets of some spans, and those about it."""
        remote_at_ps = [self.remote_at_ps[k] for k in mine]
        epoch_ps = (remote_at_ps[0] + remote_at_ps[-1]) // 2
        whole_ps = self.whole_ps[mine[0]]
        t = np.array([at - epoch_ps for at in remote_at_ps], np.float64)
        x = np.array([float(self.whole_ps[k] - whole_ps) + self.rest_ps[k] for k in mine])
        known = np.isfinite(x)
        if np.count_nonzero(known) < 3:
            offset = float(np.mean(x[known])) if known.any() else 0.0
            return ClockModel(epoch_ps, whole_ps, offset, 0.0), x - offset
        scale = max(float(np.abs(t).max()), 1.0)
        weights = 1 / np.array([self.sigma_ps[k] for k in mine])[known]
        columns = np.stack([np.ones(len(weights)), t[known] / scale], axis=1) * weights[:, None]
        inverse = np.linalg.inv(columns.T @ columns)
        offset, slope = (inverse @ columns.T @ (x[known] * weights)).tolist()
        about = x - offset - slope * t / scale
        scatter = float(np.sum((about[known] * weights) ** 2)) / (len(weights) - 2)
        covariance = max(1.0, scatter) * inverse * np.outer([1, 1 / scale], [1, 1 / scale])
        (a, b), (c, d) = covariance.tolist()
        model = ClockModel(epoch_ps, whole_ps, offset, slope / scale, ((a, b), (c, d)))
        return model, about


def composed(first: ClockModel, then: ClockModel) -> ClockModel:
    """The map that applies `first` and then `then`; the uncertainty is the latter's."""
    epoch_ps = first.instant_to_remote(then.epoch_ps)
    moved = first.rebased(epoch_ps)
    # The instant is rounded; what that leaves is carried on.
    left_ps = moved.instant_to_local(epoch_ps) - then.epoch_ps
    return replace(
        moved,
        offset_whole_ps=moved.offset_whole_ps + then.offset_whole_ps,
        offset_ps=moved.offset_ps + then.offset_ps + then.skew * left_ps,
        skew=first.skew + then.skew + first.skew * then.skew,
        covariance=then.covariance,
    )


def _centre(x: Floats, chance: float, window_ps: int, jitter_ps: float) -> tuple[float, float]:
    """Mean of true pairs among differences in a window, and its standard deviation; NaN if few.

    The accidentals are flat, so they pull the mean towards the middle by their share.
    """
    true = len(x) - chance
    if true < 3 or true < 3 * math.sqrt(max(chance, 1.0)):
        return math.nan, math.nan
    mean = float(x.mean()) * len(x) / true
    variance = (true * jitter_ps**2 + chance * window_ps**2 / 12) / true**2
    return mean, math.sqrt(variance)


def _width(delay_ps: Floats, counts: NDArray[np.int64]) -> float | None:
    """Standard deviation of the peak over its flat background; None where there is no peak."""
    edge = max(4, len(counts) // 8)
    above = counts - float(np.mean(np.concatenate((counts[:edge], counts[-edge:]))))
    total = float(above.sum())
    if total <= 0:
        return None
    mean = float(above @ delay_ps) / total
    variance = float(above @ (delay_ps - mean) ** 2) / total
    return math.sqrt(variance) if variance > 0 else None
