"""A quantum device on the open device protocol (docs/device-protocol.md), node or midpoint."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from sim_backends.detection import DetectionSetting
from sim_backends.lab_parts import ModeConfig
from sim_backends.memories import BAD_REQUEST, DeviceFault, MemoryDevice
from sim_backends.midpoint import HeraldEvent, StoppedEvent
from sim_backends.mount import Channel
from sim_backends.station import MidpointModel
from timing.alarm import Alarm, alarm_at, is_over

__all__ = ["QuantumDeviceServer"]

VERSION: Final = 1
MINOR: Final = 5
NOT_THIS_ROLE: Final = 5

_MAX_PAYLOAD: Final = 1 << 20
_MAX_WAITING: Final = 256
_LIMITS: Final = {"delay_ps": 1e12, "window_ps": 1e12, "phase_deg": 1e6}
_TIMED: Final = ("initialise", "move")

Fields = dict[str, Any]

# Made once: what reads types or formats anew costs as much as the rest of a frame.
_U32: Final = struct.Struct("<I")
_ENCODER: Final = msgspec.msgpack.Encoder()
_REQUEST: Final = msgspec.msgpack.Decoder(Fields)


class _BadFrame(Exception):
    """The connection has to end."""


class QuantumDeviceServer:
    """Serves one node at a time; a new connection replaces the old one.

    `changed` is called after whatever may have changed when the next herald is due. `replaced` and
    `bad_frames` count what ended connections.
    """

    def __init__(
        self,
        device: MemoryDevice | MidpointModel,
        serial: str,
        *,
        changed: Callable[[], None],
    ) -> None:
        self.device = device
        self.serial = serial
        self.changed = changed
        self.replaced = 0
        self.bad_frames = 0
        self.next_runs: dict[int, Fields] = {}
        self._session: _Session | None = None
        device.on_herald = self._herald
        device.on_stopped = self._stopped

    def connect(self, channel: Channel) -> _Session:
        """A node has connected."""
        if self._session is not None:
            self.replaced += 1
            self._session.end()
        self._session = _Session(self, channel)
        return self._session

    def left(self, session: _Session) -> None:
        """A connection has ended: stop attempting, release everything."""
        if self._session is not session:
            return
        self._session = None
        self.next_runs = {}
        if isinstance(self.device, MemoryDevice):
            self.device.release_all()
        else:
            self.device.abort()
        self.changed()

    def _herald(self, event: HeraldEvent) -> None:
        fields: Fields = {"event": "herald", "slot": event.slot, "time_ps": event.time_ps}
        if event.qubit is not None:
            fields["qubit"] = event.qubit
            if self.has_ports:
                fields["port"] = event.port
        if event.bell_state is not None:
            fields["bell_state"] = event.bell_state
        self._tell(fields)

    def _stopped(self, event: StoppedEvent) -> None:
        fields: Fields = {"event": "stopped", "slot": event.slot}
        if self.has_ports:
            fields["port"] = event.port
        self._tell(fields)

    @property
    def has_ports(self) -> bool:
        """Whether it has more optical ports than one; a device with one says nothing of it."""
        return isinstance(self.device, MemoryDevice) and len(self.device.ports) > 1

    def _tell(self, fields: Fields) -> None:
        if self._session is not None:
            self._session.send(fields)


class _Session:
    """One node's connection: its frames, and its requests in the order they came."""

    def __init__(self, server: QuantumDeviceServer, channel: Channel) -> None:
        self._server = server
        self._channel = channel
        self._buffer = bytearray()
        self._waiting: deque[Fields] = deque()
        self._working: Alarm | asyncio.TimerHandle | None = None
        self._unsaid = bytearray()
        self._open = True

    def feed(self, data: bytes) -> None:
        if not self._open:
            return
        self._buffer += data
        try:
            while self._open and (payload := self._take()) is not None:
                self._accept(payload)
        except _BadFrame:
            self._server.bad_frames += 1
            self.end()

    def closed(self) -> None:
        self.end()

    def end(self) -> None:
        """End the connection, with the device in its safe state."""
        if not self._open:
            return
        self._open = False
        self._waiting.clear()
        self._buffer.clear()
        if self._working is not None:
            self._working.cancel()
        self._server.left(self)
        self._channel.close()

    def send(self, fields: Fields) -> None:
        """Send one frame; a node that does not read loses the connection."""
        self._say(fields)
        self._flush()

    def _say(self, fields: Fields) -> None:
        payload = _ENCODER.encode(fields)
        self._unsaid += _U32.pack(len(payload)) + payload + _U32.pack(zlib.crc32(payload))

    def _flush(self) -> None:
        said, self._unsaid = bytes(self._unsaid), bytearray()
        if said and self._open and not self._channel.send(said):
            self.end()

    def _take(self) -> bytes | None:
        """The payload of the first frame; None while it is not complete."""
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        (length,) = _U32.unpack_from(buffer)
        if length > _MAX_PAYLOAD:
            raise _BadFrame
        if len(buffer) < length + 8:
            return None
        payload = bytes(buffer[4 : 4 + length])
        (crc,) = _U32.unpack_from(buffer, 4 + length)
        del buffer[: length + 8]
        if crc != zlib.crc32(payload):
            raise _BadFrame
        return payload

    def _accept(self, payload: bytes) -> None:
        try:
            request = _REQUEST.decode(payload)
        except msgspec.MsgspecError as error:
            raise _BadFrame from error
        number = request.get("id")
        # Without a number there is no way to answer.
        if type(number) is not int or not 0 <= number < 1 << 32:
            raise _BadFrame
        if len(self._waiting) >= _MAX_WAITING:
            raise _BadFrame
        self._waiting.append(request)
        if self._working is None:
            self._work()

    def _work(self) -> None:
        """Do what waits, one after the other, until something takes time."""
        self._working = None
        while self._open and self._waiting and self._working is None:
            request = self._waiting.popleft()
            reply: Fields = {"id": request["id"]}
            try:
                results, seconds = _do(self._server, request)
                reply |= {"ok": True, **results}
            except DeviceFault as fault:
                reply |= {"error": fault.code, "text": fault.text}
                seconds = 0.0
            self._server.changed()
            self._answer(asyncio.get_running_loop().time() + seconds, reply)
        self._flush()

    def _answer(self, due_s: float, reply: Fields) -> None:
        """Answer at `due_s`, which may be over: a gate takes a microsecond."""
        if is_over(due_s):
            self._say(reply)
        else:
            self._working = alarm_at(due_s, partial(self._late, due_s, reply))

    def _late(self, due_s: float, reply: Fields) -> None:
        self._working = None
        self._answer(due_s, reply)
        if self._working is None:
            self._work()


