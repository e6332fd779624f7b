"""What kind of noise a clock shows, and how much a stability estimate is worth for it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOISE_NAMES = {
    2: "white phase",
    1: "flicker phase",
    0: "white frequency",
    -1: "flicker frequency",
    -2: "random walk frequency",
}
"""By the exponent alpha of the spectrum of fractional frequency, S_y ~ f^alpha."""

_LEAST_POINTS = 30


def noise_exponent(phase: Floats, factor: int) -> int | None:
    """Alpha, from -2 to 2, of the noise that dominates at averaging factor `factor`.

    From the lag-1 autocorrelation of the phase taken at every factor-th point: Riley, Greenhall
    2004, "Power law noise identification using the lag 1 autocorrelation", EFTF. None where fewer
    than 30 points are left, or a point is not known.
    """
    z = phase[::factor]
    if len(z) < _LEAST_POINTS or not np.isfinite(z).all():
        return None
    # The straight line is offset and skew, no noise.
    at = np.arange(len(z), dtype=np.float64)
    z = z - np.polyval(np.polyfit(at, z, 1), at)
    for differences in range(3):
        centred = z - z.mean()
        power = float(centred @ centred)
        if power == 0:
            return None
        r1 = float(centred[:-1] @ centred[1:]) / power
        delta = r1 / (1 + r1) if r1 > -1 else -math.inf
        if delta < 0.25 or differences == 2:
            return min(2, max(-2, round(2 - 2 * (delta + differences))))
        z = np.diff(z)
    raise AssertionError("the second difference always ends the loop")


def degrees_of_freedom(alpha: int, points: int, factor: int, *, modified: bool) -> float:
    """Equivalent degrees of freedom of an overlapping Allan variance of `points` phase values.

    Greenhall, Riley 2003, "Uncertainty of stability variances based on finite differences", 35th
    PTTI, equations 7 to 12, with the full sum over lags; `modified` for MVAR and TVAR. ValueError
    where the points do not suffice for one estimate.
    """
    span = 3 * factor if modified else 2 * factor + 1
    if points < span:
        raise ValueError(
            f"degrees_of_freedom: found {points} points, expected at least {span} at an averaging "
            f"factor of {factor}"
        )
    stride, terms = factor, 1 + points - span
    # The paper averages the phase over a step; ours are instants, which slow noise has a limit for.
    filtering = 1.0 if modified else math.inf if alpha <= 0 else float(factor)
    lags = min(terms, 3 * stride)
    j = np.arange(lags + 1, dtype=np.float64)
    z = _second_difference(j / stride, filtering, alpha)
    # The sum over all lags, each with the number of pairs of terms so far apart.
    total = z[0] ** 2 + 2 * float(np.sum((1 - j[1:lags] / terms) * z[1:lags] ** 2))
    total += (1 - lags / terms) * z[lags] ** 2
    return float(terms * z[0] ** 2 / total)


def _second_difference(t: Floats, filtering: float, alpha: int) -> Floats:
    """Autocovariance of second differences of the filtered phase: function s_z of the paper."""

    def x(at: Floats) -> Floats:
        if math.isinf(filtering):
            return _structure(at, alpha + 2)
        step = 1 / filtering
        return filtering**2 * (
            2 * _structure(at, alpha) - _structure(at - step, alpha) - _structure(at + step, alpha)
        )

    return 6 * x(t) - 4 * x(t - 1) - 4 * x(t + 1) + x(t - 2) + x(t + 2)


def _structure(t: Floats, alpha: int) -> Floats:
    """The function s_w of the paper: a generalised autocovariance of integrated phase noise."""
    size = np.abs(t)
    if alpha % 2:
        power = 3 - alpha
        sign = -1.0 if alpha == -1 else 1.0
        log = np.log(np.where(size > 0, size, 1.0))
        return sign * size**power * log
    return (1.0 if alpha == 0 else -1.0) * size ** (3 - alpha)
