"""An NKT Photonics Koheras BASIK module (type 33h) as telegrams on its serial bus.

Facts: QMI's NKT driver, which is run against this machine (see docs/instruments.md), and the
register and bit tables of NKT-Basik. Unverified: NACK for a value out of range, the time constant
of the tuning, and that a module answers a broken telegram with "CRC error".
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Callable
from typing import Final

import numpy as np

from sim_backends.lasers import LaserModel
from sim_backends.mount import Channel
from sim_backends.replies import Paced

__all__ = ["NktBasik"]

_NACK, _CRC_ERROR, _ACK, _READ, _WRITE, _DATAGRAM = 0, 1, 3, 4, 5, 8
_ESCAPED: Final = frozenset(b"\x0d\x0a\x5e")
_WARM_UP_S: Final = 5.0
_RAMP_S: Final = 0.3
_REACH_PM: Final = 500.0
_LIMIT: Final = 512


class NktBasik:
    """The module that all clients of its bus share.

    `interlock_open` and `disabled` are its pins, set by tests and faults. It leaves out one request
    in `skips_one_in`, and answers one in `late_one_in` only after a second. The wavelength follows
    with `tuning_s`. `advance` brings the world up to now before the light changes; `poll` has to be
    called each 20 ms or so.
    """

    def __init__(
        self,
        laser: LaserModel,
        serial: str,
        rng: np.random.Generator,
        *,
        now_s: Callable[[], float],
        advance: Callable[[], None] = lambda: None,
        skips_one_in: float = 250.0,
        late_one_in: float = math.inf,
        tuning_s: float = 2.0,
        latency_s: float = 0.02,
    ) -> None:
        self.interlock_open = False
        self.disabled = False
        self._laser, self._serial, self._rng = laser, serial, rng
        self._now_s, self._advance = now_s, advance
        self._skip, self._late = 1.0 / skips_one_in, 1.0 / late_one_in
        self._latency_s, self._tuning_s = latency_s, tuning_s
        self._standard_nm = laser.wavelength_nm
        self._warm_s = now_s() + _WARM_UP_S
        self._wanted = False
        self._wanted_s = 0.0
        self._power_mw = 0.0
        self._offset_set_pm = self._offset_from_pm = 0.0
        self._offset_s = now_s()
        self._setup = 0
        self._read: dict[int, Callable[[], bytes]] = {
            0x61: lambda: b"\x33",
            0x64: lambda: _u16(0x0102),
            0x65: lambda: self._serial.encode()[:8].ljust(8, b"\0"),
            0x66: lambda: _u16(self._status()),
            0x67: lambda: b"\x02" if self.interlock_open else b"\x00",
            0x17: lambda: _u16(round(self._laser.power_mw * 100)),
            0x90: lambda: _i16(_dbm100(self._laser.power_mw)),
            0x1C: lambda: _i16(round(10 * (20.0 + 5.0 * self._warmth()))),
            0x1E: lambda: _u16(12_000),
            0x22: lambda: _u16(round(self._power_mw * 100)),
            0xA0: lambda: _i16(_dbm100(self._power_mw)),
            0x2A: lambda: _i16(round(self._offset_set_pm * 10)),
            0x30: lambda: bytes([self._wanted]),
            0x31: lambda: _u16(self._setup),
            0x32: lambda: round(self._standard_nm * 1e4).to_bytes(4, "little"),
            0x72: lambda: round(self._offset_pm() * 10).to_bytes(4, "little", signed=True),
        }
        self._write: dict[int, tuple[int, Callable[[bytes], bool]]] = {
            0x22: (2, lambda data: self._set_power(_int(data) / 100)),
            0xA0: (2, lambda data: self._set_power(10 ** (_int(data, signed=True) / 1000))),
            0x2A: (2, lambda data: self._set_offset(_int(data, signed=True) / 10)),
            0x30: (1, lambda data: self._set_emission(data[0])),
            0x31: (2, self._set_setup),
        }

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        return _Session(self, Paced(channel, self._latency_s))

    def poll(self) -> None:
        """Let the light and the wavelength follow what was set."""
        ready = self._wanted and self._now_s() >= self._wanted_s + _RAMP_S
        light = ready and not self.interlock_open and not self.disabled
        wavelength_nm = self._standard_nm + self._offset_pm() * 1e-3
        moved = abs(wavelength_nm - self._laser.wavelength_nm) > 1e-6
        if light != self._laser.emission or moved:
            self._advance()
            self._laser.emission = light
            self._laser.wavelength_nm = wavelength_nm

    def answers(self) -> tuple[bool, float]:
        """Whether this request is answered at all, and how much later than usual."""
        skipped, late = self._rng.random(2) < (self._skip, self._late)
        return not skipped, 1.0 if late else 0.0

    def request(self, kind: int, register: int, data: bytes) -> tuple[int, bytes]:
        """Do what a good telegram to this module says; the type and data of the answer."""
        self.poll()
        if kind == _READ and register in self._read:
            return _DATAGRAM, self._read[register]()
        if kind == _WRITE and register in self._write:
            length, write = self._write[register]
            if len(data) == length and write(data):
                self.poll()
                return _ACK, b""
        return _NACK, b""

    def _warmth(self) -> float:
        return 1.0 - max(0.0, self._warm_s - self._now_s()) / _WARM_UP_S

    def _offset_pm(self) -> float:
        gone = math.exp(-(self._now_s() - self._offset_s) / self._tuning_s)
        return self._offset_set_pm + (self._offset_from_pm - self._offset_set_pm) * gone

    def _status(self) -> int:
        cold = self._now_s() < self._warm_s
        stable = not cold and abs(self._offset_pm() - self._offset_set_pm) < 0.5
        bits = {
            0: self._laser.emission,
            1: self.interlock_open,
            4: self.disabled,
            11: cold,
            14: stable,
            15: self.interlock_open,
        }
        return sum(1 << bit for bit, on in bits.items() if on)

    def _set_emission(self, wanted: int) -> bool:
        if wanted not in (0, 1) or (wanted and self.interlock_open):
            return False
        if wanted and not self._wanted:
            self._wanted_s = self._now_s()
        self._wanted = bool(wanted)
        return True

    def _set_power(self, power_mw: float) -> bool:
        if not 0.0 <= power_mw <= self._laser.max_power_mw:
            return False
        self._advance()
        self._power_mw = power_mw
        self._laser.regulate_mw(power_mw)
        return True

    def _set_offset(self, offset_pm: float) -> bool:
        if abs(offset_pm) > _REACH_PM:
            return False
        self._offset_from_pm, self._offset_s = self._offset_pm(), self._now_s()
        self._offset_set_pm = offset_pm
        return True

    def _set_setup(self, data: bytes) -> bool:
        self._setup = _int(data)
        return True


class _Session:
    """What one client has written, a byte at a time."""

    def __init__(self, module: NktBasik, out: Paced) -> None:
        self._module, self._out = module, out
        self._body: bytearray | None = None
        self._escaped = False

    def feed(self, data: bytes) -> None:
        for byte in data:
            if byte == 0x0D:
                self._body, self._escaped = bytearray(), False
            elif self._body is None or len(self._body) > _LIMIT:
                self._body = None
            elif byte == 0x0A:
                body, self._body = bytes(self._body), None
                self._telegram(body)
            elif byte == 0x5E:
                self._escaped = True
            else:
                self._body.append((byte - 0x40) & 0xFF if self._escaped else byte)
                self._escaped = False

    def closed(self) -> None:
        pass

    def _telegram(self, body: bytes) -> None:
        if len(body) < 6 or body[0] != 1:
            return
        _, host, kind, register = body[:4]
        answered, late_s = self._module.answers()
        if binascii.crc_hqx(body, 0):
            self._answer(host, _CRC_ERROR, register, b"", late_s)
        elif answered:
            self._answer(host, *self._reply(kind, register, body[4:-2]), late_s)

    def _reply(self, kind: int, register: int, data: bytes) -> tuple[int, int, bytes]:
        answer, content = self._module.request(kind, register, data)
        return answer, register, content

    def _answer(self, host: int, kind: int, register: int, data: bytes, late_s: float) -> None:
        body = bytes([host, 1, kind, register]) + data
        body += binascii.crc_hqx(body, 0).to_bytes(2, "big")
        written = bytearray(b"\x0d")
        for byte in body:
            written += bytes((0x5E, byte + 0x40)) if byte in _ESCAPED else bytes((byte,))
        self._out.send(bytes(written) + b"\x0a", after_s=late_s)


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "little")


def _i16(number: int) -> bytes:
    return number.to_bytes(2, "little", signed=True)


def _int(data: bytes, *, signed: bool = False) -> int:
    return int.from_bytes(data, "little", signed=signed)


def _dbm100(power_mw: float) -> int:
    return round(1000 * math.log10(power_mw)) if power_mw > 1e-5 else -5000
