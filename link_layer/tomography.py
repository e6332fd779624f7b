"""The state of a pair from counts in nine settings, by maximum likelihood.

A density matrix is complex (4, 4), the near qubit the more significant, in the order 00 01 10 11.
Counts are int (2, 2) for each setting (near basis, far basis): rows near, columns far outcome, 0
for the +1 eigenstate.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from link_layer.states import BellState

Setting: TypeAlias = tuple[str, str]
Counts: TypeAlias = NDArray[np.int64]
Density: TypeAlias = NDArray[np.complex128]

BASES: Final = ("X", "Y", "Z")
SETTINGS: Final[tuple[Setting, ...]] = tuple(itertools.product(BASES, BASES))

_R: Final = np.sqrt(0.5)
_STATES: Final = {
    "X": np.array([[_R, _R], [_R, -_R]], dtype=complex),
    "Y": np.array([[_R, 1j * _R], [_R, -1j * _R]]),
    "Z": np.eye(2, dtype=complex),
}
_BELL: Final[dict[BellState, NDArray[np.complex128]]] = {
    BellState.PHI_PLUS: np.array([_R, 0, 0, _R], dtype=complex),
    BellState.PHI_MINUS: np.array([_R, 0, 0, -_R], dtype=complex),
    BellState.PSI_PLUS: np.array([0, _R, _R, 0], dtype=complex),
    BellState.PSI_MINUS: np.array([0, _R, -_R, 0], dtype=complex),
}
_PAULIS: Final = {
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}

ITERATIONS: Final = 5000
CLOSE: Final = 1e-7


def projectors(setting: Setting) -> NDArray[np.complex128]:
    """The four projectors of a setting, (4, 4, 4), in the order of outcomes 00 01 10 11."""
    near, far = _STATES[setting[0]], _STATES[setting[1]]
    vectors = [np.kron(near[i], far[j]) for i in (0, 1) for j in (0, 1)]
    return np.stack([np.outer(vector, vector.conj()) for vector in vectors])


def quick_state(counts: Mapping[Setting, Counts]) -> Density:
    """The physical state nearest to what the correlators and single outcomes say by themselves.

    The nearest in the Hilbert-Schmidt norm, by Smolin, Gambetta and Smith 2012, PRL 108, 070502: it
    is the most likely one where the noise is alike in all directions, and needs no iteration.
    """
    paulis = {"I": np.eye(2, dtype=np.complex128), **_PAULIS}
    found: dict[tuple[str, str], list[float]] = {("I", "I"): [1.0]}
    for near, far in SETTINGS:
        shares = np.asarray(counts[near, far], float) / counts[near, far].sum()
        signs = np.array([1.0, -1.0])
        found.setdefault((near, far), []).append(float(signs @ shares @ signs))
        found.setdefault((near, "I"), []).append(float(signs @ shares.sum(axis=1)))
        found.setdefault(("I", far), []).append(float(signs @ shares.sum(axis=0)))
    guess = sum(np.mean(values) * np.kron(paulis[a], paulis[b]) for (a, b), values in found.items())
    values, vectors = np.linalg.eigh(guess / 4)
    kept = np.zeros(4)
    missing = 0.0
    for k in range(4):  # from the smallest: what is negative is taken from the others
        share = values[k] + missing / (4 - k)
        if share < 0:
            missing += values[k]
        else:
            kept[k:] = values[k:] + missing / (4 - k)
            break
    state: Density = (vectors * kept) @ vectors.conj().T
    return state


def likely_state(counts: Mapping[Setting, Counts]) -> Density:
    """The physical state that makes the counts most likely.

    By the iteration rho -> R rho R / Tr with R = sum f/p P over all outcomes (Hradil 1997, PRA 55,
    R1561; Rehacek et al. 2007, PRA 75, 042108), which stays positive by itself; a step that would
    not raise the likelihood is made shorter. Raises ValueError where the settings leave a part of
    the state open.
    """
    missing = [f"{a}{b}" for a, b in SETTINGS if (a, b) not in counts or not counts[a, b].sum()]
    if missing:
        raise ValueError(f"tomography needs counts in nine settings, none in {', '.join(missing)}")
    operators = np.concatenate([projectors(setting) for setting in SETTINGS])
    # Each setting measures the whole state, so all of them weigh by their counts.
    found = np.concatenate([np.asarray(counts[s], float).reshape(-1) for s in SETTINGS])
    shares = found / found.sum()
    seen = shares > 0

    def likelihood(state: Density) -> float:
        expected = np.einsum("kij,ji->k", operators, state).real
        return float(shares[seen] @ np.log(np.maximum(expected[seen], 1e-300)))

    # A little of everything: what is exactly zero would stay so.
    state: Density = 0.99 * quick_state(counts) + 0.01 * np.eye(4, dtype=np.complex128) / 4
    reached = likelihood(state)
    for _ in range(ITERATIONS):
        expected = np.maximum(np.einsum("kij,ji->k", operators, state).real, 1e-300)
        pull = np.einsum("k,kij->ij", shares / expected, operators)
        step = 1.0
        fresh: Density = state
        while step > 1e-6:
            mover = (np.eye(4, dtype=np.complex128) + step * pull) / (1 + step)
            fresh = mover @ state @ mover.conj().T
            fresh /= np.trace(fresh).real
            if likelihood(fresh) >= reached:
                break
            step /= 2
        change = float(np.abs(fresh - state).max())
        state, reached = fresh, likelihood(fresh)
        if change < CLOSE:
            break
    hermitian: Density = (state + state.conj().T) / 2
    return hermitian


def state_fidelity(state: Density, bell_state: BellState) -> float:
    """<B|rho|B>."""
    vector = _BELL[bell_state]
    return float((vector.conj() @ state @ vector).real)


def correlation_matrix(state: Density) -> NDArray[np.float64]:
    """T, (3, 3): the expectation of each product of Pauli matrices, X Y Z near by X Y Z far."""
    return np.array(
        [[np.trace(state @ np.kron(_PAULIS[a], _PAULIS[b])).real for b in BASES] for a in BASES]
    )


def concurrence(state: Density) -> float:
    """0 for separable states, 1 for Bell states (Wootters 1998, PRL 80, 2245)."""
    flip = np.kron(_PAULIS["Y"], _PAULIS["Y"])
    values = np.linalg.eigvals(state @ flip @ state.conj() @ flip).real
    roots = np.sort(np.sqrt(np.maximum(values, 0.0)))[::-1]
    return max(0.0, float(roots[0] - roots[1:].sum()))


def drawn_counts(
    state: Density, totals: Mapping[Setting, int], rng: np.random.Generator
) -> dict[Setting, Counts]:
    """Counts that a state could give, as many in each setting as there were: for error bars."""
    drawn = {}
    for setting, total in totals.items():
        chances = np.einsum("kij,ji->k", projectors(setting), state).real
        chances = np.clip(chances, 0.0, None)
        drawn[setting] = rng.multinomial(total, chances / chances.sum()).reshape(2, 2)
    return drawn
