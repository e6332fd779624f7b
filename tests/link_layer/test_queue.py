import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.messages import Create, ErrorCode
from link_layer.queue import QueueFull, RequestQueue, RequestState


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
