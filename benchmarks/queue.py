"""What a request costs when few wait and when very many do: two whole nodes in virtual time."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.frame import Row, benchmark
from benchmarks.kill_scene import ENDS
from benchmarks.sim_nodes import LAB, NAMES, write_nodes

FEW, MANY = 100, 10_000
SERVED = 1500
TURNS = 3
QUEUE = f"[links.memory.queue]\nlimit = {2 * MANY}\n"


@benchmark("queue", "what a request costs with 100 and with 10,000 waiting")
def run() -> list[Row]:
    """Requests for one pair, measured (M) or kept (K): each that is served is followed by another.

    Times are those of the processor for both nodes, the station and the simulated lab together.
    """
    from timing.loop import run_virtual

    costs: dict[tuple[str, int], list[float]] = {}
    filled: list[float] = []
    for _ in range(TURNS):
        for kind in ("M", "K"):
            for waiting in (FEW, MANY):
                with tempfile.TemporaryDirectory() as folder:
                    fill_s, cost_s = run_virtual(_cost(Path(folder), kind, waiting), limit_s=1e4)
                costs.setdefault((kind, waiting), []).append(cost_s)
                if waiting == MANY:
                    filled.append(waiting / fill_s)
    rows = [
        Row(f"requests admitted and scheduled, up to {MANY:,} waiting", max(filled), "1/s", 1000)
    ]
    for kind, what in (("M", "measured"), ("K", "kept")):
        few_s, many_s = (min(costs[kind, waiting]) for waiting in (FEW, MANY))
        rows += [
            Row(f"a request for a pair that is {what}, {FEW} waiting", 1e6 * few_s, "us"),
            Row(f"the same, {MANY:,} waiting", 1e6 * many_s, "us"),
            Row("of the one with few", many_s / few_s, "", at_most=1.25),
        ]
    return rows


async def _cost(folder: Path, kind: str, waiting: int) -> tuple[float, float]:
    """Processor time until so many wait, and of each that is served then."""
    from qnodeos.config import load_node
    from qnodeos.rehearsal import rehearsal
    from sim_backends.lab import load_lab

    write_nodes(folder, LAB)
    for end in ENDS:
        file = folder / f"{end}.toml"
        file.write_text(file.read_text(encoding="utf-8") + QUEUE, encoding="utf-8")
    nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
    async with rehearsal(load_lab(folder / "lab.toml"), nodes) as network:
        links: dict[str, Any] = {end: network.nodes[end].links["memory"] for end in ENDS}
        while not all(link.ready for link in links.values()):
            await network.lasts(0.05)
        desk, using = links["alice"].desk, set[asyncio.Task[None]]()
        taking = asyncio.create_task(_use(links["bob"].desk.accept("queue")))
        over = 0

        def ask() -> None:
            inbox = desk.ask(
                kind=kind, number=1, minimum_fidelity=0.6, within_s=1e6, purpose="queue"
            )
            task = asyncio.create_task(_use(inbox))
            using.add(task)
            task.add_done_callback(again)

        def again(task: asyncio.Task[None]) -> None:
            nonlocal over
            using.discard(task)
            if not task.cancelled():
                over += 1
                ask()

        began_s = time.process_time()
        for count in range(waiting):
            ask()
            if count % 50 == 0:
                await network.lasts(0.001)
        while len(links["bob"].desk.queue) < waiting - 1:
            await network.lasts(0.001)
        fill_s, before, began_s = time.process_time() - began_s, over, time.process_time()
        while over < before + SERVED:
            await network.lasts(0.01)
        cost_s = (time.process_time() - began_s) / (over - before)
        for task in (taking, *using):
            task.cancel()
    return fill_s, cost_s


async def _use(items: Any) -> None:
    async for item in items:
        measure = getattr(item, "measure", None)
        if measure is not None:
            await measure()
