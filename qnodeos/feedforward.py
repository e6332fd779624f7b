"""Feed-forward: what an outcome elsewhere asks for here, and how long it takes to get it done."""

from __future__ import annotations

import numpy as np

KEPT = 4096


def teleport_corrections(x: int, z: int) -> list[str]:
    """Gates, in order, that undo a teleportation's Bell measurement through Phi+.

    `x` is the outcome of the measured half of the pair, `z` that of the data qubit after its
    Hadamard (Bennett et al. 1993).
    """
    return ["X"] * x + ["Z"] * z


class Latencies:
    """The last `KEPT` durations of one kind, in seconds, with percentiles."""

    def __init__(self) -> None:
        self.count = self.late = 0
        self._kept = np.zeros(KEPT)

    def add(self, duration_s: float, *, late: bool = False) -> None:
        """Record one duration; `late` if it ran past its deadline."""
        self._kept[self.count % KEPT] = duration_s
        self.count += 1
        self.late += late

    def status(self, name: str) -> dict[str, float | int]:
        """Median and 99th percentile in milliseconds, how many there were, and how many too late;
        nothing before the first."""
        if not self.count:
            return {}
        p50_s, p99_s = np.percentile(self._kept[: self.count], (50, 99)).tolist()
        return {
            f"{name}_p50_ms": p50_s * 1e3,
            f"{name}_p99_ms": p99_s * 1e3,
            f"{name}s": self.count,
            f"{name}s_late": self.late,
        }
