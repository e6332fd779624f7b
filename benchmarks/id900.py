"""How many tags a second come through from an ID900's ZeroMQ messages to a `TagBatch`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import IO

import numpy as np

from benchmarks.frame import CannotRunError, Row, benchmark
from benchmarks.id900_source import INPUTS, PERIOD_S, times_of
from drivers.devices import TimeTagger
from drivers.plugin import make_instrument
from drivers.taggers.id900 import Id900

TAGS_PER_S = 20e6
SECONDS = float(os.environ.get("QNODEOS_ID900_S", "60"))


@dataclass(frozen=True)
class _Run:
    tags: int
    wrong: int
    seconds: float
    cpu_s: float
    longest_s: float


@benchmark("id900", "ID900 stream of 20 Mtags/s over ZeroMQ, another process, to TagBatch")
def rows() -> list[Row]:
    """Stream from a twin in another process and count what comes through, and what it costs."""
    source = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.id900_source", f"--tags-per-s={TAGS_PER_S}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert source.stdout is not None
    assert source.stdin is not None
    try:
        places = json.loads(_line(source.stdout))
        run = asyncio.run(_stream(places))
        source.stdin.close()
        told = json.loads(_line(source.stdout))
    finally:
        source.kill()
        source.wait()
    return [
        Row("tags through to TagBatch", run.tags / run.seconds / 1e6, "Mtags/s", at_least=19.9),
        Row("for", run.seconds, "s"),
        Row("batches with a wrong time, order or count", run.wrong, "", at_most=0),
        Row("messages that the twin could not send", told["lost_messages"], "", at_most=0),
        Row("processor time of the receiver", 100 * run.cpu_s / run.seconds, "% of a core"),
        Row("longest time between two batches", run.longest_s, "s"),
    ]


async def _stream(places: list[str]) -> _Run:
    tagger = make_instrument(
        Id900, places[0], owner="benchmark", options={"dlt": places[1], "streams": places[2:]}
    )
    assert isinstance(tagger, TimeTagger)
    await tagger.link.open()
    await tagger.connect()
    times = [times_of(n, round(TAGS_PER_S * PERIOD_S / len(INPUTS))) for n in INPUTS]
    every = np.concatenate(times).astype(np.int64)
    order = np.argsort(every, kind="stable")
    every, channels = every[order], np.repeat(np.array(INPUTS, np.uint8), len(times[0]))[order]
    tags = wrong = 0
    longest_s = 0.0
    async with aclosing(tagger.stream()) as stream:
        await anext(stream)
        start_s = seen_s = time.perf_counter()
        cpu_s = time.process_time()
        checking_s = 0.0
        async for batch in stream:
            now_s = time.perf_counter()
            longest_s, seen_s = max(longest_s, now_s - seen_s), now_s
            tags += len(batch)
            begin_s = time.process_time()
            right = not batch.lost and np.array_equal(batch.channel, channels)
            wrong += not (right and np.array_equal(batch.time_ps, every + batch.start_ps))
            checking_s += time.process_time() - begin_s
            if now_s - start_s >= SECONDS:
                break
        cpu_s = time.process_time() - cpu_s - checking_s
        seconds = seen_s - start_s
    await tagger.disconnect()
    await tagger.link.close()
    return _Run(tags, wrong, seconds, cpu_s, longest_s)


def _line(out: IO[bytes]) -> bytes:
    line = out.readline()
    if not line:
        raise CannotRunError("the simulated ID900 did not start; see its words above")
    return line
