"""Hostile subroutines: any bytes and mutilated programs end alone, by a reason, within bounds."""

import asyncio
import struct
import tracemalloc
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netqasm.lang.parsing.text import parse_text_subroutine

from qnodeos.process import program as module
from qnodeos.process.commands import BadSubroutine, Flavour, table
from qnodeos.process.memory import ProgramFault
from qnodeos.process.program import Program
from timing.loop import run_virtual

HEADER = struct.pack("<BBH", 0, 10, 0)
STEPS = 5000
MOST_BYTES = 1 << 25
"""Of memory that one program may bring a node to use: arrays, results and their making."""

VALID = [
    bytes(parse_text_subroutine("# NETQASM 0.10\n# APPID 0\n" + text))
    for text in (
        "set R0 0\nset R1 10\nset R2 1\nbge R0 R1 6\nadd R0 R0 R2\njmp 3\nret_reg R0",
        "set R0 3\narray R0 @5\nset R1 1\nset R2 42\nstore R2 @5[R1]\nret_arr @5",
        "set Q0 0\nqalloc Q0\ninit Q0\nh Q0\nmeas Q0 M0\nqfree Q0\nret_reg M0",
        "set R0 10\narray R0 @0\nset R1 0\nset R2 1\ncreate_epr R2 R1 R1 R1 R1\nwait_all @0[R1:R0]",
    )
]


def command(code: int, operands: bytes) -> bytes:
    return bytes((code,)) + operands


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """A good program with bytes changed, and commands left out, doubled and put in."""
    good = draw(st.sampled_from(VALID))
    parts = [good[at : at + 7] for at in range(4, len(good), 7)]
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(parts) - 1))
        what = draw(st.sampled_from(("byte", "double", "leave out", "put in")))
        if what == "byte":
            changed = bytearray(parts[at])
            changed[draw(st.integers(0, 6))] = draw(st.integers(0, 255))
            parts[at] = bytes(changed)
        elif what == "double":
            parts.insert(at, parts[at])
        elif what == "leave out" and len(parts) > 1:
            del parts[at]
        else:
            code = draw(st.sampled_from(sorted(table("vanilla"))))
            parts.insert(at, command(code, draw(st.binary(min_size=6, max_size=6))))
    return HEADER + b"".join(parts)


def hostile() -> st.SearchStrategy[bytes]:
    known = st.builds(
        command, st.sampled_from(sorted(table("vanilla"))), st.binary(min_size=6, max_size=6)
    )
    return st.one_of(
        st.binary(max_size=400),
        st.binary(max_size=400).map(lambda rest: HEADER + rest),
        st.lists(known, max_size=60).map(lambda parts: HEADER + b"".join(parts)),
        mutilated(),
    )


async def beside(data: bytes, flavour: Flavour) -> None:
    """Run it, with a good program of somebody else in turn with it."""
    bad, good = Program(None, 5, flavour), Program(None, 5, "vanilla")
    work = asyncio.create_task(bad.run(data))
    returned = await good.run(VALID[0])
    assert struct.unpack("<BBxxi", returned[0])[2] == 10
    reason = "done"
    try:
        await work
    except (BadSubroutine, ProgramFault) as refused:
        reason = str(refused)
    finally:
        bad.close()
        good.close()
    assert reason


@pytest.mark.parametrize("flavour", ["vanilla", "nv", "trapped-ion"])
@settings(max_examples=250, deadline=None)
@given(data=hostile())
def test_hostile_bytes_end_alone(flavour: Flavour, data: bytes) -> None:
    tracemalloc.start()
    try:
        with patch.object(module, "MOST_STEPS", STEPS):
            run_virtual(beside(data, flavour), limit_s=100)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MOST_BYTES
