"""A target without hardware: the methods of the README on qubits that only remember."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_OUTCOMES = {
    ("0", "Z"): 0,
    ("1", "Z"): 1,
    ("+", "X"): 0,
    ("-", "X"): 1,
    ("+i", "Y"): 0,
    ("-i", "Y"): 1,
}
_FLIPS = {"X": {"0": "1", "1": "0"}, "Z": {"+": "-", "-": "+"}}


class SimulatedTarget:
    """Not a quantum device: a qubit gives back what was prepared, in its basis, and 0 in others.

    Every `herald_every`-th slot succeeds. With `modes`, the last so many attempts are kept and no
    success is told. `clock_s` is the trigger line's; `attempt` blocks in `sleep_s` like a kernel.
    """

    def __init__(
        self,
        serial: str = "SIM",
        *,
        modes: int = 0,
        herald_every: int = 1000,
        clock_s: Callable[[], float] = time.monotonic,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self._serial = serial
        self._modes, self._every = modes, herald_every
        self._clock_s, self._sleep_s = clock_s, sleep_s
        self._period_s = 1e-5
        self._states: dict[int, str] = {}
        self._kept: dict[int, None] = {}
        self.bright_population = 0.5

    def identity(self) -> dict[str, str]:
        """Who it is."""
        return {
            "role": "node",
            "maker": "qnodeos",
            "model": "simulated ARTIQ device",
            "serial": self._serial,
            "firmware": "0",
        }

    def capabilities(self) -> dict[str, Any]:
        """Perfect gates that take no time."""
        return {
            "qubits": 2,
            "modes": self._modes,
            "attempt_period_s": self._period_s,
            "herald_mode": "host" if self._modes else "hardware",
            "gates": list(_FLIPS),
            "t1_s": 1e3,
            "t2_s": 1e3,
            "initial_fidelity": 1.0,
            "gate_error": 0.0,
            "two_qubit_gate_error": 0.0,
            "readout_error": 0.0,
        }

    def now(self) -> tuple[int, int]:
        """The slot under way and the device's time in ps."""
        now_s = self._clock_s()
        return int(now_s / self._period_s), round(now_s * 1e12)

    def configure(self, bright_population: float) -> None:
        """Set the bright-state population."""
        self.bright_population = bright_population

    def attempt(self, first_slot: int, count: int) -> tuple[int, int, int]:
        """The slots go by, and one of them may succeed."""
        first = max(first_slot, self.now()[0] + 1)
        last = first + count - 1
        success = -(-first // self._every) * self._every
        heralded = not self._modes and success <= last
        end = success if heralded else last
        self._sleep_s(max(0.0, (end + 1) * self._period_s - self._clock_s()))
        if heralded:
            self._states[0] = "0"
        if self._modes:
            self._kept |= dict.fromkeys(range(first, last + 1))
            for slot in list(self._kept)[: -self._modes]:
                del self._kept[slot]
        return end, self.now()[1], int(heralded)

    def initialise(self, qubit: int, state: str) -> None:
        """Remember a state."""
        self._states[qubit] = state

    def gate(self, name: str, qubits: list[int]) -> None:
        """Flip what is remembered."""
        (qubit,) = qubits
        state = self._states[qubit]
        self._states[qubit] = _FLIPS[name].get(state, state)

    def move(self, source: int, target: int) -> None:
        """Remember it elsewhere."""
        self._states[target] = self._states.pop(source)

    def measure(self, qubit: int, basis: str) -> int:
        """What was prepared."""
        return _OUTCOMES.get((self._states.pop(qubit), basis), 0)

    def release(self, qubit: int) -> None:
        """Forget."""
        self._states.pop(qubit, None)

    def keep(self, slot: int, qubit: int) -> bool:
        """Whether the mode of this slot was there."""
        if slot not in self._kept:
            return False
        del self._kept[slot]
        self._states[qubit] = "0"
        return True

    def release_mode(self, slot: int) -> bool:
        """Free one, or all (-1); whether it was there."""
        if slot < 0:
            self._kept.clear()
            return True
        there = slot in self._kept
        self._kept.pop(slot, None)
        return there

    def modes_held(self) -> int:
        """How many modes hold something."""
        return len(self._kept)
