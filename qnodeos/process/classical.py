"""The classical half of NetQASM: registers, arrays, arithmetic and branches of one process.

No input or output: whoever runs a process calls `run_classical`, does what the command it stopped
at asks of the device, the link or the host, and calls again from the next line.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from qnodeos.process.commands import Command, register_name
from qnodeos.process.errors import LimitError, ProgramError

_INT32: Final = range(-(2**31), 2**31)
_BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.floordiv,
    "rem": operator.mod,
}
_MODULAR: Final[dict[str, Callable[[int, int], int]]] = {
    "addm": operator.add,
    "subm": operator.sub,
}
_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "beq": operator.eq,
    "bne": operator.ne,
    "blt": operator.lt,
    "bge": operator.ge,
}
_ZERO_TESTS: Final[dict[str, Callable[[int, int], bool]]] = {
    "bez": operator.eq,
    "bnz": operator.ne,
}
_MEMORY: Final = frozenset({"array", "set", "store", "load", "undef", "lea"})


@dataclass(slots=True)
class Memory:
    """Registers and arrays of one process; None is a value that was never set.

    At most `longest_cells` are held by all arrays together, where each array counts one cell more
    than its length, so that empty ones are not free.
    """

    longest_cells: int
    _registers: list[int | None] = field(default_factory=lambda: [None] * 64)
    _arrays: dict[int, list[int | None]] = field(default_factory=dict)
    _cells: int = 0

    def register(self, register: int) -> int:
        """The value of a register; raises ProgramError if it was never set."""
        value = self._registers[register]
        if value is None:
            raise ProgramError(f"{register_name(register)} was never set")
        return value

    def set_register(self, register: int, value: int) -> None:
        """Set a register; raises ProgramError for a value beyond 32 bits."""
        if value not in _INT32:
            raise ProgramError(f"{value} for {register_name(register)} is beyond 32 bits")
        self._registers[register] = value

    def array(self, address: int) -> list[int | None]:
        """The cells of an array, to read and write; raises ProgramError if there is none."""
        cells = self._arrays.get(address)
        if cells is None:
            raise ProgramError(f"there is no array @{address}")
        return cells

    def new_array(self, address: int, length: int) -> None:
        """Make an array of undefined cells in the place of any before; raises LimitError."""
        if length < 0:
            raise ProgramError(f"array @{address} of {length} cells")
        before = self._arrays.get(address)
        others = self._cells - (0 if before is None else len(before) + 1)
        if others + length + 1 > self.longest_cells:
            raise LimitError(
                f"array @{address} of {length} cells beside {others} in use: "
                f"a process may have {self.longest_cells}"
            )
        self._arrays[address] = [None] * length
        self._cells = others + length + 1

    def cell(self, address: int, index: int) -> int | None:
        """One cell; raises ProgramError if it is outside its array."""
        return self.array(address)[self._checked(address, index)]

    def set_cell(self, address: int, index: int, value: int | None) -> None:
        """Set one cell or, with None, undefine it; raises ProgramError outside its array."""
        self.array(address)[self._checked(address, index)] = value

    def _checked(self, address: int, index: int) -> int:
        length = len(self.array(address))
        if not 0 <= index < length:
            raise ProgramError(f"@{address}[{index}] is outside its {length} cells")
        return index


def run_classical(
    commands: Sequence[Command], line: int, memory: Memory, *, most_steps: int
) -> tuple[int, int]:
    """Carry out classical commands from `line`; returns the next line and the steps taken.

    Stops at the end of the subroutine, at the first command that is not classical, and after
    `most_steps`, so that a caller can let others run and end a loop that does not end by itself.
    Raises ProgramError, with the line, for a command that cannot be carried out.
    """
    steps = 0
    while line < len(commands) and steps < most_steps:
        try:
            following = _step(commands[line], line, memory)
            if following is None:
                break
            if not 0 <= following <= len(commands):
                raise ProgramError(f"a branch to line {following} of {len(commands)}")
        except ProgramError as error:
            raise type(error)(f"line {line}: {commands[line].name}: {error}") from None
        line = following
        steps += 1
    return line, steps


def _step(command: Command, line: int, memory: Memory) -> int | None:
    """The line that follows a classical command, once it is done; None for any other command."""
    name, operands = command.name, command.operands
    if name == "jmp":
        return operands[0]
    if name in _ZERO_TESTS:
        return operands[1] if _ZERO_TESTS[name](memory.register(operands[0]), 0) else line + 1
    if name in _COMPARISONS:
        left, right = memory.register(operands[0]), memory.register(operands[1])
        return operands[2] if _COMPARISONS[name](left, right) else line + 1
    if name in _BINARY:
        left, right = memory.register(operands[1]), memory.register(operands[2])
        if right == 0 and name in ("div", "rem"):
            raise ProgramError(f"{left} divided by zero")
        memory.set_register(operands[0], _BINARY[name](left, right))
    elif name in _MODULAR:
        left, right, modulus = (memory.register(operand) for operand in operands[1:])
        if modulus < 1:
            raise ProgramError(f"modulus {modulus}: expected 1 or more")
        memory.set_register(operands[0], _MODULAR[name](left, right) % modulus)
    elif name in _MEMORY:
        _touch(name, operands, memory)
    else:
        return None
    return line + 1


def _touch(name: str, operands: tuple[int, ...], memory: Memory) -> None:
    if name in ("set", "lea"):
        memory.set_register(operands[0], operands[1])
    elif name == "array":
        memory.new_array(operands[1], memory.register(operands[0]))
    elif name == "undef":
        memory.set_cell(operands[0], memory.register(operands[1]), None)
    elif name == "store":
        register, address, index = operands
        memory.set_cell(address, memory.register(index), memory.register(register))
    else:
        register, address, index = operands
        value = memory.cell(address, memory.register(index))
        if value is None:
            raise ProgramError(f"@{address}[{memory.register(index)}] was never set")
        memory.set_register(register, value)
