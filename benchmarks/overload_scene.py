"""A memory link that is asked for more than it can make: who has his pairs in time."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kill_scene import ENDS
from benchmarks.sim_nodes import NAMES, write_nodes

LAB = """
[lab]
seed = {seed}
[memories.alice]
qubits = 9
t1_s = 1e6
t2_s = 1e6
[memories.bob]
qubits = 9
t1_s = 1e6
t2_s = 1e6
[midpoints.station]
ends = ["alice", "bob"]
attempt_period_us = 100.0
efficiency = {{ alice = 0.14, bob = 0.14 }}
visibility = 1.0
[instruments]
alice = {{ type = "quantum-device", of = "memories.alice", port = 1, serial = "QM-A" }}
bob = {{ type = "quantum-device", of = "memories.bob", port = 2, serial = "QM-B" }}
station = {{ type = "quantum-device", of = "midpoints.station", port = 3, serial = "BSM-1" }}
"""
"""Some 90 pairs a second."""

URGENT = 0.2
"""Share of the requests that have priority 1; the others have 0."""

PAIRS = (1, 16)
WITHIN_S = (0.1, 8.0)
"""Ranges; drawn evenly in the logarithm, independently."""

LEARNS_S = 3.0


@dataclass
class Tally:
    """What became of the requests of one priority. `unexplained`: refused without the sum."""

    asked: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    met: int = 0
    late: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def admitted(self) -> int:
        """Those that were not refused."""
        return self.asked - self.refused.total()


@dataclass
class Overload:
    """One run: tallies by priority, and pairs a second of what the link makes at the most."""

    capacity_hz: float
    served_hz: float
    tallies: dict[int, Tally]

    @property
    def met(self) -> float:
        """Of the admitted, the share that had all pairs in time."""
        found = self.tallies.values()
        return sum(each.met for each in found) / sum(each.admitted for each in found)


def run_one(seed: int, folder: Path, *, times: float, seconds: float) -> Overload:
    """Ask for so many times what the link can make, from both ends, for so long."""
    from timing.loop import run_virtual

    write_nodes(folder, LAB.format(seed=seed))
    return run_virtual(_scene(seed, folder, times, seconds), limit_s=seconds + 120)


async def _scene(seed: int, folder: Path, times: float, seconds: float) -> Overload:
    from qnodeos.config import load_node
    from qnodeos.rehearsal import rehearsal
    from sim_backends.lab import load_lab

    rng, clock = random.Random(f"overload {seed}"), asyncio.get_running_loop().time
    nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
    async with rehearsal(load_lab(folder / "lab.toml"), nodes, seed=seed) as network:
        links: dict[str, Any] = {end: network.nodes[end].links["memory"] for end in ENDS}
        while not all(link.ready for link in links.values()):
            await network.lasts(0.05)
        taking = [
            asyncio.create_task(_measure(link.desk.accept("load"))) for link in links.values()
        ]
        full = _ask(links["alice"], random.Random(0), number=10**6, within_s=1e6)
        using = asyncio.create_task(_measure(full))
        await network.lasts(LEARNS_S)
        links["alice"].desk.cancel(full)
        using.cancel()
        capacity_hz: float = links["alice"].served.pairs_per_s(clock())
        tallies = {0: Tally(), 1: Tally()}
        mean = _mean(PAIRS)
        before, began_s = links["alice"].counters["delivered"], clock()
        async with asyncio.TaskGroup() as tasks:
            while clock() < began_s + seconds:
                tasks.create_task(_one(links[rng.choice(ENDS)], rng, tallies))
                await network.lasts(rng.expovariate(times * capacity_hz / mean))
            served = links["alice"].counters["delivered"] - before
        for task in taking:
            task.cancel()
    return Overload(capacity_hz, served / seconds, tallies)


async def _one(link: Any, rng: random.Random, tallies: dict[int, Tally]) -> None:
    from link_layer.messages import ErrorCode
    from qnodeos.requests import RequestEnded

    clock = asyncio.get_running_loop().time
    tally = tallies[priority := int(rng.random() < URGENT)]
    number, within_s = round(_drawn(rng, PAIRS)), _drawn(rng, WITHIN_S)
    began_s = clock()
    tally.asked += 1
    try:
        await _measure(_ask(link, rng, number=number, within_s=within_s, priority=priority))
    except RequestEnded as ended:
        if ended.error is ErrorCode.TIMEOUT:
            tally.late += 1
        elif ended.error in (ErrorCode.NO_TIME, ErrorCode.NO_RESOURCES):
            tally.refused[ended.error.name] += 1
            tally.unexplained += (
                ended.error is ErrorCode.NO_TIME and "are allowed" not in ended.text
            )
        else:
            tally.failed[str(ended)] += 1
    else:
        in_time = clock() <= began_s + within_s
        tally.met += in_time
        tally.late += not in_time


def _ask(link: Any, rng: random.Random, **wishes: Any) -> Any:
    kind = rng.choice(("K", "M"))
    return link.desk.ask(kind=kind, minimum_fidelity=0.6, purpose="load", **wishes)


async def _measure(items: Any) -> None:
    async for item in items:
        measure: Callable[[], Awaitable[int]] | None = getattr(item, "measure", None)
        if measure is not None:
            await measure()


def _drawn(rng: random.Random, between: tuple[float, float]) -> float:
    return math.exp(rng.uniform(*(math.log(each) for each in between)))


def _mean(between: tuple[float, float]) -> float:
    low, high = between
    return (high - low) / math.log(high / low)
