"""Slots of a network schedule: always the same part of the period, whatever the instant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timing.slots import SlotPattern

patterns = st.integers(1, 10**15).flatmap(
    lambda period: st.builds(
        SlotPattern, st.just(period), st.integers(0, period - 1), st.integers(1, period)
    )
)
instants = st.integers(-(10**18), 2 * 10**18)


@given(patterns, instants)
def test_a_slot_is_on_or_comes_and_both_are_told_exactly(slot: SlotPattern, now_ps: int) -> None:
    left_ps, until_ps = slot.left_ps(now_ps), slot.until_ps(now_ps)
    assert (left_ps > 0) is (until_ps == 0)
    begins_ps = now_ps + until_ps if until_ps else now_ps + left_ps - slot.length_ps
    assert (begins_ps - slot.offset_ps) % slot.period_ps == 0
    if until_ps:
        assert slot.left_ps(now_ps + until_ps) == slot.length_ps
        assert slot.left_ps(now_ps + until_ps - 1) == 0
    elif slot.length_ps < slot.period_ps:
        assert slot.left_ps(now_ps + left_ps - 1) == 1
        assert slot.left_ps(now_ps + left_ps) == 0


@given(patterns, instants, st.integers(-1000, 1000))
def test_it_repeats(slot: SlotPattern, now_ps: int, periods: int) -> None:
    assert slot.left_ps(now_ps) == slot.left_ps(now_ps + periods * slot.period_ps)


@pytest.mark.parametrize(
    ("period", "offset", "length"), [(10, 0, 0), (10, 0, 11), (10, 10, 1), (10, -1, 1)]
)
def test_what_is_no_part_of_the_period_is_refused(period: int, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="a slot"):
        SlotPattern(period, offset, length)
