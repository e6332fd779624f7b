"""What must hold on a memory link whatever the wire does to its messages, over many seeds."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import InstrumentProblem
from link_layer.messages import LinkHello
from qnodeos.memory import PairExpired
from qnodeos.requests import RequestEnded
from timing.loop import run_virtual

ENDS = ("alice", "bob")
SEEDS = 60
FAULTY_S = 1.5


@dataclass
class Book:
    """What the applications of one end saw."""

    held: list[tuple[int, int, object]] = field(default_factory=list)
    outcomes: dict[int, int] = field(default_factory=dict)
    asked: int = 0
    ended: list[str] = field(default_factory=list)
    expired: int = 0


async def use(pairs: AsyncIterator[Any], book: Book, rng: random.Random) -> None:
    """Measure most of what comes, dawdle over some, give some up."""
    async for pair in pairs:
        try:
            if rng.random() < 0.1:
                await asyncio.sleep(rng.uniform(0, 0.4))
            if rng.random() < 0.1:
                await pair.release()
                continue
            outcome = await pair.measure("XYZ"[pair.sequence % 3])
        except PairExpired:
            book.expired += 1
        except InstrumentProblem:
            continue
        else:
            book.held.append((pair.sequence, pair.slot, pair.bell_state))
            book.outcomes[pair.sequence] = outcome


async def ask(net: Any, end: str, book: Book, rng: random.Random) -> None:
    while net.node(end).clock() < FAULTY_S:
        book.asked += 1
        try:
            pairs = net.ask(
                end,
                number=rng.randint(1, 12),
                within_s=rng.choice((0.1, 0.5, 1.0)),
                purpose=f"from {end}",
                priority=rng.randint(0, 1),
            )
            await use(aiter(pairs), book, rng)
            book.ended.append("done")
        except RequestEnded as ended:
            book.ended.append(ended.error.name)
            await asyncio.sleep(0.02)


async def disturb(net: Any, rng: random.Random) -> None:
    """In every third run an instrument is unplugged for a moment as well."""
    if rng.random() < 2 / 3:
        return
    which = rng.choice((*ENDS, "station"))
    await asyncio.sleep(rng.uniform(0.2, 1.0))
    net.plugs.unplug(which)
    await asyncio.sleep(rng.uniform(0.0, 0.2))
    net.plugs.plug(which)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_the_wire_does(network: Any, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    books = {end: Book() for end in ENDS}

    async def scenario() -> None:
        async with network(
            tmp_path,
            seed=seed,
            test_fraction=0.2,
            efficiency=0.08,
            visibility=1.0,  # ideal, so that outcomes prove that the halves belong together
            t1_s=1e6,
            t2_s=1e4,
            minimum_useful_fidelity=0.99999,  # some 50 ms at this coherence time
        ) as net:
            faults = net.wire.faults
            faults.spared = (LinkHello,)
            faults.loss = rng.choice((0.0, 0.02, 0.1))
            faults.duplicate = rng.choice((0.0, 0.05, 0.3))
            faults.reorder = rng.choice((0.0, 0.05, 0.3))
            faults.delay_s = rng.choice(((0.0001, 0.0003), (0.0002, 0.005), (0.01, 0.02)))
            tasks = [asyncio.create_task(disturb(net, rng))]
            for end in ENDS:
                other = "bob" if end == "alice" else "alice"
                taken = net.link(other).desk.accept(f"from {end}")
                net.node(other).start(use(aiter(taken), books[other], rng))
                tasks.append(asyncio.create_task(ask(net, end, books[end], rng)))
            await asyncio.gather(*tasks)  # every request ends

            faults.loss = faults.duplicate = faults.reorder = 0.0
            faults.delay_s = (0.0001, 0.0003)
            await asyncio.sleep(4)
            for end in ENDS:
                memory = net.link(end).memory
                assert memory.free == memory.capacity
                assert (await net.link(end).device.device.readings())["held_qubits"] == 0
                assert len(net.link(end).desk.queue) == 0
                assert books[end].asked == len(books[end].ended)

            again = aiter(net.link("bob").desk.accept("afterwards"))
            served = 0
            async for pair in net.ask(
                "alice", number=5, within_s=60, purpose="afterwards", priority=1
            ):
                other = await anext(again)
                assert (pair.sequence, pair.slot) == (other.sequence, other.slot)
                await pair.measure()
                await other.measure()
                served += 1
            assert served == 5
            await asyncio.sleep(0.1)
            for end in ENDS:
                assert net.node(end).store.refused == 0  # the journal takes no delivery twice

    run_virtual(scenario(), limit_s=60)
    held = {end: {pair[0]: pair for pair in books[end].held} for end in ENDS}
    for end in ENDS:
        assert len(held[end]) == len(books[end].held)
    for sequence in held["alice"].keys() & held["bob"].keys():
        assert held["alice"][sequence] == held["bob"][sequence]
        same = books["alice"].outcomes[sequence] == books["bob"].outcomes[sequence]
        assert same is (sequence % 3 != 1), "outcomes contradict Phi+: halves of different pairs"
