"""How steady a clock is: Allan, modified Allan and time deviation, with confidence intervals.

Phase x is the time error of a clock against another, fractional frequency y its derivative. For
N phase values x_k taken every tau_0, an averaging factor m and tau = m tau_0 (NIST Special
Publication 1065, equations 11, 14 and 15):

- ADEV^2 = mean of (x_{k+2m} - 2 x_{k+m} + x_k)^2 over all k, / (2 tau^2): overlapping;
- MDEV^2 = mean of the square of the mean over m neighbours of the same, / (2 tau^2);
- TDEV = tau MDEV / sqrt(3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from timing.chi_squared import chi_squared_quantile
from timing.noise_type import Floats, degrees_of_freedom, noise_exponent

Kind = Literal["adev", "mdev", "tdev"]
Taus = Literal["octave", "decade", "all"]
Gaps = Literal["refuse", "skip"]

ONE_SIGMA = math.erf(1 / math.sqrt(2))
_MOST_ALL = 10_000


@dataclass(frozen=True, slots=True)
class StabilityPoint:
    """A deviation at one averaging time: ADEV and MDEV without unit, TDEV in the unit of x.

    `terms` is the number of second differences it is the mean of. `low` and `high` bound the true
    value with the confidence that was asked for, by chi-squared with `degrees` of freedom of noise
    of exponent `alpha` (see `timing.noise_type`); `alpha` is the next shorter one's where the data
    are too short to tell, and without any the bounds are those of white frequency noise.
    """

    tau_s: float
    deviation: float
    terms: int
    low: float
    high: float
    degrees: float
    alpha: int | None


def phase_of_frequency(frequency: Floats, tau0_s: float) -> Floats:
    """Phase in seconds, one value more, of fractional frequencies averaged over `tau0_s` each.

    ValueError for a value that is not known: what phase lies behind a gap, frequency cannot tell.
    """
    unknown = np.flatnonzero(~np.isfinite(frequency))
    if len(unknown):
        raise ValueError(
            f"phase_of_frequency: frequency[{unknown[0]}] is not known, expected no gaps; give "
            "phase data, whose gaps can be skipped, or the longest piece without a gap"
        )
    return np.concatenate(([0.0], np.cumsum(frequency) * tau0_s))


def averaging_factors(points: int, taus: Taus | Iterable[int], kind: Kind) -> list[int]:
    """The averaging factors at which so many phase values give an estimate, ascending.

    `octave` 1, 2, 4, ..., `decade` 1, 2, 5, 10, ..., `all` every one up to 10000; or those given.
    """
    most = (points - 1) // 2 if kind == "adev" else points // 3
    if not isinstance(taus, str):
        wanted: Iterable[int] = sorted(set(taus))
    elif taus == "octave":
        wanted = (2**k for k in range(64))
    elif taus == "decade":
        wanted = (step * 10**k for k in range(19) for step in (1, 2, 5))
    elif taus == "all":
        wanted = range(1, min(most, _MOST_ALL) + 1)
    else:
        raise ValueError(f"averaging_factors: found {taus!r}, expected octave, decade or all")
    return [factor for factor in wanted if 1 <= factor <= most]


def stability(
    phase: Floats,
    tau0_s: float,
    kind: Kind = "adev",
    taus: Taus | Iterable[int] = "octave",
    *,
    gaps: Gaps = "refuse",
    confidence: float = ONE_SIGMA,
) -> list[StabilityPoint]:
    """The deviation of phase values taken every `tau0_s`, seconds, for a row of averaging times.

    `phase` float64 (n,), in seconds (or any unit of time for TDEV alone). A value that is not
    finite is a gap: refused with its place, or, with gaps="skip", every difference that needs it is
    left out. Averaging times at which nothing is left are not in the result. Raises ValueError.
    """
    if phase.ndim != 1 or not tau0_s > 0 or not 0 < confidence < 1:
        raise ValueError(
            f"stability: found phase of shape {phase.shape}, tau0 {tau0_s} s and confidence "
            f"{confidence}, expected one row, a positive time and a share between 0 and 1"
        )
    unknown = np.flatnonzero(~np.isfinite(phase))
    if len(unknown) and gaps == "refuse":
        raise ValueError(
            f"stability: phase[{unknown[0]}] is a gap, one of {len(unknown)}; expected none, or "
            'gaps="skip"'
        )
    # A common offset would only cost digits.
    phase = phase - (np.nanmean(phase) if len(unknown) < len(phase) else 0.0)
    points: list[StabilityPoint] = []
    alpha: int | None = None
    for factor in averaging_factors(len(phase), taus, kind):
        terms = _second_differences(phase, factor, averaged=kind != "adev")
        if not len(terms):
            continue
        tau_s = factor * tau0_s
        value = math.sqrt(float(terms @ terms) / len(terms) / 2) / tau_s
        if kind == "tdev":
            value *= tau_s / math.sqrt(3)
        told = noise_exponent(phase, factor)
        alpha = alpha if told is None else told
        whole = len(phase) - 2 * factor if kind == "adev" else len(phase) - 3 * factor + 1
        degrees = degrees_of_freedom(
            0 if alpha is None else alpha, len(phase), factor, modified=kind != "adev"
        )
        degrees = max(1.0, degrees * len(terms) / whole)
        low, high = (
            value * math.sqrt(degrees / chi_squared_quantile(share, degrees))
            for share in ((1 + confidence) / 2, (1 - confidence) / 2)
        )
        points.append(StabilityPoint(tau_s, value, len(terms), low, high, degrees, alpha))
    return points


def _second_differences(phase: Floats, factor: int, *, averaged: bool) -> Floats:
    """The known second differences over 2 factor, or their means over `factor` neighbours."""
    terms: Floats = phase[2 * factor :] - 2 * phase[factor:-factor] + phase[: -2 * factor]
    if averaged and factor > 1:
        known = np.isfinite(terms)
        total = np.concatenate(([0.0], np.cumsum(np.where(known, terms, 0.0))))
        count = np.concatenate(([0], np.cumsum(known)))
        means = (total[factor:] - total[:-factor]) / factor
        whole: Floats = means[count[factor:] - count[:-factor] == factor]
        return whole
    return terms[np.isfinite(terms)]
