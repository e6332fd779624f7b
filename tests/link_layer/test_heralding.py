import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.heralding import Mismatch, Round
from link_layer.messages import Heralded, PairHeld
from link_layer.states import BellState

HERALDED = Heralded("memory", 7, 41, 1000, BellState.PSI_MINUS)


def held(**changes: object) -> PairHeld:
    fields = {"sequence": 41, "slot": 1000, "bell_state": BellState.PSI_MINUS} | changes
    return PairHeld("memory", 7, **fields)


@pytest.mark.parametrize("order", list(itertools.permutations(("device", "station", "peer"))))
def test_three_witnesses_agree_in_any_order(order: tuple[str, ...]) -> None:
    current = Round(7, 1)
    words = {
        "device": lambda: current.device(1000),
        "station": lambda: current.station(HERALDED),
        "peer": lambda: current.peer(held()),
    }
    for number, witness in enumerate(order):
        assert current.agreed is None, f"agreed after {number} witnesses"
        words[witness]()
    assert current.agreed == held()


def test_the_half_may_be_used_before_the_far_end_has_spoken() -> None:
    current = Round(7, 1)
    current.device(1000)
    assert current.held is None
    current.station(HERALDED)
    assert current.held == HERALDED
    assert current.agreed is None


@given(st.permutations(["device", "station", "peer"]), st.integers(0, 3))
def test_any_contradiction_is_found_by_the_last_witness(order: list[str], which: int) -> None:
    device_slot = 1001 if which == 0 else 1000
    far_end = held(
        **[{}, {"slot": 1001}, {"sequence": 42}, {"bell_state": BellState.PSI_PLUS}][which]
    )
    current = Round(7, 1)
    words = {
        "device": lambda: current.device(device_slot),
        "station": lambda: current.station(HERALDED),
        "peer": lambda: current.peer(far_end),
    }
    for witness in order[:-1]:
        try:
            words[witness]()
        except Mismatch:
            return
    with pytest.raises(Mismatch):
        words[order[-1]]()
