"""The pairs of one memory link at one end, from the moment they are stored until they are gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from drivers.devices import QuantumDevice
from drivers.errors import InstrumentProblem
from link_layer.messages import Message, PairDropped
from qnodeos.context import NodeContext
from qnodeos.link_device import LinkDevice
from qnodeos.memory import PairExpired, QuantumMemory, StoredPair

TICK_S = 0.05
"""How often deadlines are looked at; an application never gets a late pair, whatever this is."""

EXPIRED = "its deadline has passed"


class PairKeeper:
    """Books of the stored halves: handed to their owners once, freed at both ends when lost."""

    def __init__(
        self,
        link: str,
        context: NodeContext,
        device: LinkDevice,
        tell_peer: Callable[[Message], bool],
        counters: Counter[str],
    ):
        self.memory: QuantumMemory | None = None
        self._link, self._context, self._device = link, context, device
        self._tell_peer, self._counters = tell_peer, counters
        # A pair is freed once, so what waits here is bounded by the qubits and the far end's words.
        self._dropped: asyncio.Queue[tuple[StoredPair, str]] = asyncio.Queue()

    def fit(self, qubits: int) -> None:
        """The device has so many qubits; a memory of another size is begun anew."""
        if self.memory is None or self.memory.capacity != qubits - 1:
            self.memory = QuantumMemory(qubits, self._context.clock)

    def store(self, pair: StoredPair) -> None:
        """Enter a half that now lies in memory."""
        if self.memory is not None:
            self.memory.store(pair)
            self._context.store.pair_held(pair)

    def device(self) -> QuantumDevice:
        """The device; raises NotConnected."""
        return self._device.device

    def use(self, pair: StoredPair) -> None:
        """The application takes its half; raises PairExpired when it is too late."""
        if self.memory is None:
            raise PairExpired(f"the device that held pair {pair.sequence} is gone")
        self.memory.take(self._link, pair.sequence)
        self._counters["delivered"] += 1
        self._context.store.pair_delivered(pair, self._context.name)

    async def give_up(self, pair: StoredPair, reason: str) -> None:
        """This end's half is lost, so the far end's is useless; harmless if it is gone already."""
        if self._forget(pair, reason):
            self._tell_peer(PairDropped(self._link, pair.sequence, reason))
            await self._release(pair)

    def dropped_by_peer(self, sequence: int, reason: str) -> None:
        """The far end has lost its half."""
        for pair in self.memory.pairs if self.memory else []:
            if pair.sequence == sequence:
                self._dropped.put_nowait((pair, reason))

    def drop_all(self, reason: str, *, tell_peer: bool) -> None:
        """All halves are useless: the far end, or the device, is gone."""
        for pair in self.memory.pairs if self.memory else []:
            if tell_peer:
                self._tell_peer(PairDropped(self._link, pair.sequence, reason))
            self._dropped.put_nowait((pair, reason))

    async def run(self) -> None:
        """Free what is dropped or past its deadline, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_deadlines())
            while True:
                pair, reason = await self._dropped.get()
                if self._forget(pair, reason):
                    await self._release(pair)

    async def _keep_deadlines(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for pair in self.memory.overdue() if self.memory else []:
                await self.give_up(pair, EXPIRED)

    def _forget(self, pair: StoredPair, reason: str) -> bool:
        """Take a half out of the books; False if it is not there any more.

        To be followed by `_release` at once: the qubit may be given out again from now on.
        """
        if self.memory is None or self.memory.forget(pair.link, pair.sequence) is None:
            return False
        state = "expired" if reason == EXPIRED else "discarded"
        self._counters[state] += 1
        self._context.store.pair_ended(pair, state, reason)
        return True

    async def _release(self, pair: StoredPair) -> None:
        """Free its qubit in the device."""
        try:
            await self._device.device.release(pair.qubit)
        except InstrumentProblem as problem:
            self._device.failed(problem)
