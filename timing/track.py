"""A remote clock kept in step by the photons: a Kalman filter over offset, skew and drift.

Every span of common tags gives the place of the peak (`finder`), which corrects the state
(`kalman`); the noise of the clocks comes from their class or from the data (`clock_class`,
`estimate`), the shape of the peak from its pairs (`shapes`).
"""

from __future__ import annotations

import math
from collections import deque

from timing.acquire import Acquisition
from timing.changes import Change, ChangeWatch
from timing.clock import ClockModel, ClockState
from timing.clock_class import ProcessNoise, white_noise
from timing.comb import CombAnswer
from timing.estimate import NoiseEstimate
from timing.finder import FoundPeak, PeakFinder
from timing.kalman import ClockFilter
from timing.pulsed import Pulsed
from timing.score import Score, TrackStatistics
from timing.shapes import JitterEstimate, PeakFit
from timing.tags import PS_PER_S, TimesPs
from timing.verdict import Verdict

_GATE = 5.0
_CHANCE = math.log(1e-4)
_CHANCE_AGAIN = math.log(1e-7)
_REMEMBERED_CHANGES = 20

STATED = 1.3
"""Stated over computed standard deviation. A process that wanders about its estimate strays beyond
three of its own deviations for longer than a second every hour or so; beyond four, not in days."""

_LONGEST_PS = 5 * PS_PER_S
_AGAIN_JITTERS = 100.0
_AGAIN_LIMIT_PS = 1e6


