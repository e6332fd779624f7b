"""Words about one pair in orders that chance brings too seldom for 2,000 worlds."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import msgspec
import pytest

from link_layer.egp_agreement import Agreement
from link_layer.egp_plan import EndPort, Half, Plan
from link_layer.messages import (
    Attempt,
    Basis,
    Heralded,
    Message,
    PairDropped,
    PairDroppedSeen,
    PairHeld,
)
from link_layer.states import BellState

WORD = PairHeld("link", 7, 40, 3, BellState.PSI_MINUS)
DROP = PairDropped("link", 40, "a fault")


class Wire:
    """What one end has sent, and what became of its half."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.became: list[str] = []
        self.counters: Counter[str] = Counter()
        self.agreement = Agreement(
            "link",
            cast(EndPort, self),
            self.counters,
            agreed=lambda half, word, now_s: self.became.append("agreed"),
            lost=lambda half, reason, now_s: self.became.append("lost"),
        )

    def place(self, half: Half) -> None:
        """As good as fresh."""

    def to_peer(self, message: Message) -> None:
        self.sent.append(message)


def half(test_basis: Basis | None = None) -> Half:
    heralded = Heralded("link", 7, 40, 3, BellState.PSI_MINUS)
    tested = Plan(basis=test_basis, discloses=True, test=True)
    plan = Plan(qubit=1) if test_basis is None else tested
    attempt = Attempt("link", 7, 1, test_basis)
    return Half(attempt, plan, heralded, 0.0, outcome=None if test_basis is None else 0)


def test_both_words_make_a_pair() -> None:
    wire = Wire()
    wire.agreement.heard(WORD, later=True, now_s=0.0)
    wire.agreement.hold(half(), 0.001)
    assert wire.became == ["agreed"]


@pytest.mark.parametrize("order", [(WORD, DROP), (DROP, WORD)], ids=["word first", "drop first"])
def test_a_drop_before_our_own_half_is_not_forgotten(order: tuple[Message, ...]) -> None:
    # The far end's device fails after its word, while ours still corrects.
    wire = Wire()
    for message in order:
        if isinstance(message, PairHeld):
            wire.agreement.heard(message, later=True, now_s=0.0)
        elif isinstance(message, PairDropped):
            assert not wire.agreement.far_dropped(message, 0.0)
    wire.agreement.hold(half(), 0.001)
    assert wire.became == ["lost"]
    assert wire.sent == [PairDroppedSeen("link", 40)]
    assert not wire.agreement.busy
    assert not wire.agreement.waiting


@pytest.mark.parametrize(
    ("other", "basis", "kind"),
    [
        ({"slot": 4}, None, "time"),
        ({"sequence": 41, "slot": 9}, None, "sequence"),
        ({"bell_state": BellState.PSI_PLUS}, None, "state"),
        ({"test": True, "basis": "Z", "outcome": 1}, None, "queue"),
        ({"test": True, "basis": "Z", "outcome": 1}, "X", "queue"),
    ],
)
def test_what_the_ends_disagree_on_is_told(
    other: dict[str, Any], basis: Basis | None, kind: str
) -> None:
    wire = Wire()
    wire.agreement.heard(msgspec.structs.replace(WORD, **other), later=True, now_s=0.0)
    wire.agreement.hold(half(basis), 0.001)
    assert wire.became == ["lost"]
    assert wire.counters == {"mismatches": 1, f"mismatches_{kind}": 1}
    given_up = {each.sequence for each in wire.sent if isinstance(each, PairDropped)}
    assert given_up == {40, other.get("sequence", 40)}
