"""Teleportation of known states over a memory link, checked at the far end.

The sender prepares one of the six cardinal states, measures it jointly with its half of a pair
(CNOT, H, two measurements) and sends the two bits. The receiver corrects its half and measures it
in the basis of the state: the share of expected outcomes is the fidelity, averaged over the six
states equal to (2F + 1)/3 for a pair of fidelity F (Horodecki et al. 1999); 2/3 is the classical
limit.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import get_args

from drivers.devices import Basis
from drivers.errors import InstrumentProblem
from qnodeos.apps.asking import keep_asking
from qnodeos.apps.channel import Body, Channel
from qnodeos.feedforward import teleport_corrections
from qnodeos.memory import MemoryFull, PairExpired
from qnodeos.memory_link import MemoryLink
from qnodeos.pair import Pair
from qnodeos.requests import Inbox
from qnodeos.status import Status
from qnodeos.store import Store

PURPOSE = "teleport"

STATES: dict[str, tuple[Basis, int]] = {
    "0": ("Z", 0),
    "1": ("Z", 1),
    "+": ("X", 0),
    "-": ("X", 1),
    "+i": ("Y", 0),
    "-i": ("Y", 1),
}
"""Each cardinal state with the basis in which it is certain, and its outcome there."""

PAIR_LIMIT_S = 0.5
"""A pair whose bits do not come within this time is given up, and the other way round."""

BASES: tuple[Basis, ...] = get_args(Basis)


class Sender:
    """Asks for pairs again and again, and teleports one state through each."""

    def __init__(
        self,
        link: MemoryLink,
        channel: Channel,
        store: Store,
        *,
        pairs_per_request: int,
        fidelity: float,
    ):
        self.counters: Counter[str] = Counter()
        self._link, self._channel, self._store = link, channel, store
        self._number, self._fidelity = pairs_per_request, fidelity
        self._states = list(STATES)
        self._turn = 0

    def status(self) -> Status:
        """What it has done so far."""
        return {**self.counters, "words_dropped": self._channel.dropped}

    async def run(self) -> None:
        """Until cancelled."""
        pairs = keep_asking(
            self._link,
            self._store,
            self.counters,
            kind="K",
            number=self._number,
            fidelity=self._fidelity,
            purpose=PURPOSE,
        )
        async for pair in pairs:
            await self._use(pair)

    async def _use(self, pair: Pair) -> None:
        try:
            await self._teleport(pair)
            self.counters["sent"] += 1
        except PairExpired:
            self.counters["expired"] += 1
        except (MemoryFull, InstrumentProblem) as problem:
            self.counters["failed"] += 1
            self._store.event("teleport-failed", {"reason": str(problem)})
            await pair.release()

    async def _teleport(self, pair: Pair) -> None:
        memory = self._link.memory
        if memory is None:
            raise PairExpired("the device is gone")
        device, data = self._link.device.device, memory.allocate()
        state = self._states[self._turn % len(self._states)]
        self._turn += 1
        held = False
        try:
            await device.initialise(data, state)
            held = True
            await pair.cnot_from(data)
            await device.gate("H", data)
            z = await device.measure(data, "Z")
            held = False
            x = await pair.measure("Z")
        finally:
            try:
                if held:
                    await device.release(data)
            finally:
                memory.give_back(data)
        if not self._channel.send({"pair": pair.sequence, "x": x, "z": z, "state": state}):
            self.counters["unsent"] += 1


class Receiver:
    """Corrects what arrives, measures it, and writes down whether it was what was sent."""

    def __init__(
        self, link: MemoryLink, channel: Channel, store: Store, clock: Callable[[], float]
    ):
        self.counters: Counter[str] = Counter()
        self._link = link
        self._channel, self._store, self._clock = channel, store, clock
        self._inbox: Inbox[Pair] = link.desk.accept(PURPOSE)
        self._pairs: dict[int, asyncio.Future[Pair]] = {}

    def status(self) -> Status:
        """What it has done so far."""
        return {**self.counters, "words_dropped": self._channel.dropped}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._collect())
            while True:
                body = await self._channel.receive()
                try:
                    await self._check(body)
                except (PairExpired, TimeoutError):
                    self.counters["expired"] += 1
                except InstrumentProblem as problem:
                    self.counters["failed"] += 1
                    self._store.event("teleport-failed", {"reason": str(problem)})
                except (KeyError, TypeError, ValueError) as problem:
                    self.counters["malformed"] += 1
                    self._store.event("teleport-malformed", {"reason": repr(problem)})

    async def _collect(self) -> None:
        async for pair in self._inbox:
            self._expected(pair.sequence).set_result(pair)
            while len(self._pairs) > PAIRS_KEPT:
                del self._pairs[next(iter(self._pairs))]

    def _expected(self, sequence: int) -> asyncio.Future[Pair]:
        """The pair of this number, which may be delivered before or after its bits arrive."""
        if sequence not in self._pairs:
            self._pairs[sequence] = asyncio.get_running_loop().create_future()
        return self._pairs[sequence]

    def _readout_error(self) -> float:
        """Probability of a wrong outcome, by the device's own figure."""
        capabilities = self._link.device.capabilities
        return capabilities.readout_error if capabilities is not None else 0.0

    async def _check(self, body: Body) -> None:
        sequence, x, z = int(body["pair"]), int(body["x"]), int(body["z"])
        state = str(body["state"])
        basis, expected = STATES[state]
        if not {x, z} <= {0, 1}:
            raise ValueError(f"found bits {x} and {z}, expected 0 or 1")
        try:
            async with asyncio.timeout(PAIR_LIMIT_S):
                pair = await asyncio.shield(self._expected(sequence))
        finally:
            self._pairs.pop(sequence, None)
        for gate in teleport_corrections(x, z):
            await pair.gate(gate)
        outcome = await pair.measure(basis)
        self.counters["received"] += 1
        self.counters["as_sent"] += outcome == expected
        self._store.result(
            PURPOSE,
            {
                "sequence": pair.sequence,
                "slot": pair.slot,
                "state": state,
                "basis": basis,
                "outcome": outcome,
                "expected": expected,
                "readout_error": self._readout_error(),
                "clock_s": self._clock(),
            },
        )


PAIRS_KEPT = 64
"""Pairs that may wait for their bits; a device has far fewer qubits."""
