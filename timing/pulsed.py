"""Pulsed sources: the right peak of the comb at acquisition, and slips by a period afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from timing.acquire import Acquisition
from timing.clock import ClockModel
from timing.comb import (
    REACH,
    CombAnswer,
    Expected,
    blurred,
    comb_counts,
    estimated_period,
    resolved,
    shifted,
)
from timing.reacquire import AcquisitionInput
from timing.tags import TimesPs

Period = float | Literal["estimate"] | None
"""Of a pulsed source, ps; None for a continuous one."""

_LEAST_PAIRS = 200
_MOST_SPANS = 50
_MOST_TAGS = 200_000


class Pulsed:
    """Adds up the counts of a comb's peaks while they are tracked, and judges them now and then.

    `told` is false while no count has singled out one peak: pairs made with another would be none.
    Where the jitter hides the comb there is nothing to tell apart.
    """

    def __init__(self, period_ps: float, answer: CombAnswer | None = None):
        self.period_ps = period_ps
        self.answer = answer
        self.told = answer is None or answer.told
        self.slips = 0
        self._counts = np.zeros(2 * REACH + 1, dtype=np.int64)
        self._spans = 0

    @classmethod
    def of(
        cls,
        request: AcquisitionInput,
        found: Acquisition,
        period: Period,
        expected: ClockModel | None,
    ) -> tuple[Acquisition, Pulsed | None]:
        """An acquisition put on the right peak, and what watches it; None for no pulsed source.

        `expected` is a former clock carried on to this one's epoch. Looks at 200,000 tags of each
        end at most.
        """
        if period is None:
            return found, None
        mapped_ps = found.model.to_local(request.remote_ps)[:_MOST_TAGS]
        if not len(mapped_ps):
            return found, None
        low, high = np.searchsorted(request.local_ps, [mapped_ps[0], mapped_ps[-1]])
        local_ps = request.local_ps[low:high][:_MOST_TAGS]
        if period == "estimate":
            estimate = estimated_period(local_ps, mapped_ps, found.jitter_ps)
            if estimate is None:
                return found, None
            period = estimate
        if blurred(period, found.jitter_ps):
            answer = resolved(np.ones(3), period, found.jitter_ps)
            pulsed = cls(period, answer)
            pulsed.told = True
            return found, pulsed
        near = None
        if expected is not None:
            there = found.model.rebased(expected.epoch_ps)
            away = expected.offset_whole_ps - there.offset_whole_ps
            away_ps = away + expected.offset_ps - there.offset_ps
            sigma_ps = expected.uncertainty_ps(expected.epoch_ps)
            # A clock that has jumped says nothing of where it is now.
            if abs(away_ps) < REACH * period + 5 * sigma_ps:
                near = Expected(away_ps, sigma_ps)
        counts = comb_counts(local_ps, mapped_ps, period, found.jitter_ps)
        answer = resolved(counts, period, found.jitter_ps, near)
        if answer.told and answer.shift:
            found = replace(found, model=shifted(found.model, answer.shift, period))
        return found, cls(period, answer)

    def doubt(self, jitter_ps: float) -> None:
        """The clock was found again from farther than half a period: tell the peaks apart anew."""
        if not blurred(self.period_ps, jitter_ps):
            self.told = False
            self._counts[:] = 0
            self._spans = 0

    def look(self, local_ps: TimesPs, mapped_ps: TimesPs, jitter_ps: float) -> float:
        """Take in a tracked span; by how many ps the clock is to be moved, 0 for none."""
        if blurred(self.period_ps, jitter_ps):
            return 0.0
        self._counts += comb_counts(local_ps, mapped_ps, self.period_ps, jitter_ps)
        self._spans += 1
        if self._counts.max() < _LEAST_PAIRS and self._spans < _MOST_SPANS:
            return 0.0
        answer = self.answer = resolved(self._counts, self.period_ps, jitter_ps)
        if answer.told or self._counts.max() > 100 * _LEAST_PAIRS:
            self._counts[:] = 0
        self._spans = 0
        if not answer.told:
            return 0.0
        if answer.shift and self.told:
            self.slips += 1
        self.told = True
        return answer.shift * self.period_ps
