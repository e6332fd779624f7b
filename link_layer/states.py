"""What a node believes of a pair: Bell states, correlators, fidelity, decay in memory.

F is the fidelity of a pair to its own Bell state. Qubit outcomes are 0 for the +1 eigenstate.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

Pauli = Literal["I", "X", "Y", "Z"]
BellDiagonal = tuple[float, float, float, float]
"""Probabilities of Phi+, Phi-, Psi+, Psi-, in this order; they sum to 1."""

ENTANGLEMENT_THRESHOLD = 1 / 2
"""A Bell-diagonal pair is entangled if and only if its own fidelity F exceeds this."""

CLASSICAL_TELEPORTATION_LIMIT = 2 / 3
"""The best average fidelity of a transferred state without entanglement; not a pair's fidelity."""

CHSH_CLASSICAL_LIMIT = 2.0
"""The largest |S| of the CHSH test without entanglement."""


class BellState(enum.Enum):
    """The four Bell states; the values are their names on the wire."""

    PHI_PLUS = "PHI_PLUS"
    PHI_MINUS = "PHI_MINUS"
    PSI_PLUS = "PSI_PLUS"
    PSI_MINUS = "PSI_MINUS"


CORRELATOR_SIGNS: dict[BellState, tuple[int, int, int]] = {
    BellState.PHI_PLUS: (1, -1, 1),
    BellState.PHI_MINUS: (-1, 1, 1),
    BellState.PSI_PLUS: (1, 1, -1),
    BellState.PSI_MINUS: (-1, -1, -1),
}
"""Signs of <XX>, <YY>, <ZZ> of each Bell state."""

_TO_PHI_PLUS: dict[BellState, Pauli] = {
    BellState.PHI_PLUS: "I",
    BellState.PHI_MINUS: "Z",
    BellState.PSI_PLUS: "X",
    BellState.PSI_MINUS: "Y",
}


def pauli_to_phi_plus(state: BellState) -> Pauli:
    """The gate on either half that turns a Bell state into Phi+, up to a phase ("Y" is XZ)."""
    return _TO_PHI_PLUS[state]


def flips(gate: Pauli, basis: str) -> bool:
    """Whether a Pauli gate before a measurement in "Z", "X" or "Y" swaps the outcomes."""
    return gate not in ("I", basis)


def correlator_sign(state: BellState, basis: str) -> int:
    """+1 if outcomes of a perfect pair agree when both ends measure in "X", "Y" or "Z", else -1."""
    return CORRELATOR_SIGNS[state]["XYZ".index(basis)]


def fidelity_from_correlators(state: BellState, xx: float, yy: float, zz: float) -> float:
    """F = (1 + sx <XX> + sy <YY> + sz <ZZ>)/4 with the signs of the Bell state; needs all three."""
    sx, sy, sz = CORRELATOR_SIGNS[state]
    return (1 + sx * xx + sy * yy + sz * zz) / 4


def fidelity_bound(state: BellState, xx: float, zz: float) -> float:
    """The least F that two correlators alone allow: (sx <XX> + sz <ZZ>)/2; a bound, no estimate."""
    sx, _, sz = CORRELATOR_SIGNS[state]
    return max(0.0, (sx * xx + sz * zz) / 2)


def werner(fidelity: float, state: BellState = BellState.PHI_PLUS) -> BellDiagonal:
    """The Bell state with white noise: F for itself, (1 - F)/3 for each other."""
    _check_share("fidelity", fidelity)
    rest = (1 - fidelity) / 3
    a, b, c, d = (fidelity if other is state else rest for other in BellState)
    return a, b, c, d


def correlators(pair: Sequence[float]) -> tuple[float, float, float]:
    """<XX>, <YY>, <ZZ> of a Bell-diagonal pair given as (Phi+, Phi-, Psi+, Psi-)."""
    shares = zip(pair, CORRELATOR_SIGNS.values(), strict=True)
    terms = [(p * x, p * y, p * z) for p, (x, y, z) in shares]
    xx, yy, zz = (math.fsum(axis) for axis in zip(*terms, strict=True))
    return xx, yy, zz


