"""One busy run in virtual time in which a node is killed at a random instant and started again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kill_audit import ClientLog, Kill, audit
from benchmarks.kill_client import CLOSED, Programs
from benchmarks.sim_nodes import NAMES, write_nodes

ENDS = ("alice", "bob")
FULL_S = 0.8
"""Simulated time of full work in which the kill falls, and after the restart."""

QUIET_S = 8.0
"""Long enough for everything to come to its end."""

LAB = """
[lab]
seed = {seed}
[memories.alice]
qubits = 9
t1_s = 1e9
t2_s = 4e6
[memories.bob]
qubits = 9
t1_s = 1e9
t2_s = 4e6
[midpoints.station]
ends = ["alice", "bob"]
attempt_period_us = 50.0
efficiency = {{ alice = 0.2, bob = 0.2 }}
visibility = 1.0
[instruments]
alice = {{ type = "quantum-device", of = "memories.alice", port = 1, serial = "QM-A" }}
bob = {{ type = "quantum-device", of = "memories.bob", port = 2, serial = "QM-B" }}
station = {{ type = "quantum-device", of = "midpoints.station", port = 3, serial = "BSM-1" }}
"""
"""Ideal pairs, so that outcomes prove which halves belong together."""

USEFUL_FIDELITY = 1 - 1e-6
"""With these memories a pair is of use for 3.9 s: longer than a death goes unnoticed, shorter than
some programs hold on to it; and wrong outcomes are far too rare for chance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run: the breaches, and how many pairs both clients measured."""

    breaches: list[str]
    before: int
    after: int


def run_one(seed: int, folder: Path) -> Outcome:
    """Kill one node of three once, at an instant and for a time that the seed decides."""
    from timing.loop import run_virtual

    folder.mkdir(parents=True, exist_ok=True)
    write_nodes(folder, LAB.format(seed=seed))
    return run_virtual(_scene(seed, folder), limit_s=300)


def nodes_in(folder: Path) -> list[Any]:
    """The nodes of this folder, with journals there, and pairs of use for as long as wanted."""
    from qnodeos.config import load_node

    nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
    return [
        each.model_copy(
            update={
                "node": each.node.model_copy(update={"data_dir": folder / each.node.name}),
                "links": {
                    name: table.model_copy(update={"minimum_useful_fidelity": USEFUL_FIDELITY})
                    if each.node.name in ENDS
                    else table
                    for name, table in each.links.items()
                },
            }
        )
        for each in nodes
    ]


async def _scene(seed: int, folder: Path) -> Outcome:
    from qnodeos.journal import read_journal
    from qnodeos.rehearsal import EPOCH_UNIX_S, rehearsal
    from sim_backends.lab import load_lab

    rng = random.Random(f"kill {seed}")
    clock = asyncio.get_running_loop().time
    logs = {end: ClientLog() for end in ENDS}
    async with rehearsal(load_lab(folder / "lab.toml"), nodes_in(folder), seed=seed) as network:
        over = asyncio.Event()
        clients = {end: _client(network, end, logs[end], rng, over) for end in ENDS}
        await served(network)
        await network.lasts(rng.uniform(0.0, FULL_S))
        victim = rng.choice(("alice", "bob", "alice", "bob", "station"))
        kill = Kill(victim, EPOCH_UNIX_S + clock())
        if victim in ENDS:  # what its client had asked for ends with the connection
            clients.pop(victim).cancel()
            log = logs[victim]
            log.ends += [CLOSED] * (log.asked - len(log.ends))
        await network.kill(victim)
        await network.lasts(rng.choice((0.01, 0.3, 2.0)))
        network.start(victim)
        if victim in ENDS:
            clients[victim] = _client(network, victim, logs[victim], rng, over)
        await served(network)
        restarted_s = EPOCH_UNIX_S + clock()
        await network.lasts(FULL_S)
        over.set()
        await network.lasts(QUIET_S)
        for client in clients.values():
            client.cancel()
        breaches = [text for end in ENDS for text in await left_over(network, end)]
    journals = {end: read_journal(folder / end / "journal.sqlite") for end in ENDS}
    both = {use.pair.key for use in logs["bob"].uses}
    when = [use.used_s for use in logs["alice"].uses if use.pair.key in both]
    before = sum(used_s < kill.at_s for used_s in when)
    after = sum(used_s > restarted_s for used_s in when)
    if after == 0:
        breaches.append(f"no pair was served after {victim} had been started again")
    return Outcome(breaches + audit(journals, logs, [kill]), before, after)


def _client(
    network: Any, end: str, log: ClientLog, rng: random.Random, over: asyncio.Event
) -> asyncio.Task[None]:
    """The programs of one end, which live as long as their node."""
    from qnodeos.rehearsal import EPOCH_UNIX_S

    clock = asyncio.get_running_loop().time
    other = ENDS[1 - ENDS.index(end)]
    desk = network.nodes[end].links["memory"].desk

    async def ask(number: int, within_s: float) -> AsyncGenerator[Any, None]:
        inbox = desk.ask(
            kind="K",
            number=number,
            minimum_fidelity=0.6,
            within_s=within_s,
            purpose=f"from {end}",
        )
        try:
            async for pair in inbox:
                yield pair
        finally:
            desk.cancel(inbox)

    programs = Programs(
        log,
        random.Random(rng.getrandbits(64)),
        ask=ask,
        taken=aiter(desk.accept(f"from {other}")),
        times=lambda pair: (EPOCH_UNIX_S + pair.heralded_s, EPOCH_UNIX_S + pair.deadline_s),
        wall=lambda: EPOCH_UNIX_S + clock(),
        over=over,
    )
    return asyncio.create_task(programs.run(), name=f"programs of {end}")


async def served(network: Any) -> None:
    """Until both ends of the link serve; at most 10 s."""
    for _ in range(200):
        if all(network.nodes[end].links["memory"].ready for end in ENDS):
            return
        await network.lasts(0.05)


async def left_over(network: Any, end: str) -> list[str]:
    """What is still held or open once nobody asks for anything; what the journal refused."""
    node = network.nodes[end]
    link = node.links["memory"]
    held = (await link.device.device.readings())["held_qubits"]
    found = [
        (link.memory.capacity - link.memory.free, "qubits are in the books"),
        (held, "qubits are held by the device"),
        (len(link.desk.queue), "requests are open"),
        (node.store.refused, "entries were refused by the journal"),
    ]
    return [f"{end}: {number:g} {what} after all is over" for number, what in found if number]
