"""An S-Fifteen TDC1 time tagger as its USB serial port shows it.

Facts: the commands and the word format are those that the vendor's client S15lib uses, and the
tests can drive it against this machine. Unverified: the answer to an unknown command, the window of
`pairs`, and that all but `abort` and `*RST` is ignored during a stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.mount import Channel, take_lines
from sim_backends.taggers import TaggerModel

__all__ = ["LSB_PS", "WRAP_TICKS", "Tdc1", "words"]

LSB_PS: Final = 2000
"""Picoseconds of one step of the time in a tag word."""

WRAP_TICKS: Final = 1 << 27
"""The time in a tag word starts again at zero after so many steps: 268 ms."""

_MARKER_TICKS: Final = WRAP_TICKS // 4
_MARKER: Final = 0x10
_INPUTS: Final = 4
_PAIRS: Final = ((1, 3), (1, 4), (2, 3), (2, 4))
_PAIR_WINDOW_PS: Final = 2 * LSB_PS
_BURST_WORDS: Final = 4096
_WAITING_COMMANDS: Final = 64
_MODES: Final = {"singles": 0, "pairs": 1, "timestamp": 3}
_HELP: Final = (
    "*IDN? *RST help singles pairs timestamp mode? time <ms> time? counts? abort INPKT "
    "NIM TTL NEG <V> POS <V> level? REFCLK 0|1|2 REFCLK? ECLOCK?"
)

Times = npt.NDArray[np.int64]
Ticks = npt.NDArray[np.int64]
Channels = npt.NDArray[np.uint8]


def words(ticks: Ticks, channels: Channels, after: int, until: int) -> npt.NDArray[np.uint32]:
    """Tag words (little-endian u32) of the steps in (after, until], clicks and markers in order.

    `ticks` are sorted steps of 2 ns since power on. Clicks of several inputs in one step share a
    word. A marker (bit 4, no channel) comes four times a wrap, so that a reader that sees no click
    counts the wraps all the same.
    """
    bits = np.left_shift(1, channels.astype(np.int64) - 1)
    fresh = np.ones(ticks.size, dtype=np.bool_)
    np.not_equal(ticks[1:], ticks[:-1], out=fresh[1:])
    first = np.flatnonzero(fresh)
    steps = ticks[first]
    patterns = np.bitwise_or.reduceat(bits, first) if first.size else bits
    if until // _MARKER_TICKS > after // _MARKER_TICKS:
        markers = np.arange(after // _MARKER_TICKS + 1, until // _MARKER_TICKS + 1) * _MARKER_TICKS
        at = np.searchsorted(steps, markers)
        steps = np.insert(steps, at, markers)
        patterns = np.insert(patterns, at, _MARKER)
    stream: npt.NDArray[np.uint32] = (((steps % WRAP_TICKS) << 5) | patterns).astype("<u4")
    return stream


class Tdc1:
    """The instrument; every client sees the same bytes, as on one serial line.

    `poll` has to be called each 20 ms or so: the bursts of a stream go out then. `lost_words`
    counts words that no client took; `dropped_commands` those given while too many waited.
    """

    def __init__(self, tagger: TaggerModel, serial: str) -> None:
        self._tagger = tagger
        self._serial = serial
        self._channels: list[Channel] = []
        self._gate: asyncio.TimerHandle | None = None
        self._waiting: deque[str] = deque()
        self._streaming = False
        self._stop_tick: int | None = None
        self._after_tick = 0
        self._carry = (np.empty(0, np.int64), np.empty(0, np.uint8))
        self.lost_words = 0
        self.dropped_commands = 0
        self._reset()

    def _reset(self) -> None:
        self._end()
        self._waiting.clear()
        self._mode = 0
        self._time_ms = 1000
        self._level_v = -0.5
        self._clock = 0

    @property
    def streaming(self) -> bool:
        """Whether tag words are being sent."""
        return self._streaming

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port; a stream that was left running reaches it at once."""
        self._channels.append(channel)
        return _Session(self, channel)

    def leave(self, channel: Channel) -> None:
        """A client has closed the port; nothing else changes."""
        self._channels.remove(channel)

    def poll(self) -> None:
        """Send the burst of words that is due."""
        if not self._streaming:
            return
        # The counter first, then the tags: only then are all tags before it there.
        until = self._tagger.counter_ps() // LSB_PS
        times_ps, channels = self._tagger.take_tags()
        done = self._stop_tick is not None and until >= self._stop_tick
        if self._stop_tick is not None and done:
            until = self._stop_tick
        fits = channels <= _INPUTS
        ticks = np.concatenate((self._carry[0], times_ps[fits] // LSB_PS))
        channels = np.concatenate((self._carry[1], channels[fits]))
        # A later click may still fall into the step that is under way: it waits for the next burst.
        due = int(np.searchsorted(ticks, until))
        burst = words(ticks[:due], channels[:due], self._after_tick, until - 1)
        self._carry = (ticks[due:], channels[due:])
        self._after_tick = max(self._after_tick, until - 1)
        for start in range(0, burst.size, _BURST_WORDS):
            part = burst[start : start + _BURST_WORDS]
            sent = [channel.send(part.tobytes()) for channel in self._channels]
            if not any(sent):
                self.lost_words += part.size
        if done:
            self._end()

    def command(self, text: str) -> None:
        """Run one command, or keep it until the count under way is over."""
        word = text.lower()
        if word in ("abort", "*rst"):
            self._end()
            self._waiting.clear()
            if word == "*rst":
                self._reset()
        elif self._streaming:
            return
        elif self._gate is not None:
            if len(self._waiting) >= _WAITING_COMMANDS:
                self.dropped_commands += 1
            else:
                self._waiting.append(text)
        elif word == "counts?":
            self._start()
        else:
            self._say(self._simple(*word.split()))

    def _simple(self, name: str, argument: str = "", *more: str) -> str:
        match name:
            case "*idn?":
                return f"TDC1 S-Fifteen Instruments, {self._serial}"
            case "help":
                return _HELP
            case "singles" | "pairs" | "timestamp" if not argument:
                self._mode = _MODES[name]
                return ""
            case "mode?":
                return str(self._mode)
            case "inpkt":
                return ""
            case "time?":
                # The instrument prints an unsigned number as a signed one.
                return str(self._time_ms - (1 << 16) if self._time_ms >= 1 << 15 else self._time_ms)
            case "time" if argument.isdecimal() and int(argument) < 1 << 16 and not more:
                self._time_ms = int(argument)
                return ""
            case "nim" | "ttl" if not argument:
                self._level_v = -0.5 if name == "nim" else 1.0
                return ""
            case "neg" | "pos" if not more:
                return self._set_level(-1.0 if name == "neg" else 1.0, argument)
            case "level?":
                return f"{self._level_v:g} V"
            case "refclk" if argument in ("0", "1", "2"):
                self._clock = int(argument)
                return ""
            case "refclk?":
                return str(self._clock)
            case "eclock?":
                return "0"
        return "Unknown command"

    def _set_level(self, sign: float, argument: str) -> str:
        try:
            volts = abs(float(argument))
        except ValueError:
            return "Unknown command"
        if not volts <= 3.0:
            return "Unknown command"
        self._level_v = sign * volts
        return ""

    def _start(self) -> None:
        self._tagger.start()
        counter_ps = self._tagger.counter_ps()
        if self._mode == _MODES["timestamp"]:
            self._streaming = True
            self._after_tick = counter_ps // LSB_PS
            span = self._time_ms * (10**9 // LSB_PS)
            self._stop_tick = self._after_tick + span if self._time_ms else None
            return
        loop = asyncio.get_running_loop()
        seconds = self._time_ms / 1000 if self._time_ms else float("inf")
        # Without a time the count goes on until `abort`, which tells no result.
        when = loop.time() + min(seconds, 1e8)
        self._gate = loop.call_at(when, self._finish_count)

    def _finish_count(self) -> None:
        times_ps, channels = self._tagger.take_tags()
        inputs = {n: times_ps[channels == n] for n in range(1, _INPUTS + 1)}
        counts = [inputs[n].size for n in inputs]
        if self._mode == _MODES["pairs"]:
            counts += [_pairs(inputs[a], inputs[b]) for a, b in _PAIRS]
        self._end()
        self._say(" ".join(str(count) for count in counts))
        while self._waiting and self._gate is None and not self._streaming:
            self.command(self._waiting.popleft())

    def _end(self) -> None:
        if self._gate is not None:
            self._gate.cancel()
            self._gate = None
        self._streaming = False
        self._stop_tick = None
        self._carry = (np.empty(0, np.int64), np.empty(0, np.uint8))
        self._tagger.stop()

    def _say(self, text: str) -> None:
        if text:
            for channel in self._channels:
                channel.send(f"{text}\r\n".encode())


class _Session:
    """What one client has written: commands end with `;` or at the end of a line."""

    def __init__(self, instrument: Tdc1, channel: Channel) -> None:
        self._instrument = instrument
        self._channel = channel
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, b";\r\n", limit=256):
            if text := line.decode("ascii", "replace").strip():
                self._instrument.command(text)

    def closed(self) -> None:
        self._instrument.leave(self._channel)


def _pairs(first_ps: Times, second_ps: Times) -> int:
    """Clicks of the first with one of the second within the window, on either side."""
    early = np.searchsorted(second_ps, first_ps - _PAIR_WINDOW_PS, side="left")
    late = np.searchsorted(second_ps, first_ps + _PAIR_WINDOW_PS, side="right")
    return int(np.count_nonzero(late > early))
