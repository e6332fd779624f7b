import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timing.clock import ClockModel
from timing.clock_class import CLOCKS, OCXO, ProcessNoise, declared_noise, white_noise
from timing.kalman import ClockFilter

S = 10**12
MODEL = ClockModel(3 * 10**17, -(10**17), 0.25, 8e-6, ((400.0, 1e-10), (1e-10, 1e-20)))
NOISE = ProcessNoise(200.0, 0.05, 1e-9, 0.01)

steps = st.lists(
    st.tuples(st.integers(1, 600 * S), st.floats(-1e4, 1e4), st.floats(1e-2, 1e8), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(steps)
def test_the_covariance_stays_symmetric_and_positive(walked: list[tuple[int, float, float, bool]]):
    state = ClockFilter.of(MODEL, NOISE)
    for ahead, seen, variance, by_reference in walked:
        state = state.predicted(state.epoch_ps + ahead)
        if by_reference:
            state = state.referenced(state.offset_whole_ps, seen, variance)
        else:
            state = state.corrected(seen, variance)
        assert np.array_equal(state.covariance, state.covariance.T)
        scale = np.sqrt(np.diag(state.covariance))
        correlation = state.covariance / np.outer(scale, scale)
        assert np.linalg.eigvalsh(correlation)[0] > -1e-6
        assert abs(state.rest[0]) <= 0.5


@given(st.integers(1, 10**15), st.integers(1, 10**15))
def test_two_steps_of_time_are_one(first: int, second: int) -> None:
    state = ClockFilter.of(MODEL, NOISE)
    twice = state.predicted(MODEL.epoch_ps + first).predicted(MODEL.epoch_ps + first + second)
    once = state.predicted(MODEL.epoch_ps + first + second)
    whole = once.offset_whole_ps - twice.offset_whole_ps
    assert abs(whole + once.rest[0] - twice.rest[0]) < 1e-2
    assert np.allclose(once.covariance, twice.covariance, rtol=1e-6)


def test_without_noise_there_and_back_is_nothing() -> None:
    state = ClockFilter.of(MODEL, ProcessNoise(0.0, 0.0), path_walk=0.0)
    back = state.predicted(MODEL.epoch_ps + 1000 * S).predicted(MODEL.epoch_ps)
    assert back.offset_whole_ps + back.rest[0] == pytest.approx(MODEL.offset_whole_ps + 0.25)
    assert np.allclose(back.covariance, state.covariance, rtol=1e-6)


def test_the_map_is_the_models() -> None:
    model = ClockFilter.of(MODEL, NOISE).model
    assert model.instant_to_local(MODEL.epoch_ps + S) == MODEL.instant_to_local(MODEL.epoch_ps + S)
    assert model.covariance[1][1] == pytest.approx(MODEL.covariance[1][1])
    assert model.covariance[0][1] == pytest.approx(MODEL.covariance[0][1])


def test_a_drift_is_learnt_and_carried_on() -> None:
    drift = 0.004
    state = ClockFilter.of(ClockModel(0, 0, 0.0, 0.0, ((25.0, 0.0), (0.0, 1e-24))), NOISE)
    for k in range(1, 2000):
        ahead = state.predicted(k * S)
        line = ahead.offset_whole_ps + float(ahead.rest[0])
        state = ahead.corrected(drift * k**2 / 2 - line, 25.0)
    later = state.predicted(2300 * S)
    error = later.offset_whole_ps + later.rest[0] - drift * 2300**2 / 2
    assert abs(error) < 3 * later.sigma_ps
    # Without the drift it would be off by this much.
    assert drift * 300**2 / 2 > 2 * abs(error)
    assert state.rest[2] == pytest.approx(drift, abs=3 * np.sqrt(state.covariance[2, 2]))


def test_the_first_reference_shows_the_path_and_later_ones_hold_the_clock() -> None:
    state = ClockFilter.of(ClockModel(0, 0, 0.0, 0.0, ((25.0, 0.0), (0.0, 1e-22))), NOISE)
    first = state.referenced(-40_000, 0.0, 100.0)
    assert first.rest[3] == pytest.approx(40_000, abs=1)
    assert first.sigma_ps == pytest.approx(state.sigma_ps, rel=1e-6)
    alone, held = first, first
    for k in range(1, 31):
        alone, held = alone.predicted(10 * k * S), held.predicted(10 * k * S)
        held = held.referenced(-40_000, 0.0, 100.0)
    assert held.sigma_ps < 0.1 * alone.sigma_ps
    assert held.sigma_ps < 20


def test_a_step_keeps_the_skew_and_forgets_the_rest() -> None:
    state = ClockFilter.of(MODEL, NOISE).referenced(-(10**17), 0.0, 1.0)
    moved = state.moved(1500.0, 20.0, 0.0)
    assert moved.offset_whole_ps + moved.rest[0] == pytest.approx(
        state.offset_whole_ps + state.rest[0] + 1500
    )
    assert moved.sigma_ps == pytest.approx(20)
    assert moved.covariance[1, 1] == state.covariance[1, 1]
    assert np.all(moved.covariance[0, 1:] == 0)


def test_held_over_the_uncertainty_grows_by_the_class() -> None:
    sure = ClockModel(0, 0, 0.0, 0.0, ((1.0, 0.0), (0.0, 1e-26)))
    after = {}
    for name in CLOCKS:
        state = ClockFilter.of(sure, declared_noise(name, name))
        after[name] = [state.predicted(t * S).sigma_ps for t in (1, 10, 100, 1000)]
        assert after[name] == sorted(after[name])
    for quiet, loud in (("white_rabbit", "rubidium"), ("rubidium", "quartz"), ("ocxo", "quartz")):
        assert all(a < b for a, b in zip(after[quiet], after[loud], strict=True))
    # Over a second white frequency noise alone: 1e-11 each.
    assert after["ocxo"][0] == pytest.approx(np.sqrt(1 + 2 * 10**2), rel=0.01)
    assert after["rubidium"][3] < after["ocxo"][3]


def test_the_allan_deviation_of_the_walk_is_the_classs() -> None:
    noise = OCXO.noise()
    rng = np.random.default_rng(3)
    count = 200_000
    skew = np.cumsum(rng.normal(0, np.sqrt(noise.random_walk_fm), count))
    phase = np.cumsum(skew + rng.normal(0, np.sqrt(noise.white_fm), count)) * 1e-12
    for tau in (1, 100):
        second = phase[2 * tau :] - 2 * phase[tau:-tau] + phase[: -2 * tau]
        deviation = np.sqrt(np.mean(second**2) / 2) / tau
        # At 100 s white FM has come down to the floor, and the two add up.
        expected = {1: 1e-11, 100: np.hypot(1e-12, 1e-12)}[tau]
        assert deviation == pytest.approx(expected, rel=0.15)


def test_noises_add() -> None:
    two = white_noise(1e-11) + white_noise(1e-11)
    assert two.white_fm_1s == pytest.approx(np.sqrt(2) * 1e-11)
    assert two.scaled(4).white_fm_1s == pytest.approx(2 * two.white_fm_1s)
