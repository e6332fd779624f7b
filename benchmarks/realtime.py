"""What a busy computer does to heralds, and how much of it running in real time takes back.

Two nodes, a station and the lab run beside one busy process a core: as any program, and as
docs/running.md has it. In turns, each time in a network of its own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import numpy as np

from benchmarks.frame import Row, benchmark
from benchmarks.link import Told, measured
from benchmarks.real_time import in_real_time

SECONDS = 12.0
EFFICIENCY = 0.1
ROUNDS = 2
HOG = """
import os
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
while True:
    pass
"""


@benchmark("realtime", "from herald to correction and OK on a busy computer, and in real time")
def run() -> list[Row]:
    """Mean of the rounds' percentiles at both ends, and their ratio."""
    told: dict[bool, list[Told]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for realtime in (False, True):
            with in_real_time() if realtime else nullcontext():
                told[realtime].append(asyncio.run(measured(SECONDS, EFFICIENCY, _busy)))
    rows = []
    for what, figure, ends in (
        ("herald to correction", "correction", ("bob",)),
        ("herald to OK", "ok", ("alice", "bob")),
    ):
        for percent in ("p50", "p99"):
            by_any, in_time = (
                np.mean([each[end][f"{figure}_{percent}_ms"] for each in told[rt] for end in ends])
                for rt in (False, True)
            )
            rows += [
                Row(f"{what}, {percent}, as any program", float(by_any), "ms"),
                Row("the same in real time", float(in_time), "ms"),
                Row("ratio", float(in_time / by_any), "", at_most=1),
            ]
    return rows


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
