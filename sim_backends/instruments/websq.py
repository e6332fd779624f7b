"""A Single Quantum WebSQ driver of nanowire detectors: a control port and a counts port on TCP.

Facts: what the vendor's `WebSQControl.py` sends and parses. The box ends each JSON object with ETB,
clients send theirs one after the other. Unverified: the names of the bounds (`min`, `max`) and the
shape of the temperature history, which that client does not look into.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any, Final

from sim_backends.detectors import DetectorBank
from sim_backends.mount import Channel

__all__ = ["WebSq"]

_ETB: Final = b"\x17"
_PERIOD_MS: Final = (10, 10_000)
_BIAS_UA: Final = (0.0, 60.0)
_TRIGGER_MV: Final = (-1000.0, 1000.0)
_AUTO_STEPS: Final = 120
_AUTO_S: Final = 1.0
_LIMIT: Final = 64 * 1024
_OHM: Final = 1e4

Value = Any  # what JSON can hold


class _Refused(Exception):
    """Becomes a message with the label `Error`."""


class WebSq:
    """The box. `advance` brings the world's clicks up to now; `unix_s` is the box's own clock.

    The counts port gives one line a measurement period, `unix_time,c1,...,cN`.
    """

    def __init__(
        self, bank: DetectorBank, *, advance: Callable[[], None], unix_s: Callable[[], float]
    ) -> None:
        self._bank = bank
        self._advance = advance
        self._unix_s = unix_s
        self._period_ms = 100
        self._auto_darks = [100.0] * bank.channels
        self._auto_bias: list[float] = [0.0] * bank.channels
        self._scan: list[dict[str, float]] = []
        self._control: list[Channel] = []
        self._counts: list[Channel] = []
        self._totals = bank.count_totals()
        self._tick: asyncio.TimerHandle | None = None
        self._calibration: asyncio.TimerHandle | None = None
        self._commands: dict[str, Callable[[Value], None]] = {
            "SetMeasurementPeriod": self._set_period,
            "SetAllBiasCurrents": self._set_bias,
            "SetAllTriggerLevels": self._set_trigger,
            "DetectorEnable": self._set_enabled,
            "DarkCountsAutoIV": self._set_auto_darks,
            "AutoCaliBiasCurrents": self._calibrate,
            "IVScanEnable": lambda value: None,
        }

    def connect_control(self, channel: Channel) -> _Control:
        """A client has opened the control port."""
        self._control.append(channel)
        return _Control(self, channel)

    def connect_counts(self, channel: Channel) -> _Counts:
        """A client has opened the counts port; the first line comes after one period."""
        self._counts.append(channel)
        if self._tick is None:
            self._begin_counting()
        return _Counts(self, channel)

    def leave_control(self, channel: Channel) -> None:
        """A client has closed the control port."""
        self._control.remove(channel)

    def leave_counts(self, channel: Channel) -> None:
        """A client has closed the counts port."""
        self._counts.remove(channel)
        if not self._counts and self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def labels(self) -> dict[str, dict[str, Value]]:
        """All labels with their values and bounds."""
        bias, trigger = list(self._bank.bias_ua), list(self._bank.trigger_mv)
        return {
            "NumberOfDetectors": {"value": self._bank.channels},
            "InptMeasurementPeriod": _bounded(self._period_ms, _PERIOD_MS, "ms"),
            "BiasCurrent": _bounded(bias, _BIAS_UA, "uA"),
            "TriggerLevel": _bounded(trigger, _TRIGGER_MV, "mV"),
            "BiasVoltage": {"value": self._bias_mv(), "unit": "mV"},
            "DetectorEnable": {"value": self._bank.enabled},
            "StartAutoIV": {"value": self._calibration is not None},
            "BiasCurrentAutoIV": {"value": list(self._auto_bias), "unit": "uA"},
            "ic_scan_history": {"value": self._scan},
            "iv_scan_history": {"value": []},
        }

    def message(self, message: Value, channel: Channel) -> None:
        """Take one JSON value from a client."""
        try:
            if not isinstance(message, dict):
                raise _Refused("a message is an object with `command` or `request`")
            if "command" in message:
                command = self._commands.get(str(message["command"]))
                if command is None:
                    raise _Refused(f"unknown command {message['command']!r}")
                command(message.get("value"))
            elif "request" in message:
                self._answer(str(message["request"]), channel)
            else:
                raise _Refused("a message is an object with `command` or `request`")
        except _Refused as refused:
            self.refuse(str(refused), channel)

    def refuse(self, text: str, channel: Channel) -> None:
        """Tell one client what was wrong."""
        channel.send(_message("Error", text))

    def _answer(self, request: str, channel: Channel) -> None:
        if request == "labelProps":
            for label, properties in self.labels().items():
                channel.send(_message(label, properties))
        elif request == "BiasVoltage":
            channel.send(_message("BiasVoltage", self._bias_mv()))
        elif request == "StartAutoIV":
            channel.send(_message("StartAutoIV", self._calibration is not None))
        elif request == "IVHistory":
            channel.send(_message("ic_scan_history", {"value": self._scan}))
            channel.send(_message("iv_scan_history", {"value": []}))
        elif request == "TemperatureHistory":
            now = {
                "x": self._unix_s(),
                "T": 2.5,
                "T2": 39.0,
                "BoardTemp1": 31.0,
                "BoardTemp2": 32.0,
            }
            channel.send(_message("temperature_long_memory", {"value": [now]}))
        else:
            raise _Refused(f"unknown request {request!r}")

    def _push(self, label: str, value: Value) -> None:
        for channel in tuple(self._control):
            channel.send(_message(label, value))

    def _set_period(self, value: Value) -> None:
        period = _number("SetMeasurementPeriod", value, _PERIOD_MS)
        self._period_ms = round(period)
        if self._tick is not None:
            self._tick.cancel()
            self._begin_counting()
        self._push("InptMeasurementPeriod", self._period_ms)

    def _set_bias(self, value: Value) -> None:
        self._advance()
        self._bank.bias_ua = self._numbers("SetAllBiasCurrents", value, _BIAS_UA)
        self._push("BiasCurrent", list(self._bank.bias_ua))

    def _set_trigger(self, value: Value) -> None:
        self._advance()
        self._bank.trigger_mv = self._numbers("SetAllTriggerLevels", value, _TRIGGER_MV)
        self._push("TriggerLevel", list(self._bank.trigger_mv))

    def _set_enabled(self, value: Value) -> None:
        if not isinstance(value, bool):
            raise _Refused(f"DetectorEnable needs true or false, found {value!r}")
        self._advance()
        self._bank.enabled = value
        self._push("DetectorEnable", value)

    def _set_auto_darks(self, value: Value) -> None:
        self._auto_darks = self._numbers("DarkCountsAutoIV", value, (0.0, 1e6))

    def _calibrate(self, value: Value) -> None:
        if value is not True or self._calibration is not None:
            return
        loop = asyncio.get_running_loop()
        self._calibration = loop.call_later(_AUTO_S, self._finish_calibration)
        self._push("StartAutoIV", True)

    def _finish_calibration(self) -> None:
        """The highest bias of each detector at which its dark counts are not above the wish."""
        bank, before = self._bank, list(self._bank.bias_ua)
        channels = range(bank.channels)
        found = [0.0] * bank.channels
        self._scan = []
        self._advance()
        for step in range(_AUTO_STEPS + 1):
            bias = _BIAS_UA[1] * step / _AUTO_STEPS
            bank.bias_ua = [bias] * bank.channels
            darks = [bank.dark_cps(channel) for channel in channels]
            self._scan.append({"biasCurrent": bias} | {f"y{n + 1}": darks[n] for n in channels})
            for n in channels:
                if 0.0 < darks[n] <= self._auto_darks[n]:
                    found[n] = bias
        bank.bias_ua = [new or old for new, old in zip(found, before, strict=True)]
        self._auto_bias = list(bank.bias_ua)
        self._calibration = None
        self._push("BiasCurrentAutoIV", self._auto_bias)
        self._push("BiasCurrent", list(bank.bias_ua))
        self._push("StartAutoIV", False)

    def _begin_counting(self) -> None:
        self._advance()
        self._totals = self._bank.count_totals()
        due_s = asyncio.get_running_loop().time() + self._period_ms / 1000
        self._tick = asyncio.get_running_loop().call_at(due_s, self._count, due_s)

    def _count(self, due_s: float) -> None:
        self._advance()
        totals = self._bank.count_totals()
        counts = [now - before for now, before in zip(totals, self._totals, strict=True)]
        self._totals = totals
        line = ",".join([f"{self._unix_s():.3f}", *(str(count) for count in counts)]) + "\n"
        loop = asyncio.get_running_loop()
        # A late line is not made up for by a short period.
        due_s = max(due_s + self._period_ms / 1000, loop.time())
        self._tick = loop.call_at(due_s, self._count, due_s)
        for channel in tuple(self._counts):
            channel.send(line.encode())

    def _bias_mv(self) -> list[float]:
        """The voltage over each detector's bias resistor."""
        on = 1.0 if self._bank.enabled else 0.0
        return [on * current * 1e-6 * _OHM * 1e3 for current in self._bank.bias_ua]

    def _numbers(self, name: str, value: Value, bounds: tuple[float, float]) -> list[float]:
        if not isinstance(value, list) or len(value) != self._bank.channels:
            raise _Refused(f"{name} needs a list of {self._bank.channels} numbers, found {value!r}")
        return [_number(name, item, bounds) for item in value]


