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
    With a `period_s` it swings instead about a middle that is its own, with a damping and a drive
    that keep the size of its swings. Besides, arcsin sqrt(r) of each basis walks at random by
    `diffusion` per square root of a second. A link stays in the regime for about `lasts_s`.

    An interval relies on it as if its weight were `trust` times as large, over the `price`-th
    power of the rounds that the most trusted one holds to speak of the present: what foretells from
    fewer unknowns gains by each round, whether it is right or not quite wrong enough to be noticed.
    And it makes the interval `width` times as wide as it says alone: a mixture is wider than its
    parts, and what is trusted most moves faster than links do.
    """

    weight: float
    diffusion: float = 0.0
    speed: float = 0.0
    along_z: float = 1.0
    together: float = 0.8
    steady_s: float = math.inf
    period_s: float = math.inf
    lasts_s: float = 5_000.0
    trust: float = 1.0
    price: float = 0.0
    width: float = 1.0

    @property
    def swings(self) -> bool:
        """It goes to and fro."""
        return self.period_s < math.inf

    def speeds(self) -> Floats:
        """Covariance of the three speeds."""
        alike = np.full((3, 3), self.together) + (1 - self.together) * np.eye(3)
        scale = self.speed * np.array([1.0, 1.0, self.along_z])
        return np.asarray(alike * np.outer(scale, scale))

    def aways(self) -> Floats:
        """Covariance of the three distances from the middle."""
        per_speed_s = self.period_s / (2 * math.pi) if self.swings else 0.0
        return self.speeds() * per_speed_s**2

    def moves(self, seconds: float) -> tuple[Floats, Floats]:
        """How a time moves (error, speed, distance from the middle) of a basis, (3, 3), and the
        covariance that it adds, over the variance of the speed."""
        return self._swung(seconds) if self.swings else self._gone(seconds)

    def _gone(self, seconds: float) -> tuple[Floats, Floats]:
        turned = max(seconds / self.steady_s, 1e-9)
        kept, far_s = math.exp(-turned), seconds * -math.expm1(-turned) / turned
        moved = np.array([[1.0, far_s, 0.0], [0.0, kept, 0.0], [0.0, 0.0, 0.0]])
        return moved, np.diag([0.0, 1 - kept**2, 0.0])

    def _swung(self, seconds: float) -> tuple[Floats, Floats]:
        turning = 2 * math.pi / self.period_s
        damped, free = DAMPING * turning, math.sqrt(1 - DAMPING**2) * turning
        left = math.exp(-damped * seconds)
        cos, sin = left * math.cos(free * seconds), left * math.sin(free * seconds) / free
        # Of (distance, speed), whose variances stay as they are.
        step = np.array([[cos + damped * sin, sin], [-(turning**2) * sin, cos - damped * sin]])
        rest = np.diag([1 / turning**2, 1.0])
        added = rest - step @ rest @ step.T
        moved = np.array(
            [
                [1.0, step[0, 1], step[0, 0] - 1],  # the error goes as far as the distance does
                [0.0, step[1, 1], step[1, 0]],
                [0.0, step[0, 1], step[0, 0]],
            ]
        )
        of = [0, 1, 0]
        return moved, added[np.ix_(of, of)]


DAMPING = 0.3
"""Of a swing, over the critical one: no lab's is a sine for long, nor of a known period."""


def regimes() -> tuple[Regime, ...]:
    """Those of a link of which nothing is known, see docs/decisions/0033 and 0045."""
    at_random = (
        Regime(0.15, trust=16.0, price=0.7, width=0.75),
        Regime(0.03, 8e-4, trust=0.5),
        Regime(0.04, 2e-3, trust=0.5),
        Regime(0.04, 5e-3, trust=20.0),
        # A link does not move like this for long.
        Regime(0.02, 1.5e-2, lasts_s=60.0),
    )
    # What an interval relies on until something else has done better by far: whatever a link does,
    # for some minutes it is nearly a line, or a part of a swing.
    relied_on = (
        Regime(0.025, 0.0, 4e-4, steady_s=200.0, trust=270.0, width=0.86),
        Regime(0.15, 5e-4, 2.4e-4, period_s=1000.0, trust=25.0, width=0.91),
    )
    others = (
        Regime(0.025, 0.0, 4e-4, along_z=0.0, steady_s=200.0),
        Regime(0.15, 5e-4, 2.4e-4, along_z=0.0, period_s=1000.0),
        *(
            Regime(weight, diffusion, speed, along_z, steady_s=steady_s, period_s=period_s)
            for weight, diffusion, speed, steady_s, period_s in (
                (0.075, 3e-4, 1e-4, 900.0, math.inf),
                (0.05, 4e-4, 5e-5, math.inf, 4500.0),
                (0.175, 5e-4, 1.4e-4, math.inf, 1800.0),
            )
            for along_z in (0.0, 1.0)
        ),
    )
    return (*at_random, *relied_on, *others)
