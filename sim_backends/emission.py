"""How many pairs a pulse brings: thermal, Poissonian, and between, drawn only where seen."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["g2", "pair_visibility", "seen_pulses"]

_TAIL: Final = 1e-13


def g2(modes: float | None) -> float:
    """g2(0) of one arm of a pulsed pair source of `modes` equal thermal modes: 1 + 1/K.

    None is Poissonian (Christ, Laiho, Eckstein, Cassemiro, Silberhorn, New J. Phys. 13, 033027
    (2011)).
    """
    return 1.0 if modes is None else 1.0 + 1.0 / modes


def pair_visibility(mean_pairs: float, modes: float | None = None) -> float:
    """Visibility of coincidences within pulses of `mean_pairs`, by loss-free-limit counting.

    Of the coincidences a pulse, mu are of one pair and <n (n - 1)> = g2 mu^2 of two that are
    independent, of which half are wrong: V = 1/(1 + g2 mu), 1 - mu to first order for Poisson.
    """
    return 1.0 / (1.0 + g2(modes) * mean_pairs)


def seen_pulses(
    rng: np.random.Generator, pulses: int, mean_seen: float, modes: float | None
) -> npt.NDArray[np.int64]:
    """Index of the pulse of each pair that is seen, of `pulses` with `mean_seen` each, sorted.

    A negative binomial number of `modes` thermal modes stays one when pairs are lost, with the
    smaller mean, so that only pulses with something to see are drawn.
    """
    if modes is None:
        count = int(rng.poisson(pulses * mean_seen))
        return np.sort(rng.integers(0, pulses, count))
    ratio = mean_seen / (modes + mean_seen)
    empty = (modes / (modes + mean_seen)) ** modes
    lit = int(rng.binomial(pulses, 1.0 - empty))
    where = np.sort(rng.choice(pulses, lit, replace=False, shuffle=False))
    chances = [modes * ratio * empty]
    while chances[-1] > _TAIL * (1.0 - empty) and len(chances) < 10_000:
        n = len(chances) + 1
        chances.append(chances[-1] * ratio * (modes + n - 1) / n)
    limits = np.cumsum(chances) / math.fsum(chances)
    numbers = 1 + np.searchsorted(limits[:-1], rng.random(lit), side="right")
    return np.repeat(where, numbers)
