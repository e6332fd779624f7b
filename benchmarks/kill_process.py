"""The programs of one end as a process of their own, which outlives its node and finds it again.

`python -m benchmarks.kill_process FOLDER SEED LOG`: beside the node with this data directory. A
line on the standard input ends the asking, its end the process, which then writes what it noted.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.kill_audit import ClientLog, Measured
from benchmarks.kill_client import CLOSED, Programs
from qnodeos.client import Node, NodeError, NodeGone, connect
from qnodeos.errors import UserError

LOOK_S = 0.05
"""How often a node that is not there is looked for."""

PHOTONIC_PAIRS = 500
PHOTONIC_WITHIN = "20 s"


async def serve(folder: Path, seed: int, log: ClientLog) -> None:
    """Whenever the node runs, its programs do; until the standard input ends."""
    over = asyncio.Event()
    rng = random.Random(f"programs {folder.name} {seed}")
    life = asyncio.create_task(_always(folder, rng, log, over))
    listening = asyncio.create_task(_listen(over))
    try:
        await asyncio.wait((life, listening), return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
    finally:
        for task in (life, listening):
            task.cancel()
        await asyncio.gather(life, listening, return_exceptions=True)


async def _listen(over: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        over.set()


async def _always(folder: Path, rng: random.Random, log: ClientLog, over: asyncio.Event) -> None:
    while True:
        try:
            async with connect(folder) as node:
                await _beside(node, rng, log, over)
        except (UserError, NodeGone, TimeoutError):
            await asyncio.sleep(LOOK_S)


async def _beside(node: Node, rng: random.Random, log: ClientLog, over: asyncio.Event) -> None:
    peer = "bob" if node.name == "alice" else "alice"

    async def ask(number: int, within_s: float) -> AsyncGenerator[Any, None]:
        asked = node.pairs(
            link="memory",
            number=number,
            fidelity=0.6,
            within=within_s,
            purpose=f"from {node.name}",
        )
        async with aclosing(asked) as pairs:  # type: ignore[type-var]
            async for pair in pairs:
                yield pair

    def times(pair: Any) -> tuple[float, float]:
        """The latest that they can be; the journal has them exactly."""
        now_s = time.time()
        return now_s, now_s + pair.left_s

    programs = Programs(
        log,
        random.Random(rng.getrandbits(64)),
        ask=ask,
        taken=node.accept(f"from {peer}", link="memory"),
        times=times,
        wall=time.time,
        over=over,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(programs.run())
        if node.name == "alice":
            tasks.create_task(_ask_photonic(node, log, over))
        else:
            tasks.create_task(_take_photonic(node, log))


async def _ask_photonic(node: Node, log: ClientLog, over: asyncio.Event) -> None:
    """Ask for pairs that are measured at once, again and again."""
    while not over.is_set():
        log.asked += 1
        try:
            async for told in node.pairs(
                link="photonic",
                kind="M",
                number=PHOTONIC_PAIRS,
                within=PHOTONIC_WITHIN,
                purpose="measured",
            ):
                log.measured.append(_measured(told))
            log.ends.append("done")
        except NodeGone:
            log.ends.append(CLOSED)
            return
        except NodeError as ended:
            log.ends.append(ended.text.partition(":")[0])
            await asyncio.sleep(LOOK_S)


async def _take_photonic(node: Node, log: ClientLog) -> None:
    try:
        async for told in node.accept("measured", link="photonic"):
            log.measured.append(_measured(told))
    except NodeGone:
        return


def _measured(told: Any) -> Measured:
    return Measured(told["link"], told["basis"], told["pairs"], told["outcomes"])


def main(folder: str, seed: str, path: str) -> None:
    """Serve, then write the log; also when something went wrong."""
    log = ClientLog()
    try:
        asyncio.run(serve(Path(folder), int(seed), log))
    finally:
        Path(path).write_bytes(msgspec.json.encode(log))


if __name__ == "__main__":
    main(*sys.argv[1:])
