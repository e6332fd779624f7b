import pickle
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timing.clock import ClockModel

models = st.builds(
    ClockModel,
    epoch_ps=st.integers(-(10**17), 10**17),
    offset_whole_ps=st.integers(-(10**17), 10**17),
    offset_ps=st.floats(-1.0, 1.0),
    skew=st.floats(-1e-4, 1e-4),
    covariance=st.just(((100.0, 1e-9), (1e-9, 1e-18))),
)
near = st.integers(-(10**15), 10**15)


def exact(model: ClockModel, remote_ps: int) -> Decimal:
    ahead = Decimal(remote_ps - model.epoch_ps)
    return (
        Decimal(remote_ps + model.offset_whole_ps)
        + Decimal(model.offset_ps)
        + Decimal(model.skew) * ahead
    )


@given(models, near)
def test_the_map_is_exact_to_the_rounding_at_any_size_of_times(
    model: ClockModel, ahead: int
) -> None:
    remote = model.epoch_ps + ahead
    mapped = model.to_local(np.array([remote], dtype=np.int64))
    assert mapped.dtype == np.int64
    assert abs(Decimal(int(mapped[0])) - exact(model, remote)) <= Decimal("0.51")
    assert model.instant_to_local(remote) == mapped[0]


@given(models, near)
def test_there_and_back(model: ClockModel, ahead: int) -> None:
    remote = model.epoch_ps + ahead
    assert abs(model.instant_to_remote(model.instant_to_local(remote)) - remote) <= 1


@given(models, near, near)
def test_another_epoch_is_the_same_clock(model: ClockModel, moved: int, ahead: int) -> None:
    other = model.rebased(model.epoch_ps + moved)
    remote = model.epoch_ps + ahead
    assert abs(exact(other, remote) - exact(model, remote)) < Decimal("0.01")
    # Far away the variance is large, and going back leaves the rounding of that.
    assert other.uncertainty_ps(remote) ** 2 == pytest.approx(
        model.uncertainty_ps(remote) ** 2, rel=1e-6, abs=1e-14 * other.covariance[0][0]
    )


def test_uncertainty_grows_with_the_distance_by_the_skew() -> None:
    model = ClockModel(0, 0, 0.0, 0.0, ((9.0, 0.0), (0.0, 1e-22)))
    assert model.uncertainty_ps(0) == 3
    assert model.uncertainty_ps(10**12) == pytest.approx(np.hypot(3, 10))
    assert model.uncertainty_ps(-(10**12)) == model.uncertainty_ps(10**12)


def test_corrections_add() -> None:
    model = ClockModel(5, 10**17, 0.4, 1e-6).adjusted(-1000.9, 2e-6, ((1.0, 0.0), (0.0, 1.0)))
    assert model.offset_whole_ps + model.offset_ps - 10**17 == pytest.approx(-1000.5, abs=16)
    assert model.offset_whole_ps - 10**17 == pytest.approx(-1000, abs=1)
    assert model.offset_ps == pytest.approx(0.5, abs=1.0)
    assert model.skew == pytest.approx(3e-6)


def test_it_travels_between_processes() -> None:
    model = ClockModel(1, 2, 0.3, 4e-6, ((1.0, 2.0), (2.0, 5.0)))
    assert pickle.loads(pickle.dumps(model)) == model
