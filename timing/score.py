"""How well a tracked clock is followed: what came in, and how far it was from what was expected."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from timing.finder import FoundPeak
from timing.tags import PS_PER_S

_HISTORY = 200
_LUCK = 2 * math.sqrt(2 / _HISTORY)
_ENOUGH_PAIRS = 10.0
_LONGEST_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class TrackStatistics:
    """How well the filter does, over its last batches.

    `innovation_rms_ps` is measured peak minus prediction, measurement noise included;
    `consistency` the mean of (innovation / predicted deviation)^2, 1 for a filter that knows its
    clocks; `residual_ps` the filter's own uncertainty, larger where innovations are larger than
    expected: what the clock is off by, as far as the data tell. `tail_ps` is the exponential
    part of the jitter, 0 where it is Gaussian. `slips` counts corrections by whole periods of a
    pulsed source, `recoveries` clocks found again near where they were lost.
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
    tail_ps: float
    slips: int
    recoveries: int
    references: int


class Score:
    """Counts, rates and innovations of one tracked clock.

    `excess` is by what factor the variance of predictions is larger than the filter's, 1 if it is
    not.
    """

    def __init__(self, pairs: float, pair_rate_cps: float):
        self.batches = self.missed = self.outliers = 0
        self.recoveries = self.references = 0
        self.pairs = pairs
        self.pair_rate_cps = pair_rate_cps
        self.consistency = self.excess = 1.0
        self._singles_cps = (0.0, 0.0)
        self._history: deque[float] = deque(maxlen=_HISTORY)

    @property
    def wait_ps(self) -> int:
        """How long no peak is no news: the time of some ten pairs, at most two seconds."""
        return round(min(_LONGEST_WAIT_S, _ENOUGH_PAIRS / max(self.pair_rate_cps, 1e-9)) * PS_PER_S)

    @property
    def innovation_rms_ps(self) -> float:
        """Root mean square of the last innovations."""
        return math.sqrt(sum(x * x for x in self._history) / max(len(self._history), 1))

    def lit(self, singles: tuple[int, int], span_ps: int) -> bool:
        """Both ends count as usual, or at least half of it."""
        span_s = span_ps / PS_PER_S
        return all(
            n > rate * span_s / 2 for n, rate in zip(singles, self._singles_cps, strict=True)
        )

    def take(self, found: FoundPeak, innovation_ps: float, predicted: float) -> None:
        """A peak was where it should be, up to an innovation; `predicted` is the variance of the
        prediction alone, ps^2."""
        self._history.append(innovation_ps)
        total = predicted + found.fit.variance
        # Ten imagined batches as predicted keep the first few real ones from swinging the mean.
        weight = 1 / min(len(self._history) + 10, _HISTORY)
        self.consistency += weight * (innovation_ps**2 / total - self.consistency)
        # Innovations too large by more than luck are the prediction's, not the peak's.
        excess = max(0.0, self.consistency - 1 - _LUCK)
        self.excess = 1 + excess * total / max(predicted, 1e-6)
        self.pairs += found.fit.pairs
        span_s = max(found.stop_ps - found.start_ps, 1) / PS_PER_S
        share = min(1.0, span_s / 2)
        self.pair_rate_cps += share * (found.fit.pairs / span_s - self.pair_rate_cps)
        local, remote = self._singles_cps
        self._singles_cps = (
            local + share * (found.singles[0] / span_s - local),
            remote + share * (found.singles[1] / span_s - remote),
        )
