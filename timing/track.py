"""A remote clock kept in step by the photons: a Kalman filter over offset and skew.

The free-running oscillators have white frequency noise s_y at 1 s (Allan deviation), which makes
the offset a random walk of variance s_y^2 per second, and a slower random walk of frequency.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from cext.histogram import difference_histogram
from timing.acquire import Acquisition
from timing.clock import ClockModel, ClockState
from timing.peak import LineFit, fit_line, log_tail
from timing.tags import PS_PER_S, TimesPs

_GATE = 5.0
_OUTLIERS_ALLOWED = 5
_CHANCE = math.log(1e-4)
_HISTORY = 200


@dataclass(frozen=True, slots=True)
class TrackStatistics:
    """How well the filter does, over its last batches.

    `innovation_rms_ps` is measured peak minus prediction, measurement noise included;
    `consistency` the mean of (innovation / predicted deviation)^2, 1 for a filter that knows its
    clocks; `residual_ps` the filter's own uncertainty times the square root of `consistency` where
    that exceeds 1: what the clock is off by, as far as the data tell.
    """

    batches: int
    missed: int
    outliers: int
    pairs: float
    pair_rate_cps: float
    jitter_ps: float
    innovation_rms_ps: float
    consistency: float
    residual_ps: float
    bound_ps: float


class ClockTracker:
    """Follows one remote clock from an acquisition on; fed by overlap spans in time order.

    `window_ps` is the full coincidence window: the clock is lost when three standard deviations
    exceed its half. `clock_noise_1s` is the white frequency noise of the difference of the two
    clocks at 1 s (two equal ones: sqrt(2) times one's). `drift_1s` is the random walk of the
    frequency over 1 s, by default a hundredth of it. After `patience_s` without a peak although
    both ends count as usual, the clock is lost too.
    """

    def __init__(
        self,
        acquisition: Acquisition,
        *,
        window_ps: int,
        clock_noise_1s: float = 1.5e-11,
        drift_1s: float | None = None,
        patience_s: float = 2.0,
    ):
        self._window_ps = window_ps
        # Variance of the offset, ps^2, that one picosecond adds; and of the skew.
        self._walk = clock_noise_1s**2 * PS_PER_S
        self._drift = (clock_noise_1s / 100 if drift_1s is None else drift_1s) ** 2 / PS_PER_S
        self._jitter_ps = acquisition.jitter_ps
        self._rate_cps = acquisition.pair_rate_cps
        self._noise_1s = clock_noise_1s
        self._pairs = acquisition.pairs
        self._history: deque[tuple[float, float]] = deque(maxlen=_HISTORY)
        self._batches = self._missed = self._outliers = self._outliers_in_a_row = 0
        self._missed_in_a_row = 0
        self._unexplained_ps = 0
        self._patience_ps = round(patience_s * PS_PER_S)
        self._singles_cps = (0.0, 0.0)
        self._in_doubt = False
        self._state = ClockState.TRACKING
        self._model = _with_clock_noise(acquisition, self._walk)

    @property
    def model(self) -> ClockModel:
        """The clock now; its epoch is the middle of the last batch."""
        return self._model

    @property
    def state(self) -> ClockState:
        """Tracking, holdover or lost; lost is final."""
        return self._state

    @property
    def trusted(self) -> bool:
        """Not lost, and not in doubt since a gap: coincidences found with this clock are good."""
        return self._state is not ClockState.LOST and not self._in_doubt

    def doubt(self) -> None:
        """Tags were lost at one end: the next two batches must show the peak, or it is lost."""
        if self._state is not ClockState.LOST:
            self._state = ClockState.HOLDOVER
            self._in_doubt = True
            self._missed_in_a_row = 0

    def predicted(self, at_ps: int) -> ClockModel:
        """The clock at a remote instant: moved epoch, grown uncertainty."""
        model = self._model.rebased(at_ps)
        ahead_ps = abs(float(at_ps - self._model.epoch_ps))
        (offset, cross), (_, skew) = model.covariance
        drifted = self._drift * ahead_ps
        offset += self._walk * ahead_ps + drifted * ahead_ps**2 / 3
        cross += math.copysign(drifted * ahead_ps / 2, at_ps - self._model.epoch_ps)
        covariance = ((offset, cross), (cross, skew + drifted))
        return model.adjusted(0.0, 0.0, covariance)

    def uncertainty_ps(self, at_ps: int) -> float:
        """One standard deviation of mapped times at a remote instant, clock noise included."""
        return self.predicted(at_ps).uncertainty_ps(at_ps)

    def update(
        self, local_ps: TimesPs, remote_ps: TimesPs, start_ps: int, stop_ps: int
    ) -> LineFit | None:
        """Take in the tags of one overlap span, [start, stop) remote; returns its peak, if any.

        Ascending int64 arrays, each on its own timescale.
        """
        at_ps, span_ps = (start_ps + stop_ps) // 2, stop_ps - start_ps
        if self._state is ClockState.LOST:
            return None
        ahead = self.predicted(at_ps)
        sigma_ps = ahead.uncertainty_ps(at_ps)
        self._batches += 1
        peak = self._peak(local_ps, ahead.to_local(remote_ps), sigma_ps)
        singles = (len(local_ps), len(remote_ps))
        if peak is None:
            self._miss(sigma_ps, singles, span_ps)
        else:
            self._take(ahead, peak, sigma_ps)
            self._follow_rates(peak.pairs, singles, span_ps)
        return peak

    def _miss(self, sigma_ps: float, singles: tuple[int, int], span_ps: int) -> None:
        self._missed += 1
        self._missed_in_a_row += 1
        usual = self._singles_cps
        if all(n > rate * span_ps / PS_PER_S / 2 for n, rate in zip(singles, usual, strict=True)):
            self._unexplained_ps += span_ps
        lost = (
            3 * sigma_ps > self._window_ps / 2
            or (self._in_doubt and self._missed_in_a_row >= 2)
            # The light is there, its pairs are not where they should be: the clock has jumped.
            or self._unexplained_ps >= self._patience_ps
        )
        self._state = ClockState.LOST if lost else ClockState.HOLDOVER

    def _follow_rates(self, pairs: float, singles: tuple[int, int], span_ps: int) -> None:
        span_s = max(span_ps, 1) / PS_PER_S
        share = min(1.0, span_s / 2)
        self._rate_cps += share * (pairs / span_s - self._rate_cps)
        old_local, old_remote = self._singles_cps
        self._singles_cps = (
            old_local + share * (singles[0] / span_s - old_local),
            old_remote + share * (singles[1] / span_s - old_remote),
        )

    def _take(self, ahead: ClockModel, peak: LineFit, sigma_ps: float) -> None:
        self._missed_in_a_row = self._unexplained_ps = 0
        noise = float(peak.covariance[0, 0])
        total = sigma_ps**2 + noise
        if peak.position**2 > _GATE**2 * total:
            self._outliers += 1
            self._outliers_in_a_row += 1
            # One odd batch is a burst; several are a clock or a path that has moved.
            moved = self._outliers_in_a_row >= _OUTLIERS_ALLOWED or self._in_doubt
            self._state = ClockState.LOST if moved else ClockState.HOLDOVER
            return
        (offset, cross), (_, skew) = ahead.covariance
        gain_offset, gain_skew = offset / total, cross / total
        self._model = ahead.adjusted(
            gain_offset * peak.position,
            gain_skew * peak.position,
            (
                (offset * noise / total, cross * noise / total),
                (cross * noise / total, skew - gain_skew * cross),
            ),
        )
        self._outliers_in_a_row = 0
        self._in_doubt = False
        self._state = ClockState.TRACKING
        self._pairs += peak.pairs
        self._history.append((peak.position, total))

    def _peak(self, local_ps: TimesPs, mapped_ps: TimesPs, sigma_ps: float) -> LineFit | None:
        """The peak near the prediction, if it is more than chance."""
        jitter_ps = self._jitter_ps
        half_ps = max(8 * jitter_ps, 4 * jitter_ps + _GATE * sigma_ps)
        half_ps = max(20.0, min(half_ps, 4.0 * self._window_ps + 8 * jitter_ps))
        bin_ps = max(1, int(jitter_ps / 8))
        bins = 2 * math.ceil(half_ps / bin_ps)
        low_ps = -(bins // 2) * bin_ps
        counts = difference_histogram(mapped_ps, local_ps, low_ps, bin_ps, bins)
        total = int(counts.sum())
        if total < 3:
            return None
        wide = min(bins, max(1, round(3 * jitter_ps / bin_ps)))
        running = np.concatenate(([0], np.cumsum(counts)))
        boxes = running[wide:] - running[:-wide]
        at = int(np.argmax(boxes))
        best = int(boxes[at])
        # The singles give the chance of accidental pairs; the rest of the window may show more.
        span_ps = float(max(1, min(_length(local_ps), _length(mapped_ps))))
        by_singles = len(local_ps) * len(mapped_ps) / span_ps * wide * bin_ps
        by_window = (total - best) / max(1, bins - wide) * wide
        if math.log(bins) + log_tail(best, max(by_singles, by_window)) > _CHANCE:
            return None
        centres = low_ps + (np.arange(bins, dtype=np.float64) + 0.5) * bin_ps - 0.5
        return fit_line(
            centres,
            np.zeros(bins),
            width=float(bins * bin_ps),
            position=float(centres[at : at + wide].mean()),
            sigma=jitter_ps,
            weights=counts.astype(np.float64),
            fit_slope=False,
            fit_sigma=False,
        )

    def idle(self, at_ps: int) -> None:
        """Time passes without common tags to a remote instant: holdover, and lost in the end."""
        if self._state is ClockState.LOST:
            return
        if 3 * self.uncertainty_ps(at_ps) > self._window_ps / 2:
            self._state = ClockState.LOST
        elif at_ps - self._model.epoch_ps > PS_PER_S:
            self._state = ClockState.HOLDOVER

    def bound_ps(self) -> float:
        """Least standard deviation any tracker of these clocks can have, picoseconds.

        A random walk of s_y^2 per second, watched by R pairs per second of jitter sigma, leaves
        sqrt(sigma s_y / sqrt(R)) (steady state of the Riccati equation P^2 R / sigma^2 = s_y^2;
        sigma and the result in seconds); while few pairs were seen, sigma / sqrt(N) is larger.
        """
        sigma_s = self._jitter_ps / PS_PER_S
        walking_s = math.sqrt(sigma_s * self._noise_1s / math.sqrt(max(self._rate_cps, 1e-9)))
        return max(walking_s * PS_PER_S, self._jitter_ps / math.sqrt(max(self._pairs, 1.0)))

    def statistics(self) -> TrackStatistics:
        """How well it does."""
        innovations = np.array([entry[0] for entry in self._history])
        expected = np.array([entry[1] for entry in self._history])
        some = len(innovations) > 0
        # Ten imagined batches as predicted keep the first few real ones from swinging the mean.
        consistency = (float(np.sum(innovations**2 / expected)) + 10) / (len(innovations) + 10)
        own_ps = self._model.uncertainty_ps(self._model.epoch_ps)
        return TrackStatistics(
            batches=self._batches,
            missed=self._missed,
            outliers=self._outliers,
            pairs=self._pairs,
            pair_rate_cps=self._rate_cps,
            jitter_ps=self._jitter_ps,
            innovation_rms_ps=float(np.sqrt(np.mean(innovations**2))) if some else 0.0,
            consistency=consistency,
            residual_ps=own_ps * math.sqrt(max(1.0, consistency)),
            bound_ps=self.bound_ps(),
        )


def _with_clock_noise(acquisition: Acquisition, walk: float) -> ClockModel:
    """The acquired clock at the end of its record, with what clock noise did to the straight line.

    A line fitted over a random walk of duration T errs by about walk T in offset at its end and
    6/5 walk / T in skew.
    """
    span_ps = float(acquisition.remote_stop_ps - acquisition.remote_start_ps)
    model = acquisition.model.rebased(acquisition.remote_stop_ps)
    (offset, cross), (_, skew) = model.covariance
    covariance = (
        (offset + walk * span_ps, cross),
        (cross, skew + 1.2 * walk / span_ps),
    )
    return model.adjusted(0.0, 0.0, covariance)


def _length(times_ps: TimesPs) -> int:
    return int(times_ps[-1] - times_ps[0]) if len(times_ps) else 0
