"""How many rounds only test the link: as many as its drift asks for, and no more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from link_layer.feu import FidelityUnit, Goodness


@dataclass(frozen=True, slots=True)
class TestPolicy:
    """The share of test rounds for an interval of F of half this width (`precision`).

    Never above `ceiling`; never below `floor`, by which a drift that begins is noticed.
    """

    __test__ = False

    ceiling: float
    precision: float = 0.02
    floor_share: float = 0.1

    @property
    def floor(self) -> float:
        """The least share."""
        return self.ceiling * self.floor_share

    def share(self, unit: FidelityUnit, goodness: Goodness | None, pairs_per_s: float) -> float:
        """For a link that makes so many pairs a second, tests among them.

        A random walk of variance D a second, seen through n measurements a second of variance R,
        is followed to a variance P = sqrt(D R / n) (the steady state of a scalar Kalman filter);
        F is half the sum of three errors, each tested by a third of the rounds.
        """
        if goodness is None or goodness.half_width > self.precision:
            return self.ceiling
        if pairs_per_s <= 0:
            return self.ceiling
        wanted = (self.precision / 1.96) ** 2
        noise = 0.0
        for left, unrest in zip(unit.left, unit.unrest, strict=True):
            error = min(0.5, max(1e-3, (1 - left) / 2))
            counting = error * (1 - error)
            noise += math.sqrt(unrest * counting)
        per_s = 3 * (noise / 4 / wanted) ** 2
        return min(self.ceiling, max(self.floor, per_s / pairs_per_s))
