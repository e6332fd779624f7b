"""A Tausand Abacus coincidence counter with 32-bit registers, as its USB serial port shows it.

Facts: messages, registers and checksum are those of the vendor's client PyAbacus, which the tests
can drive against this machine from a process of its own. Unverified: that what is no message is
skipped byte by byte, and that a value out of range is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.detectors import dead_time_mask
from sim_backends.mount import Channel
from sim_backends.taggers import TaggerModel

__all__ = ["Abacus"]

_PS_PER_MS: Final = 10**9
_IDENTIFY: Final = b"*IDN?"
_BEGIN, _END, _READ, _WRITE, _ANSWER = 0x02, 0x04, 0x0E, 0x0F, 0x7E
_LENGTH: Final = 8
_BUFFER: Final = 256
_REGISTERS: Final = 104
_DELAYS, _SLEEPS, _SAMPLING, _WINDOW, _DATA_ID, _TIME_LEFT = 64, 72, 80, 81, 83, 84
_CUSTOM, _CUSTOM_COUNTS = 88, 96
_LAST_ID: Final = 10**6
_GATES_MS: Final = frozenset(c * 10**k for k in range(6) for c in (1, 2, 5)) | {10**6}

Times = npt.NDArray[np.int64]


class Abacus:
    """The box. It counts from its start on, gate after gate; `poll` closes those that are over.

    `garbles_one_in`: of so many answers one has a wrong byte, as on a bad line; 0: none.
    """

    def __init__(
        self,
        tagger: TaggerModel,
        model: str = "AB1004",
        *,
        rng: np.random.Generator | None = None,
        garbles_one_in: float = 0.0,
    ) -> None:
        self._tagger = tagger
        self._model = model
        self._inputs = int(model[-1])
        self._step_ns = {"0": 5, "5": 2, "9": 1}[model[3]]
        self._rng = rng or np.random.default_rng(0)
        self.garbles_one_in = garbles_one_in
        self.registers = [0] * _REGISTERS
        self.registers[_SAMPLING] = _bits(10, 9)
        self.registers[_WINDOW] = _bits(10, 1)
        self._tags: list[tuple[Times, npt.NDArray[np.uint8]]] = []
        tagger.start()
        self._gate_ps = tagger.counter_ps()

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        return _Session(self, channel)

    def poll(self) -> None:
        """Close the gates that are over."""
        now_ps = self._tagger.counter_ps()
        self._tags.append(self._tagger.take_tags())
        while now_ps >= self._gate_ps + self._length_ps():
            self._close_gate()

    def message(self, command: int, address: int, value: int) -> bytes:
        """Do what a message says; the answer to a read."""
        if command == _WRITE:
            self._write(address, value)
            return b""
        count = max(1, value)
        if address + count > _REGISTERS or count > 50:
            return b""
        self._update()
        payload = bytearray()
        for register in range(address, address + count):
            payload += bytes([register]) + self.registers[register].to_bytes(4, "big")
        answer = bytearray([_ANSWER, len(payload), *payload, 0xFF - sum(payload) % 256])
        if self.garbles_one_in and self._rng.random() < 1 / self.garbles_one_in:
            answer[int(self._rng.integers(2, len(answer)))] ^= 0x10
        return bytes(answer)

    def identify(self) -> bytes:
        """The answer to `*IDN?`: 21 characters; those of the AB2000 family come with more."""
        name = f"Tausand Abacus {self._model}".encode()
        return name + b"\n" + bytes(10) if self._model.startswith("AB2") else name

    def _update(self) -> None:
        self.poll()
        left_ps = self._gate_ps + self._length_ps() - self._tagger.counter_ps()
        self.registers[_TIME_LEFT] = max(0, left_ps // _PS_PER_MS)

    def _write(self, address: int, value: int) -> None:
        if self._takes(address, value):
            self.poll()
            self.registers[address] = value
            # A new setting begins a new series: 0 says that no gate is over yet.
            self.registers[_DATA_ID] = 0
            self._gate_ps = self._tagger.counter_ps()
            self._tags.clear()

    def _takes(self, address: int, value: int) -> bool:
        step_ps = self._step_ns * 1000
        if _CUSTOM <= address < _CUSTOM_COUNTS:
            return value < 256
        if value >> 12 > 12 or value & 0xFFF > 99:
            return False
        time_ps = _picoseconds(value)
        if address == _SAMPLING:
            return time_ps % _PS_PER_MS == 0 and time_ps // _PS_PER_MS in _GATES_MS
        if address == _WINDOW:
            return step_ps <= time_ps <= 10**7 and time_ps % step_ps == 0
        inside = _DELAYS <= address < _SLEEPS + 8
        return inside and time_ps <= 100_000 and time_ps % step_ps == 0

    def _length_ps(self) -> int:
        return _picoseconds(self.registers[_SAMPLING])

    def _close_gate(self) -> None:
        end_ps = self._gate_ps + self._length_ps()
        times = np.concatenate([t for t, _ in self._tags]) if self._tags else np.empty(0, np.int64)
        channels = (
            np.concatenate([c for _, c in self._tags]) if self._tags else np.empty(0, np.uint8)
        )
        inside = (times >= self._gate_ps) & (times < end_ps)
        later = times >= end_ps
        self._tags = [(times[later], channels[later])]
        clicks = {n: self._conditioned(n, times[inside & (channels == n)]) for n in self._all()}
        for n in self._all():
            self.registers[9 * (n - 1)] = len(clicks[n])
        for first, second in combinations(self._all(), 2):
            self.registers[9 * (first - 1) + second - first] = self._together(
                [clicks[first], clicks[second]]
            )
        for place in range(8):
            mask = self.registers[_CUSTOM + place]
            chosen = [clicks[n] for n in self._all() if mask >> (8 - n) & 1]
            self.registers[_CUSTOM_COUNTS + place] = self._together(chosen) if chosen else 0
        self.registers[_DATA_ID] = self.registers[_DATA_ID] % _LAST_ID + 1
        self._gate_ps = end_ps

    def _all(self) -> range:
        return range(1, self._inputs + 1)

    def _conditioned(self, n: int, times: Times) -> Times:
        """Clicks after their delay and the dead time (`sleep`) of the input."""
        times = times + _picoseconds(self.registers[_DELAYS + n - 1])
        sleep_ps = _picoseconds(self.registers[_SLEEPS + n - 1])
        return times[dead_time_mask(times, sleep_ps, None)] if sleep_ps else times

    def _together(self, inputs: list[Times]) -> int:
        """Clicks of the first input with one of every other within the window."""
        window_ps = _picoseconds(self.registers[_WINDOW])
        first, *others = inputs
        near = np.ones(len(first), np.bool_)
        for other in others:
            low = np.searchsorted(other, first - window_ps, side="left")
            high = np.searchsorted(other, first + window_ps, side="right")
            near &= high > low
        return int(near.sum())


def _bits(digits: int, power: int) -> int:
    """A register of a time: `digits` * 10**(power - 10) seconds."""
    return power * 4096 + digits


def _picoseconds(register: int) -> int:
    power: int = 10 ** (register // 4096)
    return (register % 4096) * power * 100


class _Session:
    """One client's bytes: messages of 8 bytes, or `*IDN?`; anything else is skipped."""

    def __init__(self, box: Abacus, channel: Channel) -> None:
        self._box = box
        self._channel = channel
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and self._step():
            pass
        del self._buffer[:-_BUFFER]

    def closed(self) -> None:
        pass

    def _step(self) -> bool:
        """Take one message or one byte; False when more has to come."""
        buffer = self._buffer
        if buffer[0] == _IDENTIFY[0]:
            return self._maybe(_IDENTIFY, len(_IDENTIFY), lambda _: self._box.identify())
        if buffer[0] == _BEGIN:
            return self._maybe(bytes([_BEGIN]), _LENGTH, self._message)
        del buffer[0]
        return True

    def _maybe(self, begin: bytes, length: int, answer: Callable[[bytes], bytes | None]) -> bool:
        buffer = self._buffer
        if not buffer.startswith(begin[: len(buffer)]):
            del buffer[0]
            return True
        if len(buffer) < length:
            return False
        said = answer(bytes(buffer[:length]))
        if said is None:
            del buffer[0]
            return True
        del buffer[:length]
        if said:
            self._channel.send(said)
        return True

    def _message(self, raw: bytes) -> bytes | None:
        if raw[1] not in (_READ, _WRITE) or raw[-1] != _END:
            return None
        return self._box.message(raw[1], raw[2], int.from_bytes(raw[3:7], "big"))
