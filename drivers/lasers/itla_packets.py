"""Packets of the OIF integrable tunable laser assembly (OIF-ITLA-MSA-01.3): four bytes each way.

To the module: checksum (4 bits), write flag; register; two bytes of data, high byte first. Back:
checksum, communication error flag, status; register; data. The checksum is a BIP-4 over the rest.
What takes long is "pending" and asked for by NOP; texts are read in pieces through register 0Bh.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from drivers.draining import drain
from drivers.errors import InstrumentError, ProtocolError, Timeout
from drivers.links.base import Link
from drivers.waiting import becomes

ERRORS = {
    1: "register not implemented",
    2: "register not writable",
    3: "value out of range",
    4: "ignored, an operation is pending",
    5: "ignored, it is initialising",
    6: "extended address out of range",
    7: "extended address is read only",
    8: "execution failed",
    9: "ignored while the output is on",
    10: "invalid configuration",
    15: "vendor's own error",
}
NOT_IMPLEMENTED = 1

_NOP, _TEXT = 0x00, 0x0B
_OK, _ERROR, _EXTENDED, _PENDING = 0, 1, 2, 3
_REPLY_LIMIT_S = 0.5
_TRIES = 3


@dataclass(frozen=True, slots=True)
class FourBytes:
    """Packets of four bytes; nothing but the count says where one begins."""

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        if len(buffer) < 4:
            return None
        packet = bytes(buffer[:4])
        del buffer[:4]
        return packet


def checksum(packet: bytes) -> int:
    """BIP-4 of a packet, its first half byte left out."""
    bip8 = packet[0] & 0x0F ^ packet[1] ^ packet[2] ^ packet[3]
    return bip8 >> 4 ^ bip8 & 0x0F


def request(register: int, data: int = 0, *, write: bool = False) -> bytes:
    """A packet to the module; `data` is unsigned."""
    packet = bytes([int(write), register]) + data.to_bytes(2, "big")
    return bytes([checksum(packet) << 4 | packet[0]]) + packet[1:]


class Registers:
    """The registers of the module on one link."""

    def __init__(self, link: Link):
        self.link = link
        # A reason belongs to the request before it, a piece of text to the register before it.
        self._turn = asyncio.Lock()

    async def align(self) -> None:
        """Bring both ends to the beginning of a packet, whatever was left behind.

        Four zeros are NOP, so they can be sent one at a time until there is an answer.
        """
        await drain(self.link, quiet_s=0.05, limit_s=1.0)
        for _ in range(4):
            await self.link.send(b"\0")
            try:
                async with asyncio.timeout(0.1):
                    await self.link.receive(FourBytes(), timeout_s=None, command="NOP")
            except TimeoutError:
                continue
            await drain(self.link, quiet_s=0.05, limit_s=1.0)
            return
        self.link.poison()
        raise Timeout("it does not answer; check baud rate and power", **self.about(_NOP))

    async def read(self, register: int) -> int:
        """An unsigned value; raises InstrumentError with the module's reason."""
        async with self._turn:
            return await self._read(register)

    async def read_signed(self, register: int) -> int:
        """A signed value."""
        data = await self.read(register)
        return data - 0x10000 if data & 0x8000 else data

    async def read_text(self, register: int) -> str:
        """A text, up to its first zero."""
        async with self._turn:
            status, length = await self._exchange(register, request(register))
            if status != _EXTENDED:
                raise await self._refusal(register, status, length)
            text = b""
            while len(text) < length:
                text += (await self._read(_TEXT)).to_bytes(2, "big")
        return text[:length].split(b"\0")[0].decode("latin-1").strip()

    async def write(self, register: int, value: int, *, limit_s: float = 5.0) -> None:
        """Write, and wait for as long as the module says that it is still at it."""
        packet = request(register, value & 0xFFFF, write=True)
        async with self._turn:
            status, data = await self._exchange(register, packet)
            if status not in (_OK, _PENDING):
                raise await self._refusal(register, status, data)
        if status == _PENDING and not await becomes(
            self._nothing_pending, limit_s=limit_s, poll_s=0.1
        ):
            raise Timeout(f"still pending after {limit_s:g} s", **self.about(register))

    def about(self, register: int) -> dict[str, str]:
        """Whose, where and what, for an exception of `drivers.errors`."""
        return self.link.about(f"register {register:02X}h")

    async def _read(self, register: int) -> int:
        status, data = await self._exchange(register, request(register))
        if status != _OK:
            raise await self._refusal(register, status, data)
        return data

    async def _nothing_pending(self) -> bool:
        async with self._turn:
            status, data = await self._exchange(_NOP, request(_NOP))
        return status != _PENDING and not data >> 8

    async def _exchange(self, register: int, packet: bytes) -> tuple[int, int]:
        """Status and data of the answer; asked again where the module did not understand us."""
        for _ in range(_TRIES):
            raw = await self.link.exchange(
                packet,
                FourBytes(),
                timeout_s=_REPLY_LIMIT_S,
                command=self.about(register)["command"],
            )
            if checksum(raw) != raw[0] >> 4:
                raise self._garbled("an answer that fails its checksum", raw, register)
            if raw[0] & 0x08:
                continue
            if raw[1] != register:
                raise self._garbled("the answer is of another register", raw, register)
            return raw[0] & 0x03, int.from_bytes(raw[2:], "big")
        raise self._garbled(f"it did not understand any of {_TRIES} requests", raw, register)

    async def _refusal(self, register: int, status: int, data: int) -> Exception:
        if status != _ERROR:
            packet = bytes([status, register]) + data.to_bytes(2, "big")
            return self._garbled(f"an answer of status {status}", packet, register)
        _, reason = await self._exchange(_NOP, request(_NOP))
        code = reason & 0x0F
        return InstrumentError(code, ERRORS.get(code, "unknown error"), **self.about(register))

    def _garbled(self, reason: str, raw: bytes, register: int) -> ProtocolError:
        self.link.poison()
        return ProtocolError(reason, raw, **self.about(register))