def _do(server: QuantumDeviceServer, request: Fields) -> tuple[Fields, float]:
    """Carry out a request: its results, and how long it takes. Raises DeviceFault."""
    device, name = server.device, request.get("do")
    if not isinstance(name, str) or name not in _REQUESTS:
        raise DeviceFault(BAD_REQUEST, f"unknown request {name!r}; known: {', '.join(_REQUESTS)}")
    if name in _COMMON:
        return _COMMON[name](server, request), 0.0
    if not isinstance(device, MemoryDevice):
        raise DeviceFault(NOT_THIS_ROLE, f"a midpoint does not know {name!r}")
    return _NODE[name](device, request)


def _qubit_numbers(device: MemoryDevice, qubit: int) -> Fields:
    memory, mode = device.config, device.config.modes.get(qubit, ModeConfig())
    told = {
        "t1_s": memory.t1_s if mode.t1_s is None else mode.t1_s,
        "t2_s": memory.t2_s if mode.t2_s is None else mode.t2_s,
        "readout_error": memory.readout_error if mode.readout_error is None else mode.readout_error,
        "efficiency": mode.efficiency,
    }
    return told if mode.attempts_1e is None else told | {"attempts_1e": mode.attempts_1e}


def _hello(server: QuantumDeviceServer, request: Fields) -> Fields:
    version = _integer(request, "version")
    if version != VERSION:
        raise DeviceFault(BAD_REQUEST, f"version {version}; this device speaks {VERSION}")
    return {
        "version": VERSION,
        "minor": MINOR,
        "role": server.device.role,
        "maker": "simulated lab",
        "model": f"simulated {server.device.role}",
        "serial": server.serial,
        "firmware": "1.0",
    }


