"""How strong a fault is at which instant: a level from 0 to 1 from its onset to its end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["GRADUAL", "RAMP_STEP_S", "Shape", "ShapeName"]

ShapeName = Literal["step", "ramp", "pulse", "periodic"]

GRADUAL: Final = frozenset({"ramp", "pulse"})
"""The shapes with levels between 0 and 1."""

RAMP_STEP_S: Final = 0.05
"""A level that changes gradually is set anew this often."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Times in seconds; `for_s` is infinite for a fault that stays.

    step: 1 from the onset to the end. ramp: rises evenly within `rise_s`, then stays. pulse: rises
    evenly to 1 in the middle and falls again. periodic: 1 in the first `duty` of each period.
    """

    name: ShapeName
    for_s: float
    rise_s: float = 0.0
    period_s: float = 0.0
    duty: float = 0.5

    def level(self, since_s: float) -> float:
        """How strong, so long after the onset."""
        if not 0.0 <= since_s < self.for_s:
            return 0.0
        match self.name:
            case "step":
                return 1.0
            case "ramp":
                return min(1.0, since_s / self.rise_s)
            case "pulse":
                return 1.0 - abs(2.0 * since_s / self.for_s - 1.0)
            case "periodic":
                turn = math.floor(since_s / self.period_s)
                return 1.0 if since_s - turn * self.period_s < self.duty * self.period_s else 0.0

    def next_change_s(self, since_s: float) -> float:
        """When the level is to be set next, after the onset; infinite for never."""
        soonest_s = self.for_s if since_s < self.for_s else math.inf
        if self.name == "periodic":
            turn = math.floor(since_s / self.period_s)
            for edge_s in (
                turn * self.period_s + self.duty * self.period_s,
                (turn + 1) * self.period_s,
            ):
                if edge_s > since_s:
                    return min(soonest_s, edge_s)
        if self.name == "pulse" or (self.name == "ramp" and since_s < self.rise_s):
            return min(soonest_s, since_s + RAMP_STEP_S)
        return soonest_s
