"""The midpoint station of a memory link: attempts when told to, announces every success to both.

The station counts heralds; its count, with the slot, is the identity of a pair.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from drivers.devices import DeviceHerald, QuantumDevice
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from link_layer.messages import Attempt, EndRound, Heralded, Message
from link_layer.states import BellState
from qnodeos.config import MidpointTable
from qnodeos.context import NodeContext
from qnodeos.status import Status


class Midpoint:
    """The service of one memory link at its station."""

    def __init__(
        self,
        name: str,
        config: MidpointTable,
        context: NodeContext,
        *,
        supervisor: Supervisor,
    ):
        self.name = name
        self.config = config
        self.counters: Counter[str] = Counter()
        self._context = context
        self._supervisor = supervisor
        # A restarted station must not repeat a number: the upper half is new at every start.
        self._sequence = context.rng.getrandbits(30) << 32
        self._orders: asyncio.Queue[Attempt | EndRound] = asyncio.Queue(maxsize=64)
        self._round: int | None = None
        self._first_slot: int | None = None
        self._early: DeviceHerald | None = None

    def handle(self, peer: str, message: Message) -> None:
        """Take an order of one of the ends."""
        if peer not in self.config.ends:
            self.counters["not_ours"] += 1
            return
        if not isinstance(message, Attempt | EndRound):
            self.counters["stale_messages"] += 1
            return
        if self._orders.full():
            self._orders.get_nowait()
            self.counters["orders_dropped"] += 1
        self._orders.put_nowait(message)

    def peer_changed(self, peer: str, *, up: bool, restarted: bool) -> None:
        """An end vanished: its round ends."""
        if peer in self.config.ends and (restarted or not up) and self._round is not None:
            reason = f"{peer} {'has restarted' if restarted else 'was lost'}"
            self.handle(peer, EndRound(self.name, self._round, reason))

    def status(self) -> Status:
        """How the station is, for bus and journal."""
        return {"attempting": self._round is not None, **self.counters}

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_heralds())
            tasks.create_task(self._follow_orders())

    async def _follow_orders(self) -> None:
        while True:
            order = await self._orders.get()
            try:
                if isinstance(order, Attempt):
                    await self._begin(order)
                elif order.round == self._round:
                    await self._stop()
                    self._announce(order)
            except InstrumentProblem as problem:
                self._supervisor.report(problem)
                self._round = None
                self._announce(EndRound(self.name, order.round, f"the midpoint failed: {problem}"))

    async def _begin(self, attempt: Attempt) -> None:
        if self._round is not None:
            await self._stop()
        self._round, self._first_slot, self._early = attempt.round, None, None
        self._first_slot = await self._device().start()
        self._hear_early()

    def _hear_early(self) -> None:
        early, self._early = self._early, None
        if early is not None:
            self._heralded(early)

    async def _stop(self) -> None:
        self._round = None
        await self._device().abort()

    async def _read_heralds(self) -> None:
        while True:
            try:
                await self._supervisor.wait_online(60.0)
                async for herald in self._device().heralds():
                    self._heralded(herald)
            except InstrumentProblem as problem:
                self._supervisor.report(problem)

    def _heralded(self, herald: DeviceHerald) -> None:
        if self._round is None or herald.bell_state is None:
            self.counters["stale_heralds"] += 1
            return
        if self._first_slot is None:
            self._early = herald  # read before the reply to `start`
            return
        if herald.slot < self._first_slot:
            self.counters["stale_heralds"] += 1
            return
        self._sequence += 1
        self.counters["heralds"] += 1
        number, self._round = self._round, None
        self._announce(
            Heralded(self.name, number, self._sequence, herald.slot, BellState[herald.bell_state])
        )

    def _announce(self, message: Message) -> None:
        for end in self.config.ends:
            self._context.send(end, message)

    def _device(self) -> QuantumDevice:
        device = self._supervisor.instrument
        if not isinstance(device, QuantumDevice):
            raise NotConnected(f"{type(device).__name__} is not a quantum device", owner=self.name)
        return device
