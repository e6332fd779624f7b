"""Test rounds of a photonic link at its leading end, and the fidelity that they show."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from link_layer.feu import FidelityUnit, Goodness
from link_layer.fidelity import CorrelatorCounts, TestRounds, correlator_counts
from link_layer.messages import Basis, ErrorCode, LinkQuality, TestOutcomes
from link_layer.recent import RecentTests
from link_layer.states import BellState, correlator_sign
from qnodeos.config import PhotonicLinkTable
from qnodeos.context import NodeContext
from qnodeos.measured import MeasuredPairs
from qnodeos.outcome_delay import OutcomeDelays
from qnodeos.requests import Desk
from qnodeos.status import Status

ESTIMATE_EVERY_S = 0.5
NORMAL_95 = 1.96
"""Standard errors in half a 95 % interval."""

TESTS_KEPT = 2000
"""Test rounds whose far outcomes are still awaited, in match reports."""


@dataclass(frozen=True, slots=True)
class AwaitedTests:
    """Our outcomes of the test entries of one match report, in order, and what each tests.

    `windows`: see `Matches`.
    """

    basis: Basis
    epoch: int
    outcomes: NDArray[np.uint8]
    accidental: NDArray[np.bool_]
    apart_ps: NDArray[np.float64]
    windows: float


@dataclass(frozen=True, slots=True)
class _Trial:
    """Rounds of the epochs after one alone, until there are enough."""

    after: int
    wanted: int
    rounds: TestRounds
    enough: asyncio.Event


class PhotonicTests:
    """Counts outcomes of both ends, and tells the fidelity to the far end and the journal."""

    def __init__(
        self,
        link: str,
        config: PhotonicLinkTable,
        context: NodeContext,
        desk: Desk[MeasuredPairs],
        counters: Counter[str],
    ):
        self._link, self._config, self._context = link, config, context
        self._desk, self._counters = desk, counters
        self._bell_state = BellState[config.bell_state]
        self._recent = RecentTests(context.clock)
        self._unit = FidelityUnit(context.clock)
        self._trial: _Trial | None = None
        self._delays = OutcomeDelays()
        self._awaited: OrderedDict[int, AwaitedTests] = OrderedDict()
        self.estimate: Goodness | None = None
        """Of a pair of now, by all rounds, the latest above all; None before there were rounds in
        all bases."""

    def status(self) -> Status:
        """Fidelity, correlators, and how much later one outcome comes than the other."""
        said = self._delays.status()
        estimate = self.estimate
        if estimate is None:
            return said
        recent = self._recent.counts
        rounds = sum(each.total for each in recent.values())
        chance = sum(each.accidental_same + each.accidental_different for each in recent.values())
        said |= {
            "fidelity": estimate.fidelity,
            "fidelity_error": estimate.half_width / NORMAL_95,
            "fidelity_low": estimate.low,
            "fidelity_high": estimate.high,
        }
        if all(each.total for each in recent.values()):
            said["fidelity_raw"] = (1 + sum(each.raw for each in recent.values())) / 4
            said["accidental_share"] = chance / rounds
        for basis, counts in recent.items():
            if not counts.total:
                continue
            name = f"correlator_{basis.lower() * 2}"
            said[name] = correlator_sign(self._bell_state, basis) * counts.net
            said[f"{name}_error"] = math.sqrt(counts.variance)
        return said

    def expect(self, first_pair: int, tests: AwaitedTests) -> None:
        """The far end has been asked for its outcomes of these."""
        self._awaited[first_pair] = tests
        while len(self._awaited) > TESTS_KEPT:
            self._awaited.popitem(last=False)
            self._counters["tests_unanswered"] += 1

    def far_outcomes(self, message: TestOutcomes) -> None:
        """Take what the far end discloses."""
        awaited = self._awaited.pop(message.first_pair, None)
        theirs = np.frombuffer(message.outcomes, np.uint8)
        if awaited is None or len(theirs) != len(awaited.outcomes) or np.any(theirs > 1):
            self._counters["tests_malformed"] += 1
            return
        true = ~awaited.accidental
        self._delays.add(awaited.apart_ps[true], awaited.outcomes[true], theirs[true])
        joint = 2 * awaited.outcomes.astype(np.int64) + theirs
        counts = np.bincount(joint[true], minlength=4).reshape(2, 2)
        delayed = np.bincount(joint[awaited.accidental], minlength=4).reshape(2, 2)
        told = awaited.basis, self._bell_state, counts, delayed, awaited.windows
        found = correlator_counts(counts, delayed, awaited.windows)
        self._unit.add_counts(
            awaited.basis,
            self._bell_state,
            found.same,
            found.different,
            chance_same=found.accidental_same,
            chance_different=found.accidental_different,
        )
        self._recent.add_counts(*told)
        if self._trial is not None and awaited.epoch > self._trial.after:
            self._trial.rounds.add_counts(*told)
            if min(each.total for each in self._trial.rounds.counts.values()) >= self._trial.wanted:
                self._trial.enough.set()
        self._counters["test_rounds"] += int(counts.sum())

    @property
    def on_trial(self) -> bool:
        """Somebody waits in `after`."""
        return self._trial is not None

    async def after(self, epoch: int, rounds: int, within_s: float) -> dict[str, CorrelatorCounts]:
        """Of the epochs after one alone, as soon as each basis has so many rounds; "same" is what
        the Bell state has. Raises TimeoutError."""
        trial = self._trial = _Trial(epoch, rounds, TestRounds(), asyncio.Event())
        try:
            async with asyncio.timeout(within_s):
                await trial.enough.wait()
        finally:
            self._trial = None
        return trial.rounds.counts

    def forget_awaited(self) -> None:
        """The far end is gone: it answers no more."""
        self._awaited.clear()

    def forget(self) -> None:
        """The light is another than it was."""
        self._recent = RecentTests(self._context.clock)
        self._unit.forget()
        self.estimate = None

    def forget_chance(self) -> None:
        """The light is brighter or darker than it was: so are its accidentals."""
        self._unit.forget_chance()

    async def keep_estimate(self) -> None:
        """Renew the estimate, tell the far end, and end requests that ask for more."""
        while True:
            await asyncio.sleep(ESTIMATE_EVERY_S)
            if not self._unit.renew():
                continue
            estimate = self.estimate = self._unit.goodness()
            if estimate is None:
                continue
            rounds = int(sum(self._unit.rounds.values()))
            error = estimate.half_width / NORMAL_95
            self._context.store.fidelity(self._link, estimate.fidelity, error, rounds)
            self._context.send(
                self._config.peer,
                LinkQuality(
                    self._link, estimate.fidelity, estimate.low, estimate.high, estimate.at_s
                ),
            )
            self._end_what_asks_for_more(estimate)

    def _end_what_asks_for_more(self, estimate: Goodness) -> None:
        for request in self._desk.queue:
            if request.create.minimum_fidelity > estimate.high:
                self._desk.end(
                    request.id,
                    ErrorCode.UNSUPPORTED,
                    f"fidelity {request.create.minimum_fidelity:.3f} is asked, link "
                    f"{self._link} gives {estimate.fidelity:.3f} "
                    f"({estimate.low:.3f} to {estimate.high:.3f})",
                )
