"""Numbers of errors and Bell states as the packages that use them have them."""

import pytest
import qlink_interface
from netqasm import qlink_compat

from link_layer.messages import ErrorCode
from link_layer.numberings import (
    DRAFT_ERRORS,
    NETQASM_BELL_STATES,
    QLINK_BELL_STATES,
    QLINK_ERRORS,
    SIMULATION_ERRORS,
)
from link_layer.states import BellState


def test_bell_states_have_the_numbers_of_both_packages() -> None:
    for state in BellState:
        name = state.name
        assert QLINK_BELL_STATES.number(state) == qlink_interface.BellState[name].value
        assert NETQASM_BELL_STATES.number(state) == qlink_compat.BellState[name].value
        assert QLINK_BELL_STATES.member(QLINK_BELL_STATES.number(state)) is state


def test_the_two_numberings_differ_so_a_copied_number_is_wrong() -> None:
    copied = {
        state: NETQASM_BELL_STATES.member(QLINK_BELL_STATES.number(state)) for state in BellState
    }
    assert [state for state in BellState if copied[state] is state] == [BellState.PHI_PLUS]


@pytest.mark.parametrize(("numbering", "first"), [(QLINK_ERRORS, 0), (SIMULATION_ERRORS, 40)])
def test_errors_have_the_numbers_of_the_package(numbering, first: int) -> None:  # type: ignore[no-untyped-def]
    for theirs in qlink_interface.ErrorCode:
        assert numbering.member(theirs.value + first).value == theirs.name


def test_what_a_numbering_lacks_becomes_the_nearest_or_nothing() -> None:
    assert DRAFT_ERRORS.number(ErrorCode.NO_TIME) == DRAFT_ERRORS.number(ErrorCode.UNSUPPORTED)
    assert QLINK_ERRORS.number(ErrorCode.CANCELLED) == QLINK_ERRORS.number(ErrorCode.OTHER)
    for numbering in (DRAFT_ERRORS, QLINK_ERRORS, SIMULATION_ERRORS):
        for code in ErrorCode:
            numbering.member(numbering.number(code))  # every one can be told
    with pytest.raises(ValueError, match="no number 0; it has 1 UNSUPPORTED"):
        DRAFT_ERRORS.member(0)
