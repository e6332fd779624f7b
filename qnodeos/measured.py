"""Pairs of type M: measured at both ends, delivered as outcomes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from link_layer.messages import MeasuredBasis
from link_layer.states import BellState


@dataclass(frozen=True, slots=True)
class MeasuredPairs:
    """This end's outcomes of some pairs, delivered together.

    `pairs` identifies them at both ends, int64, shape (n,); `outcomes` is uint8, shape (n,): 0 for
    the +1 eigenstate of the basis, 1 for the other. `fidelity` is the link's estimate,
    `bell_state` what the outcomes of both ends belong to.
    """

    link: str
    basis: MeasuredBasis
    pairs: NDArray[np.int64]
    outcomes: NDArray[np.uint8]
    fidelity: float
    bell_state: BellState = BellState.PHI_PLUS

    def __len__(self) -> int:
        return len(self.outcomes)
