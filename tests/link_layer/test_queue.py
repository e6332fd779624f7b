import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from link_layer.messages import Create, ErrorCode
from link_layer.queue import QueueFull, Request, RequestQueue, RequestState
from link_layer.queue_order import FairOrder, PriorityOrder


def create(request: int, *, number: int = 2, priority: int = 0, max_time_s: float = 10.0) -> Create:
    return Create("memory", request, "K", number, 0.8, max_time_s, "test", priority)


def active(queue: RequestQueue, request: int, now_s: float = 0.0, **fields: object) -> None:
    queue.add(create(request, **fields), origin="alice", now_s=now_s)
    queue.activate(request)


def test_priority_comes_before_age() -> None:
    queue = RequestQueue()
    active(queue, 1, now_s=0.0)
    active(queue, 2, now_s=1.0, priority=3)
    active(queue, 3, now_s=2.0, priority=3)
    assert queue.next().id == 2


def test_a_proposal_is_not_served_before_both_ends_agree() -> None:
    queue = RequestQueue()
    queue.add(create(1), origin="alice", now_s=0.0)
    assert queue.next() is None
    queue.activate(1)
    assert queue.next().id == 1


def test_an_early_proposal_is_tried_once_and_served_when_both_ends_agree() -> None:
    queue = RequestQueue()
    request = queue.add(create(1), origin="alice", now_s=0.0)
    queue.hurry(1)
    queue.hurry(1)
    assert queue.next() is request
    request.tried = True
    assert queue.next() is None
    assert not queue.deliver(1, 7), "nobody has agreed to it"
    assert queue.activate(1) is request
    assert queue.next() is request
    queue.end(1)
    assert queue.next() is None


def test_a_repeated_create_changes_nothing_even_after_the_end() -> None:
    queue = RequestQueue()
    active(queue, 1)
    assert queue.add(create(1), origin="alice", now_s=0.0) is None
    queue.end(1)
    assert queue.add(create(1), origin="alice", now_s=0.0) is None
    assert len(queue) == 0


def test_the_queue_is_bounded() -> None:
    queue = RequestQueue(limit=2)
    active(queue, 1)
    active(queue, 2)
    with pytest.raises(QueueFull, match="2 requests"):
        queue.add(create(3), origin="alice", now_s=0.0)


def test_expiry_is_told_from_the_moment_the_time_is_over() -> None:
    queue = RequestQueue()
    active(queue, 1, now_s=5.0, max_time_s=2.0)
    assert queue.expired(6.999) == []
    assert [r.id for r in queue.expired(7.0)] == [1]


@pytest.mark.parametrize(
    ("activated", "error", "state"),
    [
        (True, None, RequestState.DONE),
        (True, ErrorCode.TIMEOUT, RequestState.FAILED),
        (False, ErrorCode.REJECTED, RequestState.REFUSED),
    ],
)
def test_the_end_says_how(activated: bool, error: ErrorCode | None, state: RequestState) -> None:
    queue = RequestQueue()
    queue.add(create(1), origin="alice", now_s=0.0)
    if activated:
        queue.activate(1)
    ended = queue.end(1, error)
    assert ended is not None
    assert ended.state is state
    assert ended.state.final
    assert queue.end(1) is None


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 5))
def test_a_pair_counts_once_and_never_beyond_the_number(sequences: list[int], number: int) -> None:
    queue = RequestQueue()
    active(queue, 1, number=number)
    counted = [s for s in sequences if queue.deliver(1, s)]
    assert len(counted) == len(set(counted)) == min(number, len(set(sequences)))
    request = queue.get(1)
    assert request is not None
    assert request.missing == number - len(counted)


def test_a_time_that_is_over_is_not_served_even_before_it_is_ended() -> None:
    queue = RequestQueue()
    active(queue, 1, max_time_s=2.0)
    active(queue, 2)
    assert queue.next(1.9).id == 1
    assert queue.next(2.0).id == 2


def test_a_request_that_does_not_fit_keeps_its_place() -> None:
    queue = RequestQueue()
    active(queue, 1)
    active(queue, 2)
    assert queue.next(fit=lambda request: request.id != 1).id == 2
    assert queue.next(fit=lambda request: False) is None
    assert queue.next().id == 1


@pytest.mark.parametrize(
    "wish",
    [
        {"atomic": True},
        {"consecutive": False},
        {"window_s": 0.1},
        {"kind": "M", "atomic": True},
    ],
)
def test_an_undivided_request_is_finished_first_once_begun(wish: dict[str, object]) -> None:
    queue = RequestQueue()
    queue.add(replace(create(1), **wish), origin="alice", now_s=0.0)
    queue.activate(1)
    assert queue.next().id == 1
    active(queue, 2, priority=7)
    assert queue.next().id == 2  # not begun: no pair of it exists yet
    queue.deliver(1, 10)
    assert queue.next().id == 1
    assert queue.next(fit=lambda request: request.id != 1) is None
    queue.deliver(1, 11)
    assert queue.next().id == 2


@pytest.mark.parametrize("atomic", [False, True])
def test_while_one_that_was_begun_waits_for_memory_others_may_be_measured(atomic: bool) -> None:
    queue = RequestQueue()
    for asked in (
        replace(create(1), consecutive=False, atomic=atomic),
        create(2),
        replace(create(3), kind="M"),
    ):
        queue.add(asked, origin="alice", now_s=0.0)
        queue.activate(asked.request)
    queue.deliver(1, 10)
    found = queue.next(open_=lambda group: group[0] == "M")
    assert (found and found.id) == (None if atomic else 3)
    found = queue.next()
    assert found is not None
    assert found.id == 1


