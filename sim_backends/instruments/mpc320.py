"""A Thorlabs MPC320: three motorised paddles on a serial line, with APT messages.

Facts: QMI's driver, which is run against this machine, and PnPQ's, by which the end of a move is
told in six bytes. Unverified: that a paddle that is not enabled, or is sent beyond its range, does
not move and says nothing; the status bits besides "enabled"; that it stands where it stood when its
power comes back.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

from sim_backends.analyzers import RotationStage
from sim_backends.mount import Channel
from sim_backends.paddles import FASTEST_DEG_PER_S, RANGE_DEG, Paddles
from sim_backends.replies import Paced

__all__ = ["COUNTS", "Mpc320"]

COUNTS: Final = 1370
"""Encoder counts of the whole range."""

_UNIT, _HOST, _LONG = 0x50, 0x01, 0x80
_MOST_DATA: Final = 64
_MOVING_UP, _MOVING_DOWN, _HOMED_BIT, _ENABLED_BIT = 1 << 4, 1 << 5, 1 << 10, 1 << 31


class _Is(enum.IntEnum):
    """Message numbers of APT."""

    REQ_INFO = 0x0005
    GET_INFO = 0x0006
    SET_ENABLED = 0x0210
    REQ_ENABLED = 0x0211
    GET_ENABLED = 0x0212
    HOME = 0x0443
    HOMED = 0x0444
    MOVE = 0x0453
    MOVED = 0x0464
    STOP = 0x0465
    STOPPED = 0x0466
    JOG = 0x046A
    REQ_STATUS = 0x0490
    GET_STATUS = 0x0491
    SET_PARAMS = 0x0530
    REQ_PARAMS = 0x0531
    GET_PARAMS = 0x0532


class Mpc320:
    """The box; `poll` tells the ends of moves and has to be called each 20 ms or so.

    `velocity` is in per cent of the fastest. All channels stand still and off at power-on.
    """

    def __init__(self, paddles: Paddles, serial: str, *, latency_s: float = 0.002) -> None:
        self._paddles = paddles
        self._serial = int(serial) if serial.isdecimal() else 38_000_001
        self._latency_s = latency_s
        self._channels: list[Paced] = []
        self._enabled = 0
        self._homed = 0
        self._going: dict[int, int] = {}
        """What is told at the end of a move, by the paddle's bit."""
        self._params = [50, 0, 100, 100, 100]
        self._set_speed()

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        out = Paced(channel, self._latency_s)
        self._channels.append(out)
        return _Session(self, out)

    def leave(self, out: Paced) -> None:
        """A client has closed the port; a move under way goes on."""
        self._channels.remove(out)

    @property
    def targets(self) -> tuple[int, ...]:
        """Where the paddles stand or go to, in counts."""
        return tuple(_counts(stage.target_deg) for stage in self._paddles.stages)

    def poll(self) -> None:
        """Tell the moves that have come to their end."""
        for bit, ending in list(self._going.items()):
            if not self._stage(bit).moving():
                del self._going[bit]
                self._homed |= bit if ending == _Is.HOMED else 0
                self._tell(_short(ending, bit))

    def take(self, message: int, first: int, second: int, data: bytes, out: Paced) -> None:
        """One message; to what it does not know the box says nothing."""
        bit = struct.unpack_from("<H", data)[0] if len(data) >= 2 else first
        match message:
            case _Is.REQ_INFO:
                out.send(self._info())
            case _Is.SET_ENABLED:
                self._enabled = first & 0b111 if second == 1 else self._enabled & ~first
            case _Is.REQ_ENABLED if first in (1, 2, 4):
                out.send(_short(_Is.GET_ENABLED, first, 1 if self._enabled & first else 2))
            case _Is.HOME if self._may_move(first):
                self._go(first, self._params[1], _Is.HOMED)
            case _Is.MOVE if len(data) == 6 and self._may_move(bit):
                self._go(bit, struct.unpack_from("<i", data, 2)[0], _Is.MOVED)
            case _Is.JOG if self._may_move(first):
                step = self._params[2 + (1, 2, 4).index(first)]
                now = _counts(self._stage(first).position_deg())
                self._go(first, now + (step if second == 1 else -step), _Is.MOVED)
            case _Is.STOP if first in (1, 2, 4):
                stage = self._stage(first)
                stage.move_to(stage.position_deg())
                self._going[first] = _Is.STOPPED
            case _Is.REQ_STATUS if first in (1, 2, 4):
                out.send(self._status(first))
            case _Is.REQ_PARAMS:
                out.send(_long(_Is.GET_PARAMS, struct.pack("<6H", 0, *self._params)))
            case _Is.SET_PARAMS if len(data) == 12:
                wanted = list(struct.unpack("<6H", data)[1:])
                if 10 <= wanted[0] <= 100 and max(wanted[1:]) <= COUNTS:
                    self._params = wanted
                    self._set_speed()

    def _may_move(self, bit: int) -> bool:
        return bit in (1, 2, 4) and bool(self._enabled & bit)

    def _go(self, bit: int, counts: int, ending: int) -> None:
        if 0 <= counts <= COUNTS:
            self._stage(bit).move_to(counts * RANGE_DEG / COUNTS)
            self._going[bit] = ending

    def _stage(self, bit: int) -> RotationStage:
        return self._paddles.stages[(1, 2, 4).index(bit)]

    def _set_speed(self) -> None:
        for stage in self._paddles.stages:
            stage.speed_deg_per_s = FASTEST_DEG_PER_S * self._params[0] / 100.0

    def _info(self) -> bytes:
        model, firmware = b"MPC320".ljust(8, b"\0"), bytes((3, 0, 1, 0))
        head = struct.pack("<I8sH4s", self._serial, model, 44, firmware)
        return _long(_Is.GET_INFO, head + bytes(60) + struct.pack("<3H", 1, 0, 3))

    def _status(self, bit: int) -> bytes:
        stage = self._stage(bit)
        bits = _ENABLED_BIT if self._enabled & bit else 0
        bits |= _HOMED_BIT if self._homed & bit else 0
        speed = current = 0
        if stage.moving():
            up = stage.target_deg >= stage.position_deg()
            bits |= _MOVING_UP if up else _MOVING_DOWN
            speed, current = self._params[0], 40
        counts = _counts(stage.position_deg())
        return _long(_Is.GET_STATUS, struct.pack("<HiHhI", bit, counts, speed, current, bits))

    def _tell(self, message: bytes) -> None:
        for out in self._channels:
            out.send(message)


def _counts(deg: float) -> int:
    return round(deg * COUNTS / RANGE_DEG)


def _short(message: int, first: int = 0, second: int = 0) -> bytes:
    return struct.pack("<HBBBB", message, first, second, _HOST, _UNIT)


def _long(message: int, data: bytes) -> bytes:
    return struct.pack("<HHBB", message, len(data), _HOST | _LONG, _UNIT) + data


class _Session:
    """One client's messages. What is none is passed over byte by byte, as long as it takes."""

    def __init__(self, box: Mpc320, out: Paced) -> None:
        self._box, self._out = box, out
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 6:
            message, first, second, to, source = struct.unpack_from("<HBBBB", self._buffer)
            length = first | second << 8 if to & _LONG else 0
            if to & ~_LONG != _UNIT or source != _HOST or length > _MOST_DATA:
                del self._buffer[0]
                continue
            if len(self._buffer) < 6 + length:
                return
            body = bytes(self._buffer[6 : 6 + length])
            del self._buffer[: 6 + length]
            self._box.take(message, first, second, body, self._out)

    def closed(self) -> None:
        self._box.leave(self._out)
