"""A node's quantum device: a few qubits, one of which a midpoint can entangle with a far end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np

from sim_backends.axis_channels import PAULIS, dephasing, loss
from sim_backends.clocks import FreeRunningClock
from sim_backends.device_fault import (
    BAD_REQUEST,
    DEVICE_FAULT,
    MODE_GONE,
    NO_SUCH,
    QUBIT_STATE,
    DeviceFault,
)
from sim_backends.held_states import CARDINAL_POINTS, Bloch
from sim_backends.lab import MemoryConfig
from sim_backends.labelled_modes import LabelledModes
from sim_backends.midpoint import Attempts, HeraldEvent, StoppedEvent
from sim_backends.pairs import PairBook
from sim_backends.register import QubitKey, QubitRegister, TooManyEntangled
from sim_backends.states import BASIS_STATES, GATES, depolarised, unitary
from sim_backends.truth import TruthLog

__all__ = [
    "BAD_REQUEST",
    "DEVICE_FAULT",
    "NO_SUCH",
    "QUBIT_STATE",
    "DeviceFault",
    "MemoryDevice",
]

_TWO_QUBIT_GATES: Final = frozenset({"CNOT"})


class MemoryDevice:
    """Qubits of one node. Operations act at once; the instrument waits `gate_time_s` before it
    answers. All raise DeviceFault.

    Depolarising errors: with the error's probability the qubits end in the maximally mixed state.
    A move costs its qubit one two-qubit gate's error, and the state where the mode moved to does
    not take it. A gate flips the phase of held neighbours with the crosstalk of the lab's table;
    the attribute `crosstalk`, of a fault, is the probability that an operation depolarises each
    qubit that it is not about.

    Each of `lines` is the trigger line of a midpoint at one of its optical ports, numbered from 0.
    There is one emitter, so it attempts at one port at a time, and labelled modes are of the port
    of the last start.
    """

    role: Literal["node"] = "node"
    gates: tuple[str, ...] = tuple(GATES)
    on_herald: Callable[[HeraldEvent], None] | None
    on_stopped: Callable[[StoppedEvent], None] | None

    def __init__(
        self,
        name: str,
        config: MemoryConfig,
        *,
        lines: Sequence[Attempts],
        register: QubitRegister,
        pairs: PairBook,
        clock: FreeRunningClock,
        time_ps: Callable[[], int],
        fire_due: Callable[[], None],
        truth: TruthLog,
        rng: np.random.Generator,
    ) -> None:
        self.name = name
        self.config = config
        self.on_herald = None
        self.on_stopped = None
        self._member = f"memories.{name}"
        self._lines = tuple(lines)
        self._port = 0
        self._register = register
        self._pairs = pairs
        self.clock = clock
        self._time_ps = time_ps
        self._fire_due = fire_due
        self._truth = truth
        self._rng = rng
        self._measured = 0
        self.crosstalk = 0.0
        self._last_qubit: int | None = None
        self._labelled = [
            LabelledModes(name, config.attempt_modes, line, self._member, register, self._forget)
            for line in self._lines
            if config.attempt_modes > 0
        ]
        self._set_channels()
        register.add_device(name, config, self._made if self._lines else None)

    def configure(self, config: MemoryConfig) -> None:
        """Have other coherence times and errors from now on; not another number of qubits."""
        self.config = config
        self._set_channels()
        self._register.change_device(self.name, config, self._time_s())

    def _set_channels(self) -> None:
        config = self.config
        self._paulis = {
            gate: loss(self.error_of(gate)).after(channel) for gate, channel in PAULIS.items()
        }
        self._channels = {
            gate: depolarised(unitary(matrix), self.error_of(gate))
            for gate, matrix in GATES.items()
            if gate not in PAULIS
        }
        self._neighbour = dephasing(1.0 - 2.0 * config.crosstalk)

    @property
    def qubits(self) -> int:
        """How many qubits there are; 0 communicates."""
        return self.config.qubits

    @property
    def ports(self) -> tuple[str, ...]:
        """The midpoint at each optical port."""
        return tuple(line.name for line in self._lines)

    def port_of(self, line: Attempts) -> int:
        """The port at which a midpoint's trigger line ends."""
        return self._lines.index(line)

    def attempt_period_s(self, port: int = 0) -> float:
        """Length of a slot at a port; 0 without a midpoint."""
        return self._lines[port].period_s if self._lines else 0.0

    def initial_fidelity(self, port: int = 0) -> float:
        """Fidelity of a fresh pair by the device's data sheet, `stated_fidelity` of the lab.

        A lab that gives none has a calibrated device, which tells the mean; 0 without a midpoint.
        """
        if self.config.stated_fidelity is not None:
            return self.config.stated_fidelity
        return self._lines[port].initial_fidelity if self._lines else 0.0

    @property
    def readout_time_s(self) -> float:
        """How long a measurement takes."""
        return self.config.readout_time_us * 1e-6

    def gate_time_s(self, name: str) -> float:
        """How long a gate, `"move"` or `"initialise"` takes."""
        if name not in GATES and name not in ("move", "initialise"):
            raise DeviceFault(NO_SUCH, f"no gate {name!r}; there are {', '.join(self.gates)}")
        return self.config.gate_time_us * 1e-6

    def error_of(self, name: str) -> float:
        """Depolarising probability of a gate."""
        two = name in _TWO_QUBIT_GATES
        return self.config.two_qubit_gate_error if two else self.config.gate_error

    def switching_s(self, qubits: tuple[int, ...] | list[int]) -> float:
        """How long it takes to get to the first of these qubits from the one worked on last, and
        note that the last of them is the one worked on now."""
        if not qubits:
            return 0.0
        other = self._last_qubit is not None and qubits[0] != self._last_qubit
        self._last_qubit = qubits[-1]
        return self.config.switching_time_us * 1e-6 if other else 0.0

    def set_bright_population(self, alpha: float, port: int = 0) -> None:
        """Set alpha of the emitter-photon interface for attempts at a port from the next slot on.

        A switch behind the emitter brings its light to one port, so each may have its own.
        """
        self._fire_due()
        self.check_port(port)
        line = self._lines[port] if self._lines else None
        if line is None or line.config.scheme != "single_click":
            raise DeviceFault(BAD_REQUEST, "no single-click midpoint has this end")
        if not 0.0 <= alpha <= 1.0:
            raise DeviceFault(BAD_REQUEST, f"bright population {alpha:g}; expected 0 to 1")
        config = line.config
        bright = config.bright_population | {self.name: alpha}
        line.configure(config.model_copy(update={"bright_population": bright}))

    @property
    def multimode(self) -> bool:
        """Whether it keeps the halves of many attempts and goes on after a herald."""
        return bool(self._labelled)

    @property
    def attempt_modes(self) -> int:
        """How many attempts it keeps in labelled modes; 0 for a device with one mode."""
        return self._labelled[0].count if self._labelled else 0

    def modes_held(self) -> int:
        """How many of the labelled modes hold something."""
        self._fire_due()
        return len(self._labelled[self._port]) if self._labelled else 0

    @property
    def port(self) -> int:
        """The port of the last start."""
        return self._port

    @property
    def attempting(self) -> bool:
        """Whether the device takes part in attempts."""
        return bool(self._lines) and self._lines[self._port].attempting(self._member)

    def slot_now(self) -> int:
        """The slot that is under way at the port of the last start; 0 without a midpoint."""
        return self._lines[self._port].slot_now() if self._lines else 0

    def device_time_ps(self) -> int:
        """The device's own clock now."""
        return self.clock.read_ps(self._time_ps())

    def held(self) -> list[int]:
        """The qubits that have a state."""
        return [qubit for qubit in range(self.qubits) if self._register.holds((self.name, qubit))]

    def start(self, count: int = 0, start_slot: int = 0, port: int = 0) -> int:
        """Attempt entanglement at a port for `count` slots (0: no limit), not before `start_slot`.

        Returns the first slot. Labelled modes of another port are given up.
        """
        self._fire_due()
        if count < 0:
            raise DeviceFault(BAD_REQUEST, f"count {count}; expected 0 or more")
        if not self._lines:
            raise DeviceFault(
                DEVICE_FAULT, "no trigger line is connected: no midpoint has this end"
            )
        self.check_port(port)
        if not self.multimode and self._register.holds((self.name, 0)):
            raise DeviceFault(QUBIT_STATE, "qubit 0 is in use; move, measure or release it first")
        if port != self._port:
            if self.attempting:
                raise DeviceFault(
                    QUBIT_STATE, f"attempting at port {self._port}; abort first, one at a time"
                )
            if self._labelled:
                self._labelled[self._port].release_all()
            self._port = port
        return self._lines[port].start(self._member, count, start_slot)

    def abort(self, port: int | None = None) -> None:
        """Stop attempting, or only if it is at this port; a herald already reported stays valid."""
        self._fire_due()
        if port is not None:
            self.check_port(port)
        if self._lines and port in (None, self._port):
            self._lines[self._port].abort(self._member)

    def heralded_key(self, line: Attempts, slot: int) -> QubitKey:
        """Where the half of a success of this slot is."""
        if not self._labelled:
            return self.name, 0
        labelled = self._labelled[self.port_of(line)]
        labelled.let_overwritten_go()
        return labelled.key(slot)

    def keep(self, slot: int, port: int = 0) -> int:
        """Make the half of this attempt the lowest free qubit; returns its number."""
        labelled = self._modes(port)
        held = self.held()
        free = next((qubit for qubit in range(self.qubits) if qubit not in held), None)
        if free is None:
            raise DeviceFault(QUBIT_STATE, "no free qubit; measure or release one first")
        key = labelled.take(slot)
        self._register.rename(key, (self.name, free), self._time_s())
        self._pairs.moved(key, (self.name, free))
        return free

    def release_mode(self, slot: int | None, port: int = 0) -> None:
        """Give up the half of this attempt, or of all attempts at any port."""
        if slot is None:
            self._modes(self._port).release_all()
        else:
            self._modes(port).release(slot)

    def _modes(self, port: int) -> LabelledModes:
        self._fire_due()
        if not self._labelled:
            raise DeviceFault(BAD_REQUEST, "this device has one mode, which is qubit 0")
        self.check_port(port)
        if port != self._port:
            raise DeviceFault(MODE_GONE, f"the modes are of port {self._port} by now, not {port}")
        return self._labelled[port]

    def check_port(self, port: int) -> None:
        """Raises DeviceFault for a port that is not there."""
        if not 0 <= port < max(1, len(self._lines)):
            raise DeviceFault(
                NO_SUCH, f"no port {port}; there are 0 to {max(1, len(self._lines)) - 1}"
            )

    def _made(self) -> int:
        """Attempts at all ports: a stored qubit suffers from each."""
        return sum(line.made(self._member) for line in self._lines)

    def initialise(self, qubit: int, state: str) -> None:
        """Prepare a qubit in one of "0" "1" "+" "-" "+i" "-i"; what it held is lost."""
        key = self._key(qubit)
        if state not in CARDINAL_POINTS:
            raise DeviceFault(
                NO_SUCH, f"no state {state!r}; there are {', '.join(CARDINAL_POINTS)}"
            )
        self._refuse_while_attempting(qubit)
        self._forget(key)
        prepared = Bloch(*CARDINAL_POINTS[state])
        prepared.along(0, loss(self.config.initialise_error))
        self._register.add([key], prepared, self._time_s())

    def gate(self, name: str, qubits: tuple[int, ...] | list[int]) -> None:
        """Apply a gate; CNOT takes control and target."""
        if name not in GATES:
            raise DeviceFault(NO_SUCH, f"no gate {name!r}; there are {', '.join(self.gates)}")
        wanted = 2 if name in _TWO_QUBIT_GATES else 1
        if len(qubits) != wanted or len(set(qubits)) != wanted:
            raise DeviceFault(
                BAD_REQUEST, f"{name} on qubits {list(qubits)}; expected {wanted} different ones"
            )
        keys = [self._held_key(qubit) for qubit in qubits]
        for key in keys:
            self._pairs.used(key, self._time_s())
        if name in self._paulis:
            self._register.along(self._paulis[name], keys[0], self._time_s())
        else:
            try:
                self._register.operate(self._channels[name], keys, self._time_s())
            except TooManyEntangled as error:
                raise DeviceFault(DEVICE_FAULT, str(error)) from error
        if self.config.crosstalk > 0.0:
            for near in sorted({q + side for q in qubits for side in (-1, 1)} - set(qubits)):
                if self._register.holds((self.name, near)):
                    self._register.along(self._neighbour, (self.name, near), self._time_s())
        self._disturb_others(set(qubits))

    def turn(self, qubit: int, axis: str, angle_rad: float) -> None:
        """Turn a qubit about an axis, "X", "Y" or "Z": exp(-i angle/2 sigma)."""
        if axis not in ("X", "Y", "Z"):
            raise DeviceFault(NO_SUCH, f"no axis {axis!r}; there are X, Y, Z")
        if not math.isfinite(angle_rad):
            raise DeviceFault(BAD_REQUEST, f"angle_rad {angle_rad}; expected a finite number")
        key = self._held_key(qubit)
        self._pairs.used(key, self._time_s())
        turned = math.cos(angle_rad / 2) * np.eye(2) - 1j * math.sin(angle_rad / 2) * GATES[axis]
        channel = depolarised(unitary(turned), self.error_of(axis))
        self._register.operate(channel, [key], self._time_s())
        self._disturb_others({qubit})

    def move(self, source: int, target: int) -> None:
        """Move a state to a free qubit, leaving the source free."""
        from_key, to_key = self._held_key(source), self._key(target)
        self._refuse_while_attempting(target)
        if self._register.holds(to_key):
            raise DeviceFault(QUBIT_STATE, f"qubit {target} is in use; move needs a free one")
        time_s = self._time_s()
        mode = self.config.modes.get(target)
        taken = 1.0 if mode is None else mode.efficiency
        lost = 1.0 - taken * (1.0 - self.config.two_qubit_gate_error)
        self._register.along(loss(lost), from_key, time_s)
        self._register.rename(from_key, to_key, time_s)
        self._pairs.moved(from_key, to_key)
        self._disturb_others({target})

    def measure(self, qubit: int, basis: str) -> int:
        """Measure in "Z", "X" or "Y" and free the qubit: 0 for the +1 outcome, 1 for the other."""
        if basis not in BASIS_STATES:
            raise DeviceFault(NO_SUCH, f"no basis {basis!r}; there are {', '.join(BASIS_STATES)}")
        key = self._held_key(qubit)
        time_s = self._time_s()
        self._pairs.used(key, time_s)
        p_zero, found = self._register.measure(key, basis, time_s, self._rng)
        mode = self.config.modes.get(qubit)
        error = self.config.readout_error
        if mode is not None and mode.readout_error is not None:
            error = mode.readout_error
        wrong = bool(self._rng.random() < error)
        outcome = 1 - found if wrong else found
        self._truth.record(
            "measure",
            device=self.name,
            n=self._measured,
            qubit=qubit,
            basis=basis,
            t_s=time_s,
            outcome=outcome,
            p_zero=p_zero,
        )
        self._measured += 1
        self._disturb_others({qubit})
        return outcome

    def _disturb_others(self, used: set[int]) -> None:
        """An operation on some qubits depolarises the others with probability `crosstalk`."""
        if self.crosstalk <= 0.0:
            return
        channel = loss(self.crosstalk)
        for qubit in self.held():
            if qubit not in used:
                self._register.along(channel, (self.name, qubit), self._time_s())

    def release(self, qubit: int) -> None:
        """Give the qubit up; releasing a free one does nothing."""
        self._forget(self._key(qubit))

    def release_all(self) -> None:
        """The safe state: stop attempting and give up all qubits and modes."""
        self.abort()
        for qubit in self.held():
            self.release(qubit)
        if self.multimode:
            self.release_mode(None)

    def _forget(self, key: QubitKey) -> None:
        if not self._register.holds(key):
            return
        time_s = self._time_s()
        self._pairs.lost(key, time_s)
        self._register.remove(key)
        self._truth.record("release", device=self.name, qubit=key[1], t_s=time_s)

    def _key(self, qubit: int) -> QubitKey:
        self._fire_due()
        if not 0 <= qubit < self.qubits:
            raise DeviceFault(NO_SUCH, f"no qubit {qubit}; there are 0 to {self.qubits - 1}")
        return self.name, qubit

    def _held_key(self, qubit: int) -> QubitKey:
        key = self._key(qubit)
        if not self._register.holds(key):
            raise DeviceFault(QUBIT_STATE, f"qubit {qubit} is empty")
        return key

    def _refuse_while_attempting(self, qubit: int) -> None:
        if qubit == 0 and self.attempting and not self.multimode:
            raise DeviceFault(QUBIT_STATE, "qubit 0 is in use by attempts; abort first")

    def _time_s(self) -> float:
        return self._time_ps() * 1e-12
