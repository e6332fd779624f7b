"""Qubits that are held somewhere in the lab, entangled or not, and how they decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from sim_backends.axis_channels import AxisChannel, dephasing, storage
from sim_backends.held_states import HeldState, XPair, joint, settled
from sim_backends.lab import MemoryConfig
from sim_backends.states import BellName, ComplexArray, apply, fidelity, partial_trace

__all__ = ["MAX_GROUP", "QubitKey", "QubitRegister", "TooManyEntangled"]

QubitKey: TypeAlias = tuple[str, int]  # device, qubit
MAX_GROUP: Final = 8


class TooManyEntangled(Exception):
    """A gate would entangle more qubits than the simulation holds in one state."""


@dataclass(slots=True)
class _Group:
    """Qubits in one joint state; `touched_s` is until when each qubit's decay is in the state, and
    `touched_n` until which attempt of its device."""

    keys: list[QubitKey]
    state: HeldState
    touched_s: list[float]
    touched_n: list[int]


class QubitRegister:
    """The joint states of all held qubits, one per entangled group.

    A qubit's decay acts on no other qubit, so it is applied when the qubit is next touched.
    """

    def __init__(self) -> None:
        self._group_of: dict[QubitKey, _Group] = {}
        self._memory: dict[str, MemoryConfig] = {}
        self._attempts: dict[str, Callable[[], int]] = {}
        self._disturbed: set[str] = set()
        """Devices of which some qubit suffers from attempts."""

    def add_device(
        self, name: str, memory: MemoryConfig, attempts: Callable[[], int] | None = None
    ) -> None:
        """Make known how the qubits of a device decay, and how many attempts it has made."""
        if attempts is not None:
            self._attempts[name] = attempts
        self._learn(name, memory)

    def change_device(self, name: str, memory: MemoryConfig, time_s: float) -> None:
        """Let the qubits of a device decay in another way from now on."""
        held = self.keys_of(name)
        for key in held:
            self._age(key, time_s)
        self._learn(name, memory)
        for key in held:
            group = self._group_of[key]
            group.touched_n[group.keys.index(key)] = self._made(key)

    def _learn(self, name: str, memory: MemoryConfig) -> None:
        self._memory[name] = memory
        self._disturbed.discard(name)
        if name in self._attempts and any(
            mode.attempts_1e is not None for mode in memory.modes.values()
        ):
            self._disturbed.add(name)

    def holds(self, key: QubitKey) -> bool:
        """Whether this qubit has a state."""
        return key in self._group_of

    def keys_of(self, device: str) -> list[QubitKey]:
        """All that a device holds."""
        return [key for key in self._group_of if key[0] == device]

    def add(self, keys: Sequence[QubitKey], state: HeldState, time_s: float) -> None:
        """New qubits in a joint state, which is the register's from now on."""
        made = [self._made(key) for key in keys]
        group = _Group(list(keys), state, [time_s] * len(keys), made)
        for key in keys:
            self._group_of[key] = group

    def rename(self, source: QubitKey, target: QubitKey, time_s: float) -> None:
        """Move a state to another qubit of the same kind."""
        self._age(source, time_s)
        group = self._group_of.pop(source)
        group.keys[group.keys.index(source)] = target
        self._group_of[target] = group

    def along(self, channel: AxisChannel, key: QubitKey, time_s: float) -> None:
        """Let something that mixes no axes happen to a qubit."""
        self._age(key, time_s)
        group = self._group_of[key]
        group.state.along(group.keys.index(key), channel)

    def operate(self, channel: ComplexArray, keys: Sequence[QubitKey], time_s: float) -> None:
        """Apply any channel to qubits. Raises TooManyEntangled, with nothing changed."""
        group = self._joined(keys)
        for key in keys:
            self._age(key, time_s)
        density = apply(group.state.density, channel, [group.keys.index(key) for key in keys])
        group.state = settled(density)

    def measure(
        self, key: QubitKey, basis: str, time_s: float, rng: np.random.Generator
    ) -> tuple[float, int]:
        """Find the qubit in "X", "Y" or "Z", and take it out.

        Returns the probability of the +1 outcome, and what was found: 0 for it, 1 for the other.
        """
        self._age(key, time_s)
        group = self._group_of[key]
        index = group.keys.index(key)
        p_plus = min(max(group.state.p_plus(index, basis), 0.0), 1.0)
        found = 0 if rng.random() < p_plus else 1
        self._take_out(key, group.state.left(index, basis, 1 - 2 * found))
        return p_plus, found

    def remove(self, key: QubitKey) -> None:
        """Forget a qubit; the rest of its group keeps what it then knows."""
        group = self._group_of[key]
        self._take_out(key, group.state.without(group.keys.index(key)))

    def state_of(self, keys: Sequence[QubitKey], time_s: float) -> ComplexArray:
        """The joint state of some qubits now, in the order given, as a density matrix."""
        group = self._joined(keys)
        for key in keys:
            self._age(key, time_s)
        density, names = group.state.density, list(group.keys)
        for key in group.keys:
            if key not in keys:
                index = names.index(key)
                density = partial_trace(density, index)
                names.pop(index)
        order = [names.index(key) for key in keys]
        count = len(order)
        axes = order + [count + index for index in order]
        return density.reshape((2,) * (2 * count)).transpose(axes).reshape(density.shape)

    def pair_fidelity(self, keys: Sequence[QubitKey], name: BellName, time_s: float) -> float:
        """<B|rho|B> of two qubits now with a Bell state."""
        state = self._group_of[keys[0]].state
        if isinstance(state, XPair) and self._group_of[keys[1]].state is state:
            for key in keys:
                self._age(key, time_s)
            return state.fidelity(name)
        return fidelity(self.state_of(keys, time_s), name)

    def _joined(self, keys: Sequence[QubitKey]) -> _Group:
        groups: list[_Group] = []
        for key in keys:
            if not any(self._group_of[key] is group for group in groups):
                groups.append(self._group_of[key])
        first = groups[0]
        size = sum(len(group.keys) for group in groups)
        if len(groups) > 1 and size > MAX_GROUP:
            raise TooManyEntangled(
                f"the simulated device keeps at most {MAX_GROUP} qubits in one entangled state, "
                f"this would make {size}; measure or release some first"
            )
        if len(groups) > 1:
            first.state = joint([group.state for group in groups])
        for group in groups[1:]:
            first.keys += group.keys
            first.touched_s += group.touched_s
            first.touched_n += group.touched_n
            for key in group.keys:
                self._group_of[key] = first
        return first

    def _age(self, key: QubitKey, time_s: float) -> None:
        group = self._group_of[key]
        index = group.keys.index(key)
        elapsed_s = time_s - group.touched_s[index]
        if elapsed_s <= 0.0:
            return
        memory = self._memory[key[0]]
        t1_s, t2_s, attempts_1e = memory.t1_s, memory.t2_s, None
        mode = memory.modes.get(key[1])
        if mode is not None:
            t1_s = t1_s if mode.t1_s is None else mode.t1_s
            t2_s = t2_s if mode.t2_s is None else mode.t2_s
            attempts_1e = mode.attempts_1e
        decay = storage(elapsed_s, t1_s, t2_s, memory.excited_population)
        made = self._made(key)
        if attempts_1e is not None:
            # Each attempt on the communication qubit dephases the stored one a little.
            coherence = math.exp(-(made - group.touched_n[index]) / attempts_1e)
            decay = dephasing(coherence).after(decay)
        group.state.along(index, decay)
        group.touched_s[index] = time_s
        group.touched_n[index] = made

    def _made(self, key: QubitKey) -> int:
        return self._attempts[key[0]]() if key[0] in self._disturbed else 0

    def _take_out(self, key: QubitKey, rest: HeldState | None) -> None:
        group = self._group_of.pop(key)
        index = group.keys.index(key)
        group.keys.pop(index)
        group.touched_s.pop(index)
        group.touched_n.pop(index)
        if rest is not None:
            group.state = rest
