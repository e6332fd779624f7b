"""SNMP version 2c over UDP: reading values, which is all that an instrument here is asked for.

Each message of the link is one datagram. A datagram may get lost without a word, so the transport
repeats the last request until its answer comes or whoever asked gives up; answers to other
requests, such as a late one to an earlier request, are dropped. Sources: RFC 1901, RFC 3416
(messages), ITU-T X.690 (encoding).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from drivers.errors import ProtocolError
from drivers.links.base import Transport
from drivers.links.inbox import Inbox
from drivers.links.packets import as_packet, messages_in

PORT = 161
REPEAT_S = 0.5
"""After so long without an answer the request is sent again."""

Value = int | bytes | str | None
"""An INTEGER, counter or gauge; an OCTET STRING; an object identifier; None where there is none."""

_INTEGER, _OCTETS, _NULL, _OID, _SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
_GET, _RESPONSE = 0xA0, 0xA2
_IP_ADDRESS, _UNSIGNED = 0x40, (0x41, 0x42, 0x43, 0x46)  # counter, gauge, ticks, counter of 64 bits
_ABSENT = (_NULL, 0x80, 0x81, 0x82)  # null, no such object, no such instance, end of view
_VERSION_2C = 1
_ERRORS = ("noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent answers. `error` is its word for what is wrong, "" for nothing."""

    request_id: int
    error: str
    values: Mapping[str, Value]


def get_request(request_id: int, community: str, oids: Sequence[str]) -> bytes:
    """A GetRequest for some object identifiers ("1.3.6.1.2.1.1.1.0")."""
    names = b"".join(_tlv(_SEQUENCE, _oid(each) + _tlv(_NULL, b"")) for each in oids)
    pdu = _integer(request_id) + _integer(0) + _integer(0) + _tlv(_SEQUENCE, names)
    message = _integer(_VERSION_2C) + _tlv(_OCTETS, community.encode()) + _tlv(_GET, pdu)
    return _tlv(_SEQUENCE, message)


def read_answer(message: bytes) -> Answer:
    """The content of a Response; raises ProtocolError with its bytes."""
    try:
        version, _, pdu = _children(_only(message, _SEQUENCE))
        if version != (_INTEGER, bytes([_VERSION_2C])) or pdu[0] != _RESPONSE:
            raise ValueError("no response of version 2c")
        request_id, status, _, bindings = _children(pdu[1])
        values = {}
        for kind, content in _children(_expect(bindings, _SEQUENCE)):
            name, value = _children(_expect((kind, content), _SEQUENCE))
            values[_oid_text(_expect(name, _OID))] = _value(*value)
        code = _signed(_expect(status, _INTEGER))
        error = "" if code == 0 else _ERRORS[code] if code < len(_ERRORS) else f"error {code}"
        return Answer(_signed(_expect(request_id, _INTEGER)), error, values)
    except (ValueError, IndexError) as problem:
        raise ProtocolError(f"expected an SNMP response ({problem})", message) from None


