"""A node that is killed at a random instant of a busy run, audited from the papers it leaves.

`python -m benchmarks kill` does the same 200 times, in virtual time too.
"""

from pathlib import Path

import pytest

from benchmarks.kill_scene import run_one

SEEDS = 10


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_promised_is_broken_by_a_kill(tmp_path: Path, seed: int) -> None:
    outcome = run_one(seed, tmp_path / "run")
    assert outcome.breaches == []
    assert outcome.after > 0
