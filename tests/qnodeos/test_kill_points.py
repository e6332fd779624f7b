"""A misfortune at one point after the other of a short run, audited from the papers it leaves.

`python -m benchmarks kill-points` goes through all of them.
"""

from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.kill_points import MISFORTUNES, run_point
from qnodeos.memory_link import MemoryLink
from qnodeos.wire import Wire

EVERY = 40
LEAST_POINTS = 200
"""The run has at least so many."""

RACE = 96, 126
"""Points between which an end has said that it holds a measured half and the other has not."""


@pytest.mark.parametrize("misfortune", MISFORTUNES)
def test_nothing_promised_is_broken_wherever_it_happens(tmp_path: Path, misfortune: str) -> None:
    began_at = list(MISFORTUNES).index(misfortune)
    for at in range(began_at, LEAST_POINTS, EVERY):
        outcome = run_point(tmp_path / str(at), misfortune, at)
        assert outcome.happened
        assert outcome.breaches == [], f"at point {at}"


def test_a_loss_that_only_one_end_knows_of_is_found_out(tmp_path: Path) -> None:
    def lose(wire: Wire[object], peer: object, reason: str) -> None:
        peer.state, peer.reason = "lost", reason  # type: ignore[attr-defined]

    with patch.object(Wire, "_lose", lose):
        (found, *_) = run_point(tmp_path, "bob loses alice", 60).breaches
    assert "after the far end had given it up" in found


def test_a_half_that_only_one_journal_has_is_found_out(tmp_path: Path) -> None:
    found = []
    with patch.object(MemoryLink, "told_and_lost", lambda *_: None):
        for at in range(*RACE, 3):
            found += run_point(tmp_path / str(at), "timeout at bob", at).breaches
    assert any("the far end does not know it" in text for text in found)
