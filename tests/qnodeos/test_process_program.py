"""Programs without qubits: arithmetic, branches, arrays, and what a hostile one may not do."""

import asyncio
import struct
from typing import Any

import pytest
from netqasm.lang.parsing.text import parse_text_subroutine

from qnodeos.process import program as module
from qnodeos.process.commands import BadSubroutine
from qnodeos.process.epr import EprSocket
from qnodeos.process.memory import MOST_CELLS, ProgramFault
from qnodeos.process.program import Program
from timing.loop import run_virtual


def run(text: str, program: Program | None = None) -> list[bytes]:
    header = "# NETQASM 0.10\n# APPID 0\n"
    raw = bytes(parse_text_subroutine(header + text))
    return run_virtual((program or Program(None, 5, "vanilla")).run(raw), limit_s=100)


def register_of(returned: bytes) -> int:
    value: int = struct.unpack("<BBxxi", returned)[2]
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("set R0 7\nset R1 5\nadd R2 R0 R1\nret_reg R2", 12),
        ("set R0 7\nset R1 5\nsub R2 R1 R0\nret_reg R2", -2),
        ("set R0 7\nset R1 5\nset R3 6\naddm R2 R0 R1 R3\nret_reg R2", 0),
        ("set R0 2147483647\nset R1 1\nadd R2 R0 R1\nret_reg R2", -(2**31)),
        ("set R0 5\nbez R0 3\nset R0 9\nret_reg R0", 9),
        ("set R0 0\nset R1 10\nset R2 1\nbge R0 R1 6\nadd R0 R0 R2\njmp 3\nret_reg R0", 10),
    ],
)
def test_a_program_computes(text: str, value: int) -> None:
    assert [register_of(each) for each in run(text)] == [value]


def test_arrays_are_written_read_and_returned() -> None:
    (returned,) = run("set R0 3\narray R0 @5\nset R1 1\nset R2 42\nstore R2 @5[R1]\nret_arr @5")
    kind, address, length = struct.unpack_from("<Bii", returned)
    assert (kind, address, length) == (2, 5, 3)
    assert [returned[9 + 8 * k] for k in range(3)] == [0, 1, 0]  # only one is defined
    assert struct.unpack_from("<i", returned, 9 + 8 + 4) == (42,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("set R0 2147483647\narray R0 @0", f"all may have {MOST_CELLS}"),
        ("set R0 -1\narray R0 @0", "an array of -1 cells"),
        ("set R0 0\nload R1 @7[R0]", "there is no array 7"),
        ("set R0 2\narray R0 @0\nload R1 @0[R0]", "array 0 has no cell 2"),
        ("set R0 2\narray R0 @0\nset R1 0\nload R2 @0[R1]", "cell 0 of array 0 is undefined"),
        ("jmp -3", "jumps to command -3"),
        ("set Q0 3\nh Q0", "the program holds no qubit 3"),
        ("set Q0 0\nqalloc Q0", "this node has no memory link"),
        ("set Q0 0\nmeas Q0 M0", "the program holds no qubit 0"),
        ("set R0 5\nset R1 0\ncreate_epr R0 R1 R1 R1 R1", "has opened no EPR socket 0 to node 5"),
        ("set R0 2\narray R0 @0\nset R1 0\nwait_all @0[R1:R0]", "of array 0 never come"),
    ],
)
def test_what_no_program_may_do_ends_it_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ProgramFault, match=says):
        run(text)


def test_division_by_zero_is_a_fault() -> None:
    raw = struct.pack("<BBH", 0, 10, 0) + bytes((201, 0, 0, 0, 0, 0, 0))
    with pytest.raises(ProgramFault, match="div by 0"):
        run_virtual(Program(None, 5, "vanilla").run(raw))


def test_an_endless_loop_ends_and_lets_others_run_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_STEPS", 20_000)
    raw = bytes(parse_text_subroutine("# NETQASM 0.10\n# APPID 0\njmp 0"))

    async def scenario() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        with pytest.raises(ProgramFault, match="more than 20000 steps"):
            await Program(None, 5, "vanilla").run(raw)
        beside.cancel()
        return turns

    assert run_virtual(scenario(), limit_s=10) >= 39


def test_what_is_returned_is_bounded_before_it_fills_the_node() -> None:
    with pytest.raises(ProgramFault, match=f"more than {module.MOST_RETURNED_BYTES} bytes"):
        run(f"set R0 {MOST_CELLS}\narray R0 @0\nret_arr @0\njmp 2")


def test_an_array_made_again_and_again_is_charged_by_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = 0

    class Counting(module.ProgramMemory):
        def new_array(self, address: int, size: int) -> None:
            nonlocal made
            made += 1
            super().new_array(address, size)

    monkeypatch.setattr(module, "MOST_STEPS", 20_000)
    program = Program(None, 5, "vanilla")
    program.memory = Counting()
    with pytest.raises(ProgramFault, match="more than 20000 steps"):
        run(f"set R0 {MOST_CELLS}\narray R0 @0\njmp 1", program)
    assert made <= 20_000 * module.CELLS_A_STEP / MOST_CELLS + 1


def test_requests_that_nobody_answers_are_bounded() -> None:
    class Silent:
        def __aiter__(self) -> "Silent":
            return self

        async def __anext__(self) -> None:
            await asyncio.Event().wait()

    program = Program(None, 5, "vanilla")
    nobody: Any = None
    inbox: Any = Silent()
    program.sockets[5, 0] = EprSocket(nobody, 5, 1.0, "theirs", "ours", inbox)
    with pytest.raises(ProgramFault, match=f"more than {module.MOST_REQUESTS} requests"):
        run("set R0 5\nset R1 0\nset R2 10\narray R2 @0\nrecv_epr R0 R1 R1 R1\njmp 4", program)


def test_many_arrays_are_bounded_together() -> None:
    program = Program(None, 5, "vanilla")
    half = MOST_CELLS // 2
    run(f"set R0 {half}\narray R0 @0\narray R0 @1", program)
    run(f"set R0 {half}\narray R0 @1", program)  # in place of itself
    with pytest.raises(ProgramFault, match="cells"):
        run("set R0 1\narray R0 @2", program)


def test_another_version_is_refused() -> None:
    raw = struct.pack("<BBH", 0, 11, 0)

    async def scenario() -> Any:
        return await Program(None, 5, "vanilla").run(raw)

    with pytest.raises(BadSubroutine, match=r"NetQASM 0\.11"):
        run_virtual(scenario())
