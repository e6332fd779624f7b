"""What a busy computer does to heralds, and how much of it real-time scheduling takes back.

Two nodes, a station and the lab run beside one busy process a core: as any program, and by
SCHED_RR, as docs/running.md has it. In turns, each time in a network of its own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np

from benchmarks.frame import CannotRunError, Row, benchmark
from benchmarks.link import Told, measured

SECONDS = 12.0
EFFICIENCY = 0.1
ROUNDS = 2
HOG = """
import os
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
while True:
    pass
"""


@benchmark("realtime", "from herald to correction and OK on a busy computer, and by SCHED_RR")
def run() -> list[Row]:
    """Mean of the rounds' percentiles at both ends, and their ratio."""
    told: dict[bool, list[Told]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for realtime in (False, True):
            with _scheduled(realtime):
                told[realtime].append(asyncio.run(measured(SECONDS, EFFICIENCY, _busy)))
    rows = []
    for what, figure, ends in (
        ("herald to correction", "correction", ("bob",)),
        ("herald to OK", "ok", ("alice", "bob")),
    ):
        for percent in ("p50", "p99"):
            by_any, by_rr = (
                np.mean([each[end][f"{figure}_{percent}_ms"] for each in told[rt] for end in ends])
                for rt in (False, True)
            )
            rows += [
                Row(f"{what}, {percent}, as any program", float(by_any), "ms"),
                Row("the same by SCHED_RR", float(by_rr), "ms"),
                Row("ratio", float(by_rr / by_any), "", at_most=1),
            ]
    return rows


@contextmanager
def _scheduled(realtime: bool) -> Iterator[None]:
    """This process, and so those that it starts. Raises CannotRunError."""
    if not realtime:
        yield
        return
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except (AttributeError, PermissionError) as error:
        raise CannotRunError(
            "this user may not run in real time; try as root, or give it `rtprio 1` in "
            "/etc/security/limits.d"
        ) from error
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@asynccontextmanager
async def _busy(net: Path) -> AsyncIterator[None]:
    """A process a core that is never done, as any program; in a session of its own, since Linux
    may divide the time by sessions."""
    hogs = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HOG),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            await hog.wait()
