"""Slow drifts: random walks in steps, the same whenever they are looked at."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from sim_backends.states import ComplexArray

__all__ = ["RandomWalk", "SphereWalk", "rotation"]

STEP_S: Final = 0.1
_MOST_STEPS: Final = 100_000


class RandomWalk:
    """A value that walks by `sigma` a square root of a second from 0, a step each 0.1 s.

    Time must not run backwards; within a step the value stands. A long silence is one step.
    """

    def __init__(self, sigma: float, rng: np.random.Generator) -> None:
        self._sigma = sigma
        self._rng = rng
        self._step = 0
        self._value = 0.0

    def at(self, time_s: float) -> float:
        """The value at a time in seconds from the start."""
        if self._sigma == 0.0:
            return 0.0
        for lengths_s in _due(self._step, time_s):
            self._value += self._sigma * math.sqrt(lengths_s) * self._rng.standard_normal()
        self._step = max(self._step, math.floor(time_s / STEP_S))
        return self._value


class SphereWalk:
    """A rotation of polarizations that walks by `sigma_deg` about each axis of the sphere.

    A direction loses memory of itself: the mean of the cosine between then and now is
    exp(-sigma^2 t), sigma in radians a square root of a second (rotational diffusion, Debye).
    """

    def __init__(self, start: ComplexArray, sigma_deg: float, rng: np.random.Generator) -> None:
        self._sigma = math.radians(sigma_deg)
        self._rng = rng
        self._step = 0
        self._unitary = start

    def turn(self, further: ComplexArray) -> None:
        """Somebody touches the fibre: from now on it turns by this, too."""
        self._unitary = further @ self._unitary

    def at(self, time_s: float) -> ComplexArray:
        """The rotation at a time in seconds from the start, a (2, 2) unitary on (H, V)."""
        if self._sigma > 0.0:
            for lengths_s in _due(self._step, time_s):
                vector = self._rng.standard_normal(3) * self._sigma * math.sqrt(lengths_s)
                angle = float(np.linalg.norm(vector))
                self._unitary = rotation(vector, angle) @ self._unitary
            self._step = max(self._step, math.floor(time_s / STEP_S))
        return self._unitary


def rotation(axis: np.typing.ArrayLike, angle: float) -> ComplexArray:
    """exp(-i angle/2 n.sigma) about an axis of the sphere (H is +z, D is +x), in radians."""
    direction = np.asarray(axis, dtype=np.float64)
    length = float(np.linalg.norm(direction))
    if length == 0.0:
        return np.eye(2, dtype=np.complex128)
    x, y, z = direction / length
    cos, sin = math.cos(angle / 2.0), math.sin(angle / 2.0)
    return np.array(
        [
            [cos - 1j * z * sin, (-1j * x - y) * sin],
            [(-1j * x + y) * sin, cos + 1j * z * sin],
        ]
    )


def _due(step: int, time_s: float) -> list[float]:
    """Lengths in seconds of the steps until a time."""
    count = math.floor(time_s / STEP_S) - step
    if count > _MOST_STEPS:
        return [count * STEP_S]
    return [STEP_S] * max(count, 0)
