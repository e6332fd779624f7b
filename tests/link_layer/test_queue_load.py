"""The sums by which requests are admitted are those of the requests that wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from link_layer.messages import Create
from link_layer.queue import RequestQueue
from link_layer.queue_load import Arrivals, load_of


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, int, int, int, float]]:
    kind = st.sampled_from(["ask", "deliver", "withdraw", "end"])
    costs = st.sampled_from([1.0, 2.5, 8.0])
    one = st.tuples(kind, st.integers(0, 5), st.integers(1, 4), st.integers(-1, 2), costs)
    return draw(st.lists(one, max_size=60))


@given(steps())
def test_the_load_is_that_of_the_open_requests(
    steps: list[tuple[str, int, int, int, float]],
) -> None:
    queue = RequestQueue()
    create = Create("l", 0, "K", 1, 0.5, 9.0, "p")
    for n, (step, request, pairs, priority, cost) in enumerate(steps):
        match step:
            case "ask":
                asked = replace(create, request=100 * n + request, number=pairs, priority=priority)
                queue.add(asked, origin="alice", now_s=0.0, raw_per_pair=cost)
                queue.activate(asked.request)
            case _ if not len(queue):
                continue
            case "deliver":
                queue.deliver(list(queue)[request % len(queue)].id, n, count=pairs)
            case "withdraw":
                found = list(queue)[request % len(queue)]
                queue.withdraw(found.id, next(iter(found.sequences), -1))
            case "end":
                queue.end(list(queue)[request % len(queue)].id)
        for least in (-1, 0, 1, 2):
            open_ = [each for each in queue if each.create.priority >= least]
            load = queue.load(least)
            assert load.requests == len(open_)
            missing = [(max(0, each.missing), each.raw_per_pair) for each in open_]
            assert load.pairs == sum(n for n, _ in missing)
            assert load.raw == pytest.approx(sum(n * raw for n, raw in missing))
            each = [load_of(n, raw).variance for n, raw in missing]
            assert load.variance == pytest.approx(sum(each))


def test_what_higher_priorities_ask_for_is_a_rate_and_a_size() -> None:
    arrivals = Arrivals()
    assert arrivals.above(0, 0.0) == (0.0, 1.0)
    for k in range(400):
        arrivals.add(1, load_of(2), 0.5 * k)
        arrivals.add(0, load_of(100), 0.5 * k)
    per_s, at_once = arrivals.above(0, 200.0)
    assert per_s == pytest.approx(4.0, rel=0.02)
    assert at_once == 2.0
    assert arrivals.above(1, 200.0) == (0.0, 1.0)
    later_per_s, _ = arrivals.above(0, 500.0)
    assert later_per_s < 0.04


def test_those_who_have_stopped_asking_are_not_waited_for() -> None:
    arrivals = Arrivals()
    for k in range(60):
        arrivals.add(1, load_of(6), 0.5 * k)
    began_per_s, _ = arrivals.above(0, 29.6)
    assert began_per_s == pytest.approx(12.0, rel=0.1)
    assert arrivals.above(0, 29.5 + 2.0)[0] > 0.9 * began_per_s  # four intervals may be chance
    assert arrivals.above(0, 29.5 + 10.0)[0] < 0.3 * began_per_s


def test_a_single_request_is_not_taken_for_a_stream() -> None:
    arrivals = Arrivals()
    arrivals.add(1, load_of(100), 0.0)
    assert arrivals.above(0, 0.1)[0] < 25.0
    assert arrivals.above(0, 30.0)[0] < 3.0


def test_the_priorities_that_are_remembered_are_bounded() -> None:
    arrivals = Arrivals()
    for priority in range(10_000):
        arrivals.add(priority, load_of(1), float(priority))
    assert len(arrivals._came) <= 64
