"""A node's quantum device: a few qubits, one of which a midpoint can entangle with a far end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from sim_backends.clocks import FreeRunningClock
from sim_backends.device_fault import (
    BAD_REQUEST,
    DEVICE_FAULT,
    MODE_GONE,
    NO_SUCH,
    QUBIT_STATE,
    DeviceFault,
)
from sim_backends.lab import MemoryConfig
from sim_backends.labelled_modes import LabelledModes
from sim_backends.memory_qubits import MemoryQubits
from sim_backends.midpoint import Attempts, HeraldEvent, StoppedEvent
from sim_backends.pairs import PairBook
from sim_backends.register import QubitKey, QubitRegister
from sim_backends.truth import TruthLog

__all__ = [
    "BAD_REQUEST",
    "DEVICE_FAULT",
    "NO_SUCH",
    "QUBIT_STATE",
    "DeviceFault",
    "MemoryDevice",
]


class MemoryDevice(MemoryQubits):
    """The qubits of one node with what entangles them. All operations raise DeviceFault.

    Each of `lines` is the trigger line of a midpoint at one of its optical ports, numbered from 0.
    There is one emitter, so it attempts at one port at a time, and labelled modes are of the port
    of the last start.
    """

    role: Literal["node"] = "node"
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
        super().__init__(
            name,
            config,
            register=register,
            pairs=pairs,
            time_ps=time_ps,
            fire_due=fire_due,
            truth=truth,
            rng=rng,
        )
        self.clock = clock
        self.on_herald = None
        self.on_stopped = None
        self._member = f"memories.{name}"
        self._lines = tuple(lines)
        self._port = 0
        self._labelled = [
            LabelledModes(name, config.attempt_modes, line, self._member, register, self._forget)
            for line in self._lines
            if config.attempt_modes > 0
        ]
        register.add_device(name, config, self._made if self._lines else None)

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
        line.set_bright_population(self.name, alpha)

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

    def release_all(self) -> None:
        """The safe state: stop attempting and give up all qubits and modes."""
        self.abort()
        for qubit in self.held():
            self.release(qubit)
        if self.multimode:
            self.release_mode(None)

    def _refuse_taken(self, qubit: int) -> None:
        if qubit == 0 and self.attempting and not self.multimode:
            raise DeviceFault(QUBIT_STATE, "qubit 0 is in use by attempts; abort first")
