"""What goes over a node's local socket: u32 little-endian length, then MessagePack.

A client calls methods by name, any number at once, matched to their replies by id.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import msgspec

MAX_FRAME_BYTES = 1 << 20
PROTOCOL_VERSION = 1

_LENGTH = struct.Struct("<I")


class Call(msgspec.Struct, frozen=True, tag="call"):
    """A client asks for a method. The first of a connection is `hello` with the version."""

    id: int
    method: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)


class Reply(msgspec.Struct, frozen=True, tag="reply"):
    """What a call has come to: a value, or the name of an error with its text."""

    id: int
    value: Any = None
    error: str = ""
    text: str = ""


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far a call has come; its reply is still to come."""

    id: int
    done: float
    text: str = ""


Frame = Call | Reply | Progress
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


class BadFrame(Exception):
    """What came is no frame of ours; the connection is of no more use."""


def encoded(frame: Frame) -> bytes:
    """A frame with its length."""
    body = _ENCODER.encode(frame)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame, None at the end of the connection. Raises BadFrame."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise BadFrame(f"a frame of {length} bytes, expected at most {MAX_FRAME_BYTES}")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        return _DECODER.decode(body)
    except msgspec.MsgspecError as error:
        raise BadFrame(f"a frame cannot be understood: {error}") from None
