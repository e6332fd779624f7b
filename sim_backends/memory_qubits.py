"""The qubits of one node, and what can be done to them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import numpy as np

from sim_backends.axis_channels import PAULIS, dephasing, loss
from sim_backends.device_fault import (
    BAD_REQUEST,
    DEVICE_FAULT,
    NO_SUCH,
    QUBIT_STATE,
    DeviceFault,
)
from sim_backends.held_states import CARDINAL_POINTS, Bloch
from sim_backends.lab import MemoryConfig
from sim_backends.pairs import PairBook
from sim_backends.register import QubitKey, QubitRegister, TooManyEntangled
from sim_backends.states import BASIS_STATES, GATES, depolarised, unitary
from sim_backends.truth import TruthLog

__all__ = ["MemoryQubits"]

_TWO_QUBIT_GATES: Final = frozenset({"CNOT"})


class MemoryQubits(ABC):
    """Qubits of one node. Operations act at once; the instrument waits `gate_time_s` before it
    answers. All raise DeviceFault.

    Depolarising errors: with the error's probability the qubits end in the maximally mixed state.
    A move costs its qubit one two-qubit gate's error, and the state where the mode moved to does
    not take it. A gate flips the phase of held neighbours with the crosstalk of the lab's table;
    the attribute `crosstalk`, of a fault, is the probability that an operation depolarises each
    qubit that it is not about.
    """

    gates: tuple[str, ...] = tuple(GATES)

    def __init__(
        self,
        name: str,
        config: MemoryConfig,
        *,
        register: QubitRegister,
        pairs: PairBook,
        time_ps: Callable[[], int],
        fire_due: Callable[[], None],
        truth: TruthLog,
        rng: np.random.Generator,
    ) -> None:
        self.name = name
        self.config = config
        self.crosstalk = 0.0
        self._register = register
        self._pairs = pairs
        self._time_ps = time_ps
        self._fire_due = fire_due
        self._truth = truth
        self._rng = rng
        self._measured = 0
        self._last_qubit: int | None = None
        self._set_channels()

    def configure(self, config: MemoryConfig) -> None:
        """Have other coherence times and errors from now on; not another number of qubits."""
        self.config = config
        self._set_channels()
        self._register.change_device(self.name, config, self._time_s())

    @property
    def qubits(self) -> int:
        """How many qubits there are; 0 communicates."""
        return self.config.qubits

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

    def held(self) -> list[int]:
        """The qubits that have a state."""
        return [qubit for qubit in range(self.qubits) if self._register.holds((self.name, qubit))]

    def initialise(self, qubit: int, state: str) -> None:
        """Prepare a qubit in one of "0" "1" "+" "-" "+i" "-i"; what it held is lost."""
        key = self._key(qubit)
        if state not in CARDINAL_POINTS:
            raise DeviceFault(
                NO_SUCH, f"no state {state!r}; there are {', '.join(CARDINAL_POINTS)}"
            )
        self._refuse_taken(qubit)
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
        self._refuse_taken(target)
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

    def release(self, qubit: int) -> None:
        """Give the qubit up; releasing a free one does nothing."""
        self._forget(self._key(qubit))

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

    def _disturb_others(self, used: set[int]) -> None:
        """An operation on some qubits depolarises the others with probability `crosstalk`."""
        if self.crosstalk <= 0.0:
            return
        channel = loss(self.crosstalk)
        for qubit in self.held():
            if qubit not in used:
                self._register.along(channel, (self.name, qubit), self._time_s())

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

    @abstractmethod
    def _refuse_taken(self, qubit: int) -> None:
        """Raises DeviceFault for a qubit that attempts need."""

    def _time_s(self) -> float:
        return self._time_ps() * 1e-12
