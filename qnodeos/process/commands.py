"""Subroutines as bytes: NetQASM 0.10's commands of seven bytes, in three flavours.

A command is an opcode and up to six bytes of operands. A register is a byte: two bits of name
(R C Q M) and four of index. Source: the encoding of the `netqasm` package, 2.3.0, read and not
used; docs/netqasm.md says what is licensed how.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Literal

COMMAND_BYTES: Final = 7
METADATA: Final = struct.Struct("<BBH")
VERSION: Final = (0, 10)
REGISTER_NAMES: Final = "RCQM"

Flavour = Literal["vanilla", "nv", "trapped-ion"]


class BadSubroutine(Exception):
    """Bytes that are no subroutine of this flavour; the text says which command and why."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. Operands in their order: registers as 0 to 63 (16 name + index), addresses and
    immediates as numbers."""

    name: str
    operands: tuple[int, ...]


# Operands: r a register, a an address or 32-bit immediate, i an 8-bit immediate.
_CORE: Final[dict[int, tuple[str, str]]] = {
    1: ("qalloc", "r"),
    2: ("init", "r"),
    3: ("array", "ra"),
    4: ("set", "ra"),
    5: ("store", "rar"),
    6: ("load", "rar"),
    7: ("undef", "ar"),
    8: ("lea", "ra"),
    9: ("jmp", "a"),
    10: ("bez", "ra"),
    11: ("bnz", "ra"),
    12: ("beq", "rra"),
    13: ("bne", "rra"),
    14: ("blt", "rra"),
    15: ("bge", "rra"),
    16: ("add", "rrr"),
    17: ("sub", "rrr"),
    18: ("addm", "rrrr"),
    19: ("subm", "rrrr"),
    32: ("meas", "rr"),
    33: ("create_epr", "rrrrr"),
    34: ("recv_epr", "rrrr"),
    35: ("wait_all", "arr"),
    36: ("wait_any", "arr"),
    37: ("wait_single", "ar"),
    38: ("qfree", "r"),
    39: ("ret_reg", "r"),
    40: ("ret_arr", "a"),
    41: ("meas_basis", "rriiii"),
    48: ("meas_basis_yzy", "rriiii"),
    49: ("meas_basis_zxz", "rriiii"),
    100: ("breakpoint", "ii"),
    200: ("mul", "rrr"),
    201: ("div", "rrr"),
    202: ("rem", "rrr"),
}
_ROTATIONS: Final = {27: ("rot_x", "rii"), 28: ("rot_y", "rii"), 29: ("rot_z", "rii")}
_MOVES: Final = {51: ("mov", "rr"), 52: ("swp", "rr")}
_OWN: Final[dict[Flavour, dict[int, tuple[str, str]]]] = {
    "vanilla": {
        20: ("x", "r"),
        21: ("y", "r"),
        22: ("z", "r"),
        23: ("h", "r"),
        24: ("s", "r"),
        25: ("k", "r"),
        26: ("t", "r"),
        **_ROTATIONS,
        30: ("cnot", "rr"),
        31: ("cphase", "rr"),
        **_MOVES,
    },
    # The same opcodes as cnot and cphase, with other operands: a node has to know its flavour.
    "nv": {**_ROTATIONS, 30: ("crot_x", "rrii"), 31: ("crot_y", "rrii"), **_MOVES},
    "trapped-ion": {
        29: ("rot_z", "rii"),
        42: ("init_all", ""),
        43: ("meas_all", "ra"),
        44: ("rot_x_all", "ii"),
        45: ("rot_y_all", "ii"),
        46: ("rot_z_all", "ii"),
        47: ("bichromatic", "ii"),
    },
}
_WIDTHS: Final = {"r": "B", "i": "B", "a": "i"}


def table(flavour: Flavour) -> dict[int, tuple[str, str]]:
    """Opcode to name and operands."""
    return {**_CORE, **_OWN[flavour]}


def decode(data: bytes, flavour: Flavour) -> tuple[int, list[Command]]:
    """The application id and the commands of a subroutine. Raises BadSubroutine."""
    if len(data) < METADATA.size or (len(data) - METADATA.size) % COMMAND_BYTES:
        raise BadSubroutine(f"a subroutine of {len(data)} bytes, expected 4 and 7 a command")
    major, minor, app = METADATA.unpack_from(data)
    if (major, minor) != VERSION:
        raise BadSubroutine(f"NetQASM {major}.{minor}, this node runs {VERSION[0]}.{VERSION[1]}")
    known = table(flavour)
    commands = []
    for number, at in enumerate(range(METADATA.size, len(data), COMMAND_BYTES)):
        code = data[at]
        if code not in known:
            raise BadSubroutine(f"command {number}: no opcode {code} in flavour {flavour}")
        name, operands = known[code]
        values = struct.unpack_from("<" + "".join(_WIDTHS[o] for o in operands), data, at + 1)
        commands.append(
            Command(name, tuple(map(_operand, operands, values, [number] * len(operands))))
        )
    return app, commands


def register_name(register: int) -> str:
    """As people write it: R0, Q3, M1."""
    return f"{REGISTER_NAMES[register >> 4]}{register & 15}"


def _operand(kind: str, value: int, number: int) -> int:
    if kind != "r":
        return value
    if value >> 6:
        raise BadSubroutine(f"command {number}: {value:#04x} is no register")
    return (value & 3) << 4 | value >> 2
