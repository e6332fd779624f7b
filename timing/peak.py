"""A peak of correlated photons on a flat background: is it there, and where exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_tail(count: float, mean: float) -> float:
    """Logarithm of an upper bound of P(X >= count) for Poisson X; 0 where count <= mean.

    Chernoff bound: -(count ln(count/mean) - count + mean).
    """
    if count <= mean:
        return 0.0
    if mean <= 0:
        return -math.inf
    return -(count * math.log(count / mean) - count + mean)


@dataclass(frozen=True, slots=True)
class LineFit:
    """A Gaussian ridge x = position + slope t on a flat background.

    `pairs` is the number of points in the ridge. The covariance is that of (position, slope) and
    includes what the background costs.
    """

    position: float
    slope: float
    sigma: float
    pairs: float
    covariance: NDArray[np.float64]


def fit_line(
    x: Floats,
    t: Floats,
    *,
    width: float,
    position: float,
    sigma: float,
    weights: Floats | None = None,
    fit_slope: bool = True,
    fit_sigma: bool = True,
    least_sigma: float = 0.0,
    rounds: int = 60,
) -> LineFit | None:
    """Maximum-likelihood fit of a Gaussian ridge on a flat background; None if it collapses.

    Expectation-maximisation (Dempster, Laird, Rubin 1977) from the given position and sigma; the
    points lie in an interval of the given full width, all in the unit of x. `weights` are numbers
    of points, for binned data. Information: Louis 1982, J. R. Stat. Soc. B 44, 226.
    """
    many = np.ones_like(x) if weights is None else weights
    total = float(many.sum())
    if total < 3:
        return None
    slope, share = 0.0, 0.5
    scale = float(np.abs(t).max()) or 1.0
    u = t / scale
    # A Gaussian could collapse onto one point.
    narrowest = max(least_sigma, sigma * 1e-3)
    sigma = max(sigma, narrowest)
    member = np.zeros_like(x)
    for _ in range(rounds):
        residual = x - position - slope * u
        peak = share / (math.sqrt(2 * math.pi) * sigma) * np.exp(-0.5 * (residual / sigma) ** 2)
        member = peak / (peak + (1 - share) / width) * many
        pairs = float(member.sum())
        if pairs < 2:
            return None
        mean_u = _dot(member, u) / pairs
        mean_x = _dot(member, x) / pairs
        spread_u = _dot(member, (u - mean_u) ** 2)
        before = (position, slope, sigma)
        if fit_slope and spread_u > 0:
            slope = _dot(member, (u - mean_u) * (x - mean_x)) / spread_u
        position = mean_x - slope * mean_u
        if fit_sigma:
            squares = _dot(member, (x - position - slope * u) ** 2)
            sigma = max(narrowest, math.sqrt(squares / pairs))
        share = min(pairs / total, 1 - 1e-9)
        moved = abs(position - before[0]) + abs(slope - before[1]) + abs(sigma - before[2])
        if moved < 1e-5 * sigma:
            break
    residual = (x - position - slope * u) / sigma
    probability = member / np.maximum(many, 1e-300)
    gain = member * (1 - (1 - probability) * residual**2) / sigma**2
    information = np.array(
        [[gain.sum(), _dot(gain, u)], [_dot(gain, u), _dot(gain, u * u)]]
        if fit_slope
        else [[gain.sum()]]
    )
    if np.linalg.eigvalsh(information)[0] <= 0:
        return None
    inverse = np.linalg.inv(information)
    covariance = np.zeros((2, 2))
    covariance[: len(inverse), : len(inverse)] = inverse
    unscale = np.array([1.0, 1 / scale])
    return LineFit(
        position=position,
        slope=slope / scale,
        sigma=sigma,
        pairs=float(member.sum()),
        covariance=covariance * np.outer(unscale, unscale),
    )


def _dot(a: Floats, b: Floats) -> float:
    # Not `a @ b`: a linear-algebra library would start threads for it, and they are in the way of
    # each other on a busy machine.
    return float(np.einsum("i,i->", a, b))
