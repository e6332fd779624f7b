"""Two desks, one at each end: every request ends, with the same story at both."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.messages import Accept, Create, ErrorCode, Finish, FinishSeen, Message, Refuse
from link_layer.queue import Request
from qnodeos.requests import INBOX_LIMIT, LINGER_S, REPEAT_S, Desk, Inbox, RequestEnded
from timing.loop import run_virtual


class Pair:
    """Two desks; what they say waits in `wire` until `carry`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.wire: list[tuple[str, Message]] = []
        self.changes: list[tuple[str, str]] = []
        self.verdict: tuple[ErrorCode, str] | None = None
        self.desks = {end: self._desk(end) for end in ("alice", "bob")}

    def _desk(self, end: str) -> Desk[int]:
        def send(message: Message) -> bool:
            self.wire.append((end, message))
            return True

        def changed(request: Request) -> None:
            self.changes.append((end, request.state.value))

        return Desk(
            "link",
            me=end,
            peer="bob" if end == "alice" else "alice",
            send=send,
            clock=lambda: self.now_s,
            rng=random.Random(end),
            admit=lambda create: self.verdict,
            changed=changed,
        )

    def carry(self) -> None:
        """Deliver what waits, and the answers to it."""
        while self.wire:
            end, message = self.wire.pop(0)
            assert isinstance(message, Create | Accept | Refuse | Finish | FinishSeen)
            self.desks["bob" if end == "alice" else "alice"].handle(message)

    def ask(self, **wishes: Any) -> tuple[int, Inbox[int]]:
        inbox = self.desks["alice"].ask(
            **{
                "kind": "K",
                "number": 2,
                "minimum_fidelity": 0.8,
                "within_s": 5.0,
                "purpose": "test",
                **wishes,
            }
        )
        (*_, request) = self.desks["alice"].queue
        return request.id, inbox


def taken(inbox: Inbox[int]) -> tuple[list[int], RequestEnded | None]:
    """What lies in an inbox whose request has ended."""

    async def take() -> tuple[list[int], RequestEnded | None]:
        items: list[int] = []
        try:
            async with asyncio.timeout(1):
                async for item in inbox:
                    items.append(item)
        except RequestEnded as ended:
            return items, ended
        return items, None

    return run_virtual(take())


def test_a_request_runs_its_course() -> None:
    pair = Pair()
    far = pair.desks["bob"].accept("test")
    request, inbox = pair.ask()
    pair.carry()
    for sequence in (7, 8):
        assert pair.desks["alice"].deliver(request, sequence, sequence)
        assert pair.desks["bob"].deliver(request, sequence, sequence)
    pair.carry()
    assert taken(inbox) == ([7, 8], None)
    assert far._items.qsize() == 2
    assert pair.changes == [
        ("bob", "active"),
        ("alice", "active"),
        ("alice", "done"),
        ("bob", "done"),
    ]


def test_a_finished_far_end_leaves_time_for_what_is_on_its_way() -> None:
    pair = Pair()
    pair.desks["bob"].accept("test")
    request, inbox = pair.ask(number=1)
    pair.carry()
    pair.desks["bob"].deliver(request, 7, 7)
    pair.carry()
    pair.now_s = LINGER_S / 2
    pair.desks["alice"].handle(Finish("link", request))  # said twice: no more time for that
    pair.desks["alice"].expire()
    assert pair.desks["alice"].queue.get(request) is not None
    pair.now_s = LINGER_S
    pair.desks["alice"].expire()
    _, ended = taken(inbox)
    assert str(ended) == "OTHER: bob had finished"


def test_an_unanswered_proposal_is_made_again_until_its_time_is_over() -> None:
    pair = Pair()
    pair.desks["bob"].accept("test")
    pair.ask(within_s=5 * REPEAT_S)
    said = 0
    for turn in range(1, 100):
        pair.now_s = turn * 0.1
        pair.desks["alice"].expire()
        said += sum(isinstance(message, Create) for _, message in pair.wire)
        pair.wire.clear()
    assert said == 5  # the first, and one each half second, but for that of its end
    assert len(pair.desks["alice"].queue) == 0


@pytest.mark.parametrize("times", [1, 3])
def test_a_repeated_proposal_gets_the_answer_that_was_given(times: int) -> None:
    pair = Pair()
    pair.desks["bob"].accept("test")
    pair.verdict = None
    request, _ = pair.ask()
    (_, create), *_ = pair.wire
    pair.verdict = (ErrorCode.NO_RESOURCES, "no device")
    pair.carry()
    assert len(pair.desks["alice"].queue) == 0
    pair.verdict = None
    for _ in range(times):
        pair.desks["bob"].handle(create)  # type: ignore[arg-type]
    assert len(pair.desks["bob"].queue) == 0
    assert {message for _, message in pair.wire} == {
        Refuse("link", request, ErrorCode.NO_RESOURCES, "no device")
    }


def test_an_acceptance_of_what_is_over_is_answered_with_its_end() -> None:
    """alice's Finish was lost: bob's repeated word brings it again."""
    pair = Pair()
    pair.desks["bob"].accept("test")
    request, _ = pair.ask()
    pair.carry()
    pair.desks["alice"].end(request, ErrorCode.OTHER, "given up")
    pair.wire.clear()
    pair.desks["alice"].handle(Accept("link", request))
    pair.carry()
    assert len(pair.desks["bob"].queue) == 0