def _capabilities(server: QuantumDeviceServer, request: Fields) -> Fields:
    device = server.device
    fields: Fields = {
        "qubits": 0,
        "attempt_period_s": 0.0,
        "herald_mode": "host" if device.multimode else "hardware",
        "modes": 0,
        "gates": [],
        "t1_s": 0.0,
        "t2_s": 0.0,
        "initial_fidelity": 0.0,
        "gate_error": 0.0,
        "two_qubit_gate_error": 0.0,
        "readout_error": 0.0,
        "gate_durations_s": {},
        "gate_errors": {},
        "turns": False,
        "tunes": [],
    }
    if isinstance(device, MidpointModel):
        fields["attempt_period_s"] = device.attempt_period_s
        fields["tunes"] = list(device.tunes)
    else:
        fields |= {
            "attempt_period_s": device.attempt_period_s(),
            "qubits": device.qubits,
            "modes": device.attempt_modes,
            "gates": list(device.gates),
            "turns": True,
            "t1_s": device.config.t1_s,
            "t2_s": device.config.t2_s,
            "initial_fidelity": device.initial_fidelity(),
            "gate_error": device.config.gate_error,
            "two_qubit_gate_error": device.config.two_qubit_gate_error,
            "readout_error": device.config.readout_error,
            "gate_durations_s": {
                **{name: device.gate_time_s(name) for name in (*device.gates, *_TIMED)},
                "measure": device.readout_time_s,
            },
            "gate_errors": {
                **{name: device.error_of(name) for name in device.gates},
                "initialise": device.config.initialise_error,
                "move": device.config.two_qubit_gate_error,
            },
        }
        if device.config.modes:
            fields["qubit_numbers"] = [
                _qubit_numbers(device, each) for each in range(device.qubits)
            ]
        if device.config.crosstalk > 0.0:
            # In a row: each qubit has the next for a neighbour.
            fields["crosstalk"] = [
                [each, each + 1, device.config.crosstalk] for each in range(device.qubits - 1)
            ]
        if device.config.switching_time_us > 0.0:
            fields["switching_time_s"] = device.config.switching_time_us * 1e-6
        if server.has_ports:
            fields["ports"] = [
                {
                    "name": name,
                    "attempt_period_s": device.attempt_period_s(port),
                    "initial_fidelity": device.initial_fidelity(port),
                }
                for port, name in enumerate(device.ports)
            ]
    return fields


def _configure(server: QuantumDeviceServer, request: Fields) -> Fields:
    run = {"count": _slots(request, "count"), "start_slot": _slots(request, "start_slot")}
    port = _port(server, request)
    bright = request.get("bright_population")
    if bright is not None:
        if type(bright) not in (int, float):
            raise DeviceFault(BAD_REQUEST, f"bright_population is {bright!r}; expected a number")
        if not isinstance(server.device, MemoryDevice):
            raise DeviceFault(NOT_THIS_ROLE, "a midpoint has no bright population")
        server.device.set_bright_population(bright, port)
    server.next_runs[port] = run
    return {}


def _start(server: QuantumDeviceServer, request: Fields) -> Fields:
    port = _port(server, request)
    run = server.next_runs.get(port, {})
    count = _slots(request, "count") or run.get("count", 0)
    if isinstance(server.device, MemoryDevice):
        first = server.device.start(count, run.get("start_slot", 0), port)
    else:
        first = server.device.start(count, run.get("start_slot", 0))
    server.next_runs.pop(port, None)
    return {"slot": first}


def _abort(server: QuantumDeviceServer, request: Fields) -> Fields:
    if "port" in request and isinstance(server.device, MemoryDevice):
        server.device.abort(_port(server, request))
    else:
        server.device.abort()
    return {}


def _status(server: QuantumDeviceServer, request: Fields) -> Fields:
    device = server.device
    fields: Fields = {
        "attempting": device.attempting,
        "slot": device.slot_now(),
        "time_ps": device.device_time_ps(),
        "held": device.held() if isinstance(device, MemoryDevice) else [],
        "modes_held": device.modes_held() if isinstance(device, MemoryDevice) else 0,
    }
    if isinstance(device, MidpointModel):
        fields["attempts"], fields["clicks"] = device.counts()
    elif server.has_ports:
        fields["port"] = device.port
    return fields


def _tune(server: QuantumDeviceServer, request: Fields) -> Fields:
    device = server.device
    if not isinstance(device, MidpointModel):
        raise DeviceFault(NOT_THIS_ROLE, "a node has no detection window")
    now = device.setting
    told = {
        "delay_ps": 1e3 * now.delay_ns,
        "window_ps": 1e3 * now.window_ns,
        "phase_deg": now.phase_deg,
    }
    for key in told:
        value = request.get(key)
        if value is None:
            continue
        if key not in device.tunes:
            raise DeviceFault(BAD_REQUEST, f"{key} cannot be set here")
        if type(value) not in (int, float) or abs(value) > _LIMITS[key]:
            raise DeviceFault(
                BAD_REQUEST, f"{key} is {value!r}; expected a number up to {_LIMITS[key]:g}"
            )
        told[key] = value
    if told["window_ps"] < 0:
        raise DeviceFault(BAD_REQUEST, f"window_ps is {told['window_ps']!r}; expected 0 or more")
    device.tune(
        DetectionSetting(1e-3 * told["delay_ps"], 1e-3 * told["window_ps"], told["phase_deg"])
    )
    return {key: told[key] for key in device.tunes}