def test_measured_pairs_told_together_do_not_block_others() -> None:
    queue = RequestQueue()
    queue.add(replace(create(1), kind="M", consecutive=False), origin="alice", now_s=0.0)
    queue.activate(1)
    queue.deliver(1, 10)
    active(queue, 2, priority=7)
    assert queue.next().id == 2


def test_an_undivided_request_that_ends_early_gives_the_link_free() -> None:
    queue = RequestQueue()
    queue.add(replace(create(1), atomic=True), origin="alice", now_s=0.0)
    queue.activate(1)
    queue.deliver(1, 10)
    active(queue, 2)
    queue.cancel(1, "bob")
    assert queue.next().id == 2
    assert queue.verdict(1) == (ErrorCode.CANCELLED, "cancelled by bob")


def test_a_void_pair_is_made_again_and_does_not_come_back() -> None:
    queue = RequestQueue()
    active(queue, 1, number=1)
    assert queue.deliver(1, 10)
    assert queue.next() is None
    assert queue.withdraw(1, 10)
    assert queue.next().id == 1
    assert not queue.deliver(1, 10)
    assert queue.deliver(1, 11)
    assert not queue.withdraw(1, 12)
    assert not queue.withdraw(2, 11)


def test_the_following_end_keeps_the_places_it_is_told() -> None:
    queue = RequestQueue(leads=False)
    queue.add(create(1), origin="bob", now_s=0.0)  # its own; the leading end places it later
    queue.add(replace(create(2), place=4), origin="alice", now_s=1.0)
    queue.activate(2)
    queue.activate(1, place=3)
    assert [queue.get(n).place for n in (1, 2)] == [3, 4]
    assert queue.next().id == 1


class Model:
    """Strict priority as a plain sorted list; odd requests are of kind M, even ones of kind K."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int, int]] = []

    def first(self, *, room: bool = True) -> int | None:
        return min((each for each in self.waiting if room or each[2] % 2), default=(0, 0, None))[2]

    def leave(self, request: int) -> None:
        self.waiting = [entry for entry in self.waiting if entry[2] != request]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 7)),
            st.tuples(st.sampled_from(["end", "deliver"]), st.integers(0, 10)),
        ),
        max_size=80,
    )
)
def test_priority_is_as_a_sorted_list_would_have_it(steps: list[tuple[str, int]]) -> None:
    queue, model, open_ids = RequestQueue(limit=20), Model(), []
    for n, (step, value) in enumerate(steps):
        if step == "add" and len(queue) < 20:
            asked = replace(create(n, priority=value, number=1), kind="KM"[n % 2])
            queue.add(asked, origin="alice", now_s=0.0)
            queue.activate(n)
            model.waiting.append((-value, n, n))
            open_ids.append(n)
        elif step == "end" and open_ids:
            request = open_ids.pop(value % len(open_ids))
            queue.end(request)
            model.leave(request)
        elif step == "deliver" and (first := model.first()) is not None:
            queue.deliver(first, n)
            model.leave(first)
        served = queue.next()
        assert (served.id if served else None) == model.first()
        measured = queue.next(open_=lambda group: group == ("M", "alice"))
        assert (measured.id if measured else None) == model.first(room=False)


@pytest.mark.parametrize("order", [PriorityOrder(), FairOrder()], ids=["priority", "fair"])
def test_requests_of_a_group_that_is_not_served_are_not_looked_at_one_by_one(
    order: PriorityOrder | FairOrder,
) -> None:
    """A full memory and ten thousand requests to keep pairs must not stop the others."""
    queue, looked = RequestQueue(limit=20_000, order=order), []
    for n in range(10_000):
        active(queue, n)
    queue.add(replace(create(10_000), kind="M"), origin="alice", now_s=0.0)
    queue.activate(10_000)

    def fit(request: Request) -> bool:
        looked.append(request.id)
        return True

    for _ in range(3):
        found = queue.next(0.0, fit=fit, open_=lambda group: group[0] == "M")
        assert found is not None
        assert found.id == 10_000
    assert looked == [10_000] * 3


def test_requests_are_told_by_what_they_ask_for() -> None:
    queue = RequestQueue()
    for n, fidelity in enumerate((0.8, 0.9, 0.8)):
        queue.add(replace(create(n), minimum_fidelity=fidelity), origin="alice", now_s=0.0)
    assert sorted(map(sorted, queue.by_wish())) == [[0, 2], [1]]
    queue.end(1)
    queue.end(2)
    assert list(map(list, queue.by_wish())) == [[0]]


def test_what_the_queue_holds_is_bounded_by_what_waits() -> None:
    queue = RequestQueue(limit=8, order=FairOrder())
    for n in range(10_000):
        queue.add(replace(create(n), purpose=f"p{n}"), origin="alice", now_s=float(n))
        queue.activate(n)
        if n >= 4:
            assert queue.next() is not None
            queue.deliver(n - 4, n, raw=50.0)
            queue.end(n - 4)
    objects = [queue, queue._order]
    for thing in objects:
        for name in getattr(thing, "__dict__", {}):
            held = getattr(thing, name)
            if isinstance(held, dict | list):
                assert len(held) <= 6_000, name
