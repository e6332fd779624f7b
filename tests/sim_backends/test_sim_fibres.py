"""Fibres that drift, turn and leak. Fixed seeds; limits are 4 standard errors."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.channels import FibreChannel
from sim_backends.drifts import RandomWalk, SphereWalk, rotation
from sim_backends.lab import ChannelConfig

S = 10**12
PAULI = (
    np.array([[0, 1], [1, 0]]),
    np.array([[0, -1j], [1j, 0]]),
    np.array([[1, 0], [0, -1]]),
)


def fibre(seed: int = 1, **changes: Any) -> FibreChannel:
    return FibreChannel(ChannelConfig.model_validate(changes), np.random.default_rng(seed))


def direction(unitary: np.ndarray) -> np.ndarray:
    """Where H, the pole of the sphere, is turned to."""
    state = unitary[:, 0]
    return np.array([np.real(state.conj() @ axis @ state) for axis in PAULI])


def test_flight_time_and_its_drifts() -> None:
    still = fibre(length_km=10.0)
    flight_ps = 10_000.0 / 2.04e8 * 1e12
    assert still.delay_ps(0) == still.delay_ps(3600 * S) == pytest.approx(flight_ps)
    drifting = fibre(
        length_km=10.0, delay_drift_ps_per_s=2.0, delay_swing_ps=500.0, delay_swing_period_s=400.0
    )
    assert drifting.delay_ps(100 * S) - flight_ps == pytest.approx(2.0 * 100 + 500.0)
    assert drifting.delay_ps(200 * S) - flight_ps == pytest.approx(2.0 * 200, abs=1e-6)


def test_delay_walks_as_a_square_root() -> None:
    ends = [fibre(seed, delay_walk_ps=3.0).delay_ps(100 * S) for seed in range(200)]
    assert abs(np.mean(ends)) < 4 * 30.0 / math.sqrt(200)
    assert np.std(ends) == pytest.approx(30.0, rel=4 / math.sqrt(2 * 200))


def test_a_walk_is_the_same_whenever_it_is_looked_at() -> None:
    often, seldom = (RandomWalk(1.0, np.random.default_rng(5)) for _ in range(2))
    for step in range(997):
        often.at(step * 0.01)
    assert often.at(10.0) == seldom.at(10.0) != 0.0
    assert RandomWalk(0.0, np.random.default_rng(5)).at(10.0) == 0.0


def test_conversion_loses_light_and_adds_noise() -> None:
    plain = fibre(length_km=20.0, loss_db_per_km=0.2, loss_db=1.0)
    assert plain.transmissivity == pytest.approx(10**-0.5)
    assert plain.background_cps == 0.0
    converted = fibre(
        length_km=20.0,
        loss_db_per_km=0.2,
        loss_db=1.0,
        classical_cps=40.0,
        conversion={"efficiency": 0.5, "noise_cps": 300.0},
    )
    assert converted.transmissivity == pytest.approx(0.5 * 10**-0.5)
    assert converted.background_cps == pytest.approx(40.0 + 300.0 * 10**-0.5)
    assert fibre(length_km=50.0, dispersion_ps_per_nm_km=17.0).dispersion_ps_per_nm == 850.0


@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: sum(x * x for x in v) > 0.01),
    angle=st.floats(-7, 7),
)
def test_rotation_turns_about_its_axis(axis: tuple[float, float, float], angle: float) -> None:
    turned = rotation(axis, angle)
    assert turned @ turned.conj().T == pytest.approx(np.eye(2), abs=1e-12)
    unit = np.array(axis) / np.linalg.norm(axis)
    start = np.array([0.0, 0.0, 1.0])
    # Rodrigues' formula.
    expected = (
        start * math.cos(angle)
        + np.cross(unit, start) * math.sin(angle)
        + unit * unit[2] * (1 - math.cos(angle))
    )
    assert direction(turned) == pytest.approx(expected, abs=1e-9)


def test_polarization_forgets_itself_as_diffusion_says() -> None:
    sigma = math.radians(20.0)
    for time_s in (1.0, 5.0, 20.0):
        cosines = [
            direction(
                SphereWalk(np.eye(2, dtype=complex), 20.0, np.random.default_rng([3, k])).at(time_s)
            )[2]
            for k in range(300)
        ]
        expected = math.exp(-(sigma**2) * time_s)
        assert abs(np.mean(cosines) - expected) < 4 * np.std(cosines) / math.sqrt(300) + 1e-3


def test_drift_leaves_every_direction_alike_in_the_end() -> None:
    ends = np.array(
        [
            direction(
                SphereWalk(np.eye(2, dtype=complex), 60.0, np.random.default_rng([4, k])).at(30.0)
            )
            for k in range(600)
        ]
    )
    # Each coordinate of a uniform direction has the variance 1/3.
    assert np.abs(ends.mean(axis=0)).max() < 4 * math.sqrt(1 / 3 / 600)
    assert ends.var(axis=0) == pytest.approx(np.full(3, 1 / 3), abs=4 * 0.3 / math.sqrt(600))
