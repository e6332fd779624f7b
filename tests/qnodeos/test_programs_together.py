"""Many programs at two nodes in virtual time: none waits for ever, and nothing of them stays."""

import asyncio
import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from netqasm.lang.parsing.text import parse_text_subroutine

from qnodeos.memory_shares import Shares
from qnodeos.process.epr import EprSocket
from qnodeos.process.program import Program
from qnodeos.process.qubits import NoQubit
from qnodeos.program_order import SOCKETS_S
from qnodeos.requests import RequestEnded
from timing.loop import run_virtual

IDS = {"alice": 1, "bob": 2}
OTHER = {"alice": "bob", "bob": "alice"}
CREATE = (
    "set R0 10\narray R0 @{k}0\nset R0 1\narray R0 @{k}1\nset R1 0\nset R7 {qubit}\n"
    "store R7 @{k}1[R1]\nset R0 20\narray R0 @{k}2\nset R6 1\nset R7 {kind}\nstore R7 @{k}2[R1]\n"
    "store R6 @{k}2[R6]\nset R2 {node}\nset R4 {k}1\nset R5 {k}2\nset R3 {k}0\n"
    "create_epr R2 R1 R4 R5 R3\nset R0 10\nwait_all @{k}0[R1:R0]\n"
)
RECEIVE = (
    "set R0 10\narray R0 @{k}0\nset R0 1\narray R0 @{k}1\nset R1 0\nset R7 {qubit}\n"
    "store R7 @{k}1[R1]\nset R2 {node}\nset R4 {k}1\nset R3 {k}0\n"
    "recv_epr R2 R1 R4 R3\nset R0 10\nwait_all @{k}0[R1:R0]\n"
)
MEASURE = "set Q0 {qubit}\nmeas Q0 M0\nqfree Q0\n"
LOCAL = "set Q0 {qubit}\nqalloc Q0\ninit Q0\n"


def assembled(text: str) -> bytes:
    return bytes(parse_text_subroutine("# NETQASM 0.10\n# APPID 0\n" + text))


class Pairs:
    """An application: `keeper` holds all its pairs until it has `number`, the other measures each
    at once, as in blind quantum computing."""

    def __init__(self, net: Any, name: str, keeper: str, number: int, claim: int = 5):
        self.number, self.keeper = number, keeper
        self.programs = {end: Program(net.link(end), claim, "vanilla") for end in IDS}
        for end, program in self.programs.items():
            far = OTHER[end]
            socket = EprSocket(net.link(end), IDS[far], 0.0, f"{name}-{far}", f"{name}-{end}")
            # Which of the two creates is the keeper's choice; the purpose is the creator's.
            program.open(IDS[far], 0, socket)

    async def run(self, rng: random.Random, *, local: int = 0) -> None:
        """Both ends, which begin at different times, hold `local` qubits besides and pause."""
        await asyncio.gather(*(self._end(end, rng, local) for end in IDS))

    async def _end(self, end: str, rng: random.Random, local: int) -> None:
        program, creates = self.programs[end], end == "alice"
        await asyncio.sleep(rng.random() * 0.02)
        for k in range(local):
            await program.run(assembled(LOCAL.format(qubit=10 + k)))
        for k in range(self.number):
            qubit = k if end == self.keeper else 0
            text = (CREATE if creates else RECEIVE).format(
                k=k + 1, qubit=qubit, node=IDS[OTHER[end]], kind=0
            )
            if end != self.keeper:
                text += MEASURE.format(qubit=qubit)
            await program.run(assembled(text))
            await asyncio.sleep(rng.random() * 0.01)
        for k in range(self.number if end == self.keeper else 0):
            await program.run(assembled(MEASURE.format(qubit=k)))
        program.close()


async def settled(net: Any) -> None:
    """Nothing is left at either end."""
    await asyncio.sleep(2.0)  # virtual
    for end in IDS:
        link = net.link(end)
        assert link.memory.free == link.memory.capacity
        assert len(link.desk.queue) == 0
        assert len(link.shared.shares) == 0


async def together(network: Any, folder: Path, seed: int, limit_s: float = 60.0) -> float:
    """Eight applications at once on four storage qubits; how long they took, virtual seconds."""
    rng = random.Random(seed)
    async with network(folder, t2_s=200.0, seed=seed) as net:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as tasks:
            for k in range(8):
                number = rng.randint(2, 3)
                one = Pairs(net, f"app{k}", rng.choice(("alice", "bob")), number, claim=4)
                tasks.create_task(one.run(rng, local=rng.choice((0, 0, 1))))
        took_s = clock() - began_s
        await settled(net)
    return took_s


