"""A lab's own sequencer as a quantum device, over the protocol of docs/device-protocol.md.

Many requests may be on their way at once, matched to their replies by id, so that a gate never
waits for a status poll. One reader takes every frame and hands replies and events on at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from drivers.checks import in_range
from drivers.devices import (
    Basis,
    DeviceCapabilities,
    DeviceHerald,
    DeviceTuning,
    Done,
    Identity,
    Order,
    QuantumDevice,
)
from drivers.errors import (
    InstrumentError,
    InstrumentProblem,
    NotConnected,
    ProtocolError,
    Refused,
    Timeout,
)
from drivers.framing import LengthCrc
from drivers.links.base import Link
from drivers.plugin import Manifest

log = logging.getLogger(__name__)

PROTOCOL_VERSION = 1
MODES_MINOR = 1
PORTS_MINOR = 2
TURNS_MINOR = 3
TUNES_MINOR = 5
REQUEST_LIMIT_S = 1.0
MAX_WAITING_HERALDS = 64
STATES = ("0", "1", "+", "-", "+i", "-i")
BASES = ("Z", "X", "Y")
TUNABLE = {
    "delay_ps": (-1e12, 1e12, "ps"),
    "window_ps": (0.0, 1e12, "ps"),
    "phase_deg": (-1e6, 1e6, "deg"),
}

_FRAMES = LengthCrc()
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder()
_MAX_ID = 0xFFFF_FFFF
_TWO_QUBIT_GATES = ("CNOT",)


class OpenDevice(QuantumDevice):
    """A node's or a midpoint's device. No options, no settings.

    `request_limit_s` bounds each request. A reply that does not come in time fails all that wait,
    because the device answers in order.
    """

    manifest = Manifest(
        driver="qnodeos.device",
        kind="QuantumDevice",
        identity=r"open device protocol 1\b",
        links=("tcp", "serial"),
        safe_state="no attempts, all qubits and modes released",
        read_only=("ping", "readings", "capabilities"),
        sources=("docs/device-protocol.md",),
    )
    request_limit_s = REQUEST_LIMIT_S

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        if self.options:
            raise ValueError(f"qnodeos.device has no options, found {', '.join(self.options)}")
        self._reader: asyncio.Task[None] | None = None
        self._last_id = 0
        self._forget()

    def _forget(self) -> None:
        self._replies: dict[int, _Asked] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: deque[bytes] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._early: deque[tuple[bytes, float]] = deque()
        self._writing = False
        self._heralds = [_herald_queue()]
        """One queue a port."""
        self._listeners: dict[int, tuple[Callable[[DeviceHerald], None], asyncio.Future[None]]] = {}
        self._greeted = False
        self._minor = 0
        self._broken: InstrumentProblem | None = None
        self._capabilities: DeviceCapabilities | None = None
        self._stopped_slot: int | None = None
        self._fault = ""
        self._dropped_heralds = 0

    async def connect(self) -> Identity:
        """Say hello, ask for the capabilities, and stop what an earlier owner left running.

        On TCP the device has stopped by itself when the earlier connection ended; a serial line
        has no end to notice.
        """
        await self.disconnect()
        self._forget()
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.create_task(self._read(), name="device reader")
        try:
            hello = await self._request("hello", version=PROTOCOL_VERSION)
            self._greeted = True
            version = hello.get("version")
            if version != PROTOCOL_VERSION:
                raise InstrumentError(
                    "version",
                    f"the device speaks version {version!r}, expected {PROTOCOL_VERSION}",
                    **self._about("hello"),
                )
            if "minor" in hello:
                self._minor = self._integer(hello, "minor", "hello")
            told = await self._request("capabilities")
            self._capabilities = self._convert({**told, "role": hello.get("role")})
            for _ in self._capabilities.ports[1:]:
                self._heralds.append(_herald_queue())
            status = await self._status()
            if _busy(status):
                await self.enter_safe_state()
            for waiting in self._heralds:
                while not waiting.empty():
                    waiting.get_nowait()
        except BaseException:
            await self.disconnect()
            raise
        words = [str(hello.get(key, "")) for key in ("maker", "model", "serial", "firmware")]
        text = f"{words[0]} {words[1]} ({self._capabilities.role}), open device protocol {version}"
        if self._minor:
            text += f".{self._minor}"
        return Identity(text=text, serial=words[2], firmware=words[3])

    async def disconnect(self) -> None:
        """Stop listening; whoever still waits gets NotConnected."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            self._fail(NotConnected("the driver was disconnected", **self._about()))

    async def enter_safe_state(self) -> None:
        """Stop attempting, release every held qubit and mode, and see that it is so."""
        await self.abort()
        if (await self.capabilities()).modes:
            await self.release_mode(None)
        for qubit in self._held_of(await self._status()):
            await self.release(qubit)
        status = await self._status()
        if _busy(status):
            raise InstrumentError(
                "safe state",
                f"after abort and release it tells {status!r}",
                **self._about("status"),
            )

    async def ping(self) -> None:
        """Ask for the status."""
        await self._status()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Attempting, slot, held qubits; heralds dropped because nobody took them; last fault."""
        status = await self._status()
        shown: dict[str, float | int | bool | str] = {
            "attempting": bool(status.get("attempting")),
            "slot": self._integer(status, "slot", "status"),
            "held_qubits": len(self._held_of(status)),
            "dropped_heralds": self._dropped_heralds,
        }
        if len(self._heralds) > 1:
            shown["port"] = self._integer(status, "port", "status")
        if self._stopped_slot is not None:
            shown["stopped_slot"] = self._stopped_slot
        if self._fault:
            shown["last_fault"] = self._fault
        return shown

    async def capabilities(self) -> DeviceCapabilities:
        """See QuantumDevice; learnt at connect."""
        if self._capabilities is None:
            raise NotConnected("not connected yet", **self._about("capabilities"))
        return self._capabilities

    async def configure_attempts(
        self,
        bright_population: float | None = None,
        *,
        count: int = 0,
        start_slot: int = 0,
        port: int = 0,
    ) -> None:
        """See QuantumDevice."""
        for name, value in (("count", count), ("start_slot", start_slot)):
            if value < 0:
                raise self._refused(name, value, "0 or more")
        told = self._arguments("configure_attempts", (bright_population,), port)
        await self._request("configure", **told | {"count": count, "start_slot": start_slot})

    async def start(self, *, count: int = 0, port: int = 0) -> int:
        """See QuantumDevice."""
        if count < 0:
            raise self._refused("count", count, "0 (no limit) or more")
        return int(await self._order("start", count, port=port))

    async def abort(self, *, port: int | None = None) -> None:
        """See QuantumDevice. A device with one port is at it."""
        await self._order("abort", port=port)

    async def heralds(self, port: int = 0) -> AsyncIterator[DeviceHerald]:
        """See QuantumDevice. A fault that the device tells is raised here too."""
        self._at(port, "heralds")
        # This connection's: after another it is no longer filled, and ends with what broke it.
        waiting = self._heralds[port]
        while True:
            if self._broken is not None and waiting.empty():
                raise self._again(self._broken)
            herald = await waiting.get()
            if isinstance(herald, InstrumentProblem):
                raise self._again(herald)
            yield herald

    async def listen(self, heard: Callable[[DeviceHerald], None], port: int = 0) -> None:
        """See QuantumDevice. A fault that the device tells is raised here too."""
        self._at(port, "heralds")
        waiting = self._heralds[port]
        while not waiting.empty():
            early = waiting.get_nowait()
            if isinstance(early, InstrumentProblem):
                raise self._again(early)
            heard(early)
        if self._broken is not None:
            raise self._again(self._broken)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listeners[port] = heard, over
        try:
            await over
        finally:
            if self._listeners.get(port) == (heard, over):
                del self._listeners[port]

    async def initialise(self, qubit: int, state: str = "0") -> None:
        """See QuantumDevice."""
        await self._order("initialise", qubit, state)

    async def gate(self, gate: str, *qubits: int) -> None:
        """See QuantumDevice."""
        await self._order("gate", gate, *qubits)

    async def turn(self, qubit: int, axis: Basis, angle_rad: float) -> None:
        """See QuantumDevice."""
        await self._order("turn", qubit, axis, angle_rad)

    async def tune(self, wanted: DeviceTuning) -> DeviceTuning:
        """See QuantumDevice."""
        return cast(DeviceTuning, await self._order("tune", wanted))

    async def clicks(self) -> tuple[int, int]:
        """See QuantumDevice."""
        status = await self._status()
        if "clicks" not in status:
            raise Refused("the device counts no clicks", **self._about("status"))
        attempts, clicks = (self._integer(status, key, "status") for key in ("attempts", "clicks"))
        return attempts, clicks

    async def move(self, source: int, target: int) -> None:
        """See QuantumDevice."""
        await self._order("move", source, target)

    async def measure(self, qubit: int, basis: Basis = "Z") -> int:
        """See QuantumDevice."""
        return int(await self._order("measure", qubit, basis))

    async def release(self, qubit: int) -> None:
        """See QuantumDevice."""
        await self._order("release", qubit)

    async def _order(self, order: Order, *arguments: Any, port: int | None = None) -> Any:
        reply = await self._request(order, **self._arguments(order, arguments, port))
        return self._result(order, reply)

    def _arguments(self, order: Order, given: Any, port: int | None) -> dict[str, Any]:
        """What an order says on the line; raises Refused for what the device has not got."""
        match order:
            case "configure_attempts":
                (bright,) = given
                if bright is not None:
                    in_range("bright_population", bright, 0.0, 1.0, "", self._about())
                self._check_minor("configure")
                told = {"bright_population": bright, "count": 0, "start_slot": 0}
                return told | self._at(port or 0, "configure")
            case "start":
                return {"count": given[0] if given else 0, **self._at(port or 0, order)}
            case "abort":
                at = self._at(port or 0, order)
                # A device with one port is at it.
                return {"port": port} if port is not None and len(self._heralds) > 1 else at
            case "initialise":
                qubit, state = given
                self._check_qubits(qubit)
                if state not in STATES:
                    raise self._refused("state", state, " ".join(STATES))
                return {"qubit": qubit, "state": state}
            case "gate":
                return self._gate_arguments(*given)
            case "turn":
                return self._turn_arguments(*given)
            case "tune":
                return self._tune_arguments(*given)
            case "move":
                self._check_qubits(*given)
                return {"source": given[0], "target": given[1]}
            case "measure":
                qubit, basis = given
                self._check_qubits(qubit)
                if basis not in BASES:
                    raise self._refused("basis", basis, " ".join(BASES))
                return {"qubit": qubit, "basis": basis}
            case "release":
                self._check_qubits(*given)
                return {"qubit": given[0]}
            case "keep":
                self._check_modes(order, *given)
                return {"slot": given[0], **self._at(port or 0, order)}

    def _gate_arguments(self, gate: str, *qubits: int) -> dict[str, Any]:
        if self._capabilities is None:
            raise NotConnected("not connected yet", **self._about("gate"))
        known = self._capabilities.gates
        if gate not in known:
            raise self._refused("gate", gate, " ".join(known) or "none")
        wanted = 2 if gate in _TWO_QUBIT_GATES else 1
        if len(qubits) != wanted or len(set(qubits)) != wanted:
            raise self._refused("qubits", qubits, f"{wanted} different for {gate}")
        self._check_qubits(*qubits)
        return {"gate": gate, "qubits": list(qubits)}

    def _turn_arguments(self, qubit: int, axis: str, angle_rad: float) -> dict[str, Any]:
        self._check_qubits(qubit)
        if self._capabilities is None or not self._capabilities.turns:
            raise Refused("the device turns no qubit by an angle", **self._about("turn"))
        self._check_minor("turn", TURNS_MINOR)
        if axis not in BASES:
            raise self._refused("axis", axis, " ".join(BASES))
        in_range("angle_rad", angle_rad, -1e4, 1e4, "rad", self._about("turn"))
        return {"qubit": qubit, "axis": axis, "angle_rad": angle_rad}

    def _tune_arguments(self, wanted: DeviceTuning) -> dict[str, Any]:
        told = {name: each for name in TUNABLE if (each := getattr(wanted, name)) is not None}
        has = self._capabilities.tunes if self._capabilities is not None else ()
        self._check_minor("tune", TUNES_MINOR)
        for name, value in told.items():
            if name not in has:
                raise self._refused(name, value, f"none, it sets {' '.join(has) or 'nothing'}")
            least, most, unit = TUNABLE[name]
            in_range(name, value, least, most, unit, self._about("tune"))
        return told

    def _result(self, order: Order, reply: dict[str, Any]) -> int | DeviceTuning | None:
        if order == "start":
            return self._integer(reply, "slot", order)
        if order == "keep":
            return self._integer(reply, "qubit", order)
        if order == "tune":
            told = {name: reply[name] for name in TUNABLE if name in reply}
            try:
                return msgspec.convert(told, DeviceTuning)
            except msgspec.ValidationError as error:
                raise self._garbled(str(error), reply, order) from error
        if order != "measure":
            return None
        outcome = self._integer(reply, "outcome", order)
        if outcome not in (0, 1):
            raise self._garbled("expected outcome 0 or 1", reply, order)
        return outcome

    async def keep(self, slot: int, *, port: int = 0) -> int:
        """See QuantumDevice."""
        self._check_modes("keep", slot)
        reply = await self._request("keep", slot=slot, **self._at(port, "keep"))
        qubit = self._integer(reply, "qubit", "keep")
        if not 0 <= qubit < (await self.capabilities()).qubits:
            raise self._garbled("expected a qubit that the device has", reply, "keep")
        return qubit

    async def release_mode(self, slot: int | None, *, port: int = 0) -> None:
        """See QuantumDevice."""
        self._check_modes("release_mode", slot)
        await self._request("release_mode", slot=slot, **self._at(port, "release_mode"))

    async def _status(self) -> dict[str, Any]:
        return await self._request("status")

    def _held_of(self, status: dict[str, Any]) -> list[int]:
        held = status.get("held")
        if not isinstance(held, list) or not all(isinstance(qubit, int) for qubit in held):
            raise self._garbled("expected a list of held qubits", status, "status")
        return held

    async def _request(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for its reply; any number may be on their way."""
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def take(answer: dict[str, Any] | InstrumentProblem) -> None:
            if reply.done():
                return  # who asked has given up
            if isinstance(answer, InstrumentProblem):
                reply.set_exception(answer)
            else:
                reply.set_result(answer)

        self._ask(do, arguments, take)
        return self._checked(do, await reply)

    def _ask(self, do: str, arguments: dict[str, Any], take: _Take) -> None:
        """Send a request; `take` gets its reply, or what has kept it away. Raises NotConnected.

        A reply that is read while this still writes is taken after it.
        """
        if self._broken is not None:
            raise self._again(self._broken)
        if self._reader is None:
            raise NotConnected("not connected yet", **self._about(do))
        number = self._last_id = self._last_id % _MAX_ID + 1
        frame = _FRAMES.wrap(_ENCODER.encode({"id": number, "do": do, **arguments}))
        due_s = self._loop.time() + self.request_limit_s
        self._replies[number] = _Asked(do, take, due_s)
        if self._timer is None:
            # One timer for all: replies come in order, so the oldest is the first to be late.
            self._timer = self._loop.call_at(due_s, self._look_for_late)
        self._writing = True
        try:
            if self._unsent or not self.link.send_now(frame):
                self._unsent.append(frame)
                if self._flushing is None:
                    self._flushing = asyncio.create_task(self._flush(), name="device writer")
        except InstrumentProblem as problem:
            del self._replies[number]
            self._fail(problem)
            raise
        finally:
            self._writing = False

    async def _flush(self) -> None:
        """Send what the line had no room for."""
        try:
            while self._unsent:
                await self.link.send(self._unsent[0], timeout_s=self.request_limit_s)
                self._unsent.popleft()
        except InstrumentProblem as problem:
            self._fail(problem)
        finally:
            self._flushing = None

    def _look_for_late(self) -> None:
        self._timer = None
        if not self._replies or self._broken is not None:
            return
        loop = asyncio.get_running_loop()
        oldest = next(iter(self._replies.values()))
        if loop.time() < oldest.due_s:
            self._timer = loop.call_at(oldest.due_s, self._look_for_late)
            return
        self.link.poison()
        self._fail(Timeout(f"no reply within {self.request_limit_s:g} s", **self._about(oldest.do)))

    def _checked(self, do: str, answer: dict[str, Any]) -> dict[str, Any]:
        """A reply that tells of success; raises InstrumentError, ProtocolError."""
        if "error" in answer:
            code = answer["error"]
            raise InstrumentError(
                code if isinstance(code, int | str) else repr(code),
                str(answer.get("text", "")),
                **self._about(do),
            )
        if answer.get("ok") is not True:
            raise self._garbled("expected ok or error in the reply", answer, do)
        return answer

    def post(self, done: Done, order: Order, *arguments: Any, port: int | None = None) -> None:
        """See QuantumDevice: the reply is handed to `done` in the moment it is read."""

        do = "configure" if order == "configure_attempts" else order

        def take(answer: dict[str, Any] | InstrumentProblem) -> None:
            if isinstance(answer, InstrumentProblem):
                done(answer)
                return
            try:
                result = self._result(order, self._checked(do, answer))
            except InstrumentProblem as problem:
                done(problem)
            else:
                done(result)

        try:
            self._ask(do, self._arguments(order, arguments, port), take)
        except InstrumentProblem as problem:
            asyncio.get_running_loop().call_soon(done, problem)

    async def _read(self) -> None:
        """Take frames until the link breaks."""
        try:
            await self.link.listen(_FRAMES, self._arrived, command="(device)")
        except InstrumentProblem as problem:
            # Both sides close after a broken frame; the device then stops and releases.
            self.link.poison()
            self._fail(problem)

    def _arrived(self, payload: bytes) -> None:
        now_s = self._loop.time()
        if self._writing or self._early:
            self._early.append((payload, now_s))
            if len(self._early) == 1:
                self._loop.call_soon(self._take_early)
        else:
            self._dispatch(payload, now_s)

    def _take_early(self) -> None:
        try:
            while self._early:
                payload, now_s = self._early[0]
                self._dispatch(payload, now_s)
                if self._early:
                    self._early.popleft()
        except InstrumentProblem as problem:
            self.link.poison()
            self._fail(problem)

    def _dispatch(self, payload: bytes, now_s: float) -> None:
        try:
            message = _DECODER.decode(payload)
        except (msgspec.DecodeError, ValueError):
            message = None
        if not isinstance(message, dict):
            raise ProtocolError("expected a MessagePack map", payload, **self._about())
        if "id" not in message:
            self._take_event(message, payload, now_s)
            return
        number = message["id"]
        asked = self._replies.pop(number, None) if isinstance(number, int) else None
        if asked is not None:
            asked.take(message)
        elif self._greeted:  # before the hello, a late reply to an earlier owner
            raise ProtocolError(f"a reply to nobody, id {number!r}", payload, **self._about())

    def _take_event(self, message: dict[str, Any], payload: bytes, now_s: float) -> None:
        kind = message.pop("event", None)
        if kind == "herald":
            try:
                herald = msgspec.convert({**message, "received_s": now_s}, DeviceHerald)
            except msgspec.ValidationError as error:
                raise ProtocolError(f"a bad herald: {error}", payload, **self._about()) from error
            if not self._greeted or self._capabilities is None:
                return  # of an earlier owner
            if not 0 <= herald.port < len(self._heralds):
                raise ProtocolError(
                    f"expected a port of 0 to {len(self._heralds) - 1} in the herald",
                    payload,
                    **self._about(),
                )
            listener = self._listeners.get(herald.port)
            if listener is not None:
                listener[0](herald)
            else:
                self._hand_on(herald, self._heralds[herald.port])
        elif kind == "stopped":
            slot = message.get("slot")
            if not isinstance(slot, int):
                raise ProtocolError("expected a slot", payload, **self._about("stopped"))
            self._stopped_slot = slot
        elif kind == "fault":
            code, text = str(message.get("code", "fault")), str(message.get("text", ""))
            self._fault = f"{code}: {text}"
            self._hand_on_to_all(InstrumentError(code, text, **self._about("(event)")))
        else:
            raise ProtocolError(f"unknown event {kind!r}", payload, **self._about())

    def _hand_on_to_all(self, problem: InstrumentProblem) -> None:
        for port, waiting in enumerate(self._heralds):
            if port not in self._listeners:
                self._hand_on(problem, waiting)
            elif not self._listeners[port][1].done():
                self._listeners[port][1].set_exception(self._again(problem))

    def _hand_on(self, item: DeviceHerald | InstrumentProblem, waiting: _Heralds) -> None:
        if waiting.full():
            # The oldest goes: its pair has decayed the most.
            waiting.get_nowait()
            if not self._dropped_heralds:
                log.warning("%s: heralds are dropped, nobody takes them", self.link.owner)
            self._dropped_heralds += 1
        waiting.put_nowait(item)

    def _fail(self, problem: InstrumentProblem) -> None:
        """The connection is of no more use: everybody who waits gets to know, once."""
        if self._broken is not None:
            return
        self._broken = problem
        self._early.clear()
        self._unsent.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, self._replies = self._replies, {}
        for position, each in enumerate(asked.values()):
            # The oldest is the one that was late; the others are cut off with it.
            late = position == 0 and isinstance(problem, Timeout)
            asyncio.get_running_loop().call_soon(
                each.take, problem if late else self._again(problem)
            )
        self._hand_on_to_all(problem)

    def _again(self, problem: InstrumentProblem) -> InstrumentProblem:
        """A fresh exception: one object raised in several tasks grows a common traceback."""
        if isinstance(problem, InstrumentError):
            return InstrumentError(problem.code, problem.text, **self._about(problem.command))
        if isinstance(problem, ProtocolError):
            return ProtocolError(problem.reason, problem.raw, **self._about(problem.command))
        return NotConnected(problem.reason, **self._about(problem.command))

    def _convert(self, told: dict[str, Any]) -> DeviceCapabilities:
        try:
            return msgspec.convert(told, DeviceCapabilities)
        except msgspec.ValidationError as error:
            raise self._garbled(str(error), told, "capabilities") from error

    def _check_qubits(self, *qubits: int) -> None:
        if self._capabilities is None:
            raise NotConnected("not connected yet", **self._about())
        count = self._capabilities.qubits
        for qubit in qubits:
            if not 0 <= qubit < count:
                accepted = f"0 to {count - 1}" if count else "none, it is a midpoint"
                raise self._refused("qubit", qubit, accepted)

    def _at(self, port: int, command: str) -> dict[str, int]:
        """The argument that names a port, which a device with one need not understand."""
        if not 0 <= port < len(self._heralds):
            raise self._refused("port", port, f"0 to {len(self._heralds) - 1}")
        if port == 0:
            return {}
        self._check_minor(command, PORTS_MINOR)
        return {"port": port}

    def _check_modes(self, command: str, slot: int | None) -> None:
        if self._capabilities is None:
            raise NotConnected("not connected yet", **self._about(command))
        if not self._capabilities.modes:
            raise Refused(
                "a single-mode device, which keeps the half of its herald in qubit 0; labelled "
                "modes are of devices whose capabilities tell modes above 0",
                **self._about(command),
            )
        self._check_minor(command)
        if slot is not None and slot < 0:
            raise self._refused("slot", slot, "0 or more")

    def _check_minor(self, command: str, minor: int = MODES_MINOR) -> None:
        if self._reader is not None and self._minor < minor:
            raise Refused(
                f"the device speaks version {PROTOCOL_VERSION}.{self._minor}, "
                f"{command!r} as asked begins with {PROTOCOL_VERSION}.{minor}",
                **self._about(command),
            )

    def _integer(self, reply: dict[str, Any], key: str, command: str) -> int:
        value = reply.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._garbled(f"expected an integer {key}", reply, command)
        return value

    def _refused(self, name: str, value: object, accepted: str) -> Refused:
        return Refused(f"{name} = {value!r}, accepted: {accepted}", **self._about())

    def _garbled(self, reason: str, found: object, command: str) -> ProtocolError:
        raw = found if isinstance(found, bytes) else msgspec.msgpack.encode(found)
        return ProtocolError(reason, raw, **self._about(command))

    def _about(self, command: str = "") -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}


_Take = Callable[[dict[str, Any] | InstrumentProblem], None]


class _Asked(NamedTuple):
    """A request on its way, what takes its reply, and when that is late."""

    do: str
    take: _Take
    due_s: float


_Heralds = asyncio.Queue[DeviceHerald | InstrumentProblem]


def _herald_queue() -> _Heralds:
    return asyncio.Queue(MAX_WAITING_HERALDS)


def _busy(status: dict[str, Any]) -> bool:
    return any(status.get(key) for key in ("attempting", "held", "modes_held"))
