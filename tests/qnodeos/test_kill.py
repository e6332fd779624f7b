"""A node that is killed at a random instant of a busy run, audited from the papers it leaves.

`python -m benchmarks kill` does the same 200 times, in virtual time too.
"""

from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.kill_scene import run_one
from qnodeos.keeping import PairKeeper
from qnodeos.memory import QuantumMemory

SEEDS = 10


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_promised_is_broken_by_a_kill(tmp_path: Path, seed: int) -> None:
    outcome = run_one(seed, tmp_path / "run")
    assert outcome.breaches == []
    assert outcome.after > 0


def test_halves_that_outlive_the_far_end_are_found_out(tmp_path: Path) -> None:
    with patch.object(PairKeeper, "drop_all", lambda *_, **__: None):
        assert "older than the end of" in breaches_of_four(tmp_path)


def test_halves_that_outlive_their_deadline_are_found_out(tmp_path: Path) -> None:
    with (
        patch.object(QuantumMemory, "check", lambda *_: None),
        patch.object(QuantumMemory, "overdue", lambda _: []),
    ):
        assert "past its deadline" in breaches_of_four(tmp_path)


def breaches_of_four(folder: Path) -> str:
    """What the audit finds in the first four runs."""
    outcomes = [run_one(seed, folder / str(seed)) for seed in range(4)]
    return "\n".join(text for outcome in outcomes for text in outcome.breaches)