@pytest.mark.parametrize("seed", range(12))
def test_eight_at_a_time_all_come_to_their_end(network: Any, tmp_path: Path, seed: int) -> None:
    assert run_virtual(together(network, tmp_path, seed), limit_s=600) < 60


def test_without_shares_they_would_not(network: Any, tmp_path: Path) -> None:
    """The test above is one that can fail."""
    hung = 0
    with patch.object(Shares, "refusal", lambda self, share, count=1: ""):
        for seed in range(4):
            (tmp_path / str(seed)).mkdir()
            try:
                run_virtual(together(network, tmp_path / str(seed), seed, 25.0), limit_s=600)
            except TimeoutError:
                hung += 1
    assert hung


@pytest.mark.parametrize("creator", ["alice", "bob"])
def test_every_pair_of_a_program_counts_as_its_own(
    network: Any, tmp_path: Path, creator: str
) -> None:
    """Also the first, whose round the leading end begins before the far end has answered."""

    async def scenario() -> None:
        async with network(tmp_path, t2_s=200.0) as net:
            app = Pairs(net, "app", "both", 0)
            await asyncio.sleep(2 * SOCKETS_S)
            for k in range(3):
                await asyncio.gather(
                    *(
                        app.programs[end].run(
                            assembled(
                                (CREATE if end == creator else RECEIVE).format(
                                    k=k + 1, qubit=k, node=IDS[OTHER[end]], kind=0
                                )
                            )
                        )
                        for end in IDS
                    )
                )
                assert [app.programs[end].qubits.share.held for end in IDS] == [k + 1, k + 1]
            for program in app.programs.values():
                program.close()
            await settled(net)

    run_virtual(scenario(), limit_s=600)


@pytest.mark.parametrize("full", ["alice", "bob"])
def test_why_says_that_an_older_program_may_need_it(
    network: Any, tmp_path: Path, full: str
) -> None:
    """At both ends, whichever of them has no room."""

    async def scenario() -> None:
        async with network(tmp_path, t2_s=200.0) as net:
            old = Pairs(net, "old", full, 2, claim=4)
            await asyncio.sleep(2 * SOCKETS_S)  # it runs nothing; then it has opened all it needs
            young = Pairs(net, "young", full, 2, claim=4)
            waits = asyncio.create_task(young.run(random.Random(1)))
            await asyncio.sleep(1.0)  # virtual
            for end in IDS:
                (request,) = net.link(end).desk.queue
                said = " ".join(net.link(end).waits(request))
                if full == end or end == "alice":
                    assert "a program that began before may need 4 of 4 storage qubits" in said
            for program in old.programs.values():
                program.close()
            await waits
            await settled(net)

    run_virtual(scenario(), limit_s=600)


def test_more_qubits_than_there_are_is_refused_with_the_sum(network: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path) as net:
            program = Program(net.link("alice"), 9, "vanilla")
            program.open(2, 0, EprSocket(net.link("alice"), 2, 0.0, "theirs", "ours"))
            with pytest.raises(NoQubit, match="5 pairs are asked at a time, the device stores 4"):
                program.qubits.can_hold(range(5))
            for k in range(4):
                await program.run(assembled(LOCAL.format(qubit=k)))
            with pytest.raises(NoQubit, match="4 are its own, there are no more"):
                await program.run(assembled(LOCAL.format(qubit=4)))
            program.close()

    run_virtual(scenario(), limit_s=600)


def test_who_receives_ends_with_the_request_of_who_creates(network: Any, tmp_path: Path) -> None:
    """A far end that does not play along: its half of the run is over by the time of the request,
    and so is ours."""

    async def scenario() -> None:
        async with network(tmp_path, t2_s=200.0) as net:
            taken = [net.link("alice").memory.allocate() for _ in range(4)]
            app = Pairs(net, "app", "bob", 1)
            create = CREATE.format(k=1, qubit=0, node=2, kind=0)
            wants = create.replace(
                "set R2 2\n",
                "set R7 2\nset R8 5\nstore R7 @12[R8]\nset R8 6\nstore R7 @12[R8]\nset R2 2\n",
            )  # within 2 s
            receive = RECEIVE.format(k=1, qubit=0, node=1)
            ended = await asyncio.gather(
                app.programs["alice"].run(assembled(wants)),
                app.programs["bob"].run(assembled(receive)),
                return_exceptions=True,
            )
            assert all(isinstance(each, RequestEnded) for each in ended), ended
            for program in app.programs.values():
                program.close()
            for qubit in taken:
                net.link("alice").memory.give_back(qubit)
            await settled(net)

    run_virtual(scenario(), limit_s=100)
