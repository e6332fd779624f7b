"""A Single Quantum Retina driver of nanowire detectors: JSON-RPC on HTTP, counts on WebSocket.

Facts: the tree of settings, the methods and the records of counts are those that the vendor's
client WebSQController.py uses. Unverified: bounds, words of errors, what `getDevices` tells.
"""

from __future__ import annotations

import asyncio
import copy
import json
import math
import struct
from collections.abc import Callable
from typing import Any, Final

from sim_backends.detectors import DetectorBank
from sim_backends.mount import Channel

__all__ = ["Retina"]

_TICK_S: Final = 0.01
_RECORD: Final = struct.Struct("<BBBxffIIId")
_PER_MCU: Final = 12
_OHM: Final = 1e4
_BOUNDS: Final = {"biasI": (0.0, 60e-6), "triggerV": (-10.0, 10.0)}


class _Refused(Exception):
    """Becomes the error of an answer."""


class Retina:
    """The box. `advance` brings the world's clicks up to now; `unix_s` is the box's own clock."""

    def __init__(
        self, bank: DetectorBank, *, advance: Callable[[], None], unix_s: Callable[[], float]
    ) -> None:
        self._bank = bank
        self._advance = advance
        self._unix_s = unix_s
        self._integration_ms = 100
        self._listeners: list[Channel] = []
        self._tick: asyncio.TimerHandle | None = None
        self._totals = bank.count_totals()
        self._counts = [0] * bank.channels
        self._left = 0
        bank.enabled = False
        bank.bias_ua = [0.0] * bank.channels

    def connect_api(self, channel: Channel) -> _Api:
        """A client of `/api`."""
        return _Api(self, channel)

    def connect_counts(self, channel: Channel) -> _Counts:
        """A client of `/counts`."""
        self._listeners.append(channel)
        if self._tick is None:
            self._begin()
        return _Counts(self, channel)

    def leave(self, channel: Channel) -> None:
        """A client of `/counts` has gone."""
        self._listeners.remove(channel)
        if not self._listeners and self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def settings(self) -> dict[str, Any]:
        """The whole tree."""
        devices: dict[str, Any] = {}
        for index in range(self._bank.channels):
            mcu, cu = _place(index)
            channels = devices.setdefault(str(mcu), {"name": "CU", "channels": {}})["channels"]
            channels[str(cu)] = {
                "configuration": {
                    "biasI": self._bank.bias_ua[index] * 1e-6,
                    "triggerV": self._bank.trigger_mv[index] * 1e-3,
                    "cuStatus": 0,
                }
            }
        ranks = {str(index + 1): list(_place(index)) for index in range(self._bank.channels)}
        return {
            "devices": devices,
            "backend": {"intTime": self._integration_ms, "ivIntTime": 100},
            "frontend": {"rankMap": ranks},
        }

    def call(self, message: bytes) -> bytes:
        """The answer to one request of JSON-RPC 2.0."""
        number: Any = None
        try:
            request = json.loads(message)
            number = request.get("id")
            result = self._run(request.get("method"), request.get("params") or {})
        except _Refused as refused:
            error = {"code": -32602, "message": "Error", "data": {"message": str(refused)}}
            return json.dumps({"jsonrpc": "2.0", "id": number, "error": error}).encode()
        except (ValueError, AttributeError):
            error = {"code": -32700, "message": "Parse error", "data": {"message": "no request"}}
            return json.dumps({"jsonrpc": "2.0", "id": number, "error": error}).encode()
        return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()

    def _run(self, method: Any, params: Any) -> Any:
        match method:
            case "getSettings":
                return self.settings()
            case "setSettings" if isinstance(params, dict):
                self._set(params)
                return self.settings()
            case "getDevices":
                return {"devices": copy.deepcopy(self.settings()["devices"])}
            case "getBackend":
                temperatures = [{"temp1": 2.51, "temp2": 41.0, "time": self._unix_s()}]
                return {"backend": {"temperatures": temperatures}}
        raise _Refused(f"unknown method {method}")

    def _set(self, changes: dict[str, Any]) -> None:
        """Check all, then change all."""
        todo: list[Callable[[], None]] = []
        for section, branch in changes.items():
            if section == "devices":
                todo += self._device_changes(branch)
            elif section == "backend":
                todo.append(self._backend_change(branch))
            else:
                raise _Refused(f"unknown settings {section}")
        self._advance()
        for change in todo:
            change()
        self._bank.enabled = any(bias > 0 for bias in self._bank.bias_ua)

    def _device_changes(self, devices: Any) -> list[Callable[[], None]]:
        places = {_place(index): index for index in range(self._bank.channels)}
        todo = []
        try:
            for mcu, device in devices.items():
                for cu, channel in device["channels"].items():
                    index = places[int(mcu), int(cu)]
                    for name, value in channel["configuration"].items():
                        todo.append(self._channel_change(index, name, value))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _Refused(f"no such channel: {error}") from None
        return todo

    def _channel_change(self, index: int, name: str, value: Any) -> Callable[[], None]:
        if name not in _BOUNDS:
            raise _Refused(f"unknown configuration {name}")
        low, high = _BOUNDS[name]
        number = _number(value)
        if not low <= number <= high:
            raise _Refused(f"{name} {number:g} is out of range {low:g} to {high:g}")
        if name == "biasI":
            return lambda: self._bank.bias_ua.__setitem__(index, number * 1e6)
        return lambda: self._bank.trigger_mv.__setitem__(index, number * 1e3)

    def _backend_change(self, branch: Any) -> Callable[[], None]:
        value = _number(branch.get("intTime") if isinstance(branch, dict) else None)
        if not 10 <= value <= 60_000 or value % 10:
            raise _Refused(f"intTime {value:g} is out of range 10 to 60000 in steps of 10")

        def change() -> None:
            self._integration_ms = int(value)
            self._left = 0

        return change

    def _begin(self) -> None:
        self._advance()
        self._totals = self._bank.count_totals()
        self._left = self._integration_ms // 10
        loop = asyncio.get_running_loop()
        self._tick = loop.call_at(loop.time() + _TICK_S, self._send, loop.time() + _TICK_S)

    def _send(self, due_s: float) -> None:
        """A record of every channel each 10 ms; the counts change once an integration time."""
        self._left -= 1
        if self._left <= 0:
            self._advance()
            totals = self._bank.count_totals()
            self._counts = [now - old for now, old in zip(totals, self._totals, strict=True)]
            self._totals = totals
            self._left = self._integration_ms // 10
        message = b"".join(self._record(index) for index in range(self._bank.channels))
        loop = asyncio.get_running_loop()
        due_s = max(due_s + _TICK_S, loop.time())
        self._tick = loop.call_at(due_s, self._send, due_s)
        for channel in tuple(self._listeners):
            channel.send(message)

    def _record(self, index: int) -> bytes:
        mcu, cu = _place(index)
        bias_a = self._bank.bias_ua[index] * 1e-6
        return _RECORD.pack(
            *(mcu, cu, 0, bias_a * _OHM, bias_a, self._counts[index]),
            *(self._integration_ms // 10, index + 1, self._unix_s()),
        )


class _Api:
    """One client's requests."""

    def __init__(self, box: Retina, channel: Channel) -> None:
        self._box = box
        self._channel = channel

    def feed(self, data: bytes) -> None:
        self._channel.send(self._box.call(data))

    def closed(self) -> None:
        pass


class _Counts:
    """One client of the counts; what it sends is ignored."""

    def __init__(self, box: Retina, channel: Channel) -> None:
        self._box = box
        self._channel = channel

    def feed(self, data: bytes) -> None:
        pass

    def closed(self) -> None:
        self._box.leave(self._channel)


def _place(index: int) -> tuple[int, int]:
    """[mcu, cu] of a channel: the second driver's numbers begin at 1 again."""
    return 1 + index // _PER_MCU, 1 + index % _PER_MCU


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Refused(f"a number is needed, found {value!r}")
    return float(value)
