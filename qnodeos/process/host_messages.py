"""Messages between a NetQASM host and the node, as bytes.

Little-endian with the alignment of a C compiler, as `netqasm` 2.3.0 writes them
(`netqasm/backend/messages.py`, where `_pack` is no ctypes attribute and so does nothing). A host's
message comes after a header {id, length} in which the length counts the header's own 8 bytes;
a reply has no header.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qnodeos.process.errors import FrameError

_HEADER: Final = struct.Struct("<II")
HEADER_BYTES: Final = _HEADER.size
_INIT: Final = struct.Struct("<B3xIB3x")
_OPEN: Final = struct.Struct("<B3xIiiiB3x")
_STOP: Final = struct.Struct("<B3xI")
_SIGNAL: Final = struct.Struct("<BB")
_STOP_SIGNAL: Final = 0


@dataclass(frozen=True, slots=True)
class InitNewApp:
    """An application starts, and names at most `max_qubits` qubits."""

    app_id: int
    max_qubits: int


@dataclass(frozen=True, slots=True)
class OpenEprSocket:
    """An application wants pairs with a socket of another node, at `min_fidelity_percent`."""

    app_id: int
    epr_socket_id: int
    remote_node_id: int
    remote_epr_socket_id: int
    min_fidelity_percent: int


@dataclass(frozen=True, slots=True)
class RunSubroutine:
    """The bytes of a subroutine, still to be decoded in the node's flavour."""

    subroutine: bytes


@dataclass(frozen=True, slots=True)
class StopApp:
    """An application is over."""

    app_id: int


@dataclass(frozen=True, slots=True)
class StopBackend:
    """A host asks the backend to stop (the only signal there is)."""


HostMessage = InitNewApp | OpenEprSocket | RunSubroutine | StopApp | StopBackend


class ErrorCode(enum.IntEnum):
    """Codes of an ERR reply, which carries neither text nor message id."""

    GENERAL = 0
    NO_QUBIT = 1
    UNSUPPORTED = 2


def decode_header(raw: bytes, *, longest_bytes: int) -> tuple[int, int]:
    """Message id and number of bytes that follow; raises FrameError for a length no message has.

    `longest_bytes` bounds what follows, so that a length is refused before anything is read for it.
    """
    if len(raw) != HEADER_BYTES:
        raise FrameError(f"a header of {len(raw)} bytes: expected {HEADER_BYTES}")
    message_id, length = _HEADER.unpack(raw)
    if not HEADER_BYTES < length <= HEADER_BYTES + longest_bytes:
        raise FrameError(
            f"message {message_id} claims {length} bytes with its header: expected "
            f"{HEADER_BYTES + 1} to {HEADER_BYTES + longest_bytes}"
        )
    return message_id, length - HEADER_BYTES


def decode_host_message(raw: bytes) -> HostMessage:
    """Read one message without its header; raises FrameError if its type or size is not known."""
    kind = raw[0] if raw else -1
    if kind == 2:
        return RunSubroutine(raw[1:])
    layout = {0: _INIT, 1: _OPEN, 3: _STOP, 4: _SIGNAL}.get(kind)
    if layout is None:
        raise FrameError(f"message type {kind}: expected 0 to 4" if raw else "an empty message")
    if len(raw) != layout.size:
        raise FrameError(f"message type {kind} in {len(raw)} bytes: expected {layout.size}")
    _, *fields = layout.unpack(raw)
    if kind == 0:
        return InitNewApp(*fields)
    if kind == 1:
        return OpenEprSocket(*fields)
    if kind == 3:
        return StopApp(*fields)
    if fields[0] != _STOP_SIGNAL:
        raise FrameError(f"signal {fields[0]}: expected {_STOP_SIGNAL} (stop)")
    return StopBackend()


def encode_done(message_id: int) -> bytes:
    """DONE: the message with this id has been carried out."""
    return struct.pack("<B3xI", 0, message_id)


def encode_error(code: ErrorCode) -> bytes:
    """ERR: what was asked has failed."""
    return struct.pack("<BB", 1, code)


def encode_array(address: int, cells: Sequence[int | None]) -> bytes:
    """RET_ARR: the cells of an array; an undefined one travels as null (the SDK reads it as 0)."""
    body = b"".join(
        struct.pack("<B3xi", cell is not None, 0 if cell is None else cell) for cell in cells
    )
    return struct.pack("<Bii", 2, address, len(cells)) + body


def encode_register(register: int, value: int) -> bytes:
    """RET_REG: the value of a register, named as in a command."""
    return struct.pack("<BB2xi", 3, register, value)
