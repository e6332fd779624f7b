"""Nodes of a real network are killed with SIGKILL.

`python -m benchmarks kill-real` does the same 200 times.
"""

from pathlib import Path

import pytest

from benchmarks.kill_real import run_real


@pytest.mark.e2e
@pytest.mark.timeout(150)
async def test_nothing_promised_is_broken_by_three_kills(tmp_path: Path) -> None:
    """The station, bob, and alice, by this seed."""
    outcome = await run_real(tmp_path, seed=5, instants=3)
    assert outcome.breaches == []
    assert [kill.node for kill in outcome.kills] == ["station", "bob", "alice"]
    assert outcome.kept > 0
