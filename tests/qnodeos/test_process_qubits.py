"""A program's qubits on the devices of a link."""

import asyncio
from pathlib import Path
from typing import Any

from qnodeos.memory_link import MemoryLink
from qnodeos.process.qubits import ProgramQubits
from timing.loop import run_virtual


def test_who_frees_its_half_of_a_pair_takes_nothing_from_the_far_end(
    network: Any, tmp_path: Path
) -> None:
    """The far end's program may be in the middle of its gates, as in the magic square."""

    async def scenario() -> None:
        async with network(tmp_path) as net:
            link: MemoryLink = net.link("alice")
            near, far = ProgramQubits(link, 2), ProgramQubits(net.link("bob"), 2)
            halves = aiter(net.link("bob").desk.accept("test"))
            async for pair in net.ask("alice", number=1):
                near.take_pair(0, pair)
                far.take_pair(0, await anext(halves))
            far.gate("H", 0)
            near.gate("H", 0)
            near.free(0)
            await asyncio.sleep(0.1)  # virtual
            assert await far.measure(0) in (0, 1)
            for end in ("alice", "bob"):
                assert net.link(end).memory.free == net.link(end).memory.capacity
                assert net.link(end).counters["discarded"] == 0

    run_virtual(scenario(), limit_s=600)


def test_a_qubit_is_put_into_zero_once_and_again_after_it_was_used(
    network: Any, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with network(tmp_path) as net:
            link: MemoryLink = net.link("alice")
            qubits = ProgramQubits(link, 2)
            link.shared.shares.begin(qubits.share)
            ordered: list[str] = []
            post = link.device.device.post

            def noted(done: Any, order: Any, *arguments: Any, **more: Any) -> None:
                ordered.append(order)
                post(done, order, *arguments, **more)

            link.device.device.post = noted  # type: ignore[method-assign]
            await qubits.allocate(0)
            qubits.initialise(0)
            assert ordered == ["initialise"]
            qubits.gate("X", 0)
            qubits.initialise(0)
            assert ordered == ["initialise", "gate", "initialise"]
            assert await qubits.measure(0) == 0
            qubits.initialise(0)  # a measured one is had anew, and then put into zero
            assert await qubits.measure(0) == 0
            qubits.free_all()
            assert link.memory is not None
            assert link.memory.free == link.memory.capacity

    run_virtual(scenario(), limit_s=600)
