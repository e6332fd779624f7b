"""A Swabian Pulse Streamer 8/2 as its JSON-RPC interface shows it, firmware without binary upload.

Facts: the methods, their arguments and the packing of sequences are what the vendor's client
`pulsestreamer` sends, which the tests drive against this machine. Unverified: codes and texts of
errors other than those of JSON-RPC itself, and the value of flags while it waits for a trigger.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Callable
from typing import Any, Final

from sim_backends.mount import Channel

__all__ = ["PulseStreamer"]

_STEP: Final = struct.Struct("<IBhh")
_MOST_STEPS: Final = 2_000_000
_IMMEDIATE: Final = 0
_PARSE, _REQUEST, _METHOD, _PARAMS = -32700, -32600, -32601, -32602

Step = tuple[int, int, int, int]  # ns, mask, analogue 0, analogue 1


class _Refused(Exception):
    """Becomes the error of an answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class PulseStreamer:
    """The instrument. `now_s` is the lab's clock; `trigger` is an edge at its trigger input.

    `sequence` and `state` tell what was last uploaded and what the outputs are now.
    """

    def __init__(self, serial: str, *, now_s: Callable[[], float], firmware: str = "1.0.3") -> None:
        self._serial = serial
        self._now_s = now_s
        self._firmware = firmware
        self._clock = 0
        self.sequence: list[Step] = []
        self._started_s: float | None = None
        self._final: Step = (0, 0, 0, 0)
        self._reset()
        self._methods: dict[str, Callable[..., Any]] = {
            "getSerial": lambda kind=1: self._serial if kind else "0x1F2E3D4C5B6A",
            "getFPGAID": lambda: "0x1F2E3D4C5B6A",
            "getFirmwareVersion": lambda: self._firmware,
            "getHardwareVersion": lambda: "2.1",
            "getTemperature": lambda: 41.5,
            "getUnderflow": lambda: 0,
            "getStatusRegister": lambda: 0,
            "getSupplyState": lambda: 0,
            "getStreamingState": self._streaming_state,
            "reset": self._reset,
            "reboot": self._reset,
            "constant": self._constant,
            "forceFinal": self._force_final,
            "stream": self._stream,
            "startNow": self._start_now,
            "start": lambda slot=0, runs=-1: self._start_now(),
            "rearm": self._rearm,
            "isStreaming": lambda: int(self._runs()),
            "hasSequence": lambda: int(bool(self.sequence)),
            "hasFinished": lambda: int(self._finished()),
            "isReadyForData": lambda slot=0: 1,
            "selectClock": self._select_clock,
            "getClock": lambda: self._clock,
            "setTrigger": self._set_trigger,
            "getTriggerStart": lambda: self._start_mode,
            "getTriggerRearm": lambda: self._rearm_mode,
            "setSquareWave125MHz": lambda mask=0: 0,
        }

    def connect(self, channel: Channel) -> _Session:
        """A client has connected."""
        return _Session(self, channel)

    def trigger(self) -> None:
        """An edge at the trigger input, of the kind it waits for."""
        armed = self._started_s is None or self._rearm_mode == 0
        if self._start_mode >= 2 and self.sequence and not self._runs() and armed:
            self._started_s = self._now_s()

    @property
    def state(self) -> Step:
        """(0, mask, analogue 0, analogue 1) of the outputs now."""
        if self._started_s is None or not self._runs():
            return (0, *self._final[1:])
        at_ns = round((self._now_s() - self._started_s) * 1e9) % self._length_ns()
        for length, *levels in self.sequence:
            if at_ns < length:
                return (0, levels[0], levels[1], levels[2])
            at_ns -= length
        raise AssertionError("a sequence is as long as its steps")

    def call(self, message: bytes) -> bytes:
        """The answer to one request of JSON-RPC 2.0."""
        number = None
        try:
            try:
                request = json.loads(message)
            except ValueError:
                raise _Refused(_PARSE, "Parse error") from None
            if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
                raise _Refused(_REQUEST, "Invalid Request")
            number = request.get("id")
            result = self._call(request.get("method"), request.get("params", []))
        except _Refused as refused:
            error = {"code": refused.code, "message": str(refused)}
            return json.dumps({"jsonrpc": "2.0", "id": number, "error": error}).encode()
        return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()

    def _call(self, name: Any, params: Any) -> Any:
        method = self._methods.get(name) if isinstance(name, str) else None
        if method is None:
            raise _Refused(_METHOD, f"Method not found: {name}")
        if not isinstance(params, list):
            raise _Refused(_PARAMS, "Invalid params: a list is needed")
        try:
            result = method(*params)
        except (TypeError, ValueError) as error:
            raise _Refused(_PARAMS, f"Invalid params: {error}") from None
        return 0 if result is None else result

    def _reset(self) -> None:
        self.sequence = []
        self._runs_left = 0
        self._started_s = None
        self._final = (0, 0, 0, 0)
        self._start_mode = _IMMEDIATE
        self._rearm_mode = 0

    def _constant(self, state: Any) -> None:
        self._final = _levels(state)
        self.sequence = []
        self._started_s = None

    def _force_final(self) -> None:
        self.sequence = []
        self._started_s = None

    def _stream(self, data: str, runs: int, final: Any) -> None:
        try:
            raw = base64.b64decode(data, validate=True)
        except (binascii.Error, TypeError):
            raise _Refused(_PARAMS, "Invalid params: no base64") from None
        if not raw or len(raw) % _STEP.size or len(raw) > _MOST_STEPS * _STEP.size:
            raise _Refused(_PARAMS, "Invalid params: no sequence")
        if not isinstance(runs, int) or runs == 0 or runs < -1:
            raise _Refused(_PARAMS, "Invalid params: n_runs")
        self._final = _levels(final)
        self.sequence = [(each[0], each[1], each[2], each[3]) for each in _STEP.iter_unpack(raw)]
        if self._length_ns() == 0:
            self.sequence = []
            raise _Refused(_PARAMS, "Invalid params: an empty sequence")
        self._runs_left = runs
        self._started_s = self._now_s() if self._start_mode == _IMMEDIATE else None

    def _start_now(self) -> None:
        if self.sequence and self._start_mode == 1:
            self._started_s = self._now_s()

    def _rearm(self) -> int:
        if self._finished():
            self._started_s = None
            return 1
        return 0

    def _select_clock(self, source: int) -> None:
        if source not in (0, 1, 2):
            raise _Refused(_PARAMS, "Invalid params: clock source")
        self._clock = source

    def _set_trigger(self, start: int, rearm: int = 0) -> None:
        if start not in range(5) or rearm not in (0, 1):
            raise _Refused(_PARAMS, "Invalid params: trigger")
        self._start_mode, self._rearm_mode = start, rearm

    def _length_ns(self) -> int:
        return sum(step[0] for step in self.sequence)

    def _runs(self) -> bool:
        if self._started_s is None or not self.sequence:
            return False
        if self._runs_left < 0:
            return True
        return self._now_s() - self._started_s < self._runs_left * self._length_ns() * 1e-9

    def _finished(self) -> bool:
        """All runs are over and no trigger can start them again."""
        over = bool(self.sequence) and self._started_s is not None and not self._runs()
        return over and (self._rearm_mode == 1 or self._start_mode < 2)

    def _streaming_state(self) -> dict[str, int]:
        waits = bool(self.sequence) and not self._runs() and not self._finished()
        state = 2 if self._runs() else 3 if self._finished() else 0
        return {"State": state, "StateCondition": 1 if waits else 0, "Slot": 0}


class _Session:
    """One client's requests."""

    def __init__(self, instrument: PulseStreamer, channel: Channel) -> None:
        self._instrument = instrument
        self._channel = channel

    def feed(self, data: bytes) -> None:
        self._channel.send(self._instrument.call(data))

    def closed(self) -> None:
        pass


def _levels(state: Any) -> Step:
    if not isinstance(state, list) or len(state) != 4:
        raise _Refused(_PARAMS, "Invalid params: a state is [0, mask, a0, a1]")
    ticks, mask, first, second = (int(each) for each in state)
    if not 0 <= mask <= 255 or max(abs(first), abs(second)) > 0x7FFF:
        raise _Refused(_PARAMS, "Invalid params: out of range")
    return ticks, mask, first, second
