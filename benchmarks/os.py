"""The node OS between processes: an ideal pair of nodes, asked through the API and by a host.

Everything is real but the devices: two nodes, a station, a lab, a broker and this process, on the
loopback. Times are those that a program sees, and contain the simulated device's own (1 us gates,
10 us attempts, and what the lab's process takes to answer). With SIMULAQRON_PYTHON, as
`benchmarks.teleport` has it, also the SDK's teleportation from the start of the application to its
end, beside SimulaQron.
"""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import teleport
from benchmarks.frame import Row, benchmark
from benchmarks.real_time import in_real_time_if_allowed
from qnodeos.cli.long_running import SETTLED_S
from qnodeos.client import Node, Pair
from qnodeos.launch.ideal import QUBITS

PAIRS = 1000
TELEPORTATIONS = 100
SUBROUTINES = 400
REQUESTS = 1000
QUEUED = 200
SCHEDULED = 3000
ASKED_AT_ONCE = 100

_HEADER = struct.Struct("<II")


@benchmark("os", "times of the node OS between processes: pairs, teleportation, subroutines")
def run() -> list[Row]:
    """Two nodes with ideal devices."""
    as_any_program = asyncio.run(_measured(whole=False))
    with in_real_time_if_allowed() as how:
        rows = [*as_any_program, how, *asyncio.run(_measured(whole=True))]
    return rows + (teleport.run() if os.environ.get(teleport.VARIABLE) else [])


async def _measured(*, whole: bool) -> list[Row]:
    """All, with its targets; or only pairs, without."""
    from qnodeos.client import connect
    from qnodeos.launch.ideal import write_ideal
    from qnodeos.launch.network import network

    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        ends_ = write_ideal(Path(folder) / "ideal", 2)
        for name in ends_:
            with (Path(folder) / "ideal" / f"{name}.toml").open("a", encoding="utf-8") as file:
                file.write(f"[links.alice-bob.queue]\nlimit = {2 * SCHEDULED}\n")
        async with network(Path(folder) / "ideal", Path(folder) / "net") as ends:
            data = Path(folder) / "net" / "data"
            async with connect(data / "alice") as alice, connect(data / "bob") as bob:
                await asyncio.sleep(SETTLED_S)  # as nodes are that run for months
                rows = await _pairs(alice, bob)
                if not whole:
                    return [
                        replace(row, what=f"as any program: {row.what}", at_most=None)
                        for row in rows
                    ]
                rows += await _teleportations(alice, bob)
                rows += await _requests(alice, bob)
                rows += await _scheduled(alice, bob)
            rows += await _subroutines(ends[0].socket)
    return rows


async def _pairs(alice: Node, bob: Node) -> list[Row]:
    """From asking for one pair to having it, again and again; and their corrections."""
    taking = asyncio.create_task(_use(bob.accept("pairs", peer="alice"), PAIRS))
    await asyncio.sleep(0.2)
    times_ms = []
    for _ in range(PAIRS):
        began_s = time.perf_counter()
        pair = await alice.entangle("bob", purpose="pairs", within="5 s")
        times_ms.append(1e3 * (time.perf_counter() - began_s))
        await pair.measure()
    await taking
    told = (await bob.status())["links"]["alice-bob"]
    return [
        Row("one kept pair, from asking to having it, p50", _p(times_ms, 50), "ms", at_most=2.0),
        Row("the same, p99", _p(times_ms, 99), "ms", at_most=4.0),
        Row("its herald to correction, p50", told["correction_p50_ms"], "ms", at_most=0.3),
        Row("the same, p99", told["correction_p99_ms"], "ms", at_most=1.0),
    ]


async def _teleportations(alice: Node, bob: Node) -> list[Row]:
    """From a qubit to be sent until the far end has corrected and measured it."""
    await bob.channel("alice", "bits")
    halves = bob.accept("teleport", peer="alice")
    half = asyncio.ensure_future(anext(halves))
    await asyncio.sleep(0.2)
    times_ms, wrong = [], 0
    for n in range(TELEPORTATIONS):
        began_s = time.perf_counter()
        data = await alice.qubit("+" if n % 2 else "1", peer="bob")
        pair = await alice.entangle("bob", purpose="teleport", within="5 s")
        await pair.cnot_from(data)
        await data.gate("H")
        z, x = await data.measure(), await pair.measure()
        await alice.say("bob", "bits", x=x, z=z)
        there, bits = await half, await bob.hear("alice", "bits")
        assert isinstance(there, Pair)
        if bits["x"]:
            await there.gate("X")
        if bits["z"]:
            await there.gate("Z")
        wrong += await there.measure("X" if n % 2 else "Z") != (0 if n % 2 else 1)
        times_ms.append(1e3 * (time.perf_counter() - began_s))
        half = asyncio.ensure_future(anext(halves))
    half.cancel()
    return [
        Row("one teleportation, median", _p(times_ms, 50), "ms", at_most=10.0),
        Row("the same, shortest", min(times_ms), "ms"),
        Row("teleportations that arrived wrong", wrong, "", at_most=0),
    ]


