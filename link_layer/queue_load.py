"""How much work waits in a queue and how much comes to it, by priority, kept up to date.

Every request is admitted by these sums, so they must not cost more the more requests wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY_S = 60.0
"""What came longer ago is forgotten with this constant."""

PRIORITIES_KEPT = 64

LEAST_S = 5.0
"""A shorter time is not taken for what is usual."""

SILENCE = 5.0
"""So many times the usual wait for the next request without one is no chance (e^-5): less is asked
for now than was."""


@dataclass(frozen=True, slots=True)
class Load:
    """Work that waits: requests, their missing pairs, and the heralded pairs that these take.

    `variance` is that of the time the work takes, in units of the square of the mean time from one
    heralded pair to the next, which come by chance.
    """

    requests: int = 0
    pairs: int = 0
    raw: float = 0.0
    variance: float = 0.0

    def __add__(self, other: Load) -> Load:
        return Load(
            self.requests + other.requests,
            self.pairs + other.pairs,
            self.raw + other.raw,
            self.variance + other.variance,
        )


def load_of(pairs: int, raw_per_pair: float = 1.0, *, requests: int = 1) -> Load:
    """The load of pairs that take so many heralded ones each.

    A pair that is delivered as it comes takes m = 1, with variance 1. One that is made of two in
    rounds that succeed with probability p takes m = 2/p on average; their number has the variance
    4(1 - p)/p² = m(m - 2), and the time m + m(m - 2).
    """
    variance = raw_per_pair * (1 + max(0.0, raw_per_pair - 2))
    return Load(requests, pairs, pairs * raw_per_pair, pairs * variance)


NOTHING = Load()


class Loads:
    """The work that waits, by priority."""

    def __init__(self) -> None:
        self._by_priority: dict[int, Load] = {}

    def add(self, priority: int, load: Load) -> None:
        """More waits, or of negative numbers less."""
        left = self._by_priority.get(priority, NOTHING) + load
        if left.requests:
            self._by_priority[priority] = left
        else:
            self._by_priority.pop(priority, None)  # and what rounding has left

    def of(self, priority: int) -> Load:
        """What is of this priority or a higher one."""
        return sum((load for each, load in self._by_priority.items() if each >= priority), NOTHING)


@dataclass(slots=True)
class _Came:
    """Heralded pairs that requests of one priority have asked for, and their squares, both as they
    have been forgotten by `at_s`."""

    at_s: float
    last_s: float
    raw: float = 0.0
    squares: float = 0.0

    def until(self, now_s: float) -> None:
        kept = math.exp(-max(0.0, now_s - self.at_s) / MEMORY_S)
        self.at_s, self.raw, self.squares = now_s, self.raw * kept, self.squares * kept


class Arrivals:
    """What requests have asked for of late, by priority. Instants are seconds."""

    def __init__(self) -> None:
        self._came: dict[int, _Came] = {}
        self._began_s: float | None = None

    def add(self, priority: int, load: Load, now_s: float) -> None:
        """A request was agreed on."""
        if self._began_s is None:
            self._began_s = now_s
        came = self._came.setdefault(priority, _Came(now_s, now_s))
        if len(self._came) > PRIORITIES_KEPT:
            del self._came[min(self._came, key=lambda each: self._came[each].at_s)]
        came.until(now_s)
        came.last_s = now_s
        came.raw += load.raw
        came.squares += load.raw**2

    def above(self, priority: int, now_s: float) -> tuple[float, float]:
        """Heralded pairs a second that higher priorities ask for, and how many at a time, on
        average over these pairs."""
        higher = [came for each, came in self._came.items() if each > priority]
        for came in higher:
            came.until(now_s)
        raw = sum(came.raw for came in higher)
        if self._began_s is None or not raw:
            return 0.0, 1.0
        seen_s = MEMORY_S * (1 - math.exp(-max(LEAST_S, now_s - self._began_s) / MEMORY_S))
        at_once = sum(came.squares for came in higher) / raw
        silent_s = max(1e-3, now_s - max(came.last_s for came in higher))
        return min(raw / seen_s, SILENCE * at_once / silent_s), at_once
