import pytest

from link_layer.recent import RecentTests
from link_layer.states import BellState


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("later_s", "kept"), [(0.0, 3), (59.0, 3), (60.0, 3), (119.0, 3), (120.0, 0), (1e6, 0)]
)
def test_rounds_count_for_one_to_two_periods(later_s: float, kept: int):
    clock = Clock()
    tests = RecentTests(clock, period_s=60.0)
    for basis in "XYZ":
        tests.add(basis, BellState.PHI_PLUS, 0, 0)
    clock.now_s += later_s
    assert tests.rounds == kept


def test_two_periods_are_counted_together():
    clock = Clock()
    tests = RecentTests(clock, period_s=60.0)
    tests.add("Z", BellState.PHI_PLUS, 0, 0)
    clock.now_s += 70.0
    tests.add("Z", BellState.PHI_PLUS, 0, 1)
    assert (tests.counts["Z"].same, tests.counts["Z"].different) == (1, 1)
    clock.now_s += 60.0
    assert (tests.counts["Z"].same, tests.counts["Z"].different) == (0, 1)
