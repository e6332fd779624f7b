"""Writes docs/link-vectors.json: every message of the draft, with its fields and its bytes."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from link_layer.draft_messages import (
    DraftAck,
    DraftCreate,
    DraftError,
    DraftOkKeep,
    DraftOkMeasure,
    encode_reply,
)

PLACE = Path(__file__).parent.parent / "docs" / "link-vectors.json"

_CREATE = DraftCreate(7, 52428, 1, 1500, 80, 3)
CREATES = {
    "three kept pairs of fidelity 0.8 within 1.5 s": _CREATE,
    "one OK each, atomic, highest priority": replace(_CREATE, consecutive=1, atomic=1, priority=7),
    "measured in X, Y or Z at both ends": replace(
        _CREATE, measure=1, bases_local=2, bases_remote=2, probability_1_local=85,
        probability_2_local=85, probability_1_remote=85, probability_2_remote=85,
    ),
    "measured turned: Y by 90 degrees here, X by 45 and back there": replace(
        _CREATE, measure=1, turn_y_local=64, turn_x1_remote=32, turn_x2_remote=224
    ),
    "the CHSH bases": replace(_CREATE, measure=1, bases_local=1, probability_1_local=128,
                              bases_remote=3, probability_1_remote=128),
    "every field at its largest": DraftCreate(
        2**32 - 1, 2**16 - 1, 2, 2**14 - 1, 2**16 - 1, 2**16 - 1, 7, 1, 1, 1, 3, 3, *[255] * 10
    ),
}  # fmt: skip
REPLIES = {
    "ACK": DraftAck(4660),
    "ACK, the largest id": DraftAck(2**16 - 1),
    "OK-K of our request": DraftOkKeep(4660, 5, 0, 1, 80, 7, 58982, 12),
    "OK-K, every field at its largest": DraftOkKeep(
        2**16 - 1, 15, 1, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**16 - 1, 2**16 - 1
    ),
    "OK-M, outcome 1 in Y, of theirs": DraftOkMeasure(4660, 1, 1, 2, 9, 80, 7, 58982),
    "OK-M, outcome 0 in Z-45": DraftOkMeasure(1, 0, 0, 4, 9, 80, 7, 0),
    "ERR TIMEOUT of the whole request": DraftError(4660, 6, 0, 0, 0, 7),
    "ERR EXPIRE of sequences 3 to 5": DraftError(4660, 5, 1, 3, 6, 7),
}


def vectors() -> list[dict[str, Any]]:
    """All of them, in order."""
    creates = [
        {"what": what, "message": "CREATE", "fields": asdict(m), "hex": m.encode().hex()}
        for what, m in CREATES.items()
    ]
    replies = [
        {"what": what, "message": m.LAYOUT.name, "fields": asdict(m), "hex": encode_reply(m).hex()}
        for what, m in REPLIES.items()
    ]
    return [*creates, *replies]


if __name__ == "__main__":
    PLACE.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{PLACE}: {len(vectors())} vectors\n")
