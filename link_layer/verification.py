"""What the counts of a verification say of a link: correlators, F, QBER, CHSH, the whole state.

Every figure comes with a standard error. Nothing is subtracted from the counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from link_layer.fidelity import (
    CorrelatorCounts,
    FidelityEstimate,
    correlator_counts,
    estimate_fidelity,
)
from link_layer.states import CHSH_CLASSICAL_LIMIT, BellState, chsh, correlator_sign, qber
from link_layer.tomography import (
    BASES,
    SETTINGS,
    Counts,
    Density,
    Setting,
    concurrence,
    correlation_matrix,
    drawn_counts,
    likely_state,
    quick_state,
    state_fidelity,
)

RESAMPLED = 200
"""States drawn for the error bars of the tomography: they are good to a twentieth."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        if not math.isfinite(self.error) or self.error <= 0:
            return f"{self.value:.4f}"
        digits = max(0, 1 - math.floor(math.log10(self.error)))
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Verification:
    """The figures of one verification; None where the counts do not carry one.

    `chsh` is the largest S that the measured correlations allow: 2 sqrt(u1 + u2), u the eigenvalues
    of T^T T (Horodecki 1995); `significance` how many errors it lies above 2.
    """

    bell_state: BellState
    pairs: int
    correlators: dict[str, Figure]
    fidelity: FidelityEstimate | None
    qber: dict[str, Figure]
    chsh: Figure | None
    state: Density | None
    state_fidelity: Figure | None
    concurrence: Figure | None

    @property
    def significance(self) -> float | None:
        """How far S lies above the classical limit, in standard errors."""
        if self.chsh is None or self.chsh.error <= 0:
            return None
        return (self.chsh.value - CHSH_CLASSICAL_LIMIT) / self.chsh.error

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values; the state as real and imaginary parts."""

        def figure(each: Figure | None) -> list[float] | None:
            return None if each is None else [each.value, each.error]

        told: dict[str, Any] = {
            "bell_state": self.bell_state.name,
            "pairs": self.pairs,
            "correlators": {name: figure(each) for name, each in self.correlators.items()},
            "qber": {name: figure(each) for name, each in self.qber.items()},
            "chsh": figure(self.chsh),
            "significance": self.significance,
            "state_fidelity": figure(self.state_fidelity),
            "concurrence": figure(self.concurrence),
        }
        if self.fidelity is not None:
            told["fidelity"] = [self.fidelity.value, self.fidelity.standard_error]
            told["interval"] = [self.fidelity.interval_low, self.fidelity.interval_high]
        if self.state is not None:
            told["state"] = {"real": self.state.real.tolist(), "imag": self.state.imag.tolist()}
        return told


def assess(
    counts: Mapping[Setting, Counts],
    bell_state: BellState,
    rng: np.random.Generator,
    *,
    tomography: bool = True,
) -> Verification:
    """Everything that the counts of some settings say; the state only of all nine.

    `rng` draws the error bars of the tomography, which take seconds.
    """
    correlators = {
        f"{a}{b}": _correlator(counts[a, b])
        for a, b in SETTINGS
        if (a, b) in counts and counts[a, b].sum()
    }
    diagonal = {f"{basis}{basis}": correlators.get(f"{basis}{basis}") for basis in BASES}
    fidelity = None
    if all(diagonal.values()):
        fidelity = estimate_fidelity(
            {
                basis: _as_the_state_has_it(counts[basis, basis], bell_state, basis)
                for basis in BASES
            }
        )
    errors = {
        basis: Figure(qber(bell_state, basis, found.value), found.error / 2)
        for basis in BASES
        if (found := diagonal[f"{basis}{basis}"]) is not None
    }
    state = state_f = entangled = None
    largest = _chsh(correlators)
    if tomography and len(correlators) == len(SETTINGS):
        state, state_f, entangled, largest = _tomography(counts, bell_state, rng)
    return Verification(
        bell_state,
        int(sum(int(each.sum()) for each in counts.values())),
        correlators,
        fidelity,
        errors,
        largest,
        state,
        state_f,
        entangled,
    )


def _as_the_state_has_it(counts: Counts, bell_state: BellState, basis: str) -> CorrelatorCounts:
    """Counts of one basis where "same" means what the Bell state makes certain."""
    found = correlator_counts(counts)
    return found if correlator_sign(bell_state, basis) > 0 else found.flipped()


def _correlator(counts: Counts) -> Figure:
    total = int(counts.sum())
    value = float(counts[0, 0] + counts[1, 1] - counts[0, 1] - counts[1, 0]) / total
    # Jeffreys' half a count: the error of a perfect correlation is not nothing.
    share = (total * (1 + value) / 2 + 0.5) / (total + 1)
    return Figure(value, 2 * math.sqrt(share * (1 - share) / (total + 2)))


def _chsh(correlators: Mapping[str, Figure]) -> Figure | None:
    """From the correlators there are; those that are not count as zero, so S is a lower bound.

    The two largest singular directions decide, so with two correlators S = 2 sqrt(a^2 + b^2), whose
    error follows from theirs.
    """
    matrix = np.array(
        [
            [correlators[f"{a}{b}"].value if f"{a}{b}" in correlators else 0.0 for b in BASES]
            for a in BASES
        ]
    )
    errors = np.array(
        [
            [correlators[f"{a}{b}"].error if f"{a}{b}" in correlators else 0.0 for b in BASES]
            for a in BASES
        ]
    )
    if not correlators:
        return None
    value = chsh(matrix)
    slope = np.zeros((3, 3))
    step = 1e-4
    for i, j in np.ndindex(3, 3):
        moved = matrix.copy()
        moved[i, j] -= math.copysign(step, matrix[i, j])
        slope[i, j] = (value - chsh(moved)) / step
    return Figure(value, float(np.sqrt(((slope * errors) ** 2).sum())))


def _tomography(
    counts: Mapping[Setting, Counts],
    bell_state: BellState,
    rng: np.random.Generator,
) -> tuple[Density, Figure, Figure, Figure]:
    """The most likely state with its fidelity, concurrence and S; errors by drawing anew."""
    state = likely_state(counts)
    totals = {setting: int(counts[setting].sum()) for setting in SETTINGS}
    drawn = []
    for _ in range(RESAMPLED):
        again = quick_state(drawn_counts(state, totals, rng))
        drawn.append(
            (state_fidelity(again, bell_state), concurrence(again), chsh(correlation_matrix(again)))
        )
    spread = np.std(np.array(drawn), axis=0, ddof=1)
    values = (
        state_fidelity(state, bell_state),
        concurrence(state),
        chsh(correlation_matrix(state)),
    )
    fidelity, entangled, largest = (
        Figure(value, float(error)) for value, error in zip(values, spread, strict=True)
    )
    return state, fidelity, entangled, largest
