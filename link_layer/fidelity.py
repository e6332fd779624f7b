"""The fidelity of a link from test rounds: correlators, accidentals, readout errors, error bars."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from link_layer.states import BellState, correlator_sign

BASES = ("X", "Y", "Z")
Counts2x2 = NDArray[np.int64]
"""Counts by outcome, rows local, columns remote; 0 is the +1 eigenstate."""

_SAMPLES = 16_000

_PRIOR = 1 / 6
"""Jeffreys' half a count, shared by the three bases: their errors add up to one infidelity, and
half a count each would claim errors that near-perfect links do not have."""


@dataclass(frozen=True, slots=True)
class CorrelatorCounts:
    """Rounds of one basis in which the outcomes were the same or different.

    Accidentals are the numbers expected among them (counts of delayed windows over the number of
    windows); `accidental_*_variance` the variances of those numbers.
    """

    same: float = 0.0
    different: float = 0.0
    accidental_same: float = 0.0
    accidental_different: float = 0.0
    accidental_same_variance: float = 0.0
    accidental_different_variance: float = 0.0

    @property
    def total(self) -> float:
        """All rounds, accidentals included."""
        return self.same + self.different

    @property
    def raw(self) -> float:
        """E = (same - different)/(same + different), nothing subtracted; nan without counts."""
        return _ratio(self.same, self.different)

    @property
    def net(self) -> float:
        """E with the accidentals subtracted; nan where nothing is left."""
        return _ratio(self.same - self.accidental_same, self.different - self.accidental_different)

    @property
    def variance(self) -> float:
        """Variance of `net`: (1 - E^2)/N, and what the subtracted accidentals add.

        With few contradicting counts the variance of the Jeffreys posterior, which does not vanish
        at |E| = 1, is larger and taken instead.
        """
        same, different = self.same - self.accidental_same, self.different
        different -= self.accidental_different
        left = same + different
        if left <= 0:
            return math.inf
        poisson = 4 * (different**2 * self.same + same**2 * self.different) / left**4
        a, b = self.same + 0.5, self.different + 0.5
        jeffreys = 4 * a * b / ((a + b) ** 2 * (a + b + 1)) * (self.total / left) ** 2
        accidental = (
            4
            * (
                different**2 * self.accidental_same_variance
                + same**2 * self.accidental_different_variance
            )
            / left**4
        )
        return max(poisson, jeffreys) + accidental

    def plus(self, other: CorrelatorCounts) -> CorrelatorCounts:
        """Both together."""
        return CorrelatorCounts(
            self.same + other.same,
            self.different + other.different,
            self.accidental_same + other.accidental_same,
            self.accidental_different + other.accidental_different,
            self.accidental_same_variance + other.accidental_same_variance,
            self.accidental_different_variance + other.accidental_different_variance,
        )

    def flipped(self) -> CorrelatorCounts:
        """Same and different exchanged."""
        return CorrelatorCounts(
            self.different,
            self.same,
            self.accidental_different,
            self.accidental_same,
            self.accidental_different_variance,
            self.accidental_same_variance,
        )


def correlator_counts(
    counts: Counts2x2, delayed: Counts2x2 | None = None, windows: float = 0
) -> CorrelatorCounts:
    """From 2x2 counts, and the sum of 2x2 counts over delayed windows of which so many make what
    chance makes of the central one."""
    same, different = _split(counts)
    if delayed is None or windows < 1:
        return CorrelatorCounts(same, different)
    chance_same, chance_different = _split(delayed)
    return CorrelatorCounts(
        same,
        different,
        chance_same / windows,
        chance_different / windows,
        chance_same / windows**2,
        chance_different / windows**2,
    )


@dataclass(frozen=True, slots=True)
class FidelityEstimate:
    """F of a link to the Bell state it heralds, with one standard error and a 95 % interval.

    `value` has the accidentals subtracted and the readout errors undone where told; `raw_value` has
    not. `accidental_share` is that of accidentals among the counts; `counts` the rounds a basis.
    """

    value: float
    standard_error: float
    interval_low: float
    interval_high: float
    raw_value: float
    accidental_share: float
    counts: dict[str, int] = field(hash=False)


def estimate_fidelity(
    counts: dict[str, CorrelatorCounts],
    *,
    readout_error_a: float = 0.0,
    readout_error_b: float = 0.0,
    subtract_accidentals: bool = True,
) -> FidelityEstimate | None:
    """F = (1 + E_X + E_Y + E_Z)/4; "same" must mean "as the Bell state has it" in each basis.

    None while a basis is without counts: two correlators do not give a fidelity. A symmetric
    readout error e at each end shrinks a correlator by (1 - 2 e_a)(1 - 2 e_b), which is undone, and
    the error grown with it. The interval is the central 95 % of the posterior, from a prior of half
    a count in all, sampled with a fixed seed.
    """
    contrast = (1 - 2 * readout_error_a) * (1 - 2 * readout_error_b)
    if not 0 < contrast <= 1:
        raise ValueError(
            f"readout errors {readout_error_a} and {readout_error_b}: expected 0 to below 1/2"
        )
    used = [counts.get(basis, CorrelatorCounts()) for basis in BASES]
    if any(basis.total <= 0 for basis in used):
        return None
    plain = [CorrelatorCounts(basis.same, basis.different) for basis in used]
    if not subtract_accidentals:
        used = plain
    if any(math.isinf(basis.variance) for basis in used):
        return None
    rng = np.random.default_rng(20190214)
    samples = (1 + sum(_posterior(basis, rng) for basis in used) / contrast) / 4
    low, high = np.quantile(samples, [0.025, 0.975])
    total = sum(basis.total for basis in plain)
    chance = sum(
        counts[basis].accidental_same + counts[basis].accidental_different for basis in BASES
    )
    return FidelityEstimate(
        value=_clipped((1 + sum(basis.net for basis in used) / contrast) / 4),
        standard_error=math.sqrt(sum(basis.variance for basis in used)) / contrast / 4,
        interval_low=_clipped(float(low)),
        interval_high=_clipped(float(high)),
        raw_value=(1 + sum(basis.raw for basis in plain)) / 4,
        accidental_share=chance / total,
        counts={name: int(basis.total) for name, basis in zip(BASES, plain, strict=True)},
    )


class TestRounds:
    """Test rounds of one link, of any Bell state, towards the fidelity to the state heralded."""

    __test__ = False

    def __init__(self, *, readout_error_a: float = 0.0, readout_error_b: float = 0.0):
        self._readout = (readout_error_a, readout_error_b)
        self._counts = {basis: CorrelatorCounts() for basis in BASES}

    @property
    def counts(self) -> dict[str, CorrelatorCounts]:
        """By basis; "same" is what the heralded Bell state has."""
        return dict(self._counts)

    def add(self, basis: str, bell_state: BellState, outcome_a: int, outcome_b: int) -> None:
        """One round measured in the same basis, "X", "Y" or "Z", at both ends; outcomes 0 or 1."""
        if outcome_a not in (0, 1) or outcome_b not in (0, 1):
            raise ValueError(
                f"test round: found outcomes {outcome_a}, {outcome_b}, expected 0 or 1"
            )
        same = float(outcome_a == outcome_b)
        self._add(basis, bell_state, CorrelatorCounts(same, 1 - same))

    def add_counts(
        self,
        basis: str,
        bell_state: BellState,
        counts: Counts2x2,
        delayed: Counts2x2 | None = None,
        windows: float = 0,
    ) -> None:
        """Many rounds at once; see `correlator_counts`."""
        self._add(basis, bell_state, correlator_counts(counts, delayed, windows))

    def clear(self) -> None:
        """Forget all rounds: the link has changed."""
        self._counts = {basis: CorrelatorCounts() for basis in BASES}

    def estimate(self, *, subtract_accidentals: bool = True) -> FidelityEstimate | None:
        """The fidelity so far; None while a basis is without counts."""
        error_a, error_b = self._readout
        return estimate_fidelity(
            self._counts,
            readout_error_a=error_a,
            readout_error_b=error_b,
            subtract_accidentals=subtract_accidentals,
        )

    def _add(self, basis: str, bell_state: BellState, counts: CorrelatorCounts) -> None:
        if basis not in self._counts:
            raise ValueError(f"test round: found basis {basis!r}, expected one of {BASES}")
        expected = counts if correlator_sign(bell_state, basis) > 0 else counts.flipped()
        self._counts[basis] = self._counts[basis].plus(expected)


def _posterior(counts: CorrelatorCounts, rng: np.random.Generator) -> NDArray[np.float64]:
    """Samples of E: Beta for the outcomes, Gamma for the accidentals among them."""
    same = rng.beta(counts.same + _PRIOR, counts.different + _PRIOR, _SAMPLES)
    chance_same = _chance(counts.accidental_same, counts.accidental_same_variance, rng)
    chance_different = _chance(
        counts.accidental_different, counts.accidental_different_variance, rng
    )
    net_same = np.maximum(same * counts.total - chance_same, 0)
    net_different = np.maximum((1 - same) * counts.total - chance_different, 0)
    correlator: NDArray[np.float64] = (net_same - net_different) / np.maximum(
        net_same + net_different, 1e-12
    )
    return correlator


def _chance(mean: float, variance: float, rng: np.random.Generator) -> NDArray[np.float64]:
    if mean <= 0 or variance <= 0:
        return np.zeros(_SAMPLES)
    return rng.gamma(mean**2 / variance, variance / mean, _SAMPLES)


def _ratio(same: float, different: float) -> float:
    total = same + different
    return (same - different) / total if total > 0 else math.nan


def _split(counts: Counts2x2) -> tuple[float, float]:
    if counts.shape != (2, 2):
        raise ValueError(f"outcome counts: found shape {counts.shape}, expected (2, 2)")
    return float(counts[0, 0] + counts[1, 1]), float(counts[0, 1] + counts[1, 0])


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))