class ClockTracker:
    """Follows one remote clock from an acquisition on; fed by overlap spans in time order.

    `window_ps` is the full coincidence window: the clock is lost when three standard deviations
    exceed its half. `noise` is the process noise of the difference of the two clocks; without it
    `clock_noise_1s`, the white frequency noise of the difference at 1 s (two equal ones: sqrt(2)
    times one's), and `drift_1s`, the random walk of the frequency over 1 s, by default a hundredth
    of it. With `estimate_noise` these are where the estimate from the data begins. After
    `patience_s` without a peak although both ends count as usual, the clock is lost too.
    `pulsed` watches the comb of a pulsed source. `previous` is the tracker of the same two clocks
    that was lost: its peak shape is kept, and a step since then is judged.
    """

    def __init__(
        self,
        acquisition: Acquisition,
        *,
        window_ps: int,
        noise: ProcessNoise | None = None,
        clock_noise_1s: float = 1.5e-11,
        drift_1s: float | None = None,
        estimate_noise: bool = False,
        patience_s: float = 2.0,
        pulsed: Pulsed | None = None,
        previous: ClockTracker | None = None,
    ):
        self._window_ps = window_ps
        self._noise = white_noise(clock_noise_1s, drift_1s) if noise is None else noise
        self._jitter = JitterEstimate(acquisition.jitter_ps)
        self._score = Score(acquisition.pairs, acquisition.pair_rate_cps)
        self._estimate = NoiseEstimate() if estimate_noise else None
        self._verdict = Verdict(round(patience_s * PS_PER_S))
        self._finder = PeakFinder(_CHANCE)
        self._finder_again = PeakFinder(_CHANCE_AGAIN)
        self._watch = ChangeWatch()
        self._changes: deque[Change] = deque(maxlen=_REMEMBERED_CHANGES)
        self._pulsed = pulsed
        self._filter = ClockFilter.of(_with_clock_noise(acquisition, self._noise), self._noise)
        self._now = self._filter
        if previous is not None:
            self._succeed(previous)

    @property
    def model(self) -> ClockModel:
        """The clock now; its epoch is the middle of the last batch, its uncertainty as stated."""
        return self._stated(self._now)

    @property
    def state(self) -> ClockState:
        """Tracking, holdover or lost; only `look_again` leads back from lost."""
        return self._verdict.state

    @property
    def trusted(self) -> bool:
        """Coincidences found with this clock are good: it is not lost, not in doubt since a gap,
        and on a known peak of a pulsed source."""
        told = self._pulsed is None or self._pulsed.told
        return not self._verdict.lost and not self._verdict.in_doubt and told

    @property
    def changes(self) -> tuple[Change, ...]:
        """Steps of path or clock, the oldest first; the last few."""
        return tuple(self._changes)

    @property
    def comb(self) -> CombAnswer | None:
        """What the side peaks of a pulsed source last said; None for others, or too early."""
        return None if self._pulsed is None else self._pulsed.answer

    @property
    def noise(self) -> ProcessNoise:
        """The process noise in use."""
        return self._filter.noise

    @property
    def jitter_ps(self) -> float:
        """Standard deviation of local minus mapped remote time of true pairs."""
        return self._jitter.shape.rms_ps

    def lit(self, singles: tuple[int, int], span_ps: int) -> bool:
        """Both ends count as many tags (local, remote) as they do while pairs come, or half."""
        return self._score.lit(singles, span_ps)

    def doubt(self) -> None:
        """Tags were lost at one end: the next two batches must show the peak, or it is lost."""
        self._verdict.doubt()
        self._finder.drop()

    def set_noise(self, noise: ProcessNoise, pulled: float = 0.0) -> None:
        """An end's clock has locked to a reference, or lost it: it wanders differently from now.

        `pulled` is how far its frequency may have changed by that, one standard deviation.
        """
        self._noise = noise
        self._filter = self._filter.with_noise(noise, pulled)
        self._now = self._now.with_noise(noise, pulled)
        if self._estimate is not None:
            self._estimate.clear()

    def predicted(self, at_ps: int) -> ClockModel:
        """The clock at a remote instant: moved epoch, grown uncertainty, as stated."""
        return self._stated(self._filter.predicted(at_ps))

    def uncertainty_ps(self, at_ps: int) -> float:
        """One stated standard deviation of mapped times at a remote instant."""
        return self._filter.predicted(at_ps).sigma_ps * self._widening

    def window_ps(self, at_ps: int) -> int:
        """Full coincidence window to use at a remote instant: the configured one, widened.

        It keeps the share of pairs within as the peak is smeared by what the clock may be off; at
        most three standard deviations are added at either side.
        """
        sigma_ps = self.uncertainty_ps(at_ps)
        smeared = math.hypot(1.0, sigma_ps / max(self.jitter_ps, 1.0))
        return round(self._window_ps * min(smeared, 1 + 6 * sigma_ps / self._window_ps))

    def update(
        self, local_ps: TimesPs, remote_ps: TimesPs, start_ps: int, stop_ps: int
    ) -> PeakFit | None:
        """Take in the tags of one overlap span, [start, stop) remote; returns its peak, if any.

        Ascending int64 arrays, each on its own timescale. In little light the peak is that of
        several spans, returned with the last.
        """
        if self._verdict.lost:
            return None
        at_ps = (start_ps + stop_ps) // 2
        ahead = self._filter.predicted(at_ps)
        sigma_ps = ahead.sigma_ps * self._widening
        self._score.batches += 1
        jitter_ps = self.jitter_ps
        half_ps = max(8 * jitter_ps, 4 * jitter_ps + _GATE * sigma_ps)
        half_ps = max(20.0, min(half_ps, 4.0 * self._window_ps + 8 * jitter_ps))
        found = self._finder.add(
            local_ps,
            remote_ps,
            (start_ps, stop_ps),
            ahead.model,
            half_ps,
            self._jitter.table,
            self._steady_ps(ahead),
        )
        if found is None:
            self._now = ahead
            self._score.missed += 1
            self._verdict.missed(
                stop_ps - start_ps,
                self._score.wait_ps,
                lit=self.lit((len(local_ps), len(remote_ps)), stop_ps - start_ps),
                too_unsure=self._too_unsure(sigma_ps),
            )
        else:
            self._take(found)
            self._now = self._filter.predicted(at_ps)
            self._watch_comb(local_ps, remote_ps)
        return None if found is None else found.fit

    def look_again(
        self, local_ps: TimesPs, remote_ps: TimesPs, start_ps: int, stop_ps: int
    ) -> bool:
        """After a loss: look near where the clock should be, wider than tracking does.

        True when it was found; it is in doubt then, until a second span shows it.
        """
        ahead = self._filter.predicted((start_ps + stop_ps) // 2)
        self._now = ahead
        jitter_ps, sigma_ps = self.jitter_ps, ahead.sigma_ps * self._widening
        half_ps = max(_AGAIN_JITTERS * jitter_ps, 8 * jitter_ps + _GATE * sigma_ps)
        found = self._finder_again.add(
            local_ps,
            remote_ps,
            (start_ps, stop_ps),
            ahead.model,
            min(half_ps, max(_AGAIN_LIMIT_PS, 8 * jitter_ps)),
            self._jitter.table,
            PS_PER_S,
        )
        if found is None:
            return False
        ahead, innovation_ps = self._against(found)
        spread = ahead.covariance[0, 0] * self._widening**2 + found.fit.variance
        if innovation_ps**2 > _GATE**2 * spread:
            span_s = max(stop_ps - start_ps, 1) / PS_PER_S
            self._step(ahead, innovation_ps, found, 0.3 * jitter_ps / PS_PER_S / span_s)
        else:
            self._filter = ahead.corrected(innovation_ps, found.fit.variance)
        reach_ps = max(abs(innovation_ps), _GATE * sigma_ps)
        if self._pulsed is not None and 2 * reach_ps > self._pulsed.period_ps:
            self._pulsed.doubt(jitter_ps)
        self._now = self._filter
        self._verdict.found_again()
        self._finder.drop()
        self._score.recoveries += 1
        return True

    def idle(self, at_ps: int) -> None:
        """Time passes without common tags to a remote instant: holdover, and lost in the end."""
        silent_ps = at_ps - self._filter.epoch_ps
        self._verdict.idle(
            too_unsure=self._too_unsure(self.uncertainty_ps(at_ps)),
            silent=silent_ps > max(PS_PER_S, self._score.wait_ps),
        )

    def observe_reference(
        self, offset_whole_ps: int, variance: float, at_ps: int, offset_ps: float = 0.0
    ) -> bool:
        """A reference says what the clocks differ by at a remote instant; False for an outlier.

        Local minus remote, a whole number of ps and a rest; its variance in ps^2. It knows nothing
        of the path, so the first one shows the path's delay, and later ones hold the clock while no
        photons come. Instants before the last batch's are taken as of then.
        """
        ahead = self._filter.predicted(max(at_ps, self._filter.epoch_ps))
        self._watch.reference(offset_whole_ps, offset_ps, variance, ahead.epoch_ps)
        seen, expected = ahead.reference_innovation(offset_whole_ps, offset_ps, variance)
        if seen**2 > _GATE**2 * expected:
            return False
        self._filter = ahead.referenced(offset_whole_ps, offset_ps, variance)
        self._now = self._filter
        self._score.references += 1
        return True

    def bound_ps(self) -> float:
        """Least standard deviation any tracker of these clocks can have, picoseconds.

        A random walk of s_y^2 per second, watched by R pairs per second of jitter sigma, leaves
        sqrt(sigma s_y / sqrt(R)) (steady state of the Riccati equation P^2 R / sigma^2 = s_y^2;
        sigma and the result in seconds); while few pairs were seen, sigma / sqrt(N) is larger.
        """
        walk = self._filter.noise.white_fm
        rate_cps, pairs = self._score.pair_rate_cps, self._score.pairs
        walking_ps = (self.jitter_ps**2 * walk / max(rate_cps, 1e-9)) ** 0.25
        return max(float(walking_ps), self.jitter_ps / math.sqrt(max(pairs, 1.0)))

    def statistics(self) -> TrackStatistics:
        """How well it does."""
        score = self._score
        return TrackStatistics(
            batches=score.batches,
            missed=score.missed,
            outliers=score.outliers,
            pairs=score.pairs,
            pair_rate_cps=score.pair_rate_cps,
            jitter_ps=self.jitter_ps,
            innovation_rms_ps=score.innovation_rms_ps,
            consistency=score.consistency,
            residual_ps=self._now.sigma_ps * math.sqrt(score.excess),
            bound_ps=self.bound_ps(),
            tail_ps=self._jitter.shape.tail_ps,
            slips=0 if self._pulsed is None else self._pulsed.slips,
            recoveries=score.recoveries,
            references=score.references,
        )

    @property
    def _widening(self) -> float:
        return STATED * math.sqrt(self._score.excess)

    def _stated(self, state: ClockFilter) -> ClockModel:
        model, widening = state.model, self._widening**2
        (offset, cross), (_, skew) = model.covariance
        covariance = (
            (offset * widening, cross * widening),
            (cross * widening, skew * widening),
        )
        return model.adjusted(0.0, 0.0, covariance)

    def _steady_ps(self, ahead: ClockFilter) -> float:
        """How long the clock stays within half a jitter of a straight line, as far as known."""
        half_ps = self.jitter_ps / 2
        walking_s = half_ps**2 / max(ahead.noise.white_fm, 1e-30)
        turning_s = half_ps / max(math.sqrt(float(ahead.covariance[1, 1])), 1e-30)
        return min(walking_s, turning_s, _LONGEST_PS / PS_PER_S) * PS_PER_S

    def _too_unsure(self, sigma_ps: float) -> bool:
        return 3 * sigma_ps > self._window_ps / 2

    def _against(self, found: FoundPeak) -> tuple[ClockFilter, float]:
        """The prediction for a peak's instant, and where the peak lies from it."""
        ahead = self._filter.predicted(found.at_ps)
        line = found.about.rebased(found.at_ps)
        whole = line.offset_whole_ps - ahead.offset_whole_ps
        return ahead, whole + line.offset_ps - float(ahead.rest[0]) + found.fit.position_ps

    def _take(self, found: FoundPeak) -> None:
        ahead, innovation_ps = self._against(found)
        noise = found.fit.variance
        total = ahead.covariance[0, 0] + noise
        widened = float(ahead.covariance[0, 0]) * self._widening**2 + noise
        if innovation_ps**2 > _GATE**2 * widened:
            self._score.outliers += 1
            self._verdict.outlier()
            return
        self._filter = ahead.corrected(innovation_ps, noise)
        self._verdict.good()
        self._score.take(found, innovation_ps, float(ahead.covariance[0, 0]))
        # About the filtered clock: about its own peak a batch of few pairs would look too narrow.
        shift_ps = found.fit.position_ps - innovation_ps * noise / total
        self._jitter.add(found.counts, shift_ps, found.centres_ps)
        if (change := self._watch.look(self._filter, self._widening)) is not None:
            self._changes.append(change)
        if self._estimate is not None:
            self._learn(self._estimate, ahead, innovation_ps, noise)

    def _learn(
        self, estimate: NoiseEstimate, ahead: ClockFilter, innovation_ps: float, variance: float
    ) -> None:
        offset_ps = float(ahead.rest[0]) + innovation_ps
        estimate.add(ahead.epoch_ps, ahead.offset_whole_ps, offset_ps, variance)
        if estimate.due:
            self._filter = self._filter.with_noise(estimate.estimate(self._noise))

    def _step(
        self, ahead: ClockFilter, step_ps: float, found: FoundPeak, skew_sigma: float
    ) -> None:
        sigma_ps = math.hypot(ahead.sigma_ps * self._widening, math.sqrt(found.fit.variance))
        self._watch.stepped(ahead, found.at_ps, step_ps, sigma_ps, self._verdict.interrupted)
        self._filter = ahead.moved(step_ps, math.sqrt(found.fit.variance), skew_sigma)
        self._score.consistency = self._score.excess = 1.0
        if self._estimate is not None:
            self._estimate.clear()

    def _succeed(self, previous: ClockTracker) -> None:
        self._changes.extend(previous.changes)
        self._jitter = previous._jitter
        self._score.recoveries = previous._score.recoveries
        self._watch, at_ps = previous._watch, self._filter.epoch_ps
        self._watch.restarted()
        before = previous._filter.predicted(at_ps)
        whole = self._filter.offset_whole_ps - before.offset_whole_ps
        step_ps = whole + float(self._filter.rest[0] - before.rest[0])
        sigma_ps = math.hypot(self._filter.sigma_ps, before.sigma_ps) * self._widening
        if abs(step_ps) > _GATE * sigma_ps:
            self._watch.stepped(before, at_ps, step_ps, sigma_ps, previous._verdict.interrupted)

    def _watch_comb(self, local_ps: TimesPs, remote_ps: TimesPs) -> None:
        if self._pulsed is None or self.state is not ClockState.TRACKING:
            return
        mapped_ps = self._now.model.to_local(remote_ps)
        moved_ps = self._pulsed.look(local_ps, mapped_ps, self.jitter_ps)
        if moved_ps:
            # The whole peak was the wrong one: what is known of skew and spread stays.
            self._filter = self._filter.displaced(moved_ps)
            self._now = self._now.displaced(moved_ps)


def _with_clock_noise(acquisition: Acquisition, noise: ProcessNoise) -> ClockModel:
    """The acquired clock at the end of its record, with what clock noise did to the straight line.

    A line fitted over a random walk of duration T errs by about walk T in offset at its end and
    6/5 walk / T in skew.
    """
    span_s = (acquisition.remote_stop_ps - acquisition.remote_start_ps) / PS_PER_S
    model = acquisition.model.rebased(acquisition.remote_stop_ps)
    (offset, cross), (_, skew) = model.covariance
    walked = noise.white_fm + noise.random_walk_fm * span_s**2 / 3
    covariance = (
        (offset + walked * span_s, cross),
        (cross, skew + 1.2e-24 * walked / span_s),
    )
    return model.adjusted(0.0, 0.0, covariance)
