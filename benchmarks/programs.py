"""Many NetQASM programs on two nodes: in a row and eight at a time; none hangs, nothing leaks.

Nodes, station, lab and broker are processes; each role of each program is one too. The devices are
simulated and ideal, the programs the examples of the `netqasm` package, unmodified.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.frame import Row, benchmark
from benchmarks.node_usage import Usage, tell_metrics, usage
from benchmarks.program_runs import OURS, Program, Served, left_behind, mixture, serve, so_many
from qnodeos.client import connect
from qnodeos.launch.running import NodeAt

RUNS = 500
TRIANGLES = 200
TOGETHER = 8
WARM = 40
"""Runs before anything is measured."""

REMEMBERED = 21_000
"""Requests before anything is measured: the books of a link remember 4,096 that have ended, and
20,000 deliveries that may have to be withdrawn, and grow until they are full."""

LEAK_KIB = 2.0
"""A program that stays, with five small arrays, has 3.9 KiB, and its connection comes on top; what
is measured here has to be below half of that."""


@benchmark(
    "programs", "NetQASM programs in a row, eight at a time, over three nodes: time, hangs, leaks"
)
def run() -> list[Row]:
    """Two ideal nodes; then three, whose applications each hold pairs along all sides at a time."""
    return asyncio.run(_measured()) + asyncio.run(_triangles())


async def _measured() -> list[Row]:
    from qnodeos.launch.ideal import write_ideal
    from qnodeos.launch.network import network
    from qnodeos.launch.roles import role_server

    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        example = Path(folder) / "ideal"
        write_ideal(example, 2)
        tell_metrics(example)
        async with network(example, Path(folder) / "net") as nodes, role_server() as roles:
            programs = mixture()
            await _fill_books(Path(folder) / "net" / "data")
            await serve(so_many(programs, WARM), nodes, roles, together=TOGETHER)
            for together, how in ((1, "in a row"), (TOGETHER, f"{TOGETHER} at a time")):
                before = [await usage(node) for node in nodes]
                began_s = asyncio.get_running_loop().time()
                served = await serve(so_many(programs, RUNS), nodes, roles, together=together)
                took_s = asyncio.get_running_loop().time() - began_s
                rows += _served(how, served, took_s, RUNS)
                rows += _leaked(how, served, await left_behind(before, nodes), before, nodes)
    return rows


async def _triangles() -> list[Row]:
    from qnodeos.launch.ideal import write_ideal
    from qnodeos.launch.network import network
    from qnodeos.launch.roles import role_server

    how = f"over three nodes, {TOGETHER} at a time"
    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        example = Path(folder) / "ideal"
        write_ideal(example, 3)
        tell_metrics(example)
        async with network(example, Path(folder) / "net") as nodes, role_server() as roles:
            before = [await usage(node) for node in nodes]
            programs = so_many([Program(OURS / "triangle")], TRIANGLES)
            began_s = asyncio.get_running_loop().time()
            served = await serve(programs, nodes, roles, together=TOGETHER)
            took_s = asyncio.get_running_loop().time() - began_s
            left = await left_behind(before, nodes)
    rows = _served(how, served, took_s, TRIANGLES)
    return [*rows, Row(f"left after them, {how}", sum(left.values()), "", at_most=0)]


async def _fill_books(data: Path) -> None:
    """Ask for so many pairs that what a node remembers of them is as much as it ever is."""
    async with connect(data / "alice") as alice, connect(data / "bob") as bob:
        turn = asyncio.Semaphore(100)

        async def take() -> None:
            async for _ in bob.accept("warm", peer="alice"):
                pass

        async def ask() -> None:
            async with turn:
                async for _ in alice.pairs(
                    "bob", number=1, kind="M", purpose="warm", within="60 s"
                ):
                    pass

        taking = asyncio.create_task(take())
        await asyncio.gather(*(ask() for _ in range(REMEMBERED)))
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


def _served(how: str, served: Served, took_s: float, count: int) -> list[Row]:
    for words in served.failures:
        print(words)
    return [
        Row(f"programs {how}", len(served.seconds) + len(served.failures), "", at_least=count),
        Row("that failed or hung", len(served.failures), "", at_most=0),
        Row("teleported states that arrived wrong", served.wrong, "", at_most=0),
        Row("programs a second", count / took_s, "1/s"),
        Row("time of one, processes included, p50", float(np.median(served.seconds)), "s"),
        Row("the same, p99", float(np.percentile(served.seconds, 99)), "s"),
    ]


def _leaked(
    how: str, served: Served, left: dict[str, int], before: list[Usage], nodes: list[NodeAt]
) -> list[Row]:
    rows = [
        Row(f"left after them, {how}: {what}", left.get(name, 0), "", at_most=0)
        for name, what in (
            ("qubits_in_use", "qubits in use"),
            ("connections", "connections of hosts"),
            ("requests", "open requests"),
            ("tasks", "asyncio tasks"),
            ("files", "open files"),
        )
    ]
    runs = np.array([done for done, _ in served.resident])
    for k, node in enumerate(nodes):
        kib = np.array([each[k] for _, each in served.resident]) / 1024
        slope = float(np.polyfit(runs, kib, 1)[0])
        rows.append(
            Row(f"growth of {node.name}'s memory, {how}", slope, "KiB/run", at_most=LEAK_KIB)
        )
        rows.append(Row(f"{node.name}'s memory at the end", kib[-1] / 1024, "MiB"))
    return rows
