"""A flood at one node: what programs at it and at an innocent peer see of it, beside calm.

Everything is real but the devices: alice, bob, their station, a lab and a broker, and a process
that has a configured peer's keys, or a stranger's, and sends as much as it can to alice.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frame import CannotRunError, Row, benchmark
from qnodeos.client import Node, Pair

CALM = 300
"""Pairs before the floods, and after."""

FLOOD_S = 4.0
KINDS = ("messages", "large", "malformed", "restarts", "handshakes", "idle")
STRANGERS = ("handshakes", "idle")

MOST_RATIO = 3.0
"""Of the median under a flood to that in calm: the flooder takes a core of two for itself."""

MOST_MB = 300.0
LEAVES = 200
LEAVE_S = 0.5


@benchmark("flood", "latency of pairs at a node that a peer or a stranger floods, beside calm")
def run() -> list[Row]:
    """One network, one flood of each kind."""
    return asyncio.run(_flooded())


@benchmark("flood-leave", "a flooding peer that leaves without a word, 200 times: the node lives")
def run_leaves() -> list[Row]:
    """One network, a new flooder each time."""
    return asyncio.run(_left())


@asynccontextmanager
async def _network(peers: tuple[str, ...]) -> AsyncIterator[tuple[Node, Node, Path, str]]:
    """alice, bob, the folder with the flooders' keys, and where alice listens."""
    from qnodeos.client import connect
    from qnodeos.demo.run import own_loopback
    from qnodeos.keys import new_keys
    from qnodeos.launch.ideal import FIRST_PORT, write_ideal
    from qnodeos.launch.network import network

    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        keys, made = Path(folder) / "keys", Path(folder) / "made"
        write_ideal(made, 2)
        with (made / "alice.toml").open("a", encoding="utf-8") as file:
            for number, name in enumerate(peers):
                new_keys(name, keys)
                file.write(
                    f"[wire.peers.{name}]\nid = {20 + number}\n"
                    f'address = "tcp://127.9.9.9:{20_000 + number}"\n'
                    f'public_key = "{keys / name}.key"\n'
                )
        new_keys("stranger", keys)
        async with network(made, Path(folder) / "net"):
            data = Path(folder) / "net" / "data"
            async with connect(data / "alice") as alice, connect(data / "bob") as bob:
                yield alice, bob, Path(folder), f"tcp://{own_loopback()}:{FIRST_PORT}"


async def _flooder(folder: Path, address: str, kind: str, who: str, seconds: float) -> Any:
    return await asyncio.create_subprocess_exec(
        "nice",
        "-n",
        "10",
        sys.executable,
        "-m",
        "benchmarks.flood_peer",
        kind,
        str(seconds),
        address,
        str(folder / "keys" / f"{who}.key_secret"),
        str(folder / "net" / "keys" / "alice.key"),
        stdout=asyncio.subprocess.DEVNULL,
    )


async def _flooded() -> list[Row]:
    async with _network(KINDS) as (alice, bob, folder, address):
        node = _process_of("alice.toml")
        taking = asyncio.create_task(_use(bob))
        await asyncio.sleep(0.3)
        calm_ms = await _times_ms(alice, pairs=CALM)
        rows, before_mb = [], _resident_mb(node)
        for kind in KINDS:
            who = "stranger" if kind in STRANGERS else kind
            process = await _flooder(folder, address, kind, who, FLOOD_S)
            found_ms = await _times_ms(alice, seconds=FLOOD_S)
            await process.wait()
            state, alarms = (await alice.status())["peers"], (await alice.call("told"))["alarms"]
            if kind not in STRANGERS and "held off" not in alarms.get(f"peer-{kind}", ""):
                raise CannotRunError(f"the flood of {kind} was not told: {alarms}")
            if state["bob"] != "up" or state["station"] != "up":
                raise CannotRunError(f"an innocent peer was lost in the flood of {kind}: {state}")
            rows += _rows(f"flood of {kind}", found_ms, calm_ms)
        rows += _rows("calm again", await _times_ms(alice, pairs=CALM), calm_ms)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        grown_mb = _resident_mb(node, "VmHWM") - before_mb
        return [
            Row("calm: one kept pair, p50", _p(calm_ms, 50), "ms"),
            Row("calm: p99", _p(calm_ms, 99), "ms"),
            *rows,
            Row("memory of the node, most beyond that in calm", grown_mb, "MB", at_most=MOST_MB),
        ]


def _rows(what: str, found_ms: list[float], calm_ms: list[float]) -> list[Row]:
    return [
        Row(
            f"{what}: p50, as a multiple of calm",
            _p(found_ms, 50) / _p(calm_ms, 50),
            "",
            at_most=MOST_RATIO,
        ),
        Row("p99", _p(found_ms, 99), "ms"),
        Row("longest", max(found_ms), "ms"),
    ]


async def _left() -> list[Row]:
    async with _network(tuple(f"flooder-{n}" for n in range(LEAVES))) as (alice, bob, folder, at):
        node = _process_of("alice.toml")
        taking = asyncio.create_task(_use(bob))
        await asyncio.sleep(0.3)
        pairs = reached = held = 0
        for n in range(LEAVES):
            process = await _flooder(folder, at, "messages", f"flooder-{n}", LEAVE_S)
            pairs += len(await _times_ms(alice, seconds=0.2))
            await process.wait()
            reached += (await alice.status())["peers"][f"flooder-{n}"] != "never"
            alarms = (await alice.call("told"))["alarms"]
            held += "held off" in alarms.get(f"peer-flooder-{n}", "")
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        same = _process_of("alice.toml") == node
    return [
        Row("peers that flooded and left", reached, "", at_least=LEAVES),
        Row("of these held off before they left", held, ""),
        Row("pairs made meanwhile", pairs, "", at_least=LEAVES),
        Row("node processes that ended", 0 if same else 1, "", at_most=0),
    ]


async def _times_ms(alice: Node, *, pairs: int = 10**9, seconds: float = 1e9) -> list[float]:
    """From asking for one pair to having it, again and again."""
    until_s = time.perf_counter() + seconds
    times_ms: list[float] = []
    while len(times_ms) < pairs and time.perf_counter() < until_s:
        began_s = time.perf_counter()
        pair = await alice.entangle("bob", purpose="pairs", within="5 s")
        times_ms.append(1e3 * (time.perf_counter() - began_s))
        await pair.measure()
    return times_ms


async def _use(bob: Node) -> None:
    async for pair in bob.accept("pairs", peer="alice"):
        assert isinstance(pair, Pair)
        await pair.measure()


def _p(times_ms: list[float], percent: float) -> float:
    return float(np.percentile(times_ms, percent))


def _process_of(word: str) -> int:
    """The process of this program's that runs the node of this file."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if (
            parent == os.getpid()
            and b"run" in words
            and any(w.endswith(word.encode()) for w in words)
        ):
            return int(folder.name)
    raise CannotRunError(f"no node of {word} runs")


def _resident_mb(process: int, what: str = "VmRSS") -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1000
    raise CannotRunError(f"no {what} of {process}")
