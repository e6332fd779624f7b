"""What is refused because of time or room, with numbers."""

import math

import numpy as np
import pytest

from link_layer.messages import Create
from link_layer.queue_load import Load, load_of
from link_layer.served_rate import (
    LEAST_PAIRS,
    MOST_PAIRS,
    Rate,
    ServedRate,
    needed_s,
    too_late,
    too_wide,
)


def asks(number: int, within_s: float) -> Create:
    return Create("l", 1, "K", number, 0.5, within_s, "p")


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


def test_a_slow_link_is_known_by_its_last_pairs() -> None:
    """A pair in four seconds, as ions over a long fibre give; it then goes on at one in forty."""
    rate = ServedRate()
    rate.wanted(0.0, True)
    for k in range(1, 101):
        rate.served(4.0 * k)
    assert rate.pairs_per_s(400.0) == pytest.approx(0.25, rel=0.02)
    for k in range(1, 65):
        rate.served(400.0 + 40.0 * k)
    assert rate.pairs_per_s(2960.0) == pytest.approx(0.025, rel=0.02)


def learnt(pairs: int, each_s: float) -> ServedRate:
    """So many pairs were made, one after the other, and then nobody wanted any."""
    rate = ServedRate()
    rate.wanted(0.0, True)
    for k in range(1, pairs + 1):
        rate.served(each_s * k)
    rate.wanted(pairs * each_s, False)
    return rate


def test_who_refuses_everybody_tries_anew_after_as_long_as_it_took_to_learn() -> None:
    rate = learnt(20, 1.0)
    rate.refused(100.0)
    rate.refused(119.9)
    assert rate.pairs_per_s(119.9) == pytest.approx(1.0)
    assert rate.rate(120.0) is None
    rate.wanted(120.0, True)
    for k in range(LEAST_PAIRS):
        rate.served(120.0 + 0.01 * (k + 1))
    assert rate.pairs_per_s(120.08) == pytest.approx(100.0)


def test_a_refusal_beside_others_that_are_served_is_no_reason_to_forget() -> None:
    rate = learnt(20, 1.0)
    rate.refused(100.0)
    rate.wanted(101.0, True)
    rate.refused(102.0)
    rate.wanted(103.0, False)
    assert rate.rate(1000.0) is not None


def test_what_is_remembered_is_bounded() -> None:
    rate = ServedRate()
    rate.wanted(0.0, True)
    for k in range(10_000):
        rate.served(k * 1e-4)
    found = rate.rate(1.0)
    assert found is not None
    assert found.pairs == MOST_PAIRS
    assert found.pairs_per_s == pytest.approx(1e4, rel=0.01)


def test_few_pairs_refuse_nobody() -> None:
    rate = ServedRate()
    rate.wanted(0.0, True)
    for k in range(LEAST_PAIRS - 1):
        rate.served(0.1 * k)
    assert too_late(asks(10**6, 1.0), Load(), rate.rate(1.0)) == ""


WELL_KNOWN = Rate(10.0, 1e9)


def test_what_waits_is_in_the_sum() -> None:
    text = too_late(asks(10, 5.0), load_of(30, requests=2), WELL_KNOWN)
    assert "10 pairs at 10 heralded pairs a second take 1 s, after 30 pairs of 2 requests" in text
    assert "(3 s): 4 s on average, in 99.5 % of cases less than 5.9" in text
    assert text.endswith("5 s are allowed")
    assert too_late(asks(10, 6.0), load_of(30), WELL_KNOWN) == ""


def test_each_request_is_counted_at_what_its_pairs_are_made_of() -> None:
    purified = load_of(3, 8.0)
    assert too_late(asks(10, 2.6), load_of(3), WELL_KNOWN) == ""
    text = too_late(asks(10, 2.6), purified, WELL_KNOWN)
    assert "after 3 pairs made of 24 of 1 requests before them (2.4 s): 3.4 s on average" in text
    assert "10 pairs made of 40 at" in too_late(asks(10, 2.5), Load(), WELL_KNOWN, 4.0)


def test_what_higher_priorities_take_is_left_out() -> None:
    text = too_late(asks(10, 3.0), Load(), Rate(10.0, 1e9, 8.0))
    assert "a second, of which higher priorities take 8, take 5 s" in text
    assert too_late(asks(10, 3.0), Load(), Rate(10.0, 1e9)) == ""
    assert "never served" in too_late(asks(1, 1e9), Load(), Rate(10.0, 1e9, 11.0))


@pytest.mark.parametrize(
    ("own", "taken_per_s", "at_once", "known"),
    [
        (load_of(1), 0.0, 1.0, math.inf),
        (load_of(40), 0.0, 1.0, math.inf),
        (load_of(20), 0.0, 1.0, 64),
        (load_of(10, 4.0), 0.0, 1.0, math.inf),
        (load_of(40), 5.0, 4.0, math.inf),
    ],
    ids=["one", "many", "hardly known rate", "purified", "higher priorities"],
)
def test_the_time_that_is_needed_is_the_quantile_of_what_happens(
    own: Load, taken_per_s: float, at_once: float, known: float
) -> None:
    """Against drawn heralds, outcomes of purification, and requests of a higher priority."""
    rng = np.random.default_rng(5)
    rate = Rate(10.0, known if known < math.inf else 1e12, taken_per_s, at_once)
    promised_s = needed_s(own, rate, 0.99)
    late, trials = 0, 4000
    per_pair = own.raw / own.pairs
    for _ in range(trials):
        wanted = own.pairs if per_pair == 1 else 2 * rng.geometric(2 / per_pair, own.pairs).sum()
        # The true rate, given so many pairs seen in the time in which 10 a second would be so many.
        true = 10.0 if known == math.inf else rng.gamma(known) / known * 10.0
        now_s, served_to_s = 0.0, rng.gamma(wanted) / true
        while served_to_s > now_s and taken_per_s:  # what came meanwhile is served first
            came = at_once * rng.poisson(taken_per_s / at_once * (served_to_s - now_s))
            now_s, served_to_s = served_to_s, served_to_s + (rng.gamma(came) / true if came else 0)
        late += served_to_s > promised_s
    assert 0.0005 < late / trials < 0.012


def test_what_the_memory_cannot_hold_or_the_window_never_sees() -> None:
    assert "it has room for 3" in too_wide(4, None, True, 3, None)
    assert too_wide(4, None, False, 3, None) == ""
    assert too_wide(3, 0.1, True, 3, 10.0) == ""
    assert "span 2 s on average" in too_wide(3, 0.1, True, 3, 1.0)
    assert too_wide(1, 1e-9, True, 3, 1.0) == ""