class _Control:
    """One client's control connection: JSON objects one after the other, cut anywhere."""

    def __init__(self, box: WebSq, channel: Channel) -> None:
        self._box = box
        self._channel = channel
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while (text := _take_object(self._buffer)) is not None:
            try:
                message = json.loads(text)
            except (ValueError, RecursionError):
                self._box.refuse("not valid JSON", self._channel)
            else:
                self._box.message(message, self._channel)
        if len(self._buffer) > _LIMIT:
            self._buffer.clear()
            self._box.refuse("message too long", self._channel)

    def closed(self) -> None:
        self._box.leave_control(self._channel)


class _Counts:
    """One client's counts connection; what it sends is ignored."""

    def __init__(self, box: WebSq, channel: Channel) -> None:
        self._box = box
        self._channel = channel

    def feed(self, data: bytes) -> None:
        pass

    def closed(self) -> None:
        self._box.leave_counts(self._channel)


def _take_object(buffer: bytearray) -> bytes | None:
    """Take the first `{...}` out of the buffer, with what stands before it; None: not complete."""
    depth, in_string, escaped = 0, False, False
    start = buffer.find(b"{")
    if start < 0:
        buffer.clear()
        return None
    del buffer[:start]
    for position, byte in enumerate(bytes(buffer)):
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte == 0x7B:
            depth += 1
        elif byte == 0x7D:
            depth -= 1
            if depth == 0:
                text = bytes(buffer[: position + 1])
                del buffer[: position + 1]
                return text
    return None


def _message(label: str, value: Value) -> bytes:
    return json.dumps({"label": label, "value": value}).encode() + _ETB


def _bounded(value: Value, bounds: tuple[float, float], unit: str) -> dict[str, Value]:
    return {"value": value, "min": bounds[0], "max": bounds[1], "unit": unit}


def _number(name: str, value: Value, bounds: tuple[float, float]) -> float:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Refused(f"{name} needs numbers, found {value!r}")
    if not low <= value <= high:
        raise _Refused(f"{name} {value:g} is out of range {low:g} to {high:g}")
    return float(value)
