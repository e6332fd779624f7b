"""The beta distribution, for the fidelity estimation unit: its normalisation and its quantiles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CELLS = 96
REACH = 6.0
"""A distribution is tabled to this many standard deviations from its mean."""

LEAST_A = 1 / 3
"""Of the prior; beta distributions with less are all but a spike at zero with a long tail."""

_EDGES = np.linspace(0.0, 1.0, CELLS + 1)
_SCORES = np.linspace(-REACH, REACH, 1025)
_BELOW = np.array([math.erfc(-each / math.sqrt(2)) / 2 for each in _SCORES])


def log_beta(a: Floats, b: Floats) -> Floats:
    """Logarithm of the beta function of positive numbers, to 1e-9."""
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b)


def log_gamma(x: Floats) -> Floats:
    """Logarithm of the gamma function of positive numbers: Stirling's series six steps on."""
    product = x.copy()
    for step in range(1, 6):
        product *= x + step
    far = x + 6
    inverse = 1 / far
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))
    half_log = math.log(2 * math.pi) / 2
    found: Floats = (far - 0.5) * np.log(far) - far + half_log + series - np.log(product)
    return found


def _below(scores: Floats) -> Floats:
    """The share of a normal distribution below these scores, from the table."""
    # The scores of the table are even: the place in it need not be looked for.
    place = np.clip((scores + REACH) * ((_SCORES.size - 1) / (2 * REACH)), 0, _SCORES.size - 1)
    left = np.minimum(place.astype(np.intp), _SCORES.size - 2)
    found: Floats = _BELOW[left] + (place - left) * (_BELOW[left + 1] - _BELOW[left])
    return found


def bounded(means: Floats, spread: Floats) -> Floats:
    """Means of beta distributions with a standard deviation of `spread`: one too near to 0 for it
    is moved up until a is that of the prior."""
    return np.asarray(np.clip(means, math.sqrt(LEAST_A) * spread, 1 - 1e-6))


def quantiles(means: Floats, variances: Floats, ends: Sequence[int], scores: Floats) -> Floats:
    """Of beta distributions with these means and variances, (rows, n), where a normal one has these
    scores, (rows, samples): the k-th of a row for those from `ends[k]` to `ends[k + 1]`. The means
    are `bounded`.
    """
    spread = np.sqrt(variances)
    means = bounded(means, spread)
    size = np.maximum(means * (1 - means) / variances - 1, 0.1)
    # In theta = arcsin sqrt(x) all are about as wide.
    middle = np.arcsin(np.sqrt(means))
    reach = REACH * spread / (2 * np.sqrt(means * (1 - means)))
    lowest, highest = np.maximum(0.0, middle - reach), np.minimum(math.pi / 2, middle + reach)
    edges = lowest[..., None] + (highest - lowest)[..., None] * _EDGES
    x = np.sin((edges[..., 1:] + edges[..., :-1]) / 2) ** 2
    a, b = (means * size)[..., None], ((1 - means) * size)[..., None]
    logs = (a - 0.5) * np.log(x) + (b - 0.5) * np.log1p(-x)
    below = np.zeros_like(edges)
    np.cumsum(np.exp(logs - logs.max(-1, keepdims=True)), axis=-1, out=below[..., 1:])
    below /= below[..., -1:]
    places = np.sin(edges) ** 2
    found = _below(scores)
    for row in range(found.shape[0]):
        for k, (first, last) in enumerate(itertools.pairwise(ends)):
            if first < last:
                part = found[row, first:last]
                part[:] = np.interp(part, below[row, k], places[row, k])
    return found
