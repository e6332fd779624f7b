"""An IDQ ID120 avalanche detector, its USBTMC port as lines.

Facts: commands, units, ranges and steps are those of a public driver. Unverified: the words of
`*IDN?`, and that what is out of range or between two steps is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sim_backends.avalanche import AvalancheDiode
from sim_backends.mount import Channel, take_lines

__all__ = ["Id120"]

_RANGES: Final = {
    "BIAS:VOLTAGE": (0, 250_000_000, 80_000),
    "THRESHOLD:VOLTAGE": (0, 1_047_000, 500),
    "DEADTIME:TIME": (40, 1_000_000, 40),
    "COUNTERS:INTEGRATION_TIME": (200, 100_000, 200),
    "REG:TEMP_SET_POINT": (-50_000, -10_000, 1000),
}


class Id120:
    """The detector. `bias_error` is what its supply says of itself, set by tests and faults."""

    def __init__(self, diode: AvalancheDiode, serial: str) -> None:
        self._diode = diode
        self._serial = serial
        self.bias_error = False
        self.values = {
            "BIAS:VOLTAGE": 0,
            "THRESHOLD:VOLTAGE": 100_000,
            "DEADTIME:TIME": 400,
            "COUNTERS:INTEGRATION_TIME": 200,
            "REG:TEMP_SET_POINT": -40_000,
        }
        self._regulates = False
        self._polarity = {"1": "POSITIVE", "2": "POSITIVE"}
        self._before = diode.clicks()
        self._begun_s = asyncio.get_running_loop().time()
        self._count = 0

    def connect(self, channel: Channel) -> _Session:
        """A client has connected."""
        return _Session(self, channel)

    def poll(self) -> None:
        """Close the gate of the counter when it is over."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._begun_s >= self._gate_s():
            clicks = self._diode.clicks()
            share = self._gate_s() / (now_s - self._begun_s)
            self._count = round((clicks - self._before) * share)
            self._before, self._begun_s = clicks, now_s

    def run(self, line: str) -> str:
        """The answer to one line, "" for none."""
        name, _, argument = line.strip().upper().partition(" ")
        if not name.endswith("?"):
            self._set(name, argument.strip())
            return ""
        self.poll()
        answers: dict[str, Callable[[], str]] = {
            "*IDN?": lambda: "ID Quantique,ID120",
            "INFO:PRODUCT_SERIAL_NUMBER?": lambda: self._serial,
            "INFO:FIRMWARE_VERSION?": lambda: "1.2.0",
            "INFO:BIAS_BREAKDOWN_VOLTAGE?": lambda: str(round(self._diode.breakdown_v * 1e6)),
            "BIAS:ERROR_STATUS?": lambda: str(self.bias_error).upper(),
            "REG:MEASURED_TEMP?": lambda: str(
                self.values["REG:TEMP_SET_POINT"] if self._regulates else 24_000
            ),
            "REG:RUN?": lambda: str(self._regulates).upper(),
            "REG:STATE?": lambda: "STABLE" if self._regulates else "OFF",
            "COUNTERS:DETECTION_COUNT?": lambda: str(self._count),
            "COUNTERS:DETECTION_FREQ?": lambda: str(round(self._count / self._gate_s())),
            "OUTPUT1:POLARITY?": lambda: self._polarity["1"],
            "OUTPUT2:POLARITY?": lambda: self._polarity["2"],
        }
        if name in answers:
            return answers[name]()
        key = name.rstrip("?")
        if key.endswith(":CAPABILITY") and key.removesuffix(":CAPABILITY") in _RANGES:
            return ",".join(str(each) for each in _RANGES[key.removesuffix(":CAPABILITY")])
        return str(self.values[key]) if key in self.values else ""

    def _set(self, name: str, argument: str) -> None:
        if name == "REG:RUN" and argument in ("TRUE", "FALSE"):
            self._regulates = argument == "TRUE"
        elif name in ("OUTPUT1:POLARITY", "OUTPUT2:POLARITY"):
            if argument in ("POSITIVE", "NEGATIVE"):
                self._polarity[name[6]] = argument
        elif name in _RANGES:
            low, high, step = _RANGES[name]
            value = int(argument) if argument.lstrip("-").isdecimal() else high + 1
            if low <= value <= high and value % step == 0:
                self.values[name] = value
            if name == "BIAS:VOLTAGE":
                self._diode.set_bias_v(self.values[name] * 1e-6)

    def _gate_s(self) -> float:
        return self.values["COUNTERS:INTEGRATION_TIME"] / 1000


class _Session:
    """One client's lines."""

    def __init__(self, box: Id120, channel: Channel) -> None:
        self._box = box
        self._channel = channel
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, b"\n", limit=256):
            if answer := self._box.run(line.decode("ascii", "replace")):
                self._channel.send(f"{answer}\n".encode())

    def closed(self) -> None:
        pass
