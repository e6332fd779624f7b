"""A program's classical memory: four times sixteen registers, and arrays; all of it bounded."""

from __future__ import annotations

from collections.abc import Sequence

REGISTERS = 64
MOST_ARRAYS = 1 << 14
MOST_CELLS = 1 << 18
"""Of all arrays of a program together."""

_LOW, _HIGH = -(2**31), 2**31 - 1


class ProgramFault(Exception):
    """The program does what no program may; it alone ends."""


class ProgramMemory:
    """Registers hold 32-bit integers; an array's cells are undefined until written."""

    def __init__(self) -> None:
        self.registers = [0] * REGISTERS
        self._arrays: dict[int, list[int | None]] = {}
        self._cells = 0

    def set(self, register: int, value: int) -> None:
        """Write a register; it wraps as 32 bits do."""
        self.registers[register] = (value - _LOW) % 2**32 + _LOW

    def new_array(self, address: int, size: int) -> None:
        """An array of undefined cells, in place of one that was there."""
        old = len(self._arrays.get(address, ()))
        if size < 0 or self._cells - old + size > MOST_CELLS:
            raise ProgramFault(f"an array of {size} cells; all may have {MOST_CELLS}")
        if address not in self._arrays and len(self._arrays) >= MOST_ARRAYS:
            raise ProgramFault(f"more than {MOST_ARRAYS} arrays")
        self._cells += size - old
        self._arrays[address] = [None] * size

    def array(self, address: int) -> list[int | None]:
        """All cells, to be read and written. Raises ProgramFault."""
        found = self._arrays.get(address)
        if found is None:
            raise ProgramFault(f"there is no array {address}")
        return found

    def load(self, address: int, index: int) -> int:
        """A cell's value. Raises ProgramFault for one that is undefined or not there."""
        value = self._cell(address, index)[index]
        if value is None:
            raise ProgramFault(f"cell {index} of array {address} is undefined")
        return value

    def store(self, address: int, index: int, value: int | None) -> None:
        """Write a cell; None makes it undefined."""
        self._cell(address, index)[index] = value

    def fill(self, address: int, first: int, values: Sequence[int]) -> None:
        """Write cells one after the other; numbers too large for them are cut to 31 bits."""
        cells = self.array(address)
        if first < 0 or first + len(values) > len(cells):
            raise ProgramFault(f"array {address} has no cells {first} to {first + len(values) - 1}")
        cells[first : first + len(values)] = [
            value if _LOW <= value <= _HIGH else value & _HIGH for value in values
        ]

    def _cell(self, address: int, index: int) -> list[int | None]:
        cells = self.array(address)
        if not 0 <= index < len(cells):
            raise ProgramFault(f"array {address} has no cell {index}")
        return cells
