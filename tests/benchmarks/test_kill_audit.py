"""The auditor sees each kind of breach in papers that have it, and none in good ones."""

from dataclasses import replace

import pytest

from benchmarks.kill_audit import ClientLog, Kill, Use, audit
from qnodeos.journal import Journal, PairRow, RequestRow

USE = Use(3, 77, "PHI_PLUS", 1, heralded_s=10.0, deadline_s=10.2, used_s=10.1)
PAIR = PairRow(
    "memory", 3, 77, 5, "keep", "PHI_PLUS", 1.0, 10.0, 10.2, "held", "", None, 10.1, "alice"
)
REQUEST = RequestRow("memory", 5, "K", "alice", "", 1, 0.6, "done", 1, "", 9.9, 10.1)


def papers() -> tuple[dict[str, Journal], dict[str, ClientLog]]:
    journal = Journal((), (REQUEST,), (PAIR,), (), ())
    logs = {"alice": ClientLog([USE], 1), "bob": ClientLog([USE])}
    logs["alice"].ends["done"] += 1
    return {"alice": journal, "bob": journal}, logs


def test_good_papers_are_passed() -> None:
    assert audit(*papers(), [Kill("alice", 11.0)]) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"used_s": 10.3}, "past its deadline"),
        ({"used_s": 10.15}, "older than the end of bob"),
        ({"slot": 78}, "differently"),
        ({"outcome": 0}, "contradict"),
    ],
)
def test_a_client_that_was_wronged(changes: dict[str, float], words: str) -> None:
    journals, logs = papers()
    logs["bob"].uses[0] = replace(USE, **changes)  # type: ignore[arg-type]
    found = audit(journals, logs, [Kill("bob", 10.12)])
    assert any(words in text for text in found)


def test_a_pair_twice_and_a_request_without_end() -> None:
    journals, logs = papers()
    logs["alice"].uses.append(USE)
    logs["bob"].asked += 1
    found = audit(journals, logs, [])
    assert [text.partition(":")[0] for text in found] == ["alice", "bob"]
    assert "2 times" in found[0]
    assert "1 requests were made and 0 ended" in found[1]


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
