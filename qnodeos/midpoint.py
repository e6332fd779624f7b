"""The midpoint station of a memory link: the machine of `link_layer.egp_station` on its device.

Heralds are the device's word ("hardware"), or found by this node in the tags of the station's
detectors ("host"). What the ends hear is the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from drivers.devices import DeviceCapabilities, DeviceHerald
from drivers.supervisor import Supervisor
from link_layer.egp_station import LinkStation
from link_layer.messages import Attempt, EndRound, Message, Tune
from link_layer.states import BellState
from qnodeos.config import MidpointTable
from qnodeos.context import NodeContext
from qnodeos.hom import HomWatch
from qnodeos.host_heralds import HostHeralds
from qnodeos.link_device import LinkDevice
from qnodeos.station_tagger import StationTagger, TagReader
from qnodeos.station_tuning import StationTuner
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
        taggers: Mapping[str, Supervisor] | None = None,
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
            started=self._started,
        )
        self._tuner = StationTuner(
            lambda: self._device.device, context.send, self.counters, self._visibility
        )
        self._machine = LinkStation(name, self, context.rng, self.counters)
        self.hom = HomWatch(name, config.hom, context) if config.hom is not None else None
        self._first_slot: int | None = None
        self._host: HostHeralds | None = None
        if config.clicks is not None:
            self._host = HostHeralds(
                config.clicks,
                context.clock,
                self.counters,
                heralded=self._found,
                lost=self._tags_lost,
            )
        readers: dict[str, list[TagReader]] = {}
        for table, reader in ((config.hom, self.hom), (config.clicks, self._host)):
            if table is not None and reader is not None:
                readers.setdefault(table.tagger, []).append(reader)
        self._taggers = [
            StationTagger((taggers or {})[tagger], each, context, self.counters)
            for tagger, each in readers.items()
        ]

    def handle(self, peer: str, message: Message) -> None:
        """Take an order of one of the ends."""
        if peer not in self.config.ends:
            self.counters["not_ours"] += 1
        elif isinstance(message, Tune):
            self._tuner.ordered(peer, message)
        elif not isinstance(message, Attempt | EndRound):
            self.counters["stale_messages"] += 1
        elif self._device.pending >= MOST_ORDERS:
            self.counters["orders_dropped"] += 1
        elif isinstance(message, Attempt) and self._host is not None and self._host.missing:
            self.counters["not_ready"] += 1
            self._context.send(peer, EndRound(self.name, message.round, self._host.missing))
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
            **(self._host.status() if self._host is not None else {}),
        }

    def _visibility(self) -> float | None:
        seen = self.hom.status().get("hom_visibility") if self.hom is not None else None
        return None if seen is None else float(seen)

    def histogram(self) -> dict[str, Any] | None:
        """How far apart coincidences were, for Hong-Ou-Mandel; None: no tagger sees them."""
        return None if self.hom is None else self.hom.histogram()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._device.run())
            tasks.create_task(self._tuner.run())
            for tagger in self._taggers:
                tasks.create_task(tagger.run())

    def abandon(self, reason: str) -> None:
        """Whatever round is open is over, at the ends too."""
        self._machine.failed(reason)
        if self._kept_back is not None:
            self._kept_back.cancel()
        self._device.stop()

    # What the machine asks for.

    def start(self) -> None:
        """Take part in attempts."""
        self._first_slot = None
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
        if self._host is not None:
            self.counters["hardware_heralds_ignored"] += 1
        elif herald.bell_state is None:
            self.counters["unasked_heralds"] += 1
        else:
            state = BellState[herald.bell_state]
            if self._device.goes_on:
                self._device.stop()
            self._machine.heralded(
                herald.slot, state, self._context.clock(), first_slot=self._first_slot or 0
            )

    def _started(self, slot: int) -> None:
        self._first_slot = slot
        if self._host is not None:
            self._host.started(slot)

    def _found(self, slot: int, state: BellState) -> None:
        """The tags show a herald; where nothing has stopped the attempts, they go on."""
        if self._machine.round is None or self._first_slot is None or slot < self._first_slot:
            self.counters["stale_heralds_found"] += 1
            return
        self._device.stop()
        self._machine.heralded(slot, state, self._context.clock(), first_slot=self._first_slot)

    def _tags_lost(self, reason: str) -> None:
        self._device.stop()
        self._machine.failed(reason)

    def _device_came(self, capabilities: DeviceCapabilities) -> None:
        self._tuner.device_came()
        if self._host is not None:
            self._host.device(capabilities.attempt_period_s)
        self._context.store.event(
            "midpoint", {"link": self.name, "attempt_period_s": capabilities.attempt_period_s}
        )

    def _device_went(self, reason: str) -> None:
        if self._host is not None:
            self._host.device(None)
        self._machine.failed(f"the midpoint is away: {reason}")
