"""The two witnesses of a herald at one end."""

import pytest

from link_layer.heralding import Mismatch, Round
from link_layer.messages import Heralded
from link_layer.states import BellState

HERALDED = Heralded("memory", 7, 41, 1000, BellState.PSI_MINUS)


@pytest.mark.parametrize("device_first", [True, False])
def test_a_half_may_be_used_when_both_have_spoken(device_first: bool) -> None:
    current = Round(7, 1)
    words = [lambda: current.device(1000), lambda: current.station(HERALDED)]
    first, second = words if device_first else reversed(words)
    first()
    assert current.held is None
    second()
    assert current.held == HERALDED


@pytest.mark.parametrize("device_first", [True, False])
def test_a_contradiction_is_found_by_the_last_one(device_first: bool) -> None:
    current = Round(7, 1)
    words = [lambda: current.device(1001), lambda: current.station(HERALDED)]
    first, second = words if device_first else reversed(words)
    first()
    with pytest.raises(Mismatch, match="slot 1001") as found:
        second()
    assert found.value.kind == "time"


def test_a_station_that_heralds_twice_is_not_believed() -> None:
    current = Round(7, 1)
    current.station(HERALDED)
    current.station(HERALDED)  # a repetition is no second herald
    with pytest.raises(Mismatch, match="two pairs") as found:
        current.station(Heralded("memory", 7, 42, 1000, BellState.PSI_MINUS))
    assert found.value.kind == "sequence"
