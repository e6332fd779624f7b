"""Squeezers on a fibre: each is a wave plate whose retardance follows its drive."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from sim_backends.drifts import rotation
from sim_backends.lab_parts import SqueezersConfig
from sim_backends.states import ComplexArray

__all__ = ["Squeezers"]

_AXES: Final = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
"""On the sphere (H is +z, D is +x): squeezed along H, and at 45 degrees, in turn."""


class Squeezers:
    """Polarization is turned by the first one first. `drives_mv` is set by the instrument."""

    def __init__(self, config: SqueezersConfig) -> None:
        self._config = config
        self.drives_mv = [0] * len(config.turn_mv)
        self._seen: tuple[int, ...] = ()
        self._unitary = np.eye(2, dtype=np.complex128)

    def unitary(self) -> ComplexArray:
        """How polarization is turned now, (2, 2) on (H, V)."""
        drives = tuple(self.drives_mv)
        if drives != self._seen:
            self._seen = drives
            self._unitary = np.eye(2, dtype=np.complex128)
            for number, (drive, turn_mv, bias_deg) in enumerate(
                zip(drives, self._config.turn_mv, self._config.bias_deg, strict=True)
            ):
                angle = 2.0 * math.pi * drive / turn_mv + math.radians(bias_deg)
                self._unitary = rotation(_AXES[number % 2], angle) @ self._unitary
        return self._unitary
