"""Feed-forward: what an outcome elsewhere asks for here, and how long it takes to get it done."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np


def teleport_corrections(x: int, z: int) -> list[str]:
    """Gates, in order, that undo a teleportation's Bell measurement through Phi+.

    `x` is the outcome of the measured half of the pair, `z` that of the data qubit after its
    Hadamard (Bennett et al. 1993).
    """
    return ["X"] * x + ["Z"] * z


@dataclass(slots=True)
class Latencies:
    """The last so many durations of one kind, in seconds, with percentiles; bounded."""

    kept: deque[float] = field(default_factory=lambda: deque(maxlen=20_000))
    count: int = 0
    late: int = 0

    def add(self, duration_s: float, *, late: bool = False) -> None:
        """Record one duration; `late` if it ran past its deadline."""
        self.kept.append(duration_s)
        self.count += 1
        self.late += late

    def percentile_s(self, percent: float) -> float | None:
        """A percentile of the kept durations; None before the first."""
        if not self.kept:
            return None
        return float(np.percentile(np.fromiter(self.kept, float), percent))