def teleportation_fidelity(fidelity: float) -> float:
    """Average fidelity of a state teleported through a pair of fidelity F: (2F + 1)/3.

    Horodecki, Horodecki, Horodecki 1999, Phys. Rev. A 60, 1888. Its classical limit, 2/3, is
    reached at F = 1/2.
    """
    _check_share("fidelity", fidelity)
    return (2 * fidelity + 1) / 3


def chsh(correlations: NDArray[np.float64]) -> float:
    """Largest |S| a 3x3 correlation matrix allows: 2 sqrt(u1 + u2), Horodecki 1995.

    u1, u2 are the two largest eigenvalues of T^T T. For Bell-diagonal pairs T is
    diag(<XX>, <YY>, <ZZ>).
    """
    matrix = np.asarray(correlations, dtype=np.float64)
    if matrix.shape != (3, 3):
        raise ValueError(f"chsh: found a matrix of shape {matrix.shape}, expected (3, 3)")
    singular = np.linalg.svd(matrix, compute_uv=False)
    return 2 * math.hypot(float(singular[0]), float(singular[1]))


def werner_chsh(fidelity: float) -> float:
    """S of a Werner pair: 2 sqrt(2) (4F - 1)/3."""
    return 2 * math.sqrt(2) * abs(4 * fidelity - 1) / 3


def qber(state: BellState, basis: str, correlator: float) -> float:
    """Share of pairs that contradict the Bell state in a basis: (1 - s <BB>)/2."""
    return (1 - correlator_sign(state, basis) * correlator) / 2


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: found {value}, expected 0 to 1")


@dataclass(frozen=True, slots=True)
class Coherence:
    """How a stored qubit decays: relaxation time T1 and coherence time T2 <= 2 T1, seconds.

    `excited_population` is the share of |1> it relaxes to. Raises ValueError for times that no
    qubit can have.
    """

    t1_s: float = math.inf
    t2_s: float = math.inf
    excited_population: float = 0.0

    def __post_init__(self) -> None:
        if not (self.t1_s > 0 and self.t2_s > 0):
            raise ValueError(f"Coherence: T1 {self.t1_s} s and T2 {self.t2_s} s must be positive")
        # Data sheets round both figures; a last digit is no contradiction.
        if self.t2_s > 2 * self.t1_s * (1 + 1e-9):
            raise ValueError(f"Coherence: T2 {self.t2_s} s exceeds 2 T1 = {2 * self.t1_s} s")
        _check_share("excited_population", self.excited_population)

    @overload
    def kept(self, time_s: float) -> tuple[float, float]: ...

    @overload
    def kept(
        self, time_s: float | NDArray[np.float64]
    ) -> tuple[float | NDArray[np.float64], float | NDArray[np.float64]]: ...

    def kept(
        self, time_s: float | NDArray[np.float64]
    ) -> tuple[float | NDArray[np.float64], float | NDArray[np.float64]]:
        """What is left of <Z> and of <X>, <Y> after a time, or many: e^(-t/T1), e^(-t/T2)."""
        if isinstance(time_s, float | int):
            return math.exp(-time_s / self.t1_s), math.exp(-time_s / self.t2_s)
        return np.exp(-time_s / self.t1_s), np.exp(-time_s / self.t2_s)

    @property
    def rest_z(self) -> float:
        """<Z> it relaxes to."""
        return 1 - 2 * self.excited_population


def shrunk_fidelity(fidelity: float, kept: float) -> float:
    """F of a pair after depolarising that leaves a share of its correlators."""
    return 0.25 + (fidelity - 0.25) * kept


NO_DECAY = Coherence()
"""A half that was measured, or is a photon: it does not decay."""


