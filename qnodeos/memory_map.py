"""What a device tells of each of its qubits, where a half is stored best, and what that costs it.

The loss of a place is an expected infidelity: what is lost in moving there, what decays until the
half is used, and what gates do to neighbours. Crosstalk counts both ways: a gate on the new half
disturbs what is held beside it, and a gate there disturbs the new half.
"""

from __future__ import annotations

import math
from collections.abc import Container

from drivers.devices import DeviceCapabilities, QubitNumbers
from link_layer.messages import Place
from link_layer.states import Coherence, Pauli

COMMUNICATION_QUBIT = 0
"""It makes the entanglement; the others store it."""

GATES_EXPECTED = 2
"""On each half that is held: it is corrected or turned, and takes part in one gate of two."""


class MemoryMap:
    """The qubits of one device. Raises ValueError for numbers that no qubit can have."""

    def __init__(self, device: DeviceCapabilities):
        told = device.qubit_numbers
        if told and len(told) != device.qubits:
            raise ValueError(f"numbers of {len(told)} qubits, expected {device.qubits}")
        self.device = device
        alike, moved = Coherence(device.t1_s, device.t2_s), 1 - device.error_of("move")
        self._coherences = [alike] * device.qubits
        self._kept = [moved] * device.qubits
        self._neighbours: list[dict[int, float]] = [{} for _ in range(device.qubits)]
        for qubit, numbers in enumerate(told):
            stated = Coherence(numbers.t1_s, numbers.t2_s)
            self._coherences[qubit] = _attempted(stated, numbers, device.attempt_period_s)
            self._kept[qubit] = moved * numbers.efficiency
        for one, other, share in device.crosstalk:
            if not (0 <= one < device.qubits and 0 <= other < device.qubits) or one == other:
                raise ValueError(f"crosstalk of qubits {one} and {other} of {device.qubits}")
            self._neighbours[one][other] = self._neighbours[other][one] = share
        self.differs = bool(told or device.crosstalk)
        """One place is better than another."""
        storage = self._kept[COMMUNICATION_QUBIT + 1 :]
        self.kept = sum(storage) / len(storage) if storage else 1.0
        """What a move into storage leaves of a half's correlators, on average."""

    def place(self, qubit: int, correction: Pauli = "I") -> Place | None:
        """A half that was corrected, and moved there; None if it is as good as fresh, and decays as
        the device says of all its qubits."""
        coherence = self._coherences[qubit]
        gate_error = 0.0 if correction == "I" else self.device.error_of(correction)
        place = Place(coherence.t1_s, coherence.t2_s, self._kept[qubit] * (1 - gate_error))
        return None if place == Place(self.device.t1_s, self.device.t2_s) else place

    def loss(self, qubit: int, held: Container[int], hold_s: float) -> float:
        """Infidelity expected of a half stored here for a time, and of those held beside it."""
        lost = 0.75 * (1 - self._kept[qubit])
        decayed = (1 - self._coherences[qubit].kept(hold_s)[1]) / 2
        beside = self._neighbours[qubit].items()
        crossed = sum(share for neighbour, share in beside if neighbour in held)
        return lost + decayed + 2 * GATES_EXPECTED * crossed


def _attempted(stated: Coherence, numbers: QubitNumbers, period_s: float) -> Coherence:
    """What is left of a coherence while another qubit attempts."""
    if math.isinf(numbers.attempts_1e) or period_s <= 0:
        return stated
    rate_hz = 1 / stated.t2_s + 1 / (numbers.attempts_1e * period_s)
    return Coherence(stated.t1_s, 1 / rate_hz)
