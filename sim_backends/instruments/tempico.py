"""A Tausand Tempico TP1004 start-stop time digitiser as its USB serial port shows it.

Facts: the commands, the rows of a measurement and the fields of a status are those that the
vendor's client pyTempico sends and parses; it can be run against this machine. Unverified: texts of
complaints, and that a measurement without enough starts answers after a second with what it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np

from sim_backends.mount import Channel, take_lines
from sim_backends.taggers import TaggerModel

__all__ = ["Tempico"]

_INPUTS: Final = (1, 2, 3, 4)
_START: Final = 10
_WAIT_PS: Final = 10**12
_RANGE_PS: Final = {1: (12_000, 500_000), 2: (125_000, 4 * 10**9)}
_LIMITS: Final = {
    "ACYC": (1, 128), "ENAB": (0, 1), "NST": (1, 5), "MODE": (1, 2), "STOP:MASK": (0, 4000),
}  # fmt: skip
_DEFAULTS: Final = {
    "ACYC": "1", "ENAB": "1", "NST": "1", "MODE": "1", "STAR:EDG": "RISE", "STOP:EDG": "RISE",
    "STOP:MASK": "0.0000",
}  # fmt: skip


class Tempico:
    """The box. Stop n is input n of `tagger`, start n is input 10 + n.

    `unix_s` is what its clock said when the tagger's counter was zero. `poll` has to be called each
    20 ms or so. `warns` makes it add a second line to a measurement.
    """

    def __init__(self, tagger: TaggerModel, serial: str = "", *, unix_s: float = 0.0) -> None:
        self._tagger = tagger
        self._serial = serial
        self._epoch_us = round(unix_s * 1e6)
        self._channels: list[Channel] = []
        self.warns = ""
        self._reset()

    def _reset(self) -> None:
        self.settings = {f"CH{n}:{key}": value for n in _INPUTS for key, value in _DEFAULTS.items()}
        self.settings |= {"NRUN": "1", "THR": "1.00"}
        self._abort()

    def _abort(self) -> None:
        self._rows: dict[int, list[str]] = {}
        self._until_ps: int | None = None
        self._tagger.stop()

    @property
    def measuring(self) -> bool:
        """Whether a measurement runs."""
        return self._until_ps is not None

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        self._channels.append(channel)
        return _Session(self, channel)

    def leave(self, channel: Channel) -> None:
        """A client has closed the port."""
        self._channels.remove(channel)

    def poll(self) -> None:
        """Take the starts and stops that have come; answer when the measurement is complete."""
        if self._until_ps is None:
            return
        now_ps = self._tagger.counter_ps()
        times, channels = self._tagger.take_tags()
        begun = int(np.searchsorted(times, self._until_ps - _WAIT_PS))
        times, channels = times[begun:], channels[begun:]
        runs = int(self.settings["NRUN"])
        for n in _INPUTS:
            if self.settings[f"CH{n}:ENAB"] == "1":
                starts = times[channels == _START + n]
                self._take(n, starts, times[channels == n], runs)
        enabled = [n for n in _INPUTS if self.settings[f"CH{n}:ENAB"] == "1"]
        done = all(len(self._rows.get(n, [])) >= runs for n in enabled)
        if done or now_ps >= self._until_ps:
            rows = [row for n in enabled for row in self._rows.get(n, [])]
            self._abort()
            self._say(";".join(rows))
            if self.warns:
                self._say(self.warns)

    def _take(self, n: int, starts: np.ndarray, stops: np.ndarray, runs: int) -> None:
        """Starts that are followed by enough stops within the range."""
        low, high = _RANGE_PS[int(self.settings[f"CH{n}:MODE"])]
        wanted = int(self.settings[f"CH{n}:NST"])
        rows = self._rows.setdefault(n, [])
        busy_until = -1
        for start in starts:
            if len(rows) >= runs:
                return
            if start <= busy_until:
                continue
            first = int(np.searchsorted(stops, start + low))
            found = stops[first : first + wanted]
            if len(found) == wanted and found[-1] - start <= high:
                busy_until = int(found[-1])
                gaps = ",".join(str(int(each - start)) for each in found)
                rows.append(f"{n},{len(rows) + 1},{self._clock(int(start))},{gaps}")

    def run(self, line: str) -> None:
        """Do what one line says."""
        command, _, argument = line.partition(" ")
        name = _short(command)
        answers: dict[str, Callable[[], str]] = {
            "*IDN?": lambda: f"Tausand,Tempico TP1004,{self._serial},1.0",
            "*TST?": lambda: "0",
            "CONF?": lambda: ";".join(f"{k} {v}" for k, v in self.settings.items()),
            "FETCH?": lambda: "",
            "DTIM?": lambda: self._clock(self._tagger.counter_ps()),
        }
        if name in answers:
            self._say(answers[name]())
        elif name == "MEAS?":
            self._measure()
        elif name == "*RST":
            self._reset()
        elif name == "ABORT":
            self._abort()
        elif found := re.fullmatch(r"STAT:CH([1-4])\?", name):
            self._say(self._status(int(found[1])))
        elif name.startswith("CONF:"):
            self._configure(name.removeprefix("CONF:"), argument.strip().upper())
        elif name:
            self._say(f"ERROR: undefined command {name}")

    def _measure(self) -> None:
        self._rows = {}
        self._tagger.start()
        self._until_ps = self._tagger.counter_ps() + _WAIT_PS

    def _configure(self, name: str, value: str) -> None:
        key = name.rstrip("?")
        if key not in self.settings:
            self._say(f"ERROR: undefined command CONF:{name}")
        elif name.endswith("?"):
            self._say(self.settings[key])
        elif (text := self._checked(key, value)) is None:
            self._say("ERROR: parameter out of range")
        else:
            self.settings[key] = text

    def _checked(self, key: str, value: str) -> str | None:
        if key.endswith("EDG"):
            return value if value in ("RISE", "FALL") else None
        if key == "THR":
            known = {"MIN": 0.9, "MAX": 1.6, "UP": 0.01, "DOWN": -0.01}
            if value in ("UP", "DOWN"):
                value = str(float(self.settings[key]) + known[value])
            value = str(known.get(value, value))
        try:
            number = float(value)
        except ValueError:
            return None
        if key == "THR":
            return f"{number:.2f}" if 0.899 <= number <= 1.601 else None
        low, high = (1, 1000) if key == "NRUN" else _LIMITS[key.partition(":")[2]]
        if not low <= number <= high:
            return None
        return f"{number:.4f}" if key.endswith("MASK") else str(int(number))

    def _status(self, n: int) -> str:
        state = 2 if self.measuring else 1
        if self.settings[f"CH{n}:ENAB"] == "0":
            state = 0
        fields = ("AVGC", "CLKC", "COAR", "INT", "INTC", "MEAS", "OVF", "RUN", "TOUT")
        return ",".join(f"{field}=0" for field in fields) + f",STATE={state}"

    def _clock(self, counter_ps: int) -> str:
        microseconds = self._epoch_us + counter_ps // 10**6
        return f"{microseconds // 10**6}.{microseconds % 10**6:06d}"

    def _say(self, text: str) -> None:
        for channel in self._channels:
            channel.send(f"{text}\r\n".encode())


class _Session:
    """What one client has written, a command a line."""

    def __init__(self, box: Tempico, channel: Channel) -> None:
        self._box = box
        self._channel = channel
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, b"\n", limit=256):
            self._box.run(line.decode("ascii", "replace").strip())

    def closed(self) -> None:
        self._box.leave(self._channel)


_SHORT: Final = (
    (r"CONFIGURE", "CONF"), (r"STATUS", "STAT"), (r"START", "STAR"), (r"EDGE", "EDG"),
    (r"MEASURE", "MEAS"), (r"DTIME", "DTIM"), (r"THRESHOLD", "THR"), (r"ABOR\b", "ABORT"),
)  # fmt: skip


def _short(command: str) -> str:
    name = command.upper()
    for long, short in _SHORT:
        name = re.sub(long, short, name)
    return name
