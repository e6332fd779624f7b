"""SIGKILL at random instants of a busy run: what an independent audit finds broken afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.frame import CannotRunError, Row, benchmark

if TYPE_CHECKING:
    from benchmarks.kill_points import PointOutcome
    from benchmarks.kill_real import RealOutcome

RUNS = 200

NETWORKS = 5
"""Networks of real processes that share the 200 kills: each is another seed, and audited alone."""


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


@benchmark("kill-points", "every misfortune at every point of a short run, audited")
def kill_points_rows() -> list[Row]:
    """In virtual time, on all cores, in about 4 minutes of two; breaches are printed."""
    from benchmarks.kill_points import MISFORTUNES, run_point

    with tempfile.TemporaryDirectory() as folder:
        misfortune = next(iter(MISFORTUNES))
        points = run_point(Path(folder), misfortune, at=-1).points
    jobs = [(misfortune, at) for misfortune in MISFORTUNES for at in range(points)]
    happened = broken = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for job, outcome in zip(jobs, pool.map(_at_point, jobs, chunksize=8), strict=True):
            happened += outcome.happened
            broken += bool(outcome.breaches)
            for text in outcome.breaches:
                print(f"{job[0]}, point {job[1]}: {text}")
    return [
        Row("points of the run", points, "", at_least=100),
        Row("misfortunes that happened", happened, "", at_least=len(jobs)),
        Row("of these, with a promise broken", broken, "", at_most=0),
    ]


def _at_point(job: tuple[str, int]) -> PointOutcome:
    from benchmarks.kill_points import run_point

    with tempfile.TemporaryDirectory() as folder:
        return run_point(Path(folder), *job)


@benchmark("kill-real", "processes of a network killed with SIGKILL at 200 random instants")
def kill_real_rows() -> list[Row]:
    """In about 10 minutes; breaches are printed, and the papers of such a run stay."""
    from benchmarks.kill_real import run_real

    outcomes: list[RealOutcome] = []
    folder = Path(tempfile.mkdtemp(prefix="qnodeos-kill-"))
    for seed in range(NETWORKS):
        work = run_real(folder / str(seed), seed, RUNS // NETWORKS)
        try:
            outcomes.append(asyncio.run(work))
        except ModuleNotFoundError as error:
            raise CannotRunError(f"{error}; pip install .[demo]") from error
        for text in outcomes[-1].breaches:
            print(f"{folder / str(seed)}: {text}")
    if not any(each.breaches for each in outcomes):
        shutil.rmtree(folder)
    longest_tail_s = max(each.longest_tail_s for each in outcomes)
    killed = Counter(kill.node for each in outcomes for kill in each.kills)
    recovered_s = [time_s for each in outcomes for time_s in each.recovered_s]
    return [
        Row("instants at which real processes were killed", _sum(outcomes, "instants"), "", RUNS),
        *(Row(f"processes of {name} killed", count, "") for name, count in sorted(killed.items())),
        Row("promises broken", sum(len(each.breaches) for each in outcomes), "", at_most=0),
        Row("kept pairs measured at both ends", _sum(outcomes, "kept"), "", at_least=RUNS),
        Row("photonic pairs given at both ends", _sum(outcomes, "photonic"), "", at_least=RUNS),
        Row("longest time before a kill that a journal lost", longest_tail_s, "s"),
        Row("restart until both ends have pairs, median", statistics.median(recovered_s), "s"),
        Row("the same, longest", max(recovered_s), "s"),
    ]


def _sum(outcomes: Sequence[RealOutcome], what: str) -> int:
    return sum(getattr(each, what) for each in outcomes)
