"""Test rounds for a calibration at the leading end of a memory link, between requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from link_layer.egp_end import LinkEnd, Probe
from link_layer.egp_plan import Half
from link_layer.messages import Basis, PairHeld
from link_layer.states import correlator_sign


@dataclass(slots=True)
class Probed:
    """What test rounds have shown: right and wrong outcomes by basis, and attempts of each."""

    right: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    attempts: list[int] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(self.attempts)

    def correlator(self, *bases: Basis) -> float:
        """Mean over these bases, in the sign of the heralded state, as read; 0 without rounds."""
        right = sum(self.right.get(basis, 0) for basis in bases)
        wrong = sum(self.wrong.get(basis, 0) for basis in bases)
        return (right - wrong) / (right + wrong) if right + wrong else 0.0

    @property
    def heralds_per_attempt(self) -> float:
        """Of the rounds that had one, by the spread of their attempts, as waiting has no memory:
        the shortest of them tells how long messages took; 0 for fewer than two rounds."""
        over = sum(self.attempts) - self.rounds * min(self.attempts, default=0)
        return (self.rounds - 1) / over if over > 0 else 0.0


class Prober:
    """Has test rounds made by the machine of the leading end. `attempts` counts its device's."""

    def __init__(self, machine: LinkEnd, clock: Callable[[], float], attempts: Callable[[], int]):
        self._machine, self._clock, self._attempts = machine, clock, attempts
        self._found = Probed()
        self.looks = 0
        """All that were taken."""
        self._news = asyncio.Event()
        self._after_round = 0
        self._before = 0

    def tested(self, half: Half, far: PairHeld) -> None:
        """Both outcomes of such a round are known."""
        made = self._attempts()
        waited, self._before = made - self._before, made
        basis = half.attempt.test_basis
        if half.attempt.round <= self._after_round or basis is None:
            return
        same = half.outcome == far.outcome
        right = same is (correlator_sign(half.heralded.bell_state, basis) > 0)
        counts = self._found.right if right else self._found.wrong
        counts[basis] = counts.get(basis, 0) + 1
        self._found.attempts.append(waited)
        self._news.set()

    async def probe(
        self,
        bases: Sequence[Basis],
        rounds: int,
        within_s: float,
        *,
        bright_population: float | None = None,
    ) -> Probed:
        """So many rounds in these bases in turn, or those of the time that it may take."""
        machine = self._machine
        self.looks += 1
        self._found, self._after_round = Probed(), machine.round
        self._before = self._attempts()
        machine.probe = Probe(tuple(bases), bright_population)
        try:
            machine.go(self._clock())
            async with asyncio.timeout(within_s):
                while self._found.rounds < rounds:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        finally:
            machine.probe = None
            machine.yields("the calibration has seen enough", self._clock())
        return self._found
