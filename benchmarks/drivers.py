"""What it costs to talk to instruments: a round trip, twenty that are polled, a stream of tags.

The far ends run in a process of their own (`benchmarks.far_end`); processor time is of ours alone.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.frame import CannotRunError, Row, benchmark
from benchmarks.id900 import rows as id900_rows
from drivers.detectors.pm100d import Pm100d
from drivers.framing import LINE_LF
from drivers.links.open import make_link
from drivers.plugin import make_instrument
from drivers.supervisor import Supervisor
from drivers.taggers.tdc1 import Tdc1
from timing.tags import PS_PER_S

QUERIES = 200
ROUNDS = 40
INSTRUMENTS = 20
POLL_HZ = 10.0
POLL_S = float(os.environ.get("QNODEOS_BENCH_SECONDS", "10"))
TAGS_PER_S = 1e6

_QUESTION = b"MEAS:POW?\n"


@benchmark("drivers", "instruments: a query beside a bare asyncio stream's, polling, tag streams")
def driver_rows() -> list[Row]:
    """Measure queries, polling and streams; the targets are those of the project."""
    id900 = [replace(row, what=f"ID900 stream, {row.what}") for row in id900_rows()]
    return [*_queries(), *_polling(), *_tdc1(), *id900]


def _queries() -> list[Row]:
    with _far_end("lines", "1") as where:
        bare_us, ours_us, ratio = asyncio.run(_round_trips(int(where)))
    return [
        Row("query over TCP, bare asyncio stream", bare_us, "us"),
        Row("query over TCP, Link.exchange", ours_us, "us"),
        Row("the same, times the bare stream", ratio, "", at_most=1.5),
    ]


async def _round_trips(port: int) -> tuple[float, float, float]:
    """Medians of interleaved rounds, us a query, and of the ratio in each pair of rounds.

    Neighbouring rounds meet the same load of the machine; so the ratio is taken of them.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    link = make_link(f"tcp://127.0.0.1:{port}", owner="benchmark")
    await link.open()

    async def bare() -> None:
        writer.write(_QUESTION)
        await reader.readline()

    async def ours() -> None:
        await link.exchange(_QUESTION, LINE_LF, command="MEAS:POW?")

    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(ROUNDS + 1):
        for name, ask in (("bare", bare), ("ours", ours)):
            took_us = await _timed(ask)
            if number:  # the first round warms up
                times[name].append(took_us)
    writer.close()
    await link.close()
    ratios = [ours / bare for ours, bare in zip(times["ours"], times["bare"], strict=True)]
    return median(times["bare"]), median(times["ours"]), median(ratios)


async def _timed(ask: Callable[[], Awaitable[None]]) -> float:
    started_s = time.perf_counter()
    for _ in range(QUERIES):
        await ask()
    return 1e6 * (time.perf_counter() - started_s) / QUERIES


def _polling() -> list[Row]:
    with _far_end("lines", str(INSTRUMENTS)) as where:
        share, polls_hz = asyncio.run(_polled([int(port) for port in where.split()]))
    return [
        Row(f"{INSTRUMENTS} instruments polled, rate reached", polls_hz, "1/s", at_least=9.0),
        Row("the same, share of a core", 100 * share, "%", at_most=8.0),
    ]


async def _polled(ports: list[int]) -> tuple[float, float]:
    """(share of a core, looks a second and instrument): a look is a ping and all readings."""
    looks = 0

    class Counted(Pm100d):
        async def ping(self) -> None:
            nonlocal looks
            looks += 1
            await super().ping()

    def make(port: int) -> Callable[[], Pm100d]:
        resource = f"tcp://127.0.0.1:{port}"
        return lambda: Counted(make_link(resource, owner=f"benchmark {port}"))

    supervisors = [
        Supervisor(str(port), make(port), rng=random.Random(port), ping_interval_s=1 / POLL_HZ)
        for port in ports
    ]
    tasks = [asyncio.create_task(each.run()) for each in supervisors]
    for each in supervisors:
        await each.wait_online(10.0)
    await asyncio.sleep(1.0)
    before, started_s, cpu_s = looks, time.perf_counter(), time.process_time()
    await asyncio.sleep(POLL_S)
    wall_s = time.perf_counter() - started_s
    share, seen = (time.process_time() - cpu_s) / wall_s, looks - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return share, seen / wall_s / len(ports)


def _tdc1() -> list[Row]:
    with _far_end("tdc1", str(TAGS_PER_S)) as where:
        share, rate, lost = asyncio.run(_streamed(where))
    return [
        Row("TDC1 stream, rate", rate / 1e6, "Mtags/s", at_least=0.98 * TAGS_PER_S / 1e6),
        Row("TDC1 stream, share of a core", 100 * share, "%", at_most=15.0),
        Row("TDC1 stream, tags lost", float(lost), "", at_most=0.0),
    ]


async def _streamed(path: str) -> tuple[float, float, int]:
    """(share of a core, tags a second, tags lost: the far end sends them evenly)."""
    tagger = make_instrument(Tdc1, f"serial://{path}", owner="benchmark")
    assert isinstance(tagger, Tdc1)
    await tagger.link.open()
    await tagger.connect()
    taken, first_ps, last_ps = 0, 0, 0
    async with aclosing(tagger.stream()) as stream:
        batch = await anext(stream)
        first_ps = int(batch.time_ps[-1])
        started_s, cpu_s = time.perf_counter(), time.process_time()
        async for batch in stream:
            taken += len(batch)
            if time.perf_counter() - started_s > POLL_S:
                break
        last_ps = int(batch.time_ps[-1])
        wall_s, spent_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    await tagger.link.close()
    due = round((last_ps - first_ps) * TAGS_PER_S / PS_PER_S)
    return spent_s / wall_s, taken / wall_s, due - taken


@contextmanager
def _far_end(*arguments: str) -> Iterator[str]:
    """A far end; gives the line in which it says where it is."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.far_end", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        where = process.stdout.readline().strip()
        if not where:
            raise CannotRunError(f"the far end `{' '.join(arguments)}` does not start")
        try:
            yield where
        finally:
            process.terminate()
