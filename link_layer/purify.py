"""Purification: one better pair out of two, by local gates, one measurement at each end, and two
words between them.

Both pairs are near Phi+. Each end applies CNOT from the half that is kept onto the half that is
spent and measures the latter in Z. Equal outcomes say that the pairs have the same parity along Z,
so an error that flips it in one of them is found (DEJMPS: Deutsch et al., Phys. Rev. Lett. 77, 2818
(1996)). Which axis is checked is a choice: turning both ends first puts another of the three
correlators along Z. Taking both outcomes 1 only (EPL: Campbell and Benjamin, Phys. Rev. Lett. 101,
130502 (2008); Kalb et al., Science 356, 928 (2017)) costs half the yield, and rejects in addition
any two pairs of which each has both emitters bright, the error of a single click.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from link_layer.messages import Basis, PurifyMethod
from link_layer.states import Coherence

Floats = NDArray[np.float64] | float
"""A number, or many of them at once, such as samples of what is believed."""

THRESHOLD = 0.5
"""At or below this fidelity no purification helps: the pair need not be entangled."""

TURNS: dict[Basis, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Z": ((), ()),
    "X": (("H",), ("H",)),
    "Y": (("S", "H"), ("SDG", "H")),
}
"""Gates at the leading and the following end that put the correlator of an axis along Z. One is the
complex conjugate of the other, which leaves Phi+ as it is."""

_REPORTED: dict[PurifyMethod, tuple[tuple[int, int], ...]] = {
    "dejmps": ((0, 0), (1, 1)),
    "epl": ((1, 1),),
}


def accepts(method: PurifyMethod, near: int, far: int) -> bool:
    """Whether the kept pair is better for these two outcomes; else it is dropped."""
    return (near, far) in _REPORTED[method]


@dataclass(frozen=True, slots=True)
class PairState:
    """What is believed of a pair near Phi+.

    `x`, `y`, `z` are its correlators in the sign of Phi+, so that F = (1 + x + y + z)/4; `tilt` is
    P(10) - P(01), the leading end first: pairs of one click in which both emitters were bright
    contradict Phi+ one way only.
    """

    x: Floats
    y: Floats
    z: Floats
    tilt: Floats = 0.0

    @property
    def fidelity(self) -> Floats:
        """F to Phi+."""
        return (1 + self.x + self.y + self.z) / 4

    @property
    def even(self) -> Floats:
        """P(00) + P(11)."""
        return (1 + self.z) / 2

    @property
    def outer(self) -> Floats:
        """Coherence between 00 and 11."""
        return (self.x + self.y) / 4

    @property
    def inner(self) -> Floats:
        """Coherence between 01 and 10."""
        return (self.x - self.y) / 4

    def population(self, near: int, far: int) -> Floats:
        """Probability of these outcomes along Z."""
        if near == far:
            return self.even / 2
        return ((1 - self.z) / 2 + (near - far) * self.tilt) / 2

    def shrunk(self, kept: float) -> PairState:
        """After depolarising that leaves this share of the correlators."""
        return PairState(self.x * kept, self.y * kept, self.z * kept, self.tilt * kept)

    def turned(self, axis: Basis) -> PairState:
        """After the `TURNS` of an axis; the tilt, which is one along Z, is then none."""
        if axis == "Z":
            return self
        if axis == "X":
            return PairState(self.z, self.y, self.x)
        return PairState(self.z, self.x, self.y)

    def depolarised(self, left: float) -> PairState:
        """With this share of every correlator left."""
        return PairState(self.x * left, self.y * left, self.z * left, self.tilt * left)

    def aged(self, time_s: float, near: Coherence, far: Coherence) -> PairState:
        """After its halves were stored for a time: damping and dephasing, as in
        `link_layer.states.decayed_fidelity`; what relaxation adds to the tilt is left out."""
        near_z, near_xy = near.kept(time_s)
        far_z, far_xy = far.kept(time_s)
        settled = (1 - near_z) * near.rest_z * (1 - far_z) * far.rest_z
        left = near_z * far_z
        in_plane = near_xy * far_xy
        return PairState(
            self.x * in_plane, self.y * in_plane, self.z * left + settled, self.tilt * left
        )


@dataclass(frozen=True, slots=True)
class Errors:
    """Of the operations at both ends: depolarising probability of a one-qubit gate and of CNOT, and
    probability of a wrong outcome, each as (leading end, following end)."""

    gate: tuple[float, float] = (0.0, 0.0)
    cnot: tuple[float, float] = (0.0, 0.0)
    readout: tuple[float, float] = (0.0, 0.0)


NO_ERRORS = Errors()


@dataclass(frozen=True, slots=True)
class Purified:
    """What two pairs become: the probability that the outcomes are accepted, and the pair then."""

    probability: Floats
    state: PairState

    @property
    def pairs_per_pair(self) -> Floats:
        """Yield: pairs that come out for each that goes in."""
        return self.probability / 2


def purified(
    keep: PairState,
    spend: PairState,
    method: PurifyMethod,
    axis: Basis = "Z",
    errors: Errors = NO_ERRORS,
) -> Purified:
    """The map of one round, exact for pairs with these correlators and tilts.

    For true outcomes (m, n) the kept pair is the product, element by element, of its density matrix
    and that of the spent one with its halves flipped by m and n.
    """
    near_turns, far_turns = TURNS[axis]
    left = (1 - errors.gate[0]) ** len(near_turns) * (1 - errors.gate[1]) ** len(far_turns)
    one, two = (each.turned(axis).depolarised(left) for each in (keep, spend))
    populations = {(i, j): two.population(i, j) for i in (0, 1) for j in (0, 1)}
    total: Floats = 0.0
    even: Floats = 0.0
    tilt: Floats = 0.0
    inner: Floats = 0.0
    outer: Floats = 0.0
    for m, n in populations:
        share = _reported(method, (m, n), errors.readout)
        both = one.even / 2 * (populations[m, n] + populations[1 - m, 1 - n])
        ten = one.population(1, 0) * populations[1 - m, n]
        zero_one = one.population(0, 1) * populations[m, 1 - n]
        of_two = (two.outer, two.inner) if m == n else (two.inner, two.outer)
        total = total + share * (both + ten + zero_one)
        even = even + share * both
        tilt = tilt + share * (ten - zero_one)
        outer = outer + share * one.outer * of_two[0]
        inner = inner + share * one.inner * of_two[1]
    x, y = 2 * (outer + inner), 2 * (outer - inner)
    z = 2 * even - total
    # A depolarised CNOT makes its outcome a coin and the kept half white. (The other end's outcome
    # is taken for a coin too, which it is not quite if both pairs are tilted.)
    kept = (1 - errors.cnot[0]) * (1 - errors.cnot[1])
    white = (1 - kept) * len(_REPORTED[method]) / 4
    probability = kept * total + white
    state = PairState(*(kept * each / probability for each in (x, y, z, tilt)))
    return Purified(probability, state)


def _reported(method: PurifyMethod, true: tuple[int, int], readout: tuple[float, float]) -> float:
    """Probability that the ends report outcomes that are accepted."""
    return math.fsum(
        math.prod(
            1 - error if told == is_ else error
            for told, is_, error in zip(reported, true, readout, strict=True)
        )
        for reported in _REPORTED[method]
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """How two pairs are made one, with what is expected of it; `setting` is the index of the link's
    setting, where there was a choice."""

    method: PurifyMethod
    axis: Basis
    probability: float
    fidelity: float
    setting: int = 0

    @property
    def raw_per_pair(self) -> float:
        """Pairs that go in for each that comes out."""
        return 2 / self.probability


def ways(method: PurifyMethod | None = None) -> list[tuple[PurifyMethod, Basis]]:
    """All methods with the axes they may check, or those of one method."""
    dejmps: list[tuple[PurifyMethod, Basis]] = [("dejmps", axis) for axis in TURNS]
    return [each for each in (*dejmps, ("epl", "Z")) if method in (None, each[0])]


def gates_for(method: PurifyMethod | None) -> tuple[str, ...]:
    """Gates that a device needs at either end for a method, or for whichever is best."""
    turns = {gate for _, axis in ways(method) for ends in TURNS[axis] for gate in ends}
    return ("CNOT", *sorted(turns))


def chosen(
    keep: PairState,
    spend: PairState,
    errors: Errors,
    fidelity: float,
    method: PurifyMethod | None = None,
    pace: NDArray[np.float64] | None = None,
) -> Recipe | str:
    """The recipe with the highest yield that reaches a fidelity; a text: why none does.

    The states may hold many numbers, one for each setting of the link; `pace` is then how fast each
    makes pairs.
    """
    worst = float(np.max(np.minimum(keep.fidelity, spend.fidelity)))
    if worst <= THRESHOLD:
        return f"pairs of fidelity {worst:.3f} cannot be purified, which takes more than 0.5"
    best: Recipe | None = None
    best_pace = highest = 0.0
    by = ""
    for each, axis in ways(method):
        round_ = purified(keep, spend, each, axis, errors)
        reached = np.atleast_1d(round_.state.fidelity)
        probability = np.atleast_1d(round_.probability)
        paces = np.where(reached >= fidelity, probability * (1.0 if pace is None else pace), 0.0)
        at = int(np.argmax(paces))
        if paces[at] > best_pace:
            best_pace = float(paces[at])
            best = Recipe(each, axis, float(probability[at]), float(reached[at]), at)
        if reached.max() > highest:
            highest, by = float(reached.max()), each
    if best is not None:
        return best
    gain = "no better" if highest <= worst else f"{highest:.3f} by {by}"
    return f"two pairs of fidelity {worst:.3f} make one of {gain}, {fidelity:.3f} is asked"


TILTS_KEPT = 2000.0
"""Rounds after which older ones count for half or less."""


class TiltCount:
    """How one-sided the contradictions in Z are: (P(10) - P(01))/(P(10) + P(01)), from test rounds.

    It is claimed only as far as it is sure, since an error taken for one-sided that is not would be
    one that EPL does not reject.
    """

    def __init__(self) -> None:
        self._ten = self._one = 0.0

    def add(self, near: int, far: int) -> None:
        """Outcomes of one test round in Z, as of Phi+, the leading end's first."""
        if near == far:
            return
        kept = 1 - 1 / TILTS_KEPT
        self._ten = self._ten * kept + near
        self._one = self._one * kept + far

    @property
    def ratio(self) -> float:
        """-1 to 1; 0 until the rounds show more. Two standard errors nearer to 0 than seen."""
        total = self._ten + self._one
        if total == 0:
            return 0.0
        seen = (self._ten - self._one) / (total + 2)
        sure = abs(seen) - 2 * math.sqrt((1 - seen * seen) / (total + 2))
        return math.copysign(max(0.0, sure), seen)

    def on(self, pair: PairState) -> PairState:
        """The pair with this share of its contradictions one-sided."""
        return replace(pair, tilt=self.ratio * (1 - pair.z) / 2)
