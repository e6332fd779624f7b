"""An integrable tunable laser assembly of Pure Photonics on its serial line.

Facts: pytla's packets, registers and error numbers, which is run against this machine. Unverified:
which operations are pending and for how long, and that the answer to NOP is not itself "pending".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from sim_backends.lasers import LaserModel
from sim_backends.mount import Channel
from sim_backends.replies import Paced

__all__ = ["Itla"]

_C_NM_THZ: Final = 299_792.458
_RANGE_GHZ10: Final = (1_915_000, 1_961_000)
_POWER: Final = (600, 1350)
_FINE_MHZ: Final = 6000
_OK, _ERROR, _EXTENDED, _PENDING = 0, 1, 2, 3
_RNI, _RNW, _RVE, _CIP, _ERE, _CIE = 1, 2, 3, 4, 6, 9
_SENA: Final = 0x08
_DARK: Final = -6000


class _Refused(Exception):
    """Becomes an execution error, of which NOP tells the number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Itla:
    """The module.

    `disabled` is its disable pin. Lighting takes `lighting_s`, going to another channel `tuning_s`.
    `poll` has to be called each 20 ms or so; `advance` brings the world up to now before that.
    """

    def __init__(
        self,
        laser: LaserModel,
        serial: str,
        *,
        now_s: Callable[[], float],
        advance: Callable[[], None] = lambda: None,
        lighting_s: float = 2.0,
        tuning_s: float = 0.5,
        latency_s: float = 0.01,
    ) -> None:
        self.disabled = False
        self._laser, self._now_s, self._advance = laser, now_s, advance
        self._lighting_s, self._tuning_s, self._latency_s = lighting_s, tuning_s, latency_s
        self._enabled = False
        self._pending_s = float("-inf")
        self._power = 1000
        self._laser.regulate_mw(10.0)
        self._first_ghz10 = round(_C_NM_THZ / laser.wavelength_nm * 10_000)
        self._channel, self._grid_ghz10, self._fine_mhz, self._mode = 1, 500, 0, 0
        self._text = b""
        self._error = 0
        self._texts = {
            0x01: "CW ITLA",
            0x02: "Pure Photonics",
            0x03: "PPCL300",
            0x04: serial,
            0x05: "12-MAR-2024",
            0x06: "CWTL:1.3.3:HW:1.0.0",
        }
        self._values: dict[int, Callable[[], int]] = {
            0x0B: self._next_text,
            0x20: self._status,
            0x21: self._status,
            0x29: lambda: 0,
            0x30: lambda: self._channel,
            0x31: lambda: self._power,
            0x32: lambda: _SENA if self._enabled else 0,
            0x33: lambda: 0,
            0x34: lambda: self._grid_ghz10,
            0x35: lambda: self._first_ghz10 // 10_000,
            0x36: lambda: self._first_ghz10 % 10_000,
            0x40: lambda: self._ghz10() // 10_000,
            0x41: lambda: self._ghz10() % 10_000,
            0x42: self._output,
            0x43: lambda: 2512,
            0x4F: lambda: _FINE_MHZ,
            0x50: lambda: _POWER[0],
            0x51: lambda: _POWER[1],
            0x52: lambda: _RANGE_GHZ10[0] // 10_000,
            0x53: lambda: _RANGE_GHZ10[0] % 10_000,
            0x54: lambda: _RANGE_GHZ10[1] // 10_000,
            0x55: lambda: _RANGE_GHZ10[1] % 10_000,
            0x62: lambda: self._fine_mhz,
            0x90: lambda: self._mode,
        }
        self._setters: dict[int, Callable[[int], int]] = {
            0x20: lambda _: _OK,
            0x21: lambda _: _OK,
            0x30: self._set_channel,
            0x31: self._set_power,
            0x32: self._set_enable,
            0x34: self._set_grid,
            0x35: lambda thz: self._set_first(thz * 10_000 + self._first_ghz10 % 10_000),
            0x36: lambda rest: self._set_first(self._first_ghz10 // 10_000 * 10_000 + rest),
            0x62: self._set_fine,
            0x90: self._set_mode,
        }

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        return _Session(self, Paced(channel, self._latency_s))

    def poll(self) -> None:
        """Let the light follow what was set, as far as nothing is pending."""
        if self.disabled:
            self._enabled = False
        light = self._enabled and not self._pending()
        wavelength_nm = _C_NM_THZ / (self._ghz10() * 1e-4 + self._fine_mhz * 1e-6)
        moved = abs(wavelength_nm - self._laser.wavelength_nm) > 1e-7
        if light != self._laser.emission or (moved and not self._pending()):
            self._advance()
            self._laser.emission = light
            self._laser.wavelength_nm = wavelength_nm

    def request(self, register: int, data: int, *, write: bool) -> tuple[int, int]:
        """Do what a good packet says; status and data of the answer."""
        self.poll()
        if register == 0x00:
            return _OK, (0x0100 if self._pending() else 0) | 0x10 | self._error
        self._error = 0
        try:
            if not write and register in self._texts:
                self._text = self._texts[register].encode() + b"\0"
                return _EXTENDED, len(self._text)
            if not write and register in self._values:
                return _OK, self._values[register]() & 0xFFFF
            if register not in self._setters:
                known = register in self._values or register in self._texts
                raise _Refused(_RNW if known else _RNI)
            if self._pending() and register != 0x32:
                raise _Refused(_CIP)
            status = self._setters[register](data)
        except _Refused as refused:
            self._error = refused.number
            return _ERROR, 0
        self.poll()
        return status, 0x0100 if status == _PENDING else data

    def _pending(self) -> bool:
        return self._now_s() < self._pending_s

    def _ghz10(self) -> int:
        return self._first_ghz10 + (self._channel - 1) * self._grid_ghz10

    def _next_text(self) -> int:
        if not self._text:
            raise _Refused(_ERE)
        piece, self._text = self._text[:2], self._text[2:]
        return int.from_bytes(piece.ljust(2, b"\0"), "big")

    def _status(self) -> int:
        return 0x1000 if self._enabled else 0

    def _output(self) -> int:
        power_mw = self._laser.power_mw
        return round(1000 * math.log10(power_mw)) if power_mw > 1e-6 else _DARK

    def _set_enable(self, data: int) -> int:
        wanted = bool(data & _SENA)
        if wanted and self.disabled:
            raise _Refused(_RVE)
        if wanted == self._enabled:
            return _OK
        self._enabled = wanted
        self._pending_s = self._now_s() + (self._lighting_s if wanted else 0.0)
        return _PENDING if wanted else _OK

    def _set_power(self, data: int) -> int:
        power = _signed(data)
        if not _POWER[0] <= power <= _POWER[1]:
            raise _Refused(_RVE)
        self._advance()
        self._power = power
        self._laser.regulate_mw(10 ** (power / 1000))
        return _OK

    def _set_first(self, ghz10: int) -> int:
        if self._enabled:
            raise _Refused(_CIE)
        # Between its two halves a frequency may be out of range: a module checks when it is used.
        self._first_ghz10 = ghz10
        return _OK

    def _set_channel(self, data: int) -> int:
        ghz10 = self._first_ghz10 + (data - 1) * self._grid_ghz10
        if data < 1 or not _RANGE_GHZ10[0] <= ghz10 <= _RANGE_GHZ10[1]:
            raise _Refused(_RVE)
        self._channel = data
        if not self._enabled:
            return _OK
        self._pending_s = self._now_s() + self._tuning_s
        return _PENDING

    def _set_grid(self, data: int) -> int:
        if self._enabled:
            raise _Refused(_CIE)
        self._grid_ghz10 = _signed(data)
        return _OK

    def _set_fine(self, data: int) -> int:
        if abs(_signed(data)) > _FINE_MHZ:
            raise _Refused(_RVE)
        self._fine_mhz = _signed(data)
        return _OK

    def _set_mode(self, data: int) -> int:
        if data > 2:
            raise _Refused(_RVE)
        self._mode = data
        return _OK


class _Session:
    """One client's packets."""

    def __init__(self, module: Itla, out: Paced) -> None:
        self._module, self._out = module, out
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4:
            packet = bytes(self._buffer[:4])
            del self._buffer[:4]
            self._packet(packet)

    def closed(self) -> None:
        pass

    def _packet(self, packet: bytes) -> None:
        head, register, content = packet[0], packet[1], int.from_bytes(packet[2:], "big")
        if _parity(packet) != head >> 4:
            # The bit that says: I have not understood you.
            self._answer(0x0C | _ERROR, register, 0)
            return
        status, answer = self._module.request(register, content, write=bool(head & 1))
        self._answer(0x04 | status, register, answer)

    def _answer(self, flags: int, register: int, content: int) -> None:
        packet = bytes([flags, register, content >> 8 & 0xFF, content & 0xFF])
        self._out.send(bytes([_parity(packet) << 4 | flags]) + packet[1:])


def _parity(packet: bytes) -> int:
    """The parity of every fourth bit, over all but the first four."""
    nibbles = [packet[0] & 0x0F]
    for byte in packet[1:]:
        nibbles += (byte >> 4, byte & 0x0F)
    parity = 0
    for nibble in nibbles:
        parity ^= nibble
    return parity


def _signed(data: int) -> int:
    return data - 0x10000 if data >= 0x8000 else data
