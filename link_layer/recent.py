"""Test rounds of the last while: a link is not judged for ever by what it was once."""

from __future__ import annotations

from collections.abc import Callable

from link_layer.fidelity import BASES, CorrelatorCounts, Counts2x2, TestRounds
from link_layer.states import BellState

PERIOD_S = 60.0


class RecentTests:
    """Counts of the present period and of the one before, on the given clock in seconds."""

    def __init__(self, clock: Callable[[], float], *, period_s: float = PERIOD_S):
        self._clock = clock
        self._period_s = period_s
        self._since_s = clock()
        self._now, self._before = TestRounds(), TestRounds()

    @property
    def counts(self) -> dict[str, CorrelatorCounts]:
        """By basis; "same" is what the heralded Bell state has."""
        self._turn()
        now, before = self._now.counts, self._before.counts
        return {basis: now[basis].plus(before[basis]) for basis in BASES}

    @property
    def rounds(self) -> float:
        """How many rounds there are, in all bases."""
        return sum(basis.total for basis in self.counts.values())

    def add(self, basis: str, bell_state: BellState, outcome_a: int, outcome_b: int) -> None:
        """One round; see `TestRounds.add`."""
        self._turn()
        self._now.add(basis, bell_state, outcome_a, outcome_b)

    def add_counts(
        self,
        basis: str,
        bell_state: BellState,
        counts: Counts2x2,
        delayed: Counts2x2 | None = None,
        windows: float = 0,
    ) -> None:
        """Many rounds at once; see `TestRounds.add_counts`."""
        self._turn()
        self._now.add_counts(basis, bell_state, counts, delayed, windows)

    def _turn(self) -> None:
        periods = int((self._clock() - self._since_s) // self._period_s)
        if periods < 1:
            return
        self._before = self._now if periods == 1 else TestRounds()
        self._now = TestRounds()
        self._since_s += periods * self._period_s
