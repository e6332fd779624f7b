"""The state of some qubits that belong together: few numbers where they say all, else a matrix.

A pair that was heralded, waited, and met only Pauli gates and their errors has five expectation
values that are not zero; half of it that is left, and any single qubit, has three. All else is a
density matrix. The classes agree in property tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from sim_backends.axis_channels import AxisChannel
from sim_backends.states import (
    BASIS_STATES,
    BellName,
    ComplexArray,
    apply,
    partial_trace,
    project,
)

__all__ = ["CARDINAL_POINTS", "Bloch", "HeldState", "Joint", "XPair", "joint", "settled"]

CARDINAL_POINTS: Final = {
    "0": (0.0, 0.0, 1.0),
    "1": (0.0, 0.0, -1.0),
    "+": (1.0, 0.0, 0.0),
    "-": (-1.0, 0.0, 0.0),
    "+i": (0.0, 1.0, 0.0),
    "-i": (0.0, -1.0, 0.0),
}
"""<X>, <Y>, <Z> of the eigenstates."""


class HeldState(Protocol):
    """A state of qubits that are counted from 0. It belongs to its holder, who may change it."""

    @property
    def density(self) -> ComplexArray:
        """As a density matrix, the first qubit the most significant."""
        ...

    def along(self, qubit: int, channel: AxisChannel) -> None:
        """Let something happen to one qubit."""
        ...

    def p_plus(self, qubit: int, basis: str) -> float:
        """The probability of the outcome +1 in "X", "Y" or "Z"."""
        ...

    def left(self, qubit: int, basis: str, sign: int) -> HeldState | None:
        """What the others are in when this qubit was found with +1 or -1; None: there are none."""
        ...

    def without(self, qubit: int) -> HeldState | None:
        """What the others are in when this one is forgotten; None: there are none."""
        ...


class Bloch:
    """One qubit by <X>, <Y>, <Z>."""

    __slots__ = ("x", "y", "z")

    def __init__(self, x: float, y: float, z: float) -> None:
        self.x, self.y, self.z = x, y, z

    @property
    def density(self) -> ComplexArray:
        """See HeldState."""
        cross = complex(self.x, -self.y)
        up, down = 1.0 + self.z, 1.0 - self.z
        return np.array([[up, cross], [cross.conjugate(), down]], dtype=np.complex128) / 2.0

    def along(self, qubit: int, channel: AxisChannel) -> None:
        """See HeldState."""
        x, y, z, shift = channel
        self.x *= x
        self.y *= y
        self.z = z * self.z + shift

    def p_plus(self, qubit: int, basis: str) -> float:
        """See HeldState."""
        value = self.z if basis == "Z" else self.x if basis == "X" else self.y
        return (1.0 + value) / 2.0

    def left(self, qubit: int, basis: str, sign: int) -> None:
        """See HeldState."""

    def without(self, qubit: int) -> None:
        """See HeldState."""


class XPair:
    """A pair by <XX>, <YY>, <ZZ>, <ZI>, <IZ>; all other expectation values are zero.

    Bell-diagonal states are such, and stay such while they decay towards a pole: the matrix has
    entries on its two diagonals alone (an X state, Yu and Eberly, Quantum Inf. Comput. 7, 459
    (2007)).
    """

    __slots__ = ("iz", "xx", "yy", "zi", "zz")

    def __init__(self, xx: float, yy: float, zz: float, zi: float = 0.0, iz: float = 0.0) -> None:
        self.xx, self.yy, self.zz, self.zi, self.iz = xx, yy, zz, zi, iz

    @classmethod
    def bell_diagonal(cls, weights: Sequence[float]) -> XPair:
        """From the probabilities of (Phi+, Phi-, Psi+, Psi-)."""
        phi_plus, phi_minus, psi_plus, psi_minus = weights
        return cls(
            phi_plus - phi_minus + psi_plus - psi_minus,
            phi_minus - phi_plus + psi_plus - psi_minus,
            phi_plus + phi_minus - psi_plus - psi_minus,
        )

    @property
    def density(self) -> ComplexArray:
        """See HeldState."""
        outer, inner = self.xx - self.yy, self.xx + self.yy
        sums, zz = (self.zi + self.iz, self.zi - self.iz), self.zz
        return (
            np.array(
                [
                    [1.0 + sums[0] + zz, 0.0, 0.0, outer],
                    [0.0, 1.0 + sums[1] - zz, inner, 0.0],
                    [0.0, inner, 1.0 - sums[1] - zz, 0.0],
                    [outer, 0.0, 0.0, 1.0 - sums[0] + zz],
                ],
                dtype=np.complex128,
            )
            / 4.0
        )

    def along(self, qubit: int, channel: AxisChannel) -> None:
        """See HeldState."""
        x, y, z, shift = channel
        self.xx *= x
        self.yy *= y
        if qubit == 0:
            self.zz = z * self.zz + shift * self.iz
            self.zi = z * self.zi + shift
        else:
            self.zz = z * self.zz + shift * self.zi
            self.iz = z * self.iz + shift

    def fidelity(self, name: BellName) -> float:
        """<B|rho|B> with a Bell state."""
        xx = self.xx if name in ("PHI_PLUS", "PSI_PLUS") else -self.xx
        yy = self.yy if name in ("PHI_MINUS", "PSI_PLUS") else -self.yy
        zz = self.zz if name in ("PHI_PLUS", "PHI_MINUS") else -self.zz
        return (1.0 + xx + yy + zz) / 4.0

    def p_plus(self, qubit: int, basis: str) -> float:
        """See HeldState."""
        return (1.0 + (self.zi if qubit == 0 else self.iz)) / 2.0 if basis == "Z" else 0.5

    def left(self, qubit: int, basis: str, sign: int) -> Bloch:
        """See HeldState."""
        own, other = (self.zi, self.iz) if qubit == 0 else (self.iz, self.zi)
        if basis == "Z":
            return Bloch(0.0, 0.0, (other + sign * self.zz) / (1.0 + sign * own))
        if basis == "X":
            return Bloch(sign * self.xx, 0.0, other)
        return Bloch(0.0, sign * self.yy, other)

    def without(self, qubit: int) -> Bloch:
        """See HeldState."""
        return Bloch(0.0, 0.0, self.iz if qubit == 0 else self.zi)


class Joint:
    """Any state of two or more qubits, as a density matrix."""

    __slots__ = ("density",)

    def __init__(self, density: ComplexArray) -> None:
        self.density = density

    def along(self, qubit: int, channel: AxisChannel) -> None:
        """See HeldState."""
        self.density = apply(self.density, channel.matrix, [qubit])

    def p_plus(self, qubit: int, basis: str) -> float:
        """See HeldState."""
        return float(project(self.density, qubit, BASIS_STATES[basis][0]).trace().real)

    def left(self, qubit: int, basis: str, sign: int) -> HeldState:
        """See HeldState."""
        rest = project(self.density, qubit, BASIS_STATES[basis][0 if sign > 0 else 1])
        return settled(rest / float(rest.trace().real))

    def without(self, qubit: int) -> HeldState:
        """See HeldState."""
        return settled(partial_trace(self.density, qubit))


def settled(density: ComplexArray) -> HeldState:
    """A state of one or more qubits in the fewest numbers that surely say all of it."""
    if density.shape[0] > 2:
        return Joint(density)
    # rho_10 = (<X> + i <Y>)/2
    cross, z = complex(density[1, 0]), float((density[0, 0] - density[1, 1]).real)
    return Bloch(2.0 * cross.real, 2.0 * cross.imag, z)


def joint(states: Sequence[HeldState]) -> Joint:
    """Several states as one, in this order."""
    density = states[0].density
    for state in states[1:]:
        density = np.kron(density, state.density).astype(np.complex128)
    return Joint(density)
