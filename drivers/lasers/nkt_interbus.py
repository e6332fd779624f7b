"""NKT Photonics Interbus: registers of modules on a bus, in telegrams with a CRC.

A telegram is 0D, then destination, source, type, register, data and CRC, then 0A; inside, 0D, 0A
and 5E are written as 5E and the byte plus 40h. A module now and then skips a request, or answers
it late. So a request is sent again, each time from another source address: an answer to an earlier
request cannot be taken for one to this. Sources in docs/instruments.md.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from enum import IntEnum

from drivers.errors import InstrumentError, ProtocolError, Timeout
from drivers.framing import MAX_FRAME_BYTES
from drivers.links.base import Link

FIRST_HOST, LAST_HOST = 161, 254
"""Source addresses of hosts; one after the other is used."""

_START, _END, _ESCAPE = 0x0D, 0x0A, 0x5E
_SHIFT = 0x40
_SEND_AGAIN_S = 0.15  # most answers come within 0.1 s
_TRIES = 10


class Kind(IntEnum):
    """The third byte of a telegram."""

    NACK = 0
    CRC_ERROR = 1
    BUSY = 2
    ACK = 3
    READ = 4
    WRITE = 5
    DATAGRAM = 8


@dataclass(frozen=True, slots=True)
class Telegram:
    """One telegram, taken out of its marks and escapes."""

    destination: int
    source: int
    kind: int
    register: int
    data: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire."""
        body = bytes([self.destination, self.source, self.kind, self.register]) + self.data
        body += crc16(body).to_bytes(2, "big")
        inside = bytearray()
        for byte in body:
            inside += bytes([_ESCAPE, byte + _SHIFT] if byte in (_START, _END, _ESCAPE) else [byte])
        return bytes([_START, *inside, _END])

    @classmethod
    def decode(cls, inside: bytes) -> Telegram:
        """From the bytes between the marks; raises ProtocolError for what is none."""
        body = bytearray()
        bytes_ = iter(inside)
        for byte in bytes_:
            body.append((next(bytes_, 0) - _SHIFT) & 0xFF if byte == _ESCAPE else byte)
        if len(body) < 6 or crc16(bytes(body)):
            raise ProtocolError("a telegram that fails its CRC", inside)
        return cls(body[0], body[1], body[2], body[3], bytes(body[4:-2]))


@dataclass(frozen=True, slots=True)
class Telegrams:
    """What stands between 0D and 0A; noise between telegrams is passed over."""

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        end = buffer.find(_END)
        if end < 0:
            if len(buffer) > MAX_FRAME_BYTES:
                raise ProtocolError(f"no telegram in {len(buffer)} bytes", bytes(buffer))
            return None
        inside = bytes(buffer[:end])
        del buffer[: end + 1]
        return inside[inside.rfind(_START) + 1 :]


def crc16(data: bytes) -> int:
    """CRC-CCITT, polynomial 1021h from 0; over a body with its CRC it is 0."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


class Interbus:
    """Reads and writes registers of the modules on one link.

    `repeated` counts requests that had to be sent again.
    """

    def __init__(self, link: Link):
        self.link = link
        self.repeated = 0
        self._sources = itertools.cycle(range(FIRST_HOST, LAST_HOST + 1))
        self._bus = asyncio.Lock()

    async def read(self, module: int, register: int, *lengths: int) -> bytes:
        """The data of a register, of one of these lengths in bytes (none given: of any).

        Raises InstrumentError when the module refuses, ProtocolError for another length.
        """
        data = await self._request(module, Kind.READ, register, b"", Kind.DATAGRAM)
        if lengths and len(data) not in lengths:
            self.link.poison()
            expected = " or ".join(str(length) for length in lengths)
            raise ProtocolError(
                f"expected {expected} bytes of data", data, **self._about(module, register)
            )
        return data

    async def write(self, module: int, register: int, data: bytes) -> None:
        """Write a register; raises InstrumentError when the module refuses."""
        await self._request(module, Kind.WRITE, register, data, Kind.ACK)

    async def _request(
        self, module: int, kind: Kind, register: int, data: bytes, expected: Kind
    ) -> bytes:
        """Ask until there is an answer to one of the tries of this very request."""
        async with self._bus:
            sources: set[int] = set()
            for attempt in range(_TRIES):
                source = next(self._sources)
                sources.add(source)
                self.repeated += attempt > 0
                await self.link.send(Telegram(module, source, kind, register, data).encode())
                try:
                    async with asyncio.timeout(_SEND_AGAIN_S):
                        answer = await self._answer(module, register, sources)
                        if answer.kind == Kind.BUSY:
                            await asyncio.sleep(_SEND_AGAIN_S)  # the rest of this try's time
                except TimeoutError:
                    continue
                if answer.kind == expected:
                    return answer.data
                break
            else:
                self.link.poison()
                raise Timeout(
                    f"module {module} did not answer any of {_TRIES} requests; check the address "
                    "and the power",
                    **self._about(module, register),
                )
        if answer.kind == Kind.NACK:
            what = "written" if kind == Kind.WRITE else "read"
            raise InstrumentError(
                "NACK", f"register {register:02X}h is not {what}", **self._about(module, register)
            )
        self.link.poison()
        raise ProtocolError(
            f"expected an answer of type {expected}, found {answer.kind}",
            answer.encode(),
            **self._about(module, register),
        )

    async def _answer(self, module: int, register: int, sources: set[int]) -> Telegram:
        """The next telegram that answers us; what answers others or is damaged is passed over."""
        while True:
            inside = await self.link.receive(
                Telegrams(), timeout_s=None, command=f"register {register:02X}h"
            )
            try:
                answer = Telegram.decode(inside)
            except ProtocolError:
                continue
            ours = answer.source == module and answer.destination in sources
            if ours and answer.register == register and answer.kind != Kind.CRC_ERROR:
                return answer

    def _about(self, module: int, register: int) -> dict[str, str]:
        return self.link.about(f"module {module} register {register:02X}h")
