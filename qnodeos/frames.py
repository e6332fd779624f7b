"""What goes over a node's local socket: u32 little-endian length, then MessagePack.

A client calls methods by name, any number at once, matched to their replies by id.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import msgspec

MAX_FRAME_BYTES = 1 << 20
PROTOCOL_VERSION = 2
VERSIONS = (1, 2)
"""Whom a node serves. 2 has `cancel` and the method `pair`."""

_UNREAD_BYTES = 2 * MAX_FRAME_BYTES
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


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Who made a call does not wait for it any more. If it waits itself, it is given up and
    answered with the error Cancelled; else it is done and answered all the same."""

    id: int


Frame = Call | Reply | Progress | Cancel
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


class BadFrame(Exception):
    """What came is no frame of ours; the connection is of no more use."""


def encoded(frame: Frame) -> bytes:
    """A frame with its length."""
    body = _ENCODER.encode(frame)
    return _LENGTH.pack(len(body)) + body


class Line(asyncio.Protocol):
    """One end of a local socket. `take` gets each frame, `over` the end, once: what was wrong, or
    None. What `take` raises as BadFrame ends it.

    A turn of the loop takes one frame: who asks for a thousand things at once holds nobody up.
    """

    def __init__(self, take: Callable[[Frame], None], over: Callable[[BadFrame | None], None]):
        self._take, self._over = take, over
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._more: asyncio.Handle | None = None
        self._paused = False

    @property
    def unsent_bytes(self) -> int:
        """What the far end has not read yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def say(self, frame: Frame) -> None:
        """Send; harmless when the connection is over."""
        if self._transport is not None:
            self._transport.write(encoded(frame))

    def close(self, *, now: bool = False) -> None:
        """End it, after what was said, or at once; `over` is still called."""
        if self._transport is not None:
            (self._transport.abort if now else self._transport.close)()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # Those of uvloop, under a dashboard, are of a class of their own.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        self._end(None)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._data += data
        if self._more is None:
            self._next()
        if len(self._data) > _UNREAD_BYTES and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _next(self) -> None:
        self._more = None
        try:
            body = self._body()
            if body is None:
                if self._paused and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
                return
            self._more = asyncio.get_running_loop().call_soon(self._next)
            try:
                frame = _DECODER.decode(body)
            except msgspec.MsgspecError as error:
                raise BadFrame(f"a frame cannot be understood: {error}") from None
            self._take(frame)
        except BadFrame as bad:
            self._end(bad)

    def _body(self) -> bytes | None:
        if len(self._data) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._data)
        if length > MAX_FRAME_BYTES:
            raise BadFrame(f"a frame of {length} bytes, expected at most {MAX_FRAME_BYTES}")
        end = _LENGTH.size + length
        if len(self._data) < end:
            return None
        body = bytes(self._data[_LENGTH.size : end])
        del self._data[:end]
        return body

    def _end(self, bad: BadFrame | None) -> None:
        over, self._over = self._over, _nothing
        self._data.clear()
        if self._more is not None:
            self._more.cancel()
            self._more = None
        over(bad)
        self.close()


def _nothing(_: BadFrame | None) -> None:
    pass
