"""Qubits and midpoints: a lab's own sequencer as a quantum device."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from drivers.devices.instrument import Instrument
from drivers.devices.optics import Basis
from drivers.errors import InstrumentProblem, Refused

Order = Literal[
    "configure_attempts",
    "start",
    "abort",
    "initialise",
    "gate",
    "turn",
    "move",
    "measure",
    "release",
    "keep",
    "tune",
]
Done = Callable[[Any], None]

BellName = Literal["PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS"]


@dataclass(frozen=True, slots=True)
class DevicePort:
    """One optical port of a device with several: whom it leads to, and what differs there."""

    name: str
    attempt_period_s: float
    initial_fidelity: float


@dataclass(frozen=True, slots=True)
class DeviceTuning:
    """How a midpoint detects; None: it cannot be set, or is to be left as it is.

    Its window opens `delay_ps` after each trigger, for `window_ps`; `phase_deg` is added to one arm
    of the interferometer of single clicks.
    """

    delay_ps: float | None = None
    window_ps: float | None = None
    phase_deg: float | None = None


@dataclass(frozen=True, slots=True)
class QubitNumbers:
    """One qubit of a device whose qubits differ.

    `efficiency` is the probability that it takes over a state that is moved into it.
    `attempts_1e`: after so many attempts of the communication qubit the <X> and <Y> that it holds
    are down to 1/e; inf where attempts do not disturb it.
    """

    t1_s: float
    t2_s: float
    readout_error: float = 0.0
    efficiency: float = 1.0
    attempts_1e: float = math.inf


@dataclass(frozen=True, slots=True)
class DeviceCapabilities:
    """What a quantum device can do, in its own numbers; see docs/device-protocol.md.

    `role` is "node" (has qubits) or "midpoint" (tells Bell states). Qubit 0 of a node is the
    communication qubit, the others store. Times are seconds, errors are depolarising
    probabilities, `readout_error` the probability of the wrong outcome.

    `modes` is how many attempts the device keeps in labelled modes; 0: one, and it stops at its
    herald. Of `gate_durations_s` and `gate_errors`, which also know "initialise" and "move", and
    the former "measure", a device tells what differs from one gate to another, or nothing.

    `turns`: it can turn a qubit by any angle.

    `tunes`: what of `DeviceTuning` a midpoint can be set to, by name.

    `qubit_numbers` has each qubit's own, or nothing where all are alike. `crosstalk` are pairs of
    neighbours: a gate on either flips the phase of the other with this probability. Work on another
    qubit than the last begins `switching_time_s` later.

    `ports` are its optical ports by number, each to a midpoint of its own, of which it serves one
    at a time; a device with one has none here. Period and fidelity above are those of port 0.
    """

    role: Literal["node", "midpoint"]
    qubits: int
    attempt_period_s: float
    herald_mode: Literal["hardware", "host"]
    gates: tuple[str, ...]
    t1_s: float
    t2_s: float
    initial_fidelity: float
    gate_error: float
    two_qubit_gate_error: float
    readout_error: float
    modes: int = 0
    gate_durations_s: Mapping[str, float] = field(default_factory=dict)
    gate_errors: Mapping[str, float] = field(default_factory=dict)
    ports: tuple[DevicePort, ...] = ()
    turns: bool = False
    qubit_numbers: tuple[QubitNumbers, ...] = ()
    crosstalk: tuple[tuple[int, int, float], ...] = ()
    switching_time_s: float = 0.0
    tunes: tuple[str, ...] = ()

    def error_of(self, operation: str) -> float:
        """Depolarising probability of a gate, or of a "move", which takes two-qubit gates where
        the device tells nothing else."""
        two = operation in ("CNOT", "move")
        alike = self.two_qubit_gate_error if two else self.gate_error
        return self.gate_errors.get(operation, alike)

    def at_port(self, port: int) -> DeviceCapabilities:
        """The numbers of a link at this port. Raises ValueError for a port that is not there."""
        if not 0 <= port < max(1, len(self.ports)):
            raise ValueError(f"port {port}, the device has 0 to {max(1, len(self.ports)) - 1}")
        if not self.ports:
            return self
        there = self.ports[port]
        return replace(
            self,
            attempt_period_s=there.attempt_period_s,
            initial_fidelity=there.initial_fidelity,
        )


@dataclass(frozen=True, slots=True)
class DeviceHerald:
    """A success, as one device saw it. `bell_state` is told by a midpoint only.

    `slot` counts attempts on the trigger line that all devices of the link share; `time_ps` is on
    the device's own timescale; `received_s` is the node's own clock when the event had been read;
    `port` is where the attempts were.
    """

    slot: int
    time_ps: int
    received_s: float
    qubit: int | None = None
    bell_state: BellName | None = None
    port: int = 0


class QuantumDevice(Instrument):
    """Qubits that can be entangled with a far end, or the midpoint between two of them."""

    @abstractmethod
    async def capabilities(self) -> DeviceCapabilities:
        """The device's own numbers; constant while connected."""

    @abstractmethod
    async def configure_attempts(
        self,
        bright_population: float | None = None,
        *,
        count: int = 0,
        start_slot: int = 0,
        port: int = 0,
    ) -> None:
        """Say how the next `start` at a port attempts: `count` attempts (0: no limit), none before
        `start_slot`. `bright_population`, 0 to 1, of this port stays until it is set anew; None
        leaves it.
        """

    @abstractmethod
    async def start(self, *, count: int = 0, port: int = 0) -> int:
        """Attempt entanglement at a port in every slot until a herald, `abort`, or `count` attempts
        (0: no limit). A single-mode device stops at its herald with the qubit held; a multimode one
        goes on, and keeps the last attempts in modes labelled by their slots; those of another port
        are given up. An attempt at one port has to be over before one at another.

        Returns the first slot that may succeed: a herald of an earlier slot is an old one.
        """

    @abstractmethod
    async def abort(self, *, port: int | None = None) -> None:
        """Stop attempting, or only if it is at this port; a herald already reported stays valid."""

    @abstractmethod
    def heralds(self, port: int = 0) -> AsyncIterator[DeviceHerald]:
        """Heralds of a port as the device reports them; ends by an exception when the link breaks.

        One consumer a port.
        """

    async def listen(self, heard: Callable[[DeviceHerald], None], port: int = 0) -> None:
        """Call `heard` with each herald of a port; ends by an exception when the link breaks.

        A driver that can calls it in the moment the event is read, with no task between.
        """
        async for herald in self.heralds(port):
            heard(herald)

    def post(self, done: Done, order: Order, *arguments: Any, port: int | None = None) -> None:
        """Begin one of the orders below and return at once.

        `done` is called later, never before this returns, with what the order returns or with the
        InstrumentProblem that it raises. Orders are carried out in the order of posting.
        """
        named = {} if port is None else {"port": port}
        call: Coroutine[Any, Any, Any] = getattr(self, order)(*arguments, **named)
        self._posted = asyncio.create_task(_in_turn(self._posted, call, done))

    _posted: asyncio.Task[None] | None = None

    @abstractmethod
    async def initialise(self, qubit: int, state: str = "0") -> None:
        """Prepare a qubit in one of "0" "1" "+" "-" "+i" "-i"."""

    @abstractmethod
    async def gate(self, gate: str, *qubits: int) -> None:
        """Apply one of the gates of the capabilities: X Y Z H S SDG; CNOT takes control, target."""

    async def turn(self, qubit: int, axis: Basis, angle_rad: float) -> None:
        """Turn a qubit about an axis by an angle: exp(-i angle/2 sigma). Raises Refused where the
        device has no such turns."""
        raise Refused(f"this device turns no qubit about {axis}", owner=self.link.owner)

    async def tune(self, wanted: DeviceTuning) -> DeviceTuning:
        """Set how a midpoint detects, and give how it then does. It stays so until it is told
        else, or switched off. Raises Refused where the device has nothing of the kind."""
        raise Refused("this device has no detection to be set", owner=self.link.owner)

    async def clicks(self) -> tuple[int, int]:
        """Attempts of a midpoint since its last start, and the clicks of all its detectors in their
        windows. Raises Refused where it does not count."""
        raise Refused("this device counts no clicks", owner=self.link.owner)

    @abstractmethod
    async def move(self, source: int, target: int) -> None:
        """Move a state to another qubit, leaving the source free."""

    @abstractmethod
    async def measure(self, qubit: int, basis: Basis = "Z") -> int:
        """Measure and free the qubit: 0 for the +1 outcome (|0>, |+>, |+i>), 1 for the other."""

    @abstractmethod
    async def release(self, qubit: int) -> None:
        """Give the qubit up; its state is lost."""

    @abstractmethod
    async def keep(self, slot: int, *, port: int = 0) -> int:
        """Make the half of this attempt a qubit; returns which. Its mode is then free."""

    @abstractmethod
    async def release_mode(self, slot: int | None, *, port: int = 0) -> None:
        """Give up the half of this attempt, or of all at any port (None)."""


async def _in_turn(
    before: asyncio.Task[None] | None, call: Coroutine[Any, Any, Any], done: Done
) -> None:
    if before is not None:
        await asyncio.wait([before])
    try:
        result = await call
    except InstrumentProblem as problem:
        result = problem
    done(result)
