"""Quantiles of the chi-squared distribution of any number of degrees of freedom."""

from __future__ import annotations

import math

_ROUNDS = 1000


def gamma_share(shape: float, x: float) -> float:
    """Regularised lower incomplete gamma function P(shape, x), to 1e-12 or so.

    Series below the mode, continued fraction by Lentz's method above: DLMF 8.7.1 and 8.9.2.
    """
    if x <= 0:
        return 0.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        for k in range(1, _ROUNDS):
            term *= x / (shape + k)
            total += term
            if term < 1e-16 * total:
                break
        return front * total
    b = x + 1 - shape
    c, d = 1e300, 1 / b
    fraction = d
    for k in range(1, _ROUNDS):
        a = -k * (k - shape)
        b += 2
        d = 1 / (a * d + b)
        c = b + a / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return 1 - front * fraction


def chi_squared_quantile(share: float, degrees: float) -> float:
    """The value that chi-squared of so many degrees of freedom stays below with this probability.

    ValueError for a share outside (0, 1) or degrees that are not positive.
    """
    if not 0 < share < 1 or not 0 < degrees < math.inf:
        raise ValueError(
            f"chi_squared_quantile: found share {share} of {degrees} degrees of freedom, expected "
            "a share between 0 and 1 and a positive number of degrees"
        )
    low, high = 0.0, max(1.0, degrees)
    while gamma_share(degrees / 2, high / 2) < share:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if gamma_share(degrees / 2, middle / 2) < share:
            low = middle
        else:
            high = middle
        if high - low < 1e-13 * high:
            break
    return (low + high) / 2
