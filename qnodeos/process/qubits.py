"""A program's qubits: its own numbers, each a storage qubit or half a pair of the device.

Gates are posted and not waited for, as the device does them in order; a measurement waits. A fault
of one is raised by the next that waits.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from drivers.devices import Order
from drivers.errors import InstrumentProblem
from qnodeos.memory import MemoryFull, QuantumMemory
from qnodeos.memory_link import MemoryLink
from qnodeos.memory_shares import Holding, Share
from qnodeos.pair import Pair
from qnodeos.process.memory import ProgramFault

QUBIT_LIMIT_S = 30.0
"""A qubit that is asked for while there is no room is waited for so long: others are to end."""

LOOK_S = 0.002


class NoQubit(ProgramFault):
    """No qubit of the device is free."""


@dataclass(slots=True)
class _Local:
    memory: QuantumMemory
    number: int


@dataclass(slots=True)
class _Measured:
    """The device has freed it; who goes on with the qubit gets one in the state that was found."""

    outcome: int


class ProgramQubits:
    """Those of one program; `link` names the device they are of."""

    def __init__(self, link: MemoryLink | None, most: int):
        self._link, self._most = link, most
        self.share = Share(most)
        self.hand = Holding(self.share)
        """Those that have a number."""
        self._held: dict[int, _Local | Pair | _Measured] = {}
        self._fault: InstrumentProblem | None = None
        self._fresh: int | None = None
        """The number that was allocated last, if nothing was ordered since."""
        self._changed = asyncio.Event()

    def holds(self, virtual: int) -> bool:
        """This number is in use."""
        return virtual in self._held

    async def until_free(self, virtual: int) -> None:
        """Wait until a number is in use no longer: the next pair takes it."""
        while virtual in self._held:
            self._changed.clear()
            await self._changed.wait()

    def take_pair(self, virtual: int, pair: Pair) -> None:
        """Half a pair has come for a number. Raises ProgramFault."""
        self._check_room(virtual)
        pair.pass_on(self.hand)
        self._held[virtual] = pair

    async def allocate(self, virtual: int) -> None:
        """A storage qubit for a number, in |0>. Raises NoQubit, ProgramFault."""
        self._check_room(virtual)
        link = self._device_link()
        end_s = asyncio.get_running_loop().time() + QUBIT_LIMIT_S
        while True:
            memory = link.memory
            if memory is None:
                raise NoQubit("the device is away")
            try:
                self._held[virtual] = _Local(memory, memory.allocate(holding=self.hand))
                break
            except MemoryFull as full:
                if self.hand.count >= memory.capacity:
                    raise NoQubit(f"{self.hand.count} are its own, there are no more") from full
                if asyncio.get_running_loop().time() >= end_s:
                    raise NoQubit(str(full)) from full
                await asyncio.sleep(LOOK_S)
        self._post("initialise", self.number(virtual), "0")
        self._fresh = virtual

    def initialise(self, virtual: int) -> None:
        """Put a qubit of the program into |0>; one that was just allocated is in it."""
        if virtual == self._fresh and virtual in self._held:
            return
        self._post("initialise", self.number(virtual), "0")

    def gate(self, name: str, *virtuals: int) -> None:
        """A gate of the device on qubits of the program. Raises ProgramFault."""
        if len(set(virtuals)) != len(virtuals):
            raise ProgramFault(f"gate {name} twice on qubit {virtuals[0]}")
        self._post("gate", name, *(self.number(virtual) for virtual in virtuals))

    def turn(self, axis: str, virtual: int, angle_rad: float) -> None:
        """Turn a qubit about an axis; what a Clifford gate does is left to that gate."""
        quarters = angle_rad / (math.pi / 2)
        if abs(quarters - round(quarters)) < 1e-12 and axis == "Z":
            gate = (None, "S", "Z", "SDG")[round(quarters) % 4]
            if gate is not None:
                self.gate(gate, virtual)
            return
        self._post("turn", self.number(virtual), axis, angle_rad)

    async def measure(self, virtual: int) -> int:
        """Measure in Z and keep the number, with what was found, as NetQASM has it."""
        number = self.number(virtual)
        held = self._held[virtual]
        outcome = await held.measure() if isinstance(held, Pair) else await self._measured(number)
        self._raise_fault()
        if isinstance(held, _Local):
            held.memory.give_back(number)
        self._held[virtual] = _Measured(outcome)
        return outcome

    def free(self, virtual: int) -> None:
        """Give a number up; harmless if it holds nothing, as after a measurement."""
        held = self._held.pop(virtual, None)
        self._changed.set()
        if held is not None:
            self.news()
        if isinstance(held, Pair):
            held.let_go("its program freed it")
        elif isinstance(held, _Local):
            self._post("release", held.number)
            held.memory.give_back(held.number)

    def free_all(self) -> None:
        """The program is over."""
        for virtual in list(self._held):
            self.free(virtual)
        if self._link is not None:
            self._link.shared.shares.leave(self.share)
            self.news()

    def news(self) -> None:
        """There may be room, or a use, for a pair that there was not before."""
        if self._link is not None:
            self._link.shared.news()

    def can_hold(self, numbers: Iterable[int | None]) -> None:
        """Raise NoQubit unless so many different numbers can ever hold a qubit at a time."""
        count = len({number for number in numbers if number is not None})
        memory = self._link.memory if self._link is not None else None
        if memory is not None and count > memory.capacity:
            raise NoQubit(f"{count} pairs are asked at a time, the device stores {memory.capacity}")

    def number(self, virtual: int) -> int:
        """The device's qubit behind a number. Raises ProgramFault, PairExpired."""
        held = self._held.get(virtual)
        if held is None:
            raise ProgramFault(f"the program holds no qubit {virtual}")
        if isinstance(held, _Measured):
            held = self._again(virtual, held.outcome)
        return held.taken() if isinstance(held, Pair) else held.number

    def _again(self, virtual: int, outcome: int) -> _Local:
        memory = self._device_link().memory
        if memory is None:
            raise NoQubit("the device is away")
        try:
            fresh = _Local(memory, memory.allocate())
        except MemoryFull as full:
            raise NoQubit(str(full)) from full
        self._held[virtual] = fresh
        self._post("initialise", fresh.number, str(outcome))
        return fresh

    async def settled(self) -> None:
        """All that was posted is done. Raises InstrumentProblem."""
        if self._link is not None and self._held:
            await self._link.device.device.ping()
        self._raise_fault()

    async def _measured(self, number: int) -> int:
        self._fresh = None
        return await self._device_link().device.device.measure(number, "Z")

    def _post(self, order: Order, *arguments: Any) -> None:
        self._fresh = None
        self._device_link().device.device.post(self._posted, order, *arguments)

    def _posted(self, result: Any) -> None:
        if isinstance(result, InstrumentProblem):
            self._fault = self._fault or result

    def _raise_fault(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _check_room(self, virtual: int) -> None:
        if virtual in self._held:
            raise ProgramFault(f"qubit {virtual} is in use already")
        if len(self._held) >= self._most:
            raise NoQubit(f"the program asked for {self._most} qubits and holds as many")

    def _device_link(self) -> MemoryLink:
        if self._link is None:
            raise ProgramFault("this node has no memory link, and so no qubits")
        return self._link
