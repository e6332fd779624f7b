"""A polarization controller is turned to what makes the pairs right, against real rotations."""

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.alignment import MOST_LOOKS, Paddle, Squeezer, align, summit

TURN = 4000.0
BOX = Squeezer(-5000.0, 5000.0, TURN)


def about(axis: int, angle: float) -> np.ndarray:
    """A rotation of the sphere about X (0) or Z (2)."""
    one, other = [each for each in range(3) if each != axis]
    turned = np.eye(3)
    turned[one, one] = turned[other, other] = math.cos(angle)
    turned[one, other], turned[other, one] = -math.sin(angle), math.sin(angle)
    return turned


class Light:
    """Pairs of a Werner state whose one photon is turned by a fibre, then by four squeezers."""

    def __init__(self, seed: int, *, contrast: float = 0.95, rounds: float = math.inf):
        self._rng = np.random.default_rng(seed)
        angles = self._rng.uniform(0, 2 * math.pi, 3)
        self._fibre = about(2, angles[0]) @ about(0, angles[1]) @ about(2, angles[2])
        self._contrast, self._rounds = contrast, rounds
        self.drives: tuple[float, ...] = ()

    def truth(self) -> float:
        turned = self._fibre
        for number, drive in enumerate(self.drives):
            turned = about(0 if number % 2 else 2, 2 * math.pi * drive / TURN) @ turned
        return float(self._contrast * np.trace(turned))

    async def look(self, drives: tuple[float, ...]) -> float:
        assert all(BOX.low <= drive <= BOX.high for drive in drives)
        return await self.seen(drives)

    async def seen(self, drives: tuple[float, ...]) -> float:
        self.drives = drives
        noise = math.sqrt(3 / self._rounds) if math.isfinite(self._rounds) else 0.0
        return self.truth() + noise * float(self._rng.standard_normal())


class Paddles(Light):
    """Three paddles of a quarter, half and quarter wave, more or less, with angles of 0 to 170."""

    def truth(self) -> float:
        turned = self._fibre
        for retardance, drive in zip((1.4, 3.3, 1.7), self.drives, strict=True):
            axis = about(1, 2 * math.radians(drive))
            turned = axis @ about(2, retardance) @ axis.T @ turned
        return float(self._contrast * np.trace(turned))

    async def look(self, drives: tuple[float, ...]) -> float:
        assert all(0.0 <= drive <= 170.0 for drive in drives)
        return await self.seen(drives)


def climbed(seeds: range, rounds: float) -> list[float]:
    """What is left of 4 F - 1 to gain, fibre by fibre."""
    left = []
    for seed in seeds:
        light = Light(seed, rounds=rounds)
        found = asyncio.run(align([BOX] * 4, (0.0,) * 4, light.look, enough=2.6))
        assert light.drives == found.drives
        left.append(3 * 0.95 - light.truth())
    return left


def test_any_fibre_is_undone() -> None:
    left = climbed(range(200), math.inf)
    assert max(left) < 0.3  # F within 0.075 of the best, whatever the fibre
    assert np.mean(left) < 0.02


def test_with_few_counts_it_comes_close() -> None:
    """500 rounds a basis: 0.08 of noise in each look."""
    left = climbed(range(200), 500)
    assert np.mean(left) < 0.05
    assert np.quantile(left, 0.95) < 0.2


@pytest.mark.parametrize(("rounds", "on_average"), [(math.inf, 0.05), (500, 0.1)])
def test_paddles_undo_any_fibre(rounds: float, on_average: float) -> None:
    left = []
    for seed in range(200):
        light = Paddles(seed, rounds=rounds)
        climbing = align([Paddle(0.0, 170.0)] * 3, (85.0,) * 3, light.look, enough=2.6)
        assert asyncio.run(climbing).looks < MOST_LOOKS
        left.append(3 * 0.95 - light.truth())
    assert np.mean(left) < on_average
    assert np.quantile(left, 0.95) < 0.4


def test_what_stands_well_stays() -> None:
    light = Light(3)
    first = asyncio.run(align([BOX] * 4, (0.0,) * 4, light.look, enough=2.6))
    again = asyncio.run(align([BOX] * 4, first.drives, light.look, enough=2.6))
    assert again.value >= first.value - 1e-9
    assert again.looks <= 2 + 2 * 12


@given(st.floats(-0.499, 0.499), st.floats(0.01, 3.0), st.floats(-1.0, 1.0))
def test_three_values_give_the_summit(at: float, height: float, mean: float) -> None:
    def value(turns: float) -> float:
        return mean + height * math.cos(2 * math.pi * (turns - at))

    turns, most = summit(value(0.0), value(0.25), value(-0.25))
    assert math.cos(2 * math.pi * (turns - at)) == pytest.approx(1.0, abs=1e-9)
    assert most == pytest.approx(mean + height)


@given(st.floats(-1e5, 1e5))
def test_drives_stay_within_the_range(drive: float) -> None:
    within = BOX.within(drive)
    assert -TURN / 2 <= within <= TURN / 2
    assert math.cos(2 * math.pi * (within - drive) / TURN) == pytest.approx(1.0, abs=1e-6)


def test_a_range_of_less_than_a_turn_is_refused() -> None:
    with pytest.raises(ValueError, match="a full turn takes 4000"):
        Squeezer(0.0, 3000.0, 4000.0)
