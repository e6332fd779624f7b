"""The requests of the open device protocol, carried out by a sequencer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from qnodeos_artiq.attempts import Attempts
from qnodeos_artiq.sequencer import Fault, Sequencer

VERSION, MINOR = 1, 1
STATES = ("0", "1", "+", "-", "+i", "-i")
BASES = ("Z", "X", "Y")
TWO_QUBIT_GATES = ("CNOT",)

Fields = dict[str, Any]
Tell = Callable[[Fields], Awaitable[None]]


class Device:
    """A sequencer's identity, capabilities and qubits; keeps book of which are held.

    What cannot be is answered here, so that no kernel has to check its arguments.
    """

    def __init__(self, sequencer: Sequencer, identity: Fields, capabilities: Fields) -> None:
        self._sequencer = sequencer
        self._identity = identity
        self._able = capabilities
        self._midpoint = identity.get("role") == "midpoint"
        self._modes = int(capabilities.get("modes", 0))
        self._goes_on = capabilities.get("herald_mode") == "host"
        self._held: set[int] = set()
        self._attempts: Attempts | None = None
        self._next_run = (0, 0)
        self._turn = asyncio.Lock()
        self._common = {
            "hello": self._hello,
            "capabilities": self._capabilities,
            "configure": self._configure,
            "abort": self._abort,
            "status": self._status,
        }
        self._of_nodes = {
            "initialise": self._initialise,
            "gate": self._gate,
            "move": self._move,
            "measure": self._measure,
            "release": self._release,
            "keep": self._keep,
            "release_mode": self._release_mode,
        }

    @classmethod
    async def of(cls, sequencer: Sequencer) -> Device:
        """Ask the sequencer who it is and what it can. Raises Fault."""
        identity = {"role": "node", **dict(await sequencer.call("identity"))}
        return cls(sequencer, identity, dict(await sequencer.call("capabilities")))

    async def answer(self, request: Fields, tell: Tell) -> Fields:
        """Carry out a request; its results. Raises Fault."""
        name = request.get("do")
        if name == "start":
            return await self._start(request, tell)
        if isinstance(name, str) and name in self._common:
            return await self._common[name](request)
        if not isinstance(name, str) or name not in self._of_nodes:
            raise Fault(1, f"unknown request {name!r}")
        if self._midpoint:
            raise Fault(5, f"a midpoint does not know {name!r}")
        return await self._of_nodes[name](request)

    async def enter_safe_state(self) -> None:
        """Stop attempting, give up qubits and modes. Raises Fault, having tried all of it."""
        await self._abort({})
        self._next_run = (0, 0)
        faults = []
        for qubit in sorted(self._held):
            try:
                await self._call("release", qubit)
                self._held.discard(qubit)
            except Fault as fault:
                faults.append(fault)
        if self._modes:
            try:
                await self._call("release_mode", -1)
            except Fault as fault:
                faults.append(fault)
        if faults:
            raise faults[0]

    async def _call(self, method: str, *arguments: Any) -> Any:
        async with self._turn:
            return await self._sequencer.call(method, *arguments)

    async def _hello(self, request: Fields) -> Fields:
        version = _integer(request, "version")
        if version != VERSION:
            raise Fault(1, f"version {version}; this device speaks {VERSION}")
        return {**self._identity, "version": VERSION, "minor": MINOR}

    async def _capabilities(self, request: Fields) -> Fields:
        return self._able

    async def _configure(self, request: Fields) -> Fields:
        run = _integer(request, "count"), _integer(request, "start_slot")
        bright = request.get("bright_population")
        if bright is not None:
            if self._midpoint:
                raise Fault(5, "a midpoint has no bright population")
            if type(bright) not in (int, float) or not 0 <= bright <= 1:
                raise Fault(1, f"bright_population is {bright!r}; expected 0 to 1")
            await self._call("configure", float(bright))
        self._next_run = run
        return {}

    async def _start(self, request: Fields, tell: Tell) -> Fields:
        count = _integer(request, "count")
        if 0 in self._held and not self._modes:
            raise Fault(3, "qubit 0 is in use; move, measure or release it first")
        await self._abort({})
        configured, not_before = self._next_run
        now, _ = await self._call("now")
        first = max(int(now) + 1, not_before)
        self._next_run = (0, 0)

        async def told(event: Fields) -> None:
            if "qubit" in event:
                self._held.add(event["qubit"])
            await tell(event)

        self._attempts = Attempts(
            self._call,
            told,
            period_s=float(self._able["attempt_period_s"]),
            midpoint=self._midpoint,
            goes_on=self._goes_on,
            first_slot=first,
            count=count or configured,
        )
        return {"slot": first}

    async def _abort(self, request: Fields) -> Fields:
        attempts, self._attempts = self._attempts, None
        if attempts is not None:
            await attempts.end()
        return {}

    async def _status(self, request: Fields) -> Fields:
        modes_held = int(await self._call("modes_held")) if self._modes else 0
        slot, time_ps = await self._call("now")
        return {
            "attempting": self._attempts is not None and self._attempts.running,
            "slot": int(slot),
            "time_ps": int(time_ps),
            "held": sorted(self._held),
            "modes_held": modes_held,
        }

    async def _initialise(self, request: Fields) -> Fields:
        qubit, state = self._qubit(request, "qubit"), _one_of(request, "state", STATES)
        self._refuse_while_attempting(qubit)
        await self._call("initialise", qubit, state)
        self._held.add(qubit)
        return {}

    async def _gate(self, request: Fields) -> Fields:
        name = _one_of(request, "gate", self._able["gates"])
        qubits = request.get("qubits")
        wanted = 2 if name in TWO_QUBIT_GATES else 1
        if not isinstance(qubits, list) or len(qubits) != wanted:
            raise Fault(1, f"qubits {qubits!r}; expected a list of {wanted} for {name}")
        numbers = [self._qubit({"qubit": each}, "qubit", held=True) for each in qubits]
        if len(set(numbers)) != wanted:
            raise Fault(1, f"{name} on qubits {numbers}; expected different ones")
        await self._call("gate", name, numbers)
        return {}

    async def _move(self, request: Fields) -> Fields:
        source = self._qubit(request, "source", held=True)
        target = self._qubit(request, "target")
        self._refuse_while_attempting(target)
        if target in self._held:
            raise Fault(3, f"qubit {target} is in use; move needs a free one")
        await self._call("move", source, target)
        self._held ^= {source, target}
        return {}

    async def _measure(self, request: Fields) -> Fields:
        qubit = self._qubit(request, "qubit", held=True)
        basis = _one_of(request, "basis", BASES)
        outcome = int(await self._call("measure", qubit, basis))
        if outcome not in (0, 1):
            raise Fault(4, f"measure returned {outcome}, expected 0 or 1")
        self._held.discard(qubit)
        return {"outcome": outcome}

    async def _release(self, request: Fields) -> Fields:
        qubit = self._qubit(request, "qubit")
        await self._call("release", qubit)
        self._held.discard(qubit)
        return {}

    async def _keep(self, request: Fields) -> Fields:
        slot = self._mode(request)
        free = [qubit for qubit in range(self._able["qubits"]) if qubit not in self._held]
        if not free:
            raise Fault(3, "no free qubit; measure or release one first")
        if not await self._call("keep", slot, free[0]):
            raise Fault(6, f"no mode of slot {slot}: no attempt then, given up, or overwritten")
        self._held.add(free[0])
        return {"qubit": free[0]}

    async def _release_mode(self, request: Fields) -> Fields:
        slot = -1 if request.get("slot", 0) is None else self._mode(request)
        if not self._modes:
            raise Fault(1, "this device has one mode, which is qubit 0")
        if not await self._call("release_mode", slot) and slot >= 0:
            raise Fault(6, f"no mode of slot {slot}: no attempt then, given up, or overwritten")
        return {}

    def _mode(self, request: Fields) -> int:
        if not self._modes:
            raise Fault(1, "this device has one mode, which is qubit 0")
        return _integer(request, "slot")

    def _qubit(self, request: Fields, name: str, *, held: bool = False) -> int:
        number, count = request.get(name), self._able["qubits"]
        if type(number) is not int:
            raise Fault(1, f"{name} is {number!r}; expected a whole number")
        if not 0 <= number < count:
            raise Fault(2, f"no qubit {number}; there are 0 to {count - 1}")
        if held and number not in self._held:
            raise Fault(3, f"qubit {number} is empty")
        return number

    def _refuse_while_attempting(self, qubit: int) -> None:
        running = self._attempts is not None and self._attempts.running
        if qubit == 0 and running and not self._modes:
            raise Fault(3, "qubit 0 is in use by attempts; abort first")


def _integer(request: Fields, name: str) -> int:
    value = request.get(name)
    if type(value) is not int or value < 0:
        raise Fault(1, f"{name} is {value!r}; expected a whole number from 0 on")
    return value


def _one_of(request: Fields, name: str, known: tuple[str, ...] | list[str]) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise Fault(1, f"{name} is {value!r}; expected a string")
    if value not in known:
        raise Fault(2, f"no {name} {value!r}; there are {', '.join(known)}")
    return value
