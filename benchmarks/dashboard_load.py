"""Whether those who watch a dashboard slow a herald: time from herald to OK with 0 and 20 of them.

Two nodes, a station, the lab and the dashboard are processes of their own on the loopback. The
watchers are one more, and what they take of this computer counts against the nodes; in a lab they
run where people sit. Each figure is of a network of its own, three of either kind in turns, so that
their spread is seen.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import numpy as np

from benchmarks.dashboard_watchers import watchers
from benchmarks.frame import Row, benchmark
from benchmarks.link import LINK, QUIET_EFFICIENCY, Told, measured

SECONDS = 14.0
WATCHERS = 20
ORDER = (0, WATCHERS, WATCHERS, 0, 0, WATCHERS)
PORT = 8322
UP_TRIES = 200


@benchmark("watchers", "herald to OK with nobody and with 20 browsers' worth of live pages")
def run() -> list[Row]:
    """Some 40 heralds a second, at both ends."""
    rates: list[float] = []
    told = [asyncio.run(measured(SECONDS, QUIET_EFFICIENCY, _with(n, rates))) for n in ORDER]
    rows = [Row("increments that a watcher got", float(np.mean(rates)), "1/s", at_least=9.0)]
    for figure in ("p50", "p99"):
        of = {
            n: np.array([_ok_ms(t, figure) for t, m in zip(told, ORDER, strict=True) if m == n])
            for n in (0, WATCHERS)
        }
        ratio = float(of[WATCHERS].mean() / of[0].mean())
        spread = [each.std(ddof=1) / math.sqrt(len(each)) / each.mean() for each in of.values()]
        error = ratio * float(np.hypot(*spread))
        rows += [
            Row(f"herald to OK, {figure}, nobody looking", float(of[0].mean()), "ms"),
            Row(f"the same, {WATCHERS} watchers", float(of[WATCHERS].mean()), "ms"),
            Row("ratio", ratio, ""),
            Row("its standard error", error, ""),
            Row("ratio less two standard errors", ratio - 2 * error, "", at_most=1),
        ]
    return rows


def _ok_ms(told: Told, figure: str) -> float:
    return float(np.mean([told[name][f"ok_{figure}_ms"] for name in ("alice", "bob")]))


def _with(count: int, rates: list[float]) -> Callable[[Path], AbstractAsyncContextManager[None]]:
    """A dashboard of the network with so many watchers of the link's page."""

    @asynccontextmanager
    async def beside(net: Path) -> AsyncIterator[None]:
        clock = asyncio.get_running_loop().time
        draw = random.SystemRandom()
        host = f"127.{draw.randint(128, 250)}.{draw.randint(1, 250)}.{draw.randint(1, 250)}"
        url = f"http://{host}:{PORT}"
        command = ["dashboard", str(net), "--host", host, "--port", str(PORT)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "qnodeos", *command), stdout=asyncio.subprocess.DEVNULL
        )
        try:
            with ExitStack() as stack:
                await _answers(url)
                if not count:
                    yield
                    return
                page = f"{url}/link/{LINK}@{LINK}"
                found = await asyncio.to_thread(stack.enter_context, watchers(page, count))
                began_s, before = clock(), found.received
                yield
                rates.append((found.received - before) / (clock() - began_s) / count)
        finally:
            process.terminate()
            await process.wait()

    return beside


async def _answers(url: str) -> None:
    """Wait until the dashboard does. Raises RuntimeError if it never does."""
    for _ in range(UP_TRIES):
        try:
            await asyncio.to_thread(urllib.request.urlopen, url, timeout=2)
        except (urllib.error.URLError, OSError):
            await asyncio.sleep(0.05)
        else:
            return
    raise RuntimeError(f"no dashboard at {url}")
