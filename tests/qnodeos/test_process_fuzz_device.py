"""Hostile programs on a device: one beside holds a qubit and half a pair, and finds them as it left
them; nothing of the hostile ones stays."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netqasm.lang.parsing.text import parse_text_subroutine

from drivers.errors import InstrumentProblem
from qnodeos.memory import PairExpired
from qnodeos.process import program as module
from qnodeos.process.commands import BadSubroutine, Flavour, table
from qnodeos.process.epr import EprSocket
from qnodeos.process.memory import ProgramFault
from qnodeos.process.program import Program
from qnodeos.requests import RequestEnded
from timing.loop import run_virtual

CONTAINED = (BadSubroutine, ProgramFault, RequestEnded, PairExpired, InstrumentProblem)
"""What the host of processes answers with an error; anything else is a mistake of ours."""

BOB = 2
STEPS = 2000
PATIENCE_S = 0.5
"""So long a host waits for its subroutine; then it goes."""


def assembled(text: str) -> bytes:
    return bytes(parse_text_subroutine("# NETQASM 0.10\n# APPID 0\n" + text))


HOLDS = assembled("set Q0 0\nqalloc Q0\ninit Q0\nx Q0")
LOOKS = assembled("set Q0 0\nmeas Q0 M0\nqfree Q0\nret_reg M0")
PAIR = (
    "set R0 10\narray R0 @0\nset R0 1\narray R0 @1\nset R1 0\nset R7 {qubit}\nstore R7 @1[R1]\n"
    "set R0 20\narray R0 @2\nset R6 1\nstore R1 @2[R1]\nstore R6 @2[R6]\nset R2 {node}\n"
    "set R4 1\nset R5 2\ncreate_epr R2 R1 R4 R5 R1\nset R0 10\nwait_all @0[R1:R0]\n"
)
MODELS = [
    assembled(
        PAIR.format(node=BOB, qubit=1) + "set Q1 1\nrot_y Q1 1 1\nmeas Q1 M1\nqfree Q1\nret_reg M1"
    ),
    assembled("set Q0 0\nqalloc Q0\ninit Q0\nset Q1 1\nqalloc Q1\ninit Q1\ncnot Q0 Q1\nmeas Q1 M0"),
    assembled(
        "set Q0 2\nqalloc Q0\ninit Q0\nrot_x Q0 3 2\nset Q1 1\nqalloc Q1\nmov Q0 Q1\nqfree Q0"
    ),
    LOOKS,  # of a qubit that another holds
]


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """A program that uses qubits, with bytes changed and commands put in, doubled and left out.
    Numbers of registers are small, so that commands meet."""
    good = draw(st.sampled_from(MODELS))
    parts = [good[at : at + 7] for at in range(4, len(good), 7)]
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(parts) - 1))
        match draw(st.sampled_from(("byte", "double", "leave out", "put in", "qubit"))):
            case "byte":
                changed = bytearray(parts[at])
                changed[draw(st.integers(0, 6))] = draw(st.integers(0, 255))
                parts[at] = bytes(changed)
            case "double":
                parts.insert(at, parts[at])
            case "leave out" if len(parts) > 1:
                del parts[at]
            case "qubit":  # set Q0 or Q1 to some number
                register = draw(st.sampled_from((2, 6)))
                number = draw(st.integers(-2, 9))
                parts.insert(at, struct.pack("<BBi", 4, register, number).ljust(7, b"\0"))
            case _:
                code = draw(st.sampled_from(sorted(table("vanilla"))))
                parts.insert(at, bytes((code,)) + draw(st.binary(min_size=6, max_size=6)))
    return good[:4] + b"".join(parts)


@asynccontextmanager
async def program(net: Any, end: str, flavour: Flavour, socket: str) -> AsyncIterator[Program]:
    """One at a node, with an EPR socket to the other."""
    link, node = net.link(end), {"alice": BOB, "bob": 1}[end]
    one = Program(link, 2, flavour)
    link.shared.shares.begin(one.qubits.share)  # what its pairs go to is no program
    one.open(node, 0, EprSocket(link, node, 0.0, purpose=f"{socket}-back", ours=socket))
    try:
        yield one
    finally:
        one.close()


async def ended(one: Program, data: bytes) -> str:
    """How a hostile program ends: done, a reason, or its host has lost patience."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await one.run(data)
    except TimeoutError:
        return "the host has gone"
    except CONTAINED as refused:
        return str(refused)
    return "done"


async def beside(network: Any, folder: Path, flavour: Flavour, programs: list[bytes]) -> None:
    async with network(folder) as net:
        alice, far = net.link("alice"), net.link("bob")
        taken = [far.desk.accept("good"), far.desk.accept("bad")]
        async with program(net, "alice", "vanilla", "good") as good:
            await good.run(HOLDS)
            await good.run(assembled(PAIR.format(node=BOB, qubit=1)))
            half = await anext(aiter(taken[0]))
            for data in programs:
                async with program(net, "alice", flavour, "bad") as bad:
                    assert await ended(bad, data)
            (found,) = await good.run(LOOKS)
            assert struct.unpack("<BBxxi", found)[2] == 1
            mine = await good.run(assembled("set Q1 1\nmeas Q1 M1\nqfree Q1\nret_reg M1"))
            assert struct.unpack("<BBxxi", mine[0])[2] == await half.measure()
        far.desk.leave("bad")
        await asyncio.sleep(2.0)  # virtual: pairs that the far end holds are past their deadline
        assert alice.ready
        assert alice.memory.free == alice.memory.capacity
        assert len(alice.desk.queue) == len(far.desk.queue) == 0
        assert net.bench.world.memories["alice"].held() == []


@pytest.mark.parametrize("flavour", ["vanilla", "nv"])
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it makes a new one each time
)
@given(programs=st.lists(hostile(), min_size=4, max_size=8))
def test_hostile_programs_on_a_device_end_alone(
    network: Any, flavour: Flavour, programs: list[bytes]
) -> None:
    with TemporaryDirectory() as folder, patch.object(module, "MOST_STEPS", STEPS):
        run_virtual(beside(network, Path(folder), flavour, programs), limit_s=600)