class SnmpTransport(Transport):
    """Datagrams to and from one agent; opening tells nothing of whether anybody is there."""

    def __init__(self, host: str, port: int = PORT, *, resource: str = ""):
        self.resource = resource or f"snmp://{host}:{port}"
        self.host, self.port = host, port
        self._udp: asyncio.DatagramTransport | None = None
        self._inbox = Inbox()
        self._asked = b""
        self._asked_id: int | None = None

    async def open(self) -> None:
        """Make a fresh socket, so that no answer to an earlier one can come; raises OSError."""
        loop = asyncio.get_running_loop()
        self._inbox = inbox = Inbox()
        self._asked, self._asked_id = b"", None
        try:
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(inbox, self._wanted), remote_addr=(self.host, self.port)
            )
        except socket.gaierror as error:
            raise OSError(error.errno, f"no host '{self.host}': {error.strerror}") from error

    async def read(self) -> bytes:
        """Wait for the answer to the last request, asking again; cancellation loses none."""
        while True:
            try:
                async with asyncio.timeout(REPEAT_S):
                    return await self._inbox.read()
            except TimeoutError as error:
                if error.errno is not None:
                    raise
                if self._asked and self._udp is not None:
                    self._udp.sendto(self._asked)

    def read_nowait(self) -> bytes:
        """What has already arrived."""
        return self._inbox.take()

    async def write(self, data: bytes) -> None:
        """Send each message as a datagram; raises OSError."""
        for message in messages_in(data):
            if self._udp is None or self._inbox.ended:
                raise ConnectionResetError("the far end refuses datagrams")
            self._asked, self._asked_id = message, _request_id(message)
            self._udp.sendto(message)

    async def close(self) -> None:
        """Close; never raises and may be called twice."""
        udp, self._udp = self._udp, None
        self._inbox.end()
        if udp is not None:
            udp.abort()

    def _wanted(self, message: bytes) -> bool:
        """Anything but the answer to another request; nonsense is for whoever reads to show."""
        told = _request_id(message)
        if told is None:
            return self._asked_id is not None
        if told != self._asked_id:
            return False
        self._asked, self._asked_id = b"", None  # a second answer to a repeated request is none
        return True


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, inbox: Inbox, wanted: Callable[[bytes], bool]):
        self._inbox = inbox
        self._wanted = wanted

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._wanted(data):
            self._inbox.feed(as_packet(data))

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            code = exc.errno or 0
            self._inbox.end(OSError(code, f"nobody answers SNMP there: {os.strerror(code)}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._inbox.end(exc if isinstance(exc, OSError) else None)


def _request_id(message: bytes) -> int | None:
    """The number of a request or of the answer to it; None for what is neither."""
    try:
        _, _, (_, pdu) = _children(_only(message, _SEQUENCE))
        return _signed(_expect(_children(pdu)[0], _INTEGER))
    except (ValueError, IndexError):
        return None


def _tlv(kind: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([kind, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([kind, 0x80 | len(size)]) + size + content


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _oid(text: str) -> bytes:
    first, second, *rest = (int(each) for each in text.strip(".").split("."))
    return _tlv(_OID, b"".join(_base128(each) for each in (40 * first + second, *rest)))


def _base128(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | (value & 0x7F))
    return bytes(reversed(digits))


def _take(data: bytes) -> tuple[int, bytes, bytes]:
    """(type, content, rest) of what begins here; raises ValueError."""
    if len(data) < 2:
        raise ValueError("it ends too early")
    kind, length, at = data[0], data[1], 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or len(data) < 2 + count:
            raise ValueError("a length that cannot be")
        length, at = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    if len(data) < at + length:
        raise ValueError("it ends too early")
    return kind, data[at : at + length], data[at + length :]


def _only(data: bytes, kind: int) -> bytes:
    found, content, rest = _take(data)
    if rest:
        raise ValueError(f"{len(rest)} bytes too many")
    return _expect((found, content), kind)


def _expect(item: tuple[int, bytes], kind: int) -> bytes:
    if item[0] != kind:
        raise ValueError(f"type {item[0]:#x} where {kind:#x} is due")
    return item[1]


def _children(content: bytes) -> list[tuple[int, bytes]]:
    items = []
    while content:
        kind, inner, content = _take(content)
        items.append((kind, inner))
    return items


def _signed(content: bytes) -> int:
    if not content:
        raise ValueError("an empty integer")
    return int.from_bytes(content, "big", signed=True)


def _oid_text(content: bytes) -> str:
    numbers, value = [], 0
    for byte in content:
        value = value << 7 | (byte & 0x7F)
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers or content[-1] & 0x80:
        raise ValueError("half an object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(str(each) for each in (first, numbers[0] - 40 * first, *numbers[1:]))


def _value(kind: int, content: bytes) -> Value:
    if kind == _INTEGER:
        return _signed(content)
    if kind in _UNSIGNED:
        return int.from_bytes(content, "big")
    if kind == _OCTETS:
        return content
    if kind == _OID:
        return _oid_text(content)
    if kind == _IP_ADDRESS:
        return ".".join(str(byte) for byte in content)
    if kind in _ABSENT:
        return None
    raise ValueError(f"a value of the unknown type {kind:#x}")
