"""Polarization analyzers: two wave plates on rotation stages before a polarizing beam splitter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

import numpy as np

from sim_backends.lab import AnalyzerConfig
from sim_backends.states import ComplexArray

__all__ = ["RotationStage", "WaveplatePair", "analyzer_states"]

SPEED_DEG_PER_S: Final = 430.0  # ELL14 data sheet: up to 430 deg/s
SETTLING_S: Final = 0.02


class RotationStage:
    """Turns at a constant speed, then settles; positions follow from the clock it is given."""

    def __init__(
        self,
        time_s: Callable[[], float],
        *,
        speed_deg_per_s: float = SPEED_DEG_PER_S,
        at_deg: float = 0.0,
    ) -> None:
        self.speed_deg_per_s = speed_deg_per_s
        self._time_s = time_s
        self._from_deg = self._to_deg = at_deg
        self._started_s = -math.inf

    def move_to(self, deg: float) -> None:
        """Start turning to an angle; a move under way is left where it is. Raises ValueError."""
        if not math.isfinite(deg):
            raise ValueError(f"a rotation stage cannot move to {deg} deg")
        self._from_deg = self.position_deg()
        self._to_deg = deg
        self._started_s = self._time_s()

    def home(self) -> None:
        """Start turning to the zero of the scale."""
        self.move_to(0.0)

    @property
    def target_deg(self) -> float:
        """Where it stands, or goes to."""
        return self._to_deg

    def position_deg(self) -> float:
        """Where the stage stands now."""
        way = self._to_deg - self._from_deg
        turned = self.speed_deg_per_s * (self._time_s() - self._started_s)
        if turned >= abs(way):
            return self._to_deg
        return self._from_deg + math.copysign(max(turned, 0.0), way)

    def moving(self) -> bool:
        """True until the move and its settling are over."""
        return self._time_s() < self._started_s + self.move_time_s()

    def move_time_s(self) -> float:
        """How long the last move takes in all, settling included."""
        return abs(self._to_deg - self._from_deg) / self.speed_deg_per_s + SETTLING_S


class WaveplatePair:
    """Quarter-wave plate, half-wave plate, beam splitter: channel 1 transmits, 2 reflects."""

    plates: dict[Literal["qwp", "hwp"], RotationStage]

    def __init__(self, config: AnalyzerConfig, time_s: Callable[[], float]) -> None:
        self._config = config
        self.plates = {"qwp": RotationStage(time_s), "hwp": RotationStage(time_s)}

    def angles_deg(self) -> tuple[float, float]:
        """Fast axes of the quarter- and half-wave plate now, offsets included."""
        return (
            self.plates["qwp"].position_deg() + self._config.qwp_offset_deg,
            self.plates["hwp"].position_deg() + self._config.hwp_offset_deg,
        )

    def moving(self) -> bool:
        """True while either plate moves."""
        return any(stage.moving() for stage in self.plates.values())


def analyzer_states(qwp_deg: float, hwp_deg: float) -> ComplexArray:
    """Rows: the polarizations (H, V) that leave by the transmitted and by the reflected port.

    Light meets the quarter-wave plate first. With Jones matrices Q and W of the plates (Hecht,
    Optics, on Jones calculus) a photon is transmitted when it was in Q^dagger W^dagger |H>.
    """
    plates = _retarder(hwp_deg, math.pi) @ _retarder(qwp_deg, math.pi / 2)
    states: ComplexArray = np.conj(plates)
    return states


def _retarder(axis_deg: float, retardance: float) -> ComplexArray:
    cos, sin = math.cos(math.radians(axis_deg)), math.sin(math.radians(axis_deg))
    phase = complex(math.cos(retardance), math.sin(retardance))
    return np.array(
        [
            [cos * cos + phase * sin * sin, (1.0 - phase) * cos * sin],
            [(1.0 - phase) * cos * sin, sin * sin + phase * cos * cos],
        ]
    )
