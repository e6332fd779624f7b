"""How a link's errors may move: the regimes that the fidelity estimation unit holds possible."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from link_layer.feu_beta import Floats


@dataclass(frozen=True, slots=True)
class Regime:
    """A way in which the errors r may move, and how likely it is to begin with.

    Each basis has a speed dr/dt, drawn with a standard deviation `speed` a second in X and Y and
    `speed * along_z` in Z, correlated by `together`; it is another one after about `steady_s`.
    Besides, arcsin sqrt(r) of each basis walks at random by `diffusion` per square root of a
    second. A link stays in the regime for about `lasts_s`.
    """

    weight: float
    diffusion: float = 0.0
    speed: float = 0.0
    along_z: float = 1.0
    together: float = 0.8
    steady_s: float = math.inf
    lasts_s: float = 18_000.0

    def speeds(self) -> Floats:
        """Covariance of the three speeds."""
        alike = np.full((3, 3), self.together) + (1 - self.together) * np.eye(3)
        scale = self.speed * np.array([1.0, 1.0, self.along_z])
        return np.asarray(alike * np.outer(scale, scale))


STRAIGHT = 1e-4
"""Standard deviation of a steady speed, a second: F by 0.09 in ten minutes."""


def regimes() -> tuple[Regime, ...]:
    """Those of a link of which nothing is known.

    None of them rests. An interval that holds for a link which drifts too slowly to be told from
    one at rest cannot be narrower than that of a straight line: docs/decisions/0025.
    """
    walks = (
        Regime(0.03, 1.5e-3),
        Regime(0.02, 5e-3),
        # A link does not move like this for long.
        Regime(0.02, 1.5e-2, lasts_s=60.0),
    )
    drifts = tuple(
        Regime(weight / 2, speed=speed, along_z=along_z, steady_s=steady_s)
        for weight, speed, steady_s in (
            (0.40, STRAIGHT, math.inf),
            (0.45, 2e-4, 150.0),
            (0.08, 4e-4, 200.0),
        )
        for along_z in (0.0, 1.0)
    )
    return (*walks, *drifts)
