"""Pairs of type M: measured at both ends, delivered as outcomes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.devices import Basis


@dataclass(frozen=True, slots=True)
class MeasuredPairs:
    """This end's outcomes of some pairs, delivered together.

    `pairs` identifies them at both ends, int64, shape (n,); `outcomes` is uint8, shape (n,): 0 for
    the +1 eigenstate of the basis, 1 for the other. `fidelity` is the link's estimate.
    """

    link: str
    basis: Basis
    pairs: NDArray[np.int64]
    outcomes: NDArray[np.uint8]
    fidelity: float

    def __len__(self) -> int:
        return len(self.outcomes)
