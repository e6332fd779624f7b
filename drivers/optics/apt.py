"""Messages of Thorlabs' APT protocol, as QMI and PnPQ have them (docs/instruments.md).

Six bytes: the message's number, then two parameters or, with bit 7 of the destination set, the
length of the data that follow; destination; source. All little-endian. An instrument also speaks
unasked, such as at the end of a move.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import ProtocolError, Timeout
from drivers.links.base import Link

HOST, UNIT = 0x01, 0x50
"""The addresses of a computer, and of any instrument on USB."""

_WITH_DATA = 0x80
_HEAD = struct.Struct("<HBBBB")
_HEAD_BYTES = 6
_MOST_DATA_BYTES = 512
_REPLY_LIMIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Apt:
    """One message; of those with data `first` and `second` are 0."""

    number: int
    first: int = 0
    second: int = 0
    data: bytes = b""

    def to_unit(self) -> bytes:
        """As it goes to an instrument."""
        if not self.data:
            return _HEAD.pack(self.number, self.first, self.second, UNIT, HOST)
        length = len(self.data)
        head = _HEAD.pack(self.number, length & 0xFF, length >> 8, UNIT | _WITH_DATA, HOST)
        return head + self.data

    @classmethod
    def of(cls, message: bytes) -> Apt:
        """From the bytes that `AptMessages` took out."""
        number, first, second, to, _ = _HEAD.unpack_from(message)
        if to & _WITH_DATA:
            return cls(number, data=message[_HEAD_BYTES:])
        return cls(number, first, second)


@dataclass(frozen=True, slots=True)
class AptMessages:
    """Messages of an instrument to a computer. What is none, such as the rest of one of which the
    first half was dropped, is passed over."""

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        for at in range(len(buffer) - _HEAD_BYTES + 1):
            length = _length(buffer, at)
            if length is None:
                continue
            if at + length > len(buffer):
                return None
            message = bytes(buffer[at : at + length])
            del buffer[: at + length]
            return message
        if len(buffer) > 2 * _MOST_DATA_BYTES:
            raise ProtocolError("no APT message", bytes(buffer))
        return None


def _length(buffer: bytearray, at: int) -> int | None:
    """Of the message that begins here; None if none does."""
    _, first, second, to, source = _HEAD.unpack_from(buffer, at)
    if to & ~_WITH_DATA != HOST or source != UNIT:
        return None
    data_bytes = first | second << 8 if to & _WITH_DATA else 0
    return _HEAD_BYTES + data_bytes if data_bytes <= _MOST_DATA_BYTES else None


class AptTalk:
    """Questions to an instrument, one at a time; what it says unasked is passed over."""

    def __init__(self, link: Link):
        self._link = link
        self._turn = asyncio.Lock()

    async def ask(
        self, question: Apt, number: int, fits: Callable[[Apt], bool] = lambda answer: True
    ) -> Apt:
        """The answer of this number that fits. Raises NotConnected, Timeout, ProtocolError."""
        command = f"APT {question.number:04x}"
        async with self._turn:
            message = await self._link.exchange(
                question.to_unit(), AptMessages(), timeout_s=_REPLY_LIMIT_S, command=command
            )
            try:
                async with asyncio.timeout(_REPLY_LIMIT_S):
                    while (answer := Apt.of(message)).number != number or not fits(answer):
                        message = await self._link.receive(
                            AptMessages(), timeout_s=None, command=command
                        )
            except TimeoutError:
                self._link.poison()
                raise Timeout(
                    f"no APT {number:04x} within {_REPLY_LIMIT_S:g} s", **self._link.about(command)
                ) from None
        return answer

    async def tell(self, order: Apt) -> None:
        """Something that has no answer, or one that comes unasked."""
        async with self._turn:
            await self._link.send(order.to_unit())

    def garbled(self, expected: str, answer: Apt) -> ProtocolError:
        """An answer that cannot be; the link is out of step then."""
        self._link.poison()
        return ProtocolError(expected, answer.data, **self._link.about(f"APT {answer.number:04x}"))
