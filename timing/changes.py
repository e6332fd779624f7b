"""A moved peak: has the path changed, or the clock?

A path moves the offset, at once or slowly, never fast enough to pass for another frequency; a clock
that has changed its frequency moves the skew. A counter that jumps moves the offset just as a path
does; only a second measurement tells these apart: light in the other direction, or a reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from timing.kalman import ClockFilter
from timing.tags import PS_PER_S

ChangeKind = Literal["path", "clock", "cannot tell"]

PATH_RATE = 1e-11
"""Largest rate of change of a delay that a fibre could be blamed for. 10 ps/s would be 50 km
warming by 18 K in an hour (40 ps/km/K: Cohen and Fleming 1979, Bell Syst. Tech. J. 58, 945)."""

_SURE = 6.0
_AGREES = 4.0
_SETTLED_S = 5.0
_PATIENCE_S = 60.0
_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Change:
    """What moved, at a remote instant, with the evidence: steps with their standard deviations.

    `significance` is the larger of the two steps in standard deviations; `skew_step` is local
    seconds gained per remote second.
    """

    kind: ChangeKind
    at_ps: int
    step_ps: float
    step_sigma_ps: float
    skew_step: float
    skew_sigma: float
    significance: float
    reason: str


@dataclass(slots=True)
class _Step:
    before: ClockFilter
    at_ps: int
    step_ps: float
    sigma_ps: float
    interrupted: bool
    reference_ps: float | None = None
    reference_sigma_ps: float = math.inf


class ChangeWatch:
    """Compares a tracked clock with what it was expected to become; one remote clock."""

    def __init__(self) -> None:
        self._anchor: ClockFilter | None = None
        self._step: _Step | None = None

    def stepped(
        self, before: ClockFilter, at_ps: int, step_ps: float, sigma_ps: float, interrupted: bool
    ) -> None:
        """The peak was found again elsewhere; `before` is what was known until then."""
        self._anchor = None
        if self._step is None:
            self._step = _Step(before, at_ps, step_ps, sigma_ps, interrupted)
        else:
            # Twice within a few seconds is one event, seen in parts.
            self._step.step_ps += step_ps
            self._step.interrupted |= interrupted

    def restarted(self) -> None:
        """What is known of the clock begins anew: nothing before compares with what comes."""
        self._anchor = None

    def reference(
        self, offset_whole_ps: int, offset_ps: float, variance: float, at_ps: int
    ) -> None:
        """A reference has spoken since the step: did the clock itself move?"""
        if self._step is not None and at_ps >= self._step.at_ps:
            old = self._step.before.predicted(at_ps)
            seen, expected = old.reference_innovation(offset_whole_ps, offset_ps, variance)
            self._step.reference_ps = seen
            self._step.reference_sigma_ps = math.sqrt(expected)

    def look(self, now: ClockFilter, widening: float = 1.0) -> Change | None:
        """A change, once it can be judged; `widening` multiplies the expected deviations."""
        if self._step is not None:
            waited_s = (now.epoch_ps - self._step.at_ps) / PS_PER_S
            known = widening * math.sqrt(float(now.covariance[1, 1])) * 1e-12
            if waited_s < _SETTLED_S or (known > PATH_RATE / 3 and waited_s < _PATIENCE_S):
                return None
            found = _judged(self._step, now, widening)
            self._step, self._anchor = None, now
            return found
        if self._anchor is None:
            self._anchor = now
        if now.epoch_ps - self._anchor.epoch_ps < _EVERY_S * PS_PER_S:
            return None
        expected = self._anchor.predicted(now.epoch_ps)
        self._anchor = now
        skew = float(now.rest[1] - expected.rest[1]) * 1e-12
        # What a consistent filter has learnt since is what it was uncertain of.
        learnt = float(expected.covariance[1, 1] - now.covariance[1, 1])
        if learnt < 1e-3 * float(expected.covariance[1, 1]):
            return None
        sigma = widening * math.sqrt(learnt) * 1e-12
        if abs(skew) < _SURE * sigma:
            return None
        kind, reason = _skew_reason(skew)
        return Change(kind, now.epoch_ps, 0.0, 0.0, skew, sigma, abs(skew) / sigma, reason)


def _skew_reason(skew: float) -> tuple[ChangeKind, str]:
    if abs(skew) > PATH_RATE:
        return "clock", (
            f"the skew changed by {skew:.2e}, more than the {PATH_RATE:.0e} that a path "
            "could change its delay by"
        )
    return "cannot tell", (
        f"the skew changed by {skew:.2e}: a slow change of the path looks the same; light in the "
        "other direction or a reference would tell"
    )


def _judged(step: _Step, now: ClockFilter, widening: float) -> Change:
    old = step.before.predicted(now.epoch_ps)
    skew = float(now.rest[1] - old.rest[1]) * 1e-12
    spread = float(now.covariance[1, 1] + old.covariance[1, 1])
    skew_sigma = widening * math.sqrt(spread) * 1e-12
    sigma_ps = widening * max(step.sigma_ps, 1e-3)
    significance = max(abs(step.step_ps) / sigma_ps, abs(skew) / max(skew_sigma, 1e-30))
    kind: ChangeKind
    if abs(skew) > _SURE * skew_sigma:
        kind, reason = _skew_reason(skew)
    elif step.reference_ps is not None and step.reference_sigma_ps < abs(step.step_ps) / _SURE:
        moved = abs(step.reference_ps - step.step_ps) < abs(step.reference_ps)
        kind = "clock" if moved else "path"
        reason = (
            f"the reference saw the clock move by {step.reference_ps:.0f} ps "
            f"(+-{step.reference_sigma_ps:.0f} ps) where the pairs moved by {step.step_ps:.0f} ps"
        )
    elif step.interrupted:
        kind = "cannot tell"
        reason = (
            "the tags were interrupted, so a counter may have lost time; light in the other "
            "direction or a reference would tell"
        )
    elif skew_sigma > PATH_RATE:
        kind = "cannot tell"
        reason = f"the skew is known to {skew_sigma:.1e} only, expected {PATH_RATE:.0e}"
    else:
        kind = "path"
        reason = (
            f"the offset moved and the skew did not ({skew:.1e} +- {skew_sigma:.1e}), while both "
            "taggers told of no interruption; a counter that jumps untold looks the same, light in "
            "the other direction or a reference would tell"
        )
    return Change(kind, step.at_ps, step.step_ps, sigma_ps, skew, skew_sigma, significance, reason)


def judged_both_ways(there: Change, back: Change) -> Change:
    """One event seen by the light of each direction, each at its own receiver's local scale.

    `there` has the offset of clock B from A's side, clock + path; `back` that of A from B's side,
    - clock + path. A link whose source sits in the middle has one direction only.
    """
    sigma = math.hypot(there.step_sigma_ps, back.step_sigma_ps) / 2
    path, clock = (there.step_ps + back.step_ps) / 2, (there.step_ps - back.step_ps) / 2
    skew = (there.skew_step - back.skew_step) / 2
    skew_sigma = math.hypot(there.skew_sigma, back.skew_sigma) / 2
    of_clock = max(abs(clock) / max(sigma, 1e-3), abs(skew) / max(skew_sigma, 1e-30))
    of_path = abs(path) / max(sigma, 1e-3)
    kind: ChangeKind
    if of_clock > _SURE and of_path < _AGREES:
        kind = "clock"
    elif of_path > _SURE and of_clock < _AGREES:
        kind = "path"
    else:
        kind = "cannot tell"
    step = clock if kind == "clock" else path
    return Change(
        kind,
        there.at_ps,
        step,
        sigma,
        skew,
        skew_sigma,
        max(of_clock, of_path),
        f"both directions: the clock moved by {clock:.0f} ps, the path by {path:.0f} ps "
        f"(+-{sigma:.0f} ps)",
    )
