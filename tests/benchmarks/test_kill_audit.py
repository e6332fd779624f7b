"""The auditor sees each kind of breach in papers that have it, and none in good ones."""

from dataclasses import replace

import pytest

from benchmarks.kill_audit import ClientLog, Kill, Measured, Told, Use, audit, journal_tails
from qnodeos.journal import EventRow, Journal, PairRow, RequestRow

TOLD = Told("memory", 3, 77, "PHI_PLUS")
USE = Use(TOLD, 1, heralded_s=10.0, deadline_s=10.2, used_s=10.1)
PAIR = PairRow(
    "memory", 3, 77, 5, "keep", "PHI_PLUS", 1.0, 10.0, 10.2, "held", "", None, 10.1, "alice"
)
REQUEST = RequestRow("memory", 5, "K", "alice", "", 1, 0.6, "done", 1, "", 9.9, 10.1)


def papers() -> tuple[dict[str, Journal], dict[str, ClientLog]]:
    journal = Journal((), (REQUEST,), (PAIR,), (), ())
    logs = {"alice": ClientLog([TOLD], [USE], 1), "bob": ClientLog([TOLD], [USE])}
    logs["alice"].ends.append("done")
    return {"alice": journal, "bob": journal}, logs


def test_good_papers_are_passed() -> None:
    assert audit(*papers(), [Kill("alice", 11.0)]) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"used_s": 10.3}, "past its deadline"),
        ({"used_s": 10.15}, "older than the end of bob"),
        ({"outcome": 0}, "contradict"),
    ],
)
def test_a_client_that_was_wronged(changes: dict[str, float], words: str) -> None:
    journals, logs = papers()
    logs["bob"].uses[0] = replace(USE, **changes)  # type: ignore[arg-type]
    found = audit(journals, logs, [Kill("bob", 10.12)])
    assert any(words in text for text in found)


def test_a_pair_that_is_another_at_the_far_end() -> None:
    journals, logs = papers()
    logs["bob"].told[0] = replace(TOLD, slot=78)
    assert audit(journals, logs, []) == ["the clients were given pair 3 differently"]


def test_a_pair_twice_and_a_request_without_end() -> None:
    journals, logs = papers()
    logs["alice"].uses.append(USE)
    logs["alice"].told.append(TOLD)
    logs["bob"].asked += 1
    assert audit(journals, logs, []) == [
        "alice: pair 3 was delivered 2 times",
        "alice: pair 3 was used 2 times",
        "bob: 1 requests were made and 0 ended",
    ]


def test_journals_that_disagree_or_leave_something_open() -> None:
    journals, logs = papers()
    journals["bob"] = Journal(
        (),
        (replace(REQUEST, state="active"),),
        (replace(PAIR, bell_state="PSI_PLUS", delivered_s=10.3),),
        (),
        (),
    )
    found = audit(journals, logs, [])
    for words in ("left active", "delivered too late", "not the same in both journals"):
        assert any(words in text for text in found)


def test_a_pair_that_the_far_end_does_not_know() -> None:
    journals, logs = papers()
    alive = EventRow(11.4, "status", {})
    journals["bob"] = replace(journals["bob"], events=(alive,), pairs=())
    (found,) = audit(journals, logs, [Kill("bob", 8.5), Kill("bob", 11.5)])
    assert found.startswith("alice: pair 3 was used, but the far end does not know it")
    assert audit(journals, logs, [Kill("bob", 10.5)]) == []
    gone = replace(PAIR, state="discarded", delivered_s=None, ended_s=10.1)
    journals["bob"] = replace(journals["bob"], pairs=(gone,))
    assert audit(journals, logs, []) == []


@pytest.mark.parametrize(("last_s", "excused"), [(9.5, True), (11.2, False)])
def test_what_a_killed_node_had_not_written_down(last_s: float, excused: bool) -> None:
    """bob stands still, and is killed 1.5 s after the pair."""
    journals, logs = papers()
    last = EventRow(last_s, "status", {})
    request = replace(REQUEST, changed_s=9.4)
    journals["bob"] = Journal((last,), (request,), (), (), ())
    found = audit(journals, logs, [Kill("bob", 11.5)])
    assert any("does not know it" in text for text in found) is not excused


def test_a_life_in_which_nothing_was_written_has_no_tail() -> None:
    written = Journal((EventRow(9.5, "status", {}), EventRow(21.0, "start", {})), (), (), (), ())
    kills = [Kill("bob", at_s) for at_s in (10.0, 20.0, 21.5)]
    assert journal_tails(written, [*kills, Kill("alice", 9.9)], "bob") == [
        (9.5, 10.0),
        (21.0, 21.5),
    ]


def test_a_pair_that_was_used_long_after_the_far_end_had_given_it_up() -> None:
    journals, logs = papers()
    logs["alice"].uses[0] = replace(USE, deadline_s=15.0, used_s=13.0)
    logs["bob"].uses.clear()
    gone = replace(PAIR, state="discarded", delivered_s=None, ended_s=10.1)
    journals["bob"] = replace(journals["bob"], pairs=(gone,))
    (found,) = audit(journals, logs, [])
    assert found == "alice: pair 3 was used 2.9 s after the far end had given it up"


def measured(outcomes: list[int], basis: str = "Z") -> Measured:
    return Measured("photonic", basis, list(range(len(outcomes))), outcomes)


@pytest.mark.parametrize(
    ("far", "words"),
    [
        (measured([0, 1] * 50), ""),
        (measured([0] * 100), "50 outcomes contradict Phi+"),
        (measured([0, 1] * 50, "Y"), "not measured in the same basis"),
    ],
)
def test_pairs_that_were_measured_at_once(far: Measured, words: str) -> None:
    journals, logs = papers()
    logs["alice"].measured.append(measured([0, 1] * 50))
    logs["bob"].measured.append(far)
    found = audit(journals, logs, [])
    assert len(found) == 0 if not words else any(words in text for text in found)
