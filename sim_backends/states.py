"""True quantum states, as density matrices of a few qubits, and what happens to them.

A density matrix of n qubits is a complex (2**n, 2**n) array, the first qubit the most significant.
A channel on k qubits is a complex (4**k, 4**k) matrix that acts on the row and column indices of
these qubits, flattened in the order (rows, columns).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "BASIS_STATES",
    "BELL_NAMES",
    "CARDINAL_STATES",
    "GATES",
    "BellName",
    "ComplexArray",
    "apply",
    "bell_density",
    "bell_state",
    "depolarised",
    "fidelity",
    "joint_probabilities",
    "partial_trace",
    "project",
    "unitary",
    "werner",
]

ComplexArray: TypeAlias = npt.NDArray[np.complex128]
BellName: TypeAlias = Literal["PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS"]

BELL_NAMES: Final[tuple[BellName, ...]] = ("PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS")
_R: Final = math.sqrt(0.5)
_BELL: Final[dict[BellName, ComplexArray]] = {
    "PHI_PLUS": np.array([_R, 0, 0, _R], dtype=np.complex128),
    "PHI_MINUS": np.array([_R, 0, 0, -_R], dtype=np.complex128),
    "PSI_PLUS": np.array([0, _R, _R, 0], dtype=np.complex128),
    "PSI_MINUS": np.array([0, _R, -_R, 0], dtype=np.complex128),
}
_PROJECTORS: Final = np.stack(
    [np.outer(_BELL[name], _BELL[name].conj()).reshape(-1) for name in BELL_NAMES]
)
CARDINAL_STATES: Final[dict[str, ComplexArray]] = {
    "0": np.array([1, 0], dtype=np.complex128),
    "1": np.array([0, 1], dtype=np.complex128),
    "+": np.array([_R, _R], dtype=np.complex128),
    "-": np.array([_R, -_R], dtype=np.complex128),
    "+i": np.array([_R, 1j * _R], dtype=np.complex128),
    "-i": np.array([_R, -1j * _R], dtype=np.complex128),
}
# Rows: the states of outcome 0 (eigenvalue +1) and outcome 1.
BASIS_STATES: Final[dict[str, ComplexArray]] = {
    "Z": np.stack((CARDINAL_STATES["0"], CARDINAL_STATES["1"])),
    "X": np.stack((CARDINAL_STATES["+"], CARDINAL_STATES["-"])),
    "Y": np.stack((CARDINAL_STATES["+i"], CARDINAL_STATES["-i"])),
}
GATES: Final[dict[str, ComplexArray]] = {
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "Z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
    "H": np.array([[_R, _R], [_R, -_R]], dtype=np.complex128),
    "S": np.array([[1, 0], [0, 1j]], dtype=np.complex128),
    "SDG": np.array([[1, 0], [0, -1j]], dtype=np.complex128),
    "CNOT": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=np.complex128),
}


def bell_state(name: BellName) -> ComplexArray:
    """The state vector: PHI is (|00> +- |11>)/sqrt 2, PSI is (|01> +- |10>)/sqrt 2."""
    return _BELL[name].copy()


def bell_density(weights: Sequence[float]) -> ComplexArray:
    """The Bell-diagonal state with these probabilities of (Phi+, Phi-, Psi+, Psi-)."""
    if len(weights) != len(BELL_NAMES):
        raise ValueError(f"{len(weights)} weights, expected {len(BELL_NAMES)}")
    density: ComplexArray = np.dot(weights, _PROJECTORS).reshape(4, 4)
    return density


def werner(name: BellName, fidelity: float) -> ComplexArray:
    """The Werner state: `fidelity` of one Bell state, the rest shared equally by the others."""
    rest = (1.0 - fidelity) / 3.0
    return bell_density([fidelity if bell == name else rest for bell in BELL_NAMES])


def fidelity(density: ComplexArray, name: BellName) -> float:
    """<B|rho|B> of a pair with a Bell state."""
    return float(np.real(_BELL[name].conj() @ density @ _BELL[name]))


def joint_probabilities(
    density: ComplexArray, first: ComplexArray, second: ComplexArray
) -> npt.NDArray[np.float64]:
    """P[i, j] that a pair is found in row i of `first` and row j of `second`, (2, 2) of states."""
    rows = np.einsum("ia,jb->ijab", first, second).reshape(2, 2, 4)
    return np.real(np.einsum("ijk,kl,ijl->ij", rows.conj(), density, rows))


def unitary(gate: ComplexArray) -> ComplexArray:
    """The channel rho -> U rho U^dagger."""
    return np.kron(gate, gate.conj()).astype(np.complex128)


def depolarised(channel: ComplexArray, probability: float) -> ComplexArray:
    """The channel, then with `probability` the maximally mixed state of its qubits instead."""
    size = math.isqrt(channel.shape[0])
    identity = np.eye(size).reshape(-1)
    mixed = np.outer(identity / size, identity)
    # Trace is kept by the channel, so that "mixed after channel" is "mixed".
    return (1.0 - probability) * channel + probability * mixed


def apply(density: ComplexArray, channel: ComplexArray, qubits: Sequence[int]) -> ComplexArray:
    """A channel on some of a state's qubits, in the order given."""
    size = density.shape[0]
    shape, order, back = _axes(size.bit_length() - 1, tuple(qubits))
    tensor = density.reshape(shape).transpose(order)
    result = (channel @ tensor.reshape(channel.shape[0], -1)).reshape(shape)
    return result.transpose(back).reshape(size, size)


@cache
def _axes(
    count: int, qubits: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The shape of a state of `count` qubits as a tensor, and the order of axes that brings these
    qubits to the front, with its inverse."""
    axes = [*qubits, *(count + qubit for qubit in qubits)]
    order = (*axes, *(axis for axis in range(2 * count) if axis not in axes))
    back = tuple(order.index(axis) for axis in range(2 * count))
    return (2,) * (2 * count), order, back


def partial_trace(density: ComplexArray, qubit: int) -> ComplexArray:
    """The state of the other qubits when this one is forgotten."""
    size = density.shape[0]
    before, after = 1 << qubit, size >> (qubit + 1)
    split = density.reshape(before, 2, after, before, 2, after)
    kept: ComplexArray = np.ascontiguousarray(split[:, 0, :, :, 0, :] + split[:, 1, :, :, 1, :])
    return kept.reshape(size // 2, size // 2)


def project(density: ComplexArray, qubit: int, state: ComplexArray) -> ComplexArray:
    """The other qubits' state when this one is found in `state`, not normalised: its trace is the
    probability of that."""
    size = density.shape[0]
    before, after = 1 << qubit, size >> (qubit + 1)
    split = density.reshape(before, 2, after, before, 2, after)
    kept: ComplexArray = np.einsum("q,aqbcrd,r->abcd", state.conj(), split, state)
    return kept.reshape(size // 2, size // 2)
