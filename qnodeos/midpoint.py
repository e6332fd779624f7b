"""The midpoint station of a memory link: attempts when told to, announces every success to both.

The station counts heralds; its count, with the slot, is the identity of a pair.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from drivers.devices import DeviceCapabilities, DeviceHerald
from drivers.errors import InstrumentProblem
from drivers.supervisor import Supervisor
from link_layer.messages import Attempt, EndRound, Heralded, Message
from link_layer.states import BellState
from qnodeos.config import MidpointTable
from qnodeos.context import NodeContext
from qnodeos.link_device import LinkDevice
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
        self._device = LinkDevice(
            name,
            supervisor,
            heralded=self._heralded,
            came=self._device_came,
            went=self._device_went,
        )
        # A restarted station must not repeat a number: the upper half is new at every start.
        self._sequence = context.rng.getrandbits(30) << 32
        self._orders: asyncio.Queue[Attempt | EndRound] = asyncio.Queue(maxsize=64)
        self._round: int | None = None

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
            reason = f"{peer} {'has restarted' if up else 'was lost'}"
            self.handle(peer, EndRound(self.name, self._round, reason))

    def status(self) -> Status:
        """How the station is, for bus and journal."""
        return {
            "attempting": self._round is not None,
            "stale_heralds": self._device.stale_heralds,
            **self.counters,
        }

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._device.run())
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
                self._device.failed(problem)
                self._round = None
                self._announce(EndRound(self.name, order.round, f"the midpoint failed: {problem}"))

    async def _begin(self, attempt: Attempt) -> None:
        if self._round is not None:
            await self._stop()
        self._round = attempt.round
        await self._device.start()

    async def _stop(self) -> None:
        self._round = None
        await self._device.device.abort()

    def _heralded(self, herald: DeviceHerald) -> None:
        if self._round is None or herald.bell_state is None:
            self.counters["unasked_heralds"] += 1
            return
        self._sequence += 1
        self.counters["heralds"] += 1
        number, self._round = self._round, None
        self._announce(
            Heralded(self.name, number, self._sequence, herald.slot, BellState[herald.bell_state])
        )

    def _device_came(self, capabilities: DeviceCapabilities) -> None:
        self._context.store.event(
            "midpoint", {"link": self.name, "attempt_period_s": capabilities.attempt_period_s}
        )

    def _device_went(self, reason: str) -> None:
        if self._round is not None:
            number, self._round = self._round, None
            self._announce(EndRound(self.name, number, f"the midpoint is away: {reason}"))

    def _announce(self, message: Message) -> None:
        for end in self.config.ends:
            self._context.send(end, message)
