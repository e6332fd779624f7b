"""What a host and the node say to each other: the byte form of the `netqasm` package, 2.3.0.

A frame from the host is u32 id, u32 length of the whole frame, and a message; little-endian, with
fields where C would align them. Answers have no frame of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HEADER: Final = struct.Struct("<II")
MOST_FRAME_BYTES: Final = 1 << 20

_INIT = struct.Struct("<B3xIB3x")
_SOCKET = struct.Struct("<B3xIiiiB3x")
_STOP = struct.Struct("<B3xI")
_DONE = struct.Struct("<B3xI")
_REGISTER = struct.Struct("<BBxxi")
_ARRAY = struct.Struct("<Bii")
_ENTRY = struct.Struct("<B3xi")

GENERAL, NO_QUBIT, UNSUPPORTED = 0, 1, 2
"""Codes of errors; the protocol has no text for them."""


class BadMessage(Exception):
    """What came is no message of a host."""


@dataclass(frozen=True, slots=True)
class InitNewApp:
    """A program begins; it will use at most so many qubits at a time."""

    app: int
    most_qubits: int


@dataclass(frozen=True, slots=True)
class OpenEprSocket:
    """A program will ask for pairs with a socket of another node. Fidelity in per cent."""

    app: int
    socket: int
    remote_node: int
    remote_socket: int
    fidelity_percent: int


@dataclass(frozen=True, slots=True)
class RunSubroutine:
    """Commands, still as bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StopApp:
    """A program is over."""

    app: int


@dataclass(frozen=True, slots=True)
class StopBackend:
    """For simulators; a node goes on."""


@dataclass(frozen=True, slots=True)
class JoinRun:
    """Ours alone, type 128: which run of a program over several nodes this connection belongs to.

    Sockets of one run do not meet those of another. Without it all programs are one run.
    """

    run: int


HostMessage = InitNewApp | OpenEprSocket | RunSubroutine | StopApp | StopBackend | JoinRun


def decode(message: bytes) -> HostMessage:
    """The message in a frame's body. Raises BadMessage."""
    if not message:
        raise BadMessage("an empty message")
    kind = message[0]
    try:
        match kind:
            case 0:
                _, app, qubits = _INIT.unpack(message)
                return InitNewApp(app, qubits)
            case 1:
                _, app, socket, node, far, fidelity = _SOCKET.unpack(message)
                return OpenEprSocket(app, socket, node, far, fidelity)
            case 2:
                return RunSubroutine(message[1:])
            case 3:
                return StopApp(_STOP.unpack(message)[1])
            case 4:
                return StopBackend()
            case 128:
                return JoinRun(int(struct.unpack("<B3xQ", message)[1]))
    except struct.error:
        raise BadMessage(f"a message of type {kind} with {len(message)} bytes") from None
    raise BadMessage(f"a message of type {kind}; there are 0 to 4")


def done(message_id: int) -> bytes:
    """What the frame of this id asked for is done."""
    return _DONE.pack(0, message_id)


def error(code: int) -> bytes:
    """It could not be done."""
    return bytes((1, code))


def returned_register(register: int, value: int) -> bytes:
    """A register's value."""
    return _REGISTER.pack(3, (register & 15) << 2 | register >> 4, value)


def returned_array(address: int, values: Sequence[int | None]) -> bytes:
    """An array; an undefined entry has type 0 (the SDK reads it as 0)."""
    entries = b"".join(
        _ENTRY.pack(0, 0) if value is None else _ENTRY.pack(1, value) for value in values
    )
    return _ARRAY.pack(2, address, len(values)) + entries
