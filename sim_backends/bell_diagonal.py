"""Pairs as four probabilities, for the fast path: what density matrices say, without them.

A pair is an array of shape (..., 4), the probabilities of (Phi+, Phi-, Psi+, Psi-). The index read
as two bits is the Pauli operator that makes the state of Phi+ (bit flip, phase flip), so that the
Pauli group is the exclusive or of indices. Every function agrees with `states` in property tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sim_backends.states import BELL_NAMES, BellName

__all__ = [
    "BellDiagonal",
    "Hold",
    "Pairs",
    "correlators",
    "dephased",
    "depolarised_pair",
    "exchanged",
    "fidelity_to",
    "from_correlators",
    "stored",
    "swapped",
    "werner_pair",
]

BellDiagonal: TypeAlias = tuple[float, float, float, float]
Pairs: TypeAlias = npt.NDArray[np.float64]

# Columns: signs of <XX>, <YY>, <ZZ> of each Bell state.
SIGNS: Final = np.array([[1, -1, 1], [-1, 1, 1], [1, 1, -1], [-1, -1, -1]], dtype=np.float64)
_XOR: Final = np.bitwise_xor.outer(np.arange(4), np.arange(4))


@dataclass(frozen=True, slots=True)
class Hold:
    """How one half decays while it is kept: T1, T2 in seconds and the population it relaxes to."""

    t1_s: float
    t2_s: float
    excited_population: float = 0.0


def werner_pair(name: BellName, fidelity: float) -> Pairs:
    """The Werner state, shape (4,)."""
    pair = np.full(4, (1.0 - fidelity) / 3.0)
    pair[BELL_NAMES.index(name)] = fidelity
    return pair


def fidelity_to(pairs: Pairs, name: BellName) -> Pairs:
    """The probability of one Bell state, shape (...)."""
    chosen: Pairs = np.asarray(pairs)[..., BELL_NAMES.index(name)]
    return chosen


def exchanged(pair: BellDiagonal) -> BellDiagonal:
    """The pair after a phase flip of one half: plus and minus states change places."""
    return pair[1], pair[0], pair[3], pair[2]


def correlators(pairs: Pairs) -> Pairs:
    """<XX>, <YY>, <ZZ>, shape (..., 3)."""
    product: Pairs = np.asarray(pairs) @ SIGNS
    return product


def from_correlators(values: Pairs) -> Pairs:
    """The pair with these <XX>, <YY>, <ZZ>, shape (..., 3): F = (1 + s . <..>)/4 each."""
    product: Pairs = (1.0 + np.asarray(values) @ SIGNS.T) / 4.0
    return product


def depolarised_pair(pairs: Pairs, probability: float) -> Pairs:
    """With `probability` the maximally mixed pair instead."""
    return (1.0 - probability) * np.asarray(pairs) + probability / 4.0


def dephased(pairs: Pairs, probability: float | Pairs) -> Pairs:
    """A phase flip of one half with `probability`, of shape (...) or one number."""
    pairs = np.asarray(pairs)
    flip = np.asarray(probability)[..., None]
    return (1.0 - flip) * pairs + flip * pairs[..., [1, 0, 3, 2]]


def stored(
    pairs: Pairs,
    first_s: float | Pairs,
    second_s: float | Pairs,
    first: Hold,
    second: Hold,
) -> Pairs:
    """The Bell-diagonal part after the halves are kept for `first_s` and `second_s` seconds.

    XX and YY shrink by exp(-t/T2) for each half, ZZ by exp(-t/T1); relaxation towards a pole moves
    the halves alike, which adds the product of the two displacements to ZZ. The fidelity to every
    Bell state is exact; what relaxation makes beside the diagonal is left out.
    """
    values = correlators(pairs)
    times = (np.asarray(first_s, dtype=np.float64), np.asarray(second_s, dtype=np.float64))
    holds = (first, second)
    coherence = np.exp(-times[0] / first.t2_s - times[1] / second.t2_s)
    kept = [np.exp(-time / hold.t1_s) for time, hold in zip(times, holds, strict=True)]
    moved = [
        (1.0 - part) * (1.0 - 2.0 * hold.excited_population)
        for part, hold in zip(kept, holds, strict=True)
    ]
    zz = kept[0] * kept[1] * values[..., 2] + moved[0] * moved[1]
    xx, yy = coherence * values[..., 0], coherence * values[..., 1]
    return from_correlators(np.stack(np.broadcast_arrays(xx, yy, zz), axis=-1))


def swapped(left: Pairs, right: Pairs, depolarising: float = 0.0) -> Pairs:
    """The outer pair after a swap whose outcome is corrected: errors convolve over the Pauli group.

    Both are with respect to Phi+; `depolarising` is the swap's own error.
    """
    outer: Pairs = np.einsum("...i,...ki->...k", np.asarray(left), np.asarray(right)[..., _XOR])
    return depolarised_pair(outer, depolarising)