async def _requests(alice: Node, bob: Node) -> list[Row]:
    """Requests for one pair measured at once, many waiting at a time."""
    taking = asyncio.create_task(_use(bob.accept("many", peer="alice"), REQUESTS))
    await asyncio.sleep(0.2)
    turn = asyncio.Semaphore(QUEUED)

    async def one() -> None:
        async with turn:
            async for _ in alice.pairs("bob", number=1, kind="M", purpose="many", within="30 s"):
                pass

    began_s = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(REQUESTS)))
    took_s = time.perf_counter() - began_s
    taking.cancel()
    what = f"requests for a pair admitted and served, {QUEUED} waiting at a time"
    return [Row(what, REQUESTS / took_s, "1/s")]


async def _scheduled(alice: Node, bob: Node) -> list[Row]:
    """Requests that wait, as nobody uses the pairs that fill the memory, until both ends have
    agreed on all of them."""
    unused = await bob.call("accept", purpose="scheduled", peer="alice")
    turn, handles = asyncio.Semaphore(ASKED_AT_ONCE), []

    async def one() -> None:
        async with turn:
            wishes: dict[str, Any] = {
                "kind": "K",
                "number": 1,
                "within_s": 60.0,
                "purpose": "scheduled",
            }
            handles.append(await alice.call("entangle", peer="bob", **wishes))

    began_s = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(SCHEDULED)))
    while (  # noqa: ASYNC110
        (await bob.status())["links"]["alice-bob"]["requests"] < SCHEDULED - QUBITS
    ):
        await asyncio.sleep(0.01)
    took_s = time.perf_counter() - began_s
    for handle in handles:
        await alice.call("cancel", request=handle)
    await bob.call("cancel", request=unused)
    what = f"requests admitted and scheduled at both ends, {SCHEDULED:,} waiting in the end"
    return [Row(what, SCHEDULED / took_s, "1/s", at_least=1000)]


async def _use(items: AsyncIterator[object], count: int) -> None:
    taken = 0
    async for item in items:
        measure: Callable[[], Awaitable[int]] | None = getattr(item, "measure", None)
        if measure is not None:
            await measure()
        taken += 1
        if taken == count:
            return


async def _subroutines(socket: str) -> list[Row]:
    """A host's own round trip: a subroutine that computes, and one with a qubit."""
    reader, writer = await asyncio.open_unix_connection(socket)

    async def answered(message: bytes, size: int) -> None:
        writer.write(_HEADER.pack(1, _HEADER.size + len(message)) + message)
        await reader.readexactly(size)

    await answered(struct.pack("<B3xIB3x", 0, 0, 5), 8)
    head = struct.pack("<BBBH", 2, 0, 10, 0)
    computes = head + _command(4, "Bi", 0, 7) + _command(16, "BBB", 4, 0, 0) + _command(39, "B", 4)
    quantum = (
        head
        + _command(4, "Bi", 2, 0)  # set Q0 0
        + _command(1, "B", 2)  # qalloc Q0
        + _command(2, "B", 2)  # init Q0
        + _command(23, "B", 2)  # h Q0
        + _command(32, "BB", 2, 3)  # meas Q0 M0
        + _command(38, "B", 2)  # qfree Q0
        + _command(39, "B", 3)  # ret_reg M0
    )
    rows = []
    for what, message in (
        ("a local subroutine that computes, p50", computes),
        ("a local subroutine that makes, turns and measures a qubit, p50", quantum),
    ):
        times_ms = []
        for _ in range(SUBROUTINES):
            began_s = time.perf_counter()
            await answered(message, 16)
            times_ms.append(1e3 * (time.perf_counter() - began_s))
        rows.append(Row(what, _p(times_ms, 50), "ms", at_most=0.3))
    writer.close()
    return rows


def _command(code: int, layout: str, *values: int) -> bytes:
    return (bytes((code,)) + struct.pack("<" + layout, *values)).ljust(7, b"\0")


def _p(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))
