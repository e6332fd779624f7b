"""Whether the two detectors of each end are equally late, seen in the pairs of a link."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qnodeos.status import Status

MEMORY_PAIRS = 100_000.0
"""Older pairs are forgotten with this number of newer ones."""

LEAST_PAIRS = 100.0
_OWN = np.array([0.0, 0.0, 1.0, 1.0])
_FAR = np.array([0.0, 1.0, 0.0, 1.0])


class OutcomeDelays:
    """How much later outcome 1 comes than outcome 0 at either end, from the last pairs.

    Outcomes of pairs depend on each other, so both delays are fitted at once: our time less the far
    one's is a constant, plus our delay where our outcome is 1, less the far one's where theirs is.
    """

    def __init__(self) -> None:
        self._count = np.zeros(4)
        self._sum_ps = np.zeros(4)
        self._squares_ps2 = np.zeros(4)

    def add(
        self, apart_ps: NDArray[np.float64], own: NDArray[np.uint8], far: NDArray[np.uint8]
    ) -> None:
        """Take in our times less the far ones' of some pairs, and their outcomes."""
        kept = math.exp(-len(apart_ps) / MEMORY_PAIRS)
        joint = 2 * own.astype(np.int64) + far
        for total, values in (
            (self._count, np.ones(len(apart_ps))),
            (self._sum_ps, apart_ps),
            (self._squares_ps2, apart_ps**2),
        ):
            total *= kept
            total += np.bincount(joint, values, 4)

    def status(self) -> Status:
        """Both delays with their standard errors; nothing before there are pairs enough."""
        count = self._count
        # Each end's two outcomes and more than one combination of them have to be there.
        if count.sum() < LEAST_PAIRS or np.count_nonzero(count >= 10) < 3:
            return {}
        columns = np.stack([np.ones(4), _OWN, -_FAR], axis=1)
        inverse = np.linalg.inv(columns.T @ (columns * count[:, None]))
        solution = inverse @ columns.T @ self._sum_ps
        left = float(self._squares_ps2.sum() - solution @ columns.T @ self._sum_ps)
        variance = max(left, 0.0) / float(count.sum())
        said: Status = {}
        for name, at in (("outcome_delay", 1), ("far_outcome_delay", 2)):
            said[f"{name}_ps"] = float(solution[at])
            said[f"{name}_error_ps"] = math.sqrt(variance * float(inverse[at, at]))
        return said
