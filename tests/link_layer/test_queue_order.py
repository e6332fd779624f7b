"""Fair shares: what self-clocked fair queueing promises, for any mix of purposes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.messages import Create
from link_layer.queue import RequestQueue
from link_layer.queue_order import FairOrder, PriorityOrder


def fair(**weights: float) -> RequestQueue:
    return RequestQueue(order=FairOrder(weights))


def ask(
    queue: RequestQueue,
    request: int,
    purpose: str,
    *,
    cycles: float = 1.0,
    number: int = 10**6,
    priority: int = 0,
    atomic: bool = False,
) -> None:
    create = Create("link", request, "K", number, 0.8, 1e9, purpose, priority, atomic=atomic)
    queue.add(create, origin="alice", now_s=0.0, raw_per_pair=cycles)
    queue.activate(request)


def serve(queue: RequestQueue, pairs: int, first: int = 0) -> list[str]:
    """The purposes of the next pairs made."""
    served = []
    for sequence in range(first, first + pairs):
        request = queue.next()
        assert request is not None
        assert queue.deliver(request.id, sequence)
        served.append(request.purpose)
    return served


def test_weights_are_shares_of_the_link() -> None:
    queue = fair(qkd=3.0)
    ask(queue, 1, "qkd")
    ask(queue, 2, "teleport")
    assert Counter(serve(queue, 400)) == {"qkd": 300, "teleport": 100}


def test_a_purpose_whose_pairs_are_dearer_gets_fewer_of_them() -> None:
    queue = fair()
    ask(queue, 1, "cheap", cycles=100.0)
    ask(queue, 2, "dear", cycles=400.0)
    assert Counter(serve(queue, 500)) == {"cheap": 400, "dear": 100}


def test_many_requests_of_one_purpose_get_no_more_than_one() -> None:
    queue = fair()
    for n in range(50):
        ask(queue, n, "greedy")
    ask(queue, 99, "modest")
    assert Counter(serve(queue, 200)) == {"greedy": 100, "modest": 100}


def test_priority_orders_the_requests_of_one_purpose() -> None:
    queue = fair()
    ask(queue, 1, "one", number=5)
    ask(queue, 2, "one", number=5, priority=3)
    assert queue.next().id == 2


def test_who_comes_later_is_owed_nothing_for_the_past() -> None:
    queue = fair()
    ask(queue, 1, "old")
    serve(queue, 1000)
    ask(queue, 2, "new")
    assert Counter(serve(queue, 100, 1000)) == {"old": 50, "new": 50}


def test_what_could_not_be_served_when_it_was_its_turn_is_not_saved_up() -> None:
    queue = fair()
    ask(queue, 1, "blocked")
    ask(queue, 2, "free")
    for sequence in range(1000):
        request = queue.next(fit=lambda r: r.purpose == "free")
        assert request is not None
        queue.deliver(request.id, sequence)
    assert Counter(serve(queue, 100, 1000))["blocked"] in (50, 51)


def test_an_atomic_burst_is_paid_back() -> None:
    queue = fair()
    ask(queue, 1, "burst", number=100, atomic=True)
    ask(queue, 2, "other")
    first = serve(queue, 1)
    assert first == ["burst"]
    assert serve(queue, 99, 1) == ["burst"] * 99
    queue.end(1)
    ask(queue, 3, "burst")
    assert Counter(serve(queue, 198, 100)) == {"other": 149, "burst": 49}


def test_new_names_for_oneself_do_not_starve_others() -> None:
    queue = fair()
    ask(queue, 10**6, "old", cycles=5.0)
    old = 0
    for n in range(200):
        ask(queue, n, f"name {n}", number=1)
        while "old" in serve(queue, 1, n + 1000 * old):
            old += 1
        queue.end(n)
    assert 39 <= old <= 41  # a fifth of 200: half of the attempts


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_is_a_positive_number(weight: float) -> None:
    with pytest.raises(ValueError, match="weights of purposes"):
        FairOrder({"qkd": weight})


FLOWS = st.lists(
    st.tuples(st.floats(0.1, 10), st.floats(1, 1000), st.integers(1, 3)), min_size=2, max_size=6
)


@given(FLOWS, st.lists(st.integers(0, 200), max_size=6))
def test_shares_never_differ_by_more_than_a_pair_of_each(
    flows: list[tuple[float, float, int]], late: list[int]
) -> None:
    """The bound of Golestani 1994 for every interval in which both wait."""
    queue = fair(**{f"p{n}": weight for n, (weight, _, _) in enumerate(flows)})
    start = {f"p{n}": (late[n] if n < len(late) else 0) for n in range(len(flows))}
    lengths = {f"p{n}": cycles / weight for n, (weight, cycles, _) in enumerate(flows)}
    work = dict.fromkeys(start, 0.0)
    history: list[dict[str, float]] = []
    for step in range(250):
        for n, (_, cycles, requests) in enumerate(flows):
            if start[f"p{n}"] == step:
                for k in range(requests):
                    ask(queue, 10 * n + k, f"p{n}", cycles=cycles)
        request = queue.next()
        if request is not None:
            queue.deliver(request.id, step)
            work[request.purpose] += lengths[request.purpose]
        history.append(dict(work))
    for one in start:
        for other in start:
            if one >= other:
                continue
            both = history[max(start[one], start[other]) :]
            apart = [now[one] - now[other] for now in both]
            spread = max(apart, default=0.0) - min(apart, default=0.0)
            assert spread <= (lengths[one] + lengths[other]) * (1 + 1e-9)


def test_waiting_counts_as_priority_so_that_nobody_starves() -> None:
    """With one step in ten seconds: passed over by what is two steps higher for twenty."""
    queue = RequestQueue(order=PriorityOrder(ageing_s=10.0))
    ask(queue, 1, "old")
    served = []
    for second in range(1, 40):
        number = 100 + second
        create = Create("link", number, "M", 1, 0.5, 100.0, "new", priority=2)
        queue.add(create, origin="alice", now_s=float(second))
        queue.activate(number, 1)
        request = queue.next()
        assert request is not None
        served.append(request.purpose)
        queue.deliver(request.id, second)
        if request.id != 1:
            queue.end(request.id)
    assert served[:19] == ["new"] * 19
    assert "old" in served[19:22]


@pytest.mark.parametrize("ageing_s", [0.0, -1.0, float("inf"), float("nan")])
def test_ageing_takes_time(ageing_s: float) -> None:
    with pytest.raises(ValueError, match="ageing_s"):
        PriorityOrder(ageing_s)


def test_what_comes_before_a_request_is_what_is_served_before_it() -> None:
    for order in (PriorityOrder(), FairOrder({"a": 3.0})):
        queue = RequestQueue(order=order)
        ask(queue, 1, "a", number=2)
        ask(queue, 2, "b", number=2)
        ask(queue, 3, "a", number=2)
        assert [each.id for each in queue.ahead(1)] == []
        assert 1 in [each.id for each in queue.ahead(3)]
        assert queue.ahead(99) == []
    queue = RequestQueue()
    ask(queue, 1, "a", number=2, atomic=True)
    serve(queue, 1)
    ask(queue, 2, "b", priority=9)
    assert [each.id for each in queue.ahead(2)] == [1]
