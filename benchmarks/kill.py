"""SIGKILL at random instants of a busy run: what an independent audit finds broken afterwards."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.frame import Row, benchmark

RUNS = 200


@benchmark("kill", "nodes killed at 200 random instants of a busy run, audited from their papers")
def kill_rows() -> list[Row]:
    """In virtual time; breaches are printed."""
    from benchmarks.kill_scene import run_one

    broken = before = after = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(RUNS):
            outcome = run_one(seed, Path(folder) / str(seed))
            broken += bool(outcome.breaches)
            before += outcome.before
            after += outcome.after
            for text in outcome.breaches:
                print(f"seed {seed}: {text}")
    return [
        Row("kills in virtual time", RUNS, "", at_least=RUNS),
        Row("of these, with a promise broken", broken, "", at_most=0),
        Row("pairs measured at both ends before the kill", before, "", at_least=RUNS),
        Row("pairs measured at both ends after the restart", after, "", at_least=RUNS),
    ]