def decayed_fidelity(
    fidelity: float,
    time_s: float,
    near: Coherence,
    far: Coherence = NO_DECAY,
    *,
    state: BellState = BellState.PHI_PLUS,
    phase_share: float = 1.0,
) -> float:
    """Fidelity of a Bell-diagonal pair after its halves were stored for a time; exact.

    Each half undergoes amplitude damping composed with pure dephasing (Nielsen and Chuang, 8.3.5
    and 8.3.6). `phase_share` is the part of 1 - F that is phase error: 1 for a dephased pair, which
    gives F(t) = [1 + (2F - 1) e^(-t/T2)]/2 without relaxation; 1/3 for a Werner pair.
    """
    _check_share("fidelity", fidelity)
    _check_share("phase_share", phase_share)
    if time_s < 0:
        raise ValueError(f"decayed_fidelity: found {time_s} s, expected no negative time")
    return float(_decayed(*_own_correlators(fidelity, phase_share), time_s, near, far, state))


def _decayed(
    in_plane: float,
    along_z: float,
    time_s: float | NDArray[np.float64],
    near: Coherence,
    far: Coherence,
    state: BellState,
) -> float | NDArray[np.float64]:
    near_z, near_xy = near.kept(time_s)
    far_z, far_xy = far.kept(time_s)
    sign_z = CORRELATOR_SIGNS[state][2]
    settled = sign_z * (1 - near_z) * near.rest_z * (1 - far_z) * far.rest_z
    return (1 + 2 * near_xy * far_xy * in_plane + near_z * far_z * along_z + settled) / 4


def useful_lifetime_s(
    fidelity: float,
    threshold: float,
    near: Coherence,
    far: Coherence = NO_DECAY,
    *,
    state: BellState = BellState.PHI_PLUS,
    phase_share: float = 1.0,
) -> float:
    """Seconds until a stored pair first falls to a threshold fidelity, its own F, not a transfer's.

    0 if it is there already, inf if it never is. Pure dephasing of a dephased pair:
    T2 ln[(2F - 1)/(2 F_th - 1)], rates of the halves added; it never ends for F_th <= 1/2, since
    dephasing alone never makes a pair separable. With relaxation: by bisection on
    `decayed_fidelity`, to a part in 1e9.
    """
    _check_share("fidelity", fidelity)
    _check_share("threshold", threshold)
    if fidelity <= threshold:
        return 0.0
    if math.isinf(near.t1_s) and math.isinf(far.t1_s):
        in_plane, along_z = _own_correlators(fidelity, phase_share)
        rate_hz = 1 / near.t2_s + 1 / far.t2_s
        left = 4 * threshold - 1 - along_z
        if left <= 1e-12 or rate_hz == 0:
            return math.inf
        return math.log(2 * in_plane / left) / rate_hz

    correlators_ = _own_correlators(fidelity, phase_share)

    def below(times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(_decayed(*correlators_, times_s, near, far, state) <= threshold)

    times_s = [near.t1_s, near.t2_s, far.t1_s, far.t2_s]
    longest_s = max(t for t in times_s if not math.isinf(t))
    # The fidelity may rise again when both halves settle in |00>, so the first crossing is sought:
    # on a coarse grid, and on ever finer ones between two points of it.
    grid_s = np.geomspace(1e-6 * min(times_s), 60 * longest_s, 2000)
    under = below(grid_s)
    if not under.any():
        return math.inf
    first = int(np.argmax(under))
    low_s, high_s = float(grid_s[first - 1]) if first else 0.0, float(grid_s[first])
    while high_s - low_s > 1e-10 * high_s:
        grid_s = np.linspace(low_s, high_s, 65)[1:]
        first = int(np.argmax(below(grid_s)))
        low_s, high_s = float(grid_s[first - 1]) if first else low_s, float(grid_s[first])
    return low_s


def _own_correlators(fidelity: float, phase_share: float) -> tuple[float, float]:
    """Correlators along X (or Y) and Z, in the sign of the pair's own Bell state."""
    phase = (1 - fidelity) * phase_share
    flip = (1 - fidelity) * (1 - phase_share)
    return fidelity - phase, fidelity + phase - flip
