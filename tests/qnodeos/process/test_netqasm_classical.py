"""Registers, arrays and branches of a process against the SDK's executor, and hostile programs."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netqasm.backend.executor import Executor
from netqasm.lang.encoding import RegisterName
from netqasm.lang.operand import Register
from netqasm.lang.parsing.text import parse_text_subroutine
from netqasm.sdk.shared_memory import SharedMemoryManager

from qnodeos.process.classical import Memory, run_classical
from qnodeos.process.commands import Command, Flavour, decode_subroutine
from qnodeos.process.errors import LimitError, ProgramError

HEAD = "# NETQASM 0.10\n# APPID 0\n"
R = [index << 2 for index in range(16)]


def assembled(text: str) -> Any:
    """A subroutine as the SDK's assembler makes it from text."""
    return parse_text_subroutine(HEAD + text)


def ran(text: str, *, cells: int = 100, steps: int = 1000) -> tuple[Memory, int, int]:
    """Run text on our side: the memory, the line reached and the steps taken."""
    memory = Memory(cells)
    commands = decode_subroutine(bytes(assembled(text)), Flavour.VANILLA).commands
    return memory, *run_classical(commands, 0, memory, most_steps=steps)


def test_a_loop_fills_an_array() -> None:
    memory, line, steps = ran(
        "set R0 0\nset R1 5\nset R2 1\narray R1 @3\nLOOP:\nbeq R0 R1 EXIT\nmul R3 R0 R0\n"
        "store R3 @3[R0]\nadd R0 R0 R2\njmp LOOP\nEXIT:\nlea R4 @3\n"
    )
    assert memory.array(3) == [0, 1, 4, 9, 16]
    assert memory.register(R[4]) == 3
    assert (line, steps) == (10, 4 + 5 * 5 + 1 + 1)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "rem", "addm", "subm"])
@given(start=st.lists(st.integers(-9, 9), min_size=3, max_size=3))
def test_arithmetic_is_the_sdk_executors(name: str, start: list[int]) -> None:
    text = "".join(f"set R{index} {value}\n" for index, value in enumerate(start))
    text += f"{name} R3 R0 R1{' R2' if name in ('addm', 'subm') else ''}\n"
    SharedMemoryManager.reset_memories()  # the SDK keeps them by name for the whole process
    theirs = Executor("theirs")
    theirs.init_new_application(app_id=0, max_qubits=1)
    try:
        list(theirs.execute_subroutine(assembled(text)))
    except (RuntimeError, ZeroDivisionError):
        with pytest.raises(ProgramError):
            ran(text)
        return
    memory, _, _ = ran(text)
    assert memory.register(R[3]) == theirs._get_register(0, Register(RegisterName.R, 3))


def test_it_stops_at_what_is_not_classical_and_goes_on_behind_it() -> None:
    commands = (
        Command("set", (2, 0)),
        Command("qalloc", (2,)),
        Command("set", (0, 8)),
    )
    memory = Memory(10)
    assert run_classical(commands, 0, memory, most_steps=9) == (1, 1)
    assert run_classical(commands, 2, memory, most_steps=9) == (3, 1)
    assert memory.register(R[0]) == 8


def test_an_endless_loop_gives_the_turn_back() -> None:
    _, line, steps = ran("LOOP:\njmp LOOP\n", steps=777)
    assert (line, steps) == (0, 777)


@pytest.mark.parametrize("length", [2**31 - 1, 100])
def test_a_huge_array_is_refused_before_it_is_made(length: int) -> None:
    with pytest.raises(LimitError, match=f"line 1: array: array @0 of {length} cells"):
        ran(f"set R0 {length}\narray R0 @0\n")


def test_an_array_made_again_takes_the_place_of_the_first() -> None:
    memory, _, _ = ran("set R0 60\narray R0 @0\narray R0 @0\n")
    assert len(memory.array(0)) == 60


def test_empty_arrays_are_not_free() -> None:
    text = "set R0 0\n" + "".join(f"array R0 @{address}\n" for address in range(11))
    with pytest.raises(LimitError, match="line 11"):
        ran(text, cells=10)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("add R0 R1 R2\n", "line 0: add: R1 was never set"),
        ("set R0 1\narray R0 @0\nload R1 @0[R0]\n", r"@0\[1\] is outside its 1 cells"),
        ("set R0 0\nload R1 @9[R0]\n", "no array @9"),
        ("set R0 1\nset R1 0\narray R0 @0\nload R1 @0[R1]\n", r"@0\[0\] was never set"),
        ("set R0 -1\narray R0 @0\n", "of -1 cells"),
        ("set R0 2147483647\nadd R0 R0 R0\n", "4294967294 for R0 is beyond 32 bits"),
        ("jmp 3\n", "branch to line 3 of 1"),
    ],
)
def test_a_program_that_breaks_a_rule_is_told_where(text: str, said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        ran(text)


@given(st.lists(st.binary(min_size=6, max_size=6), max_size=12), st.data())
def test_no_program_does_anything_but_run_or_raise_its_own_error(
    bodies: list[bytes], data: st.DataObject
) -> None:
    classical = st.sampled_from([*range(3, 20), 200, 201, 202])
    raw = bytes((0, 10, 0, 0))
    for body in bodies:
        registers = bytes(byte & 0b111 for byte in body)
        raw += bytes((data.draw(classical),)) + registers
    commands = decode_subroutine(raw, Flavour.VANILLA).commands
    with contextlib.suppress(ProgramError):
        line, steps = run_classical(commands, 0, Memory(50), most_steps=200)
        assert line == len(commands) or steps == 200