def test_an_unknown_acceptance_says_nothing() -> None:
    pair = Pair()
    pair.desks["alice"].handle(Accept("link", 99))
    pair.desks["alice"].remind(99)
    assert pair.wire == []


def test_deliveries_left_lying_are_dropped_and_counted() -> None:
    pair = Pair()
    pair.desks["bob"].accept("test")
    request, _ = pair.ask(number=INBOX_LIMIT + 5)
    pair.carry()
    results = [pair.desks["bob"].deliver(request, n, n) for n in range(INBOX_LIMIT + 5)]
    assert results.count(False) == 5
    assert pair.desks["bob"].dropped == 5


def test_one_purpose_has_one_taker() -> None:
    pair = Pair()
    pair.desks["bob"].accept("test")
    with pytest.raises(ValueError, match="has a taker already"):
        pair.desks["bob"].accept("test")


STEP = st.one_of(
    st.sampled_from(["ask", "tick", "late", "alice ends", "bob ends", "all lost"]),
    st.tuples(st.sampled_from(["lose", "carry", "repeat", "swap"]), st.integers(0, 20)),
    st.tuples(st.sampled_from(["alice", "bob"]), st.integers(0, 5)),
)


@given(st.lists(STEP, max_size=60))
def test_every_request_ends_at_both_ends_whatever_happens_to_messages(steps: list[Any]) -> None:
    pair = Pair()
    pair.desks["bob"].accept("test")
    asked: list[tuple[int, Inbox[int]]] = []
    for step in steps:
        match step:
            case "ask":
                asked.append(pair.ask())
            case "tick" | "late":
                pair.now_s += 0.1 if step == "tick" else 1.0
                for desk in pair.desks.values():
                    desk.expire()
            case "alice ends" | "bob ends" if asked:
                pair.desks[step.split()[0]].end(asked[-1][0], ErrorCode.OTHER, "given up")
            case "all lost":
                for desk in pair.desks.values():
                    desk.end_all(ErrorCode.OTHER, "lost")
            case ("lose" | "carry" | "repeat" | "swap" as what, where) if pair.wire:
                place = where % len(pair.wire)
                if what in ("carry", "repeat"):
                    end, message = pair.wire[place]
                    if what == "carry":
                        del pair.wire[place]
                    other = pair.desks["bob" if end == "alice" else "alice"]
                    other.handle(message)  # type: ignore[arg-type]
                elif what == "lose":
                    del pair.wire[place]
                else:
                    pair.wire.append(pair.wire.pop(place))
                del pair.wire[50:]
            case ("alice" | "bob" as end, sequence) if asked:
                pair.desks[end].deliver(asked[-1][0], sequence, sequence)
    pair.now_s += 6.0
    for desk in pair.desks.values():
        desk.expire()
        assert len(desk.queue) == 0
    for _, inbox in asked:
        items, ended = taken(inbox)
        assert len(items) == len(set(items)) <= 2
        assert (len(items) == 2) is (ended is None)


def test_two_ends_that_finish_together_need_no_answer_and_a_lost_word_gets_one() -> None:
    pair = Pair()
    pair.desks["bob"].accept("test")
    request, _ = pair.ask(number=1)
    pair.carry()
    for end in ("alice", "bob"):
        assert pair.desks[end].deliver(request, 1, 7)
    assert [type(message) for _, message in pair.wire] == [Finish, Finish]
    del pair.wire[0]  # alice's is lost; bob's comes
    pair.carry()
    assert pair.wire == []
    for _ in range(3):
        pair.now_s += 0.6
        for end in ("alice", "bob"):
            pair.desks[end].expire()
    said = [(end, type(message)) for end, message in pair.wire]
    assert said[0] == ("bob", Finish)
    pair.carry()
    pair.now_s += 10.0
    for end in ("alice", "bob"):
        pair.desks[end].expire()
    assert pair.wire == [], "both know that both know"


def test_the_end_of_a_request_is_told_until_it_is_seen() -> None:
    pair = Pair()
    pair.desks["bob"].accept("test")
    request, _ = pair.ask()
    pair.carry()
    pair.desks["alice"].end(request, ErrorCode.TIMEOUT, "too late")
    pair.wire.clear()  # lost
    pair.now_s += 2 * REPEAT_S
    pair.desks["alice"].expire()
    assert [message for _, message in pair.wire if isinstance(message, Finish)]
    pair.carry()
    assert len(pair.desks["bob"].queue) == 0
    pair.now_s += 100.0
    pair.desks["alice"].expire()
    assert not pair.wire


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        ({"kind": "Q"}, "Invalid enum value 'Q'"),
        ({"purify": "twice"}, "Invalid enum value 'twice'"),
        ({"number": "two"}, "Expected `int`"),
        ({"kind": "M", "purify": "auto"}, "only pairs that are kept"),
        ({"corrected": False, "purify": "epl"}, "only pairs that are kept"),
    ],
)
def test_what_no_link_understands_is_refused_before_it_is_sent(
    wishes: dict[str, Any], text: str
) -> None:
    pair = Pair()
    with pytest.raises(RequestEnded, match=text):
        pair.ask(**wishes)
    assert pair.wire == []
