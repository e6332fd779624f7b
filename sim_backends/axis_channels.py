"""What happens to one qubit without mixing its axes: decay, Pauli gates and their errors."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from sim_backends.states import ComplexArray

__all__ = ["PAULIS", "AxisChannel", "dephasing", "loss", "storage"]


class AxisChannel(NamedTuple):
    """<X> becomes x <X>, <Y> becomes y <Y>, <Z> becomes z <Z> + shift."""

    x: float
    y: float
    z: float
    shift: float = 0.0

    def after(self, earlier: AxisChannel) -> AxisChannel:
        """This channel after another, as one."""
        return AxisChannel(
            self.x * earlier.x,
            self.y * earlier.y,
            self.z * earlier.z,
            self.z * earlier.shift + self.shift,
        )

    @property
    def matrix(self) -> ComplexArray:
        """The same as a channel on density matrices, see `sim_backends.states`."""
        channel = np.zeros((4, 4), dtype=np.complex128)
        channel[0, 0], channel[0, 3] = 1.0 + self.z + self.shift, 1.0 - self.z + self.shift
        channel[3, 0], channel[3, 3] = 1.0 - self.z - self.shift, 1.0 + self.z - self.shift
        channel[1, 1] = channel[2, 2] = self.x + self.y
        channel[1, 2] = channel[2, 1] = self.x - self.y
        return channel / 2.0


PAULIS: Final = {
    "X": AxisChannel(1.0, -1.0, -1.0),
    "Y": AxisChannel(-1.0, 1.0, -1.0),
    "Z": AxisChannel(-1.0, -1.0, 1.0),
}
"""The gates, without error."""


def loss(probability: float) -> AxisChannel:
    """Leave the qubit alone, but with `probability` mix it fully."""
    kept = 1.0 - probability
    return AxisChannel(kept, kept, kept)


def dephasing(coherence: float) -> AxisChannel:
    """Keep a share of the coherence; 1 - 2p for a phase flip with probability p."""
    return AxisChannel(coherence, coherence, 1.0)


def storage(
    elapsed_s: float, t1_s: float, t2_s: float, excited_population: float = 0.0
) -> AxisChannel:
    """What waiting does to a qubit: amplitude damping (T1) and pure dephasing, which commute.

    1/T_phi = 1/T2 - 1/(2 T1), so that coherences fall as exp(-t/T2) and populations go to
    (1 - p, p) as exp(-t/T1) (Nielsen and Chuang, 8.3.5 and 8.3.6).
    """
    kept = math.exp(-elapsed_s / t1_s)
    coherence = math.exp(-elapsed_s / t2_s)
    return AxisChannel(coherence, coherence, kept, (1.0 - kept) * (1.0 - 2.0 * excited_population))
