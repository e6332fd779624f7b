"""Where one message ends and the next begins, as reusable parts.

A framing takes one complete message out of a receive buffer. It keeps no state of its own, so one
object serves any number of links.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Protocol

from drivers.errors import ProtocolError

_U32 = struct.Struct("<I")

MAX_FRAME_BYTES = 1 << 20
"""No instrument's message is longer; a buffer that grows past it is garbage."""


class Framing(Protocol):
    """Takes complete messages out of a buffer."""

    def take(self, buffer: bytearray) -> bytes | None:
        """Remove and return the next complete message without its end mark; None: not yet.

        Raises ProtocolError when no message can ever come of these bytes.
        """
        ...


@dataclass(frozen=True, slots=True)
class Until:
    """Messages that end with a mark: a line end, a prompt, an ETB."""

    mark: bytes

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        at = buffer.find(self.mark)
        if at < 0:
            if len(buffer) > MAX_FRAME_BYTES:
                raise ProtocolError(f"no {self.mark!r} in {len(buffer)} bytes", bytes(buffer))
            return None
        message = bytes(buffer[:at])
        del buffer[: at + len(self.mark)]
        return message


@dataclass(frozen=True, slots=True)
class EitherEnd:
    """Lines that end with CR or LF or both, as one instrument has them on its several ports.

    Empty lines are passed over.
    """

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        while buffer and buffer[0] in b"\r\n":
            del buffer[0]
        ends = [at for at in (buffer.find(b"\r"), buffer.find(b"\n")) if at >= 0]
        if not ends:
            if len(buffer) > MAX_FRAME_BYTES:
                raise ProtocolError(f"no end of line in {len(buffer)} bytes", bytes(buffer))
            return None
        message = bytes(buffer[: min(ends)])
        del buffer[: min(ends) + 1]
        return message


LINE_CRLF = Until(b"\r\n")
LINE_LF = Until(b"\n")
ETB = Until(b"\x17")


_JSON_TOKEN = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*"|["{}\[\]]')


@dataclass(frozen=True, slots=True)
class JsonStream:
    """JSON objects or arrays one after the other; white space and `between` may part them."""

    between: bytes = b""

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`; the text of one object or array, which may still be no valid JSON."""
        skipped = len(buffer) - len(buffer.lstrip(b" \t\r\n" + self.between))
        del buffer[:skipped]
        if not buffer:
            return None
        if buffer[0] not in b"{[":
            raise ProtocolError("expected a JSON object or array", bytes(buffer))
        text = bytes(buffer)
        depth = 0
        for token in _JSON_TOKEN.finditer(text):
            word = token.group()
            if word == b'"':
                # A string that has not ended; one with a control character never will.
                if any(byte < 0x20 for byte in text[token.start() :]):
                    raise ProtocolError("a control character in a JSON string", text)
                break
            depth += (word in b"{[") - (word in b"}]")
            if depth == 0:
                del buffer[: token.end()]
                return text[: token.end()]
        if len(buffer) > MAX_FRAME_BYTES:
            raise ProtocolError(f"no end of a JSON object in {len(buffer)} bytes", bytes(buffer))
        return None


@dataclass(frozen=True, slots=True)
class Anything:
    """A raw stream: whatever has arrived, in multiples of `size` bytes."""

    size: int = 1

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        whole = len(buffer) - len(buffer) % self.size
        if not whole:
            return None
        message = bytes(buffer[:whole])
        del buffer[:whole]
        return message


@dataclass(frozen=True, slots=True)
class Packet:
    """One message of a link that carries messages (ZeroMQ, HTTP, WebSocket, SNMP): u32
    little-endian length, payload.

    On the wire such a message is bounded by its own protocol; this form exists between the link and
    its transport, and on `mem://`.
    """

    max_bytes: int = MAX_FRAME_BYTES

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`; an empty message is b""."""
        if len(buffer) < 4:
            return None
        (length,) = _U32.unpack_from(buffer)
        if length > self.max_bytes:
            raise ProtocolError(
                f"a message of {length} bytes, the limit is {self.max_bytes}", bytes(buffer[:16])
            )
        if len(buffer) < 4 + length:
            return None
        with memoryview(buffer) as view:
            payload = bytes(view[4 : 4 + length])
        del buffer[: 4 + length]
        return payload

    def wrap(self, payload: bytes) -> bytes:
        """The bytes that carry this message through a link."""
        return _U32.pack(len(payload)) + payload


PACKET = Packet()


@dataclass(frozen=True, slots=True)
class LengthCrc:
    """u32 little-endian length, payload, u32 little-endian CRC-32 (as zlib) of the payload."""

    max_bytes: int = MAX_FRAME_BYTES

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        if len(buffer) < 4:
            return None
        (length,) = _U32.unpack_from(buffer)
        if length > self.max_bytes:
            raise ProtocolError(
                f"a frame announces {length} bytes, the limit is {self.max_bytes}",
                bytes(buffer[:16]),
            )
        if len(buffer) < 8 + length:
            return None
        payload = bytes(buffer[4 : 4 + length])
        (crc,) = _U32.unpack_from(buffer, 4 + length)
        del buffer[: 8 + length]
        if crc != zlib.crc32(payload):
            raise ProtocolError(f"a frame of {length} bytes fails its CRC", payload)
        return payload

    def wrap(self, payload: bytes) -> bytes:
        """The frame that carries this payload."""
        return _U32.pack(len(payload)) + payload + _U32.pack(zlib.crc32(payload))
