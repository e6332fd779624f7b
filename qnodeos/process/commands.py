"""Subroutines of NetQASM: four bytes of metadata, then commands of seven bytes.

Layouts are those of `netqasm` 2.3.0 (`netqasm/lang/encoding.py`), read natively so that a node does
not depend on the SDK. A command is its opcode and its operands in the order of the bytes; an entry
of an array is (address, index register), a slice is (address, start register, stop register).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

from qnodeos.process.errors import SubroutineError

VERSION: Final = (0, 10)
COMMAND_BYTES: Final = 7
_METADATA: Final = struct.Struct("<BBH")
_REGISTERS: Final = 64


class Flavour(enum.Enum):
    """The instruction set of a device; opcodes 30 and 31 mean different gates in two of them."""

    VANILLA = "vanilla"
    NV = "nv"
    TRAPPED_ION = "trapped-ion"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its mnemonic, and registers (0 to 63), immediates and addresses as integers."""

    name: str
    operands: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Subroutine:
    """What a host asks to run in one go for its application `app_id`."""

    app_id: int
    commands: tuple[Command, ...]


# r: register (name in the low two bits, index in the next four); b: unsigned byte; i: int32.
_CORE: Final[dict[int, tuple[str, str]]] = {
    1: ("qalloc", "r"),
    2: ("init", "r"),
    3: ("array", "ri"),
    4: ("set", "ri"),
    5: ("store", "rir"),
    6: ("load", "rir"),
    7: ("undef", "ir"),
    8: ("lea", "ri"),
    9: ("jmp", "i"),
    10: ("bez", "ri"),
    11: ("bnz", "ri"),
    12: ("beq", "rri"),
    13: ("bne", "rri"),
    14: ("blt", "rri"),
    15: ("bge", "rri"),
    16: ("add", "rrr"),
    17: ("sub", "rrr"),
    18: ("addm", "rrrr"),
    19: ("subm", "rrrr"),
    32: ("meas", "rr"),
    33: ("create_epr", "rrrrr"),
    34: ("recv_epr", "rrrr"),
    35: ("wait_all", "irr"),
    36: ("wait_any", "irr"),
    37: ("wait_single", "ir"),
    38: ("qfree", "r"),
    39: ("ret_reg", "r"),
    40: ("ret_arr", "i"),
    41: ("meas_basis", "rrbbbb"),
    48: ("meas_basis_yzy", "rrbbbb"),
    49: ("meas_basis_zxz", "rrbbbb"),
    100: ("breakpoint", "bb"),
    200: ("mul", "rrr"),
    201: ("div", "rrr"),
    202: ("rem", "rrr"),
}
_MOVES: Final = {51: ("mov", "rr"), 52: ("swp", "rr")}
_ROTATIONS: Final = {27: ("rot_x", "rbb"), 28: ("rot_y", "rbb"), 29: ("rot_z", "rbb")}
_SINGLE: Final = {20 + number: (name, "r") for number, name in enumerate("xyzhskt")}
_TABLES: Final[dict[Flavour, dict[int, tuple[str, str]]]] = {
    Flavour.VANILLA: _CORE
    | _MOVES
    | _ROTATIONS
    | _SINGLE
    | {30: ("cnot", "rr"), 31: ("cphase", "rr")},
    Flavour.NV: _CORE | _MOVES | _ROTATIONS | {30: ("crot_x", "rrbb"), 31: ("crot_y", "rrbb")},
    Flavour.TRAPPED_ION: _CORE
    | {
        29: ("rot_z", "rbb"),
        42: ("init_all", ""),
        43: ("meas_all", "ri"),
        44: ("rot_x_all", "bb"),
        45: ("rot_y_all", "bb"),
        46: ("rot_z_all", "bb"),
        47: ("bichromatic", "bb"),
    },
}
_FORMATS: Final = {"r": "B", "b": "B", "i": "i"}
_DECODERS: Final = {
    flavour: {
        opcode: (name, layout, struct.Struct("<" + "".join(_FORMATS[kind] for kind in layout)))
        for opcode, (name, layout) in table.items()
    }
    for flavour, table in _TABLES.items()
}


def register_name(register: int) -> str:
    """The name a programmer knows a register by, such as R3 or M0."""
    return f"{'RCQM'[register & 3]}{register >> 2}"


def decode_subroutine(raw: bytes, flavour: Flavour) -> Subroutine:
    """Read a subroutine; raises SubroutineError that names the line and what is wrong there."""
    if len(raw) < _METADATA.size or (len(raw) - _METADATA.size) % COMMAND_BYTES:
        raise SubroutineError(
            f"a subroutine of {len(raw)} bytes: expected {_METADATA.size} and a multiple of "
            f"{COMMAND_BYTES} for its commands; send it whole"
        )
    major, minor, app_id = _METADATA.unpack_from(raw)
    if (major, minor) != VERSION:
        raise SubroutineError(
            f"a subroutine of NetQASM version {major}.{minor}: this node reads "
            f"{VERSION[0]}.{VERSION[1]}, which netqasm 2.x writes"
        )
    starts = range(_METADATA.size, len(raw), COMMAND_BYTES)
    commands = tuple(_decode(raw, start, line, flavour) for line, start in enumerate(starts))
    return Subroutine(app_id, commands)


def _decode(raw: bytes, start: int, line: int, flavour: Flavour) -> Command:
    known = _DECODERS[flavour].get(raw[start])
    if known is None:
        raise SubroutineError(
            f"line {line}: opcode {raw[start]} is none of the {flavour.value} flavour; "
            "compile the program for the flavour of this node"
        )
    name, layout, decoder = known
    operands = decoder.unpack_from(raw, start + 1)
    for kind, operand in zip(layout, operands, strict=True):
        if kind == "r" and operand >= _REGISTERS:
            raise SubroutineError(
                f"line {line}: {name} names register byte {operand}; expected 0 to {_REGISTERS - 1}"
            )
    return Command(name, operands)
