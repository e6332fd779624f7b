"""Paddles on a fibre: each is a loop of it, a wave plate that is turned about the fibre."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from sim_backends.analyzers import RotationStage
from sim_backends.drifts import rotation
from sim_backends.lab_parts import PaddlesConfig
from sim_backends.states import ComplexArray

__all__ = ["RANGE_DEG", "Paddles"]

RANGE_DEG: Final = 170.0
FASTEST_DEG_PER_S: Final = 400.0


class Paddles:
    """Polarization is turned by the first one first; they go from 0 to `RANGE_DEG`."""

    def __init__(self, config: PaddlesConfig, time_s: Callable[[], float]) -> None:
        self._retardances = [math.radians(each) for each in config.retardance_deg]
        self.stages = [
            RotationStage(time_s, speed_deg_per_s=FASTEST_DEG_PER_S, at_deg=at_deg)
            for at_deg in config.angles_deg
        ]
        self._seen: tuple[float, ...] = ()
        self._unitary = np.eye(2, dtype=np.complex128)

    def moving(self) -> bool:
        """True while any paddle moves."""
        return any(stage.moving() for stage in self.stages)

    def unitary(self) -> ComplexArray:
        """How polarization is turned now, (2, 2) on (H, V)."""
        angles = tuple(stage.position_deg() for stage in self.stages)
        if angles != self._seen:
            self._seen = angles
            self._unitary = np.eye(2, dtype=np.complex128)
            for angle, retardance in zip(angles, self._retardances, strict=True):
                # On the sphere (H is +z, D is +x) the axis goes round twice as far.
                twice = 2.0 * math.radians(angle)
                axis = (math.sin(twice), 0.0, math.cos(twice))
                self._unitary = rotation(axis, retardance) @ self._unitary
        return self._unitary
