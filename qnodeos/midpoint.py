"""The midpoint station of a memory link: the machine of `link_layer.egp_station` on its device."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from drivers.devices import DeviceCapabilities, DeviceHerald
from drivers.supervisor import Supervisor
from link_layer.egp_station import LinkStation
from link_layer.messages import Attempt, EndRound, Message
from link_layer.states import BellState
from qnodeos.config import MidpointTable
from qnodeos.context import NodeContext
from qnodeos.hom import HomWatch
from qnodeos.link_device import LinkDevice
from qnodeos.status import Status

MOST_ORDERS = 64
"""Device orders on their way; an end that sends rounds faster than the device takes them is not
listened to."""


class Midpoint:
    """The service of one memory link at its station."""

    def __init__(
        self,
        name: str,
        config: MidpointTable,
        context: NodeContext,
        *,
        supervisor: Supervisor,
        tagger: Supervisor | None = None,
    ):
        self.name = name
        self.config = config
        self.counters: Counter[str] = Counter()
        self._context = context
        self._kept_back: asyncio.TimerHandle | None = None
        self._device = LinkDevice(
            name,
            supervisor,
            clock=context.clock,
            heralded=self._heralded,
            came=self._device_came,
            went=self._device_went,
            failed=lambda reason: self._machine.failed(f"the midpoint failed: {reason}"),
        )
        self._machine = LinkStation(name, self, context.rng, self.counters)
        self.hom: HomWatch | None = None
        if config.hom is not None and tagger is not None:
            self.hom = HomWatch(name, config.hom, tagger, context, self.counters)

    def handle(self, peer: str, message: Message) -> None:
        """Take an order of one of the ends."""
        if peer not in self.config.ends:
            self.counters["not_ours"] += 1
        elif not isinstance(message, Attempt | EndRound):
            self.counters["stale_messages"] += 1
        elif self._device.pending >= MOST_ORDERS:
            self.counters["orders_dropped"] += 1
        else:
            self._machine.ordered(message)

    def peer_changed(self, peer: str, *, up: bool, restarted: bool) -> None:
        """An end vanished: its round ends."""
        if peer in self.config.ends and (restarted or not up):
            self._machine.end_lost(f"{peer} {'has restarted' if up else 'was lost'}")

    def status(self) -> Status:
        """How the station is, for bus and journal."""
        return {
            "attempting": self._machine.round is not None,
            "stale_heralds": self._device.stale_heralds,
            **self.counters,
            **(self.hom.status() if self.hom is not None else {}),
        }

    def histogram(self) -> dict[str, Any] | None:
        """How far apart coincidences were, for Hong-Ou-Mandel; None: no tagger sees them."""
        return None if self.hom is None else self.hom.histogram()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._device.run())
            if self.hom is not None:
                tasks.create_task(self.hom.run())

    def abandon(self, reason: str) -> None:
        """Whatever round is open is over, at the ends too."""
        self._machine.failed(reason)
        if self._kept_back is not None:
            self._kept_back.cancel()
        self._device.stop()

    # What the machine asks for.

    def start(self) -> None:
        """Take part in attempts."""
        self._device.start()

    def stop(self) -> None:
        """Take part no longer."""
        self._device.stop()

    def announce(self, message: Message, after_s: float = 0.0) -> None:
        """Tell both ends, after this time."""
        if self._kept_back is not None:
            self._kept_back.cancel()  # of a round that an end has given up
            self._kept_back = None
        if after_s > 0:
            loop = asyncio.get_running_loop()
            self._kept_back = loop.call_later(after_s, self.announce, message)
            return
        for end in self.config.ends:
            self._context.send(end, message)

    # What the device says.

    def _heralded(self, herald: DeviceHerald) -> None:
        if herald.bell_state is None:
            self.counters["unasked_heralds"] += 1
        else:
            state = BellState[herald.bell_state]
            self._machine.heralded(herald.slot, state, self._context.clock())

    def _device_came(self, capabilities: DeviceCapabilities) -> None:
        self._context.store.event(
            "midpoint", {"link": self.name, "attempt_period_s": capabilities.attempt_period_s}
        )

    def _device_went(self, reason: str) -> None:
        self._machine.failed(f"the midpoint is away: {reason}")
