"""What is refused because of time or room, with numbers."""

import pytest

from link_layer.messages import Create
from link_layer.queue import Request
from link_layer.served_rate import LEAST_PAIRS, ServedRate, too_late, too_wide


def request(number: int, priority: int = 0) -> Request:
    return Request(Create("l", 1, "K", number, 0.5, 1.0, "p", priority), "alice", 0.0)


def test_the_rate_is_that_of_the_time_in_which_pairs_were_wanted() -> None:
    rate = ServedRate()
    assert rate.pairs_per_s(0.0) is None
    now_s = 0.0
    for _ in range(10):
        rate.wanted(now_s, True)
        for _ in range(20):
            now_s += 0.05
            rate.served(now_s)
        rate.wanted(now_s, False)
        now_s += 100.0  # nobody wants any
    assert rate.pairs_per_s(now_s) == pytest.approx(20.0, rel=0.05)


def test_a_link_that_has_become_slow_is_known_as_slow_soon() -> None:
    rate = ServedRate()
    rate.wanted(0.0, True)
    for k in range(1000):
        rate.served(k * 0.01)
    for k in range(1, 101):
        rate.served(10.0 + 0.2 * k)
    assert rate.pairs_per_s(30.0) == pytest.approx(5.0, rel=0.4)


def test_few_pairs_refuse_nobody() -> None:
    rate = ServedRate()
    rate.wanted(0.0, True)
    for k in range(int(LEAST_PAIRS) - 1):
        rate.served(0.1 * k)
    assert too_late(10**6, 1.0, 0, [], rate.pairs_per_s(1.0)) == ""


@pytest.mark.parametrize(
    ("priority", "says"),
    [
        (0, "after 30 pairs of 2 requests before them (3 s): 4 s, 3.5 s are allowed"),
        (1, ""),  # only the ten of its own priority are before it
    ],
)
def test_requests_before_it_are_in_the_sum(priority: int, says: str) -> None:
    ahead = [request(20), request(10, priority=1)]
    text = too_late(10, 3.5, priority, ahead, 10.0)
    assert text.endswith(says)
    assert bool(text) is bool(says)


def test_what_the_memory_cannot_hold_or_the_window_never_sees() -> None:
    assert "it has room for 3" in too_wide(4, None, True, 3, None)
    assert too_wide(4, None, False, 3, None) == ""
    assert too_wide(3, 0.1, True, 3, 10.0) == ""
    assert "span 2 s on average" in too_wide(3, 0.1, True, 3, 1.0)
    assert too_wide(1, 1e-9, True, 3, 1.0) == ""