def _initialise(device: MemoryDevice, request: Fields) -> tuple[Fields, float]:
    qubit = _integer(request, "qubit")
    device.initialise(qubit, _string(request, "state"))
    return {}, device.switching_s([qubit]) + device.gate_time_s("initialise")


def _gate(device: MemoryDevice, request: Fields) -> tuple[Fields, float]:
    name, qubits = _string(request, "gate"), request.get("qubits")
    if not isinstance(qubits, list) or not all(type(qubit) is int for qubit in qubits):
        raise DeviceFault(BAD_REQUEST, f"qubits {qubits!r}; expected a list of one or two numbers")
    device.gate(name, qubits)
    return {}, device.switching_s(qubits) + device.gate_time_s(name)


def _turn(device: MemoryDevice, request: Fields) -> tuple[Fields, float]:
    qubit, axis = _integer(request, "qubit"), _string(request, "axis")
    angle = request.get("angle_rad")
    if not isinstance(angle, int | float) or isinstance(angle, bool):
        raise DeviceFault(BAD_REQUEST, f"angle_rad is {angle!r}; expected a number")
    device.turn(qubit, axis, float(angle))
    return {}, device.switching_s([qubit]) + device.gate_time_s("X")


def _move(device: MemoryDevice, request: Fields) -> tuple[Fields, float]:
    source, target = _integer(request, "source"), _integer(request, "target")
    device.move(source, target)
    return {}, device.switching_s([source, target]) + device.gate_time_s("move")


def _measure(device: MemoryDevice, request: Fields) -> tuple[Fields, float]:
    qubit = _integer(request, "qubit")
    outcome = device.measure(qubit, _string(request, "basis"))
    return {"outcome": outcome}, device.switching_s([qubit]) + device.readout_time_s


def _release(device: MemoryDevice, request: Fields) -> tuple[Fields, float]:
    device.release(_integer(request, "qubit"))
    return {}, 0.0


def _keep(device: MemoryDevice, request: Fields) -> tuple[Fields, float]:
    return {"qubit": device.keep(_slots(request, "slot"), _port_named(request))}, 0.0


def _release_mode(device: MemoryDevice, request: Fields) -> tuple[Fields, float]:
    every = request.get("slot", 0) is None
    device.release_mode(None if every else _slots(request, "slot"), _port_named(request))
    return {}, 0.0


def _port(server: QuantumDeviceServer, request: Fields) -> int:
    """The port that a request is about; a midpoint has none and does not look at it."""
    device, port = server.device, _port_named(request)
    if not isinstance(device, MemoryDevice):
        return 0
    device.check_port(port)
    return port


def _port_named(request: Fields) -> int:
    return _integer(request, "port") if "port" in request else 0


def _slots(request: Fields, name: str) -> int:
    value = _integer(request, name)
    if not 0 <= value < 1 << 62:
        raise DeviceFault(BAD_REQUEST, f"{name} {value}; expected 0 or more")
    return value


def _integer(request: Fields, name: str) -> int:
    value = request.get(name)
    if type(value) is not int:
        raise DeviceFault(BAD_REQUEST, f"{name} is {value!r}; expected a whole number")
    return value


def _string(request: Fields, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise DeviceFault(BAD_REQUEST, f"{name} is {value!r}; expected a string")
    return value


_COMMON: Final[dict[str, Callable[[QuantumDeviceServer, Fields], Fields]]] = {
    "hello": _hello,
    "capabilities": _capabilities,
    "configure": _configure,
    "start": _start,
    "abort": _abort,
    "status": _status,
    "tune": _tune,
}
_NODE: Final[dict[str, Callable[[MemoryDevice, Fields], tuple[Fields, float]]]] = {
    "initialise": _initialise,
    "gate": _gate,
    "turn": _turn,
    "move": _move,
    "measure": _measure,
    "release": _release,
    "keep": _keep,
    "release_mode": _release_mode,
}
_REQUESTS: Final = (*_COMMON, *_NODE)
