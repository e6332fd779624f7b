"""The quantum device of one link: followed through its connections, started, and listened to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.devices import DeviceCapabilities, DeviceHerald, QuantumDevice
from drivers.errors import InstrumentProblem, NotConnected, ProtocolError
from drivers.supervisor import Supervisor
from link_layer.states import Coherence

ONLINE_LIMIT_S = 60.0

RETRY_S = 0.05
"""Pause after a problem: the supervisor needs a turn before the device is looked at again."""


class LinkDevice:
    """What a link needs of its device, whether it is there or not.

    `heralded` is called with every herald that belongs to the last `start`; `came` when the device
    is there with its numbers, `went` with the reason when it is not any more. Of a device with
    several optical ports all this is about one, `port`.
    """

    def __init__(
        self,
        name: str,
        supervisor: Supervisor,
        *,
        heralded: Callable[[DeviceHerald], None],
        came: Callable[[DeviceCapabilities], None],
        went: Callable[[str], None],
        port: int = 0,
    ):
        self.capabilities: DeviceCapabilities | None = None
        self.stale_heralds = 0
        self._name, self._supervisor = name, supervisor
        self._heralded, self._came, self._went = heralded, came, went
        self._port = port
        self._first_slot: int | None = None
        self._early: DeviceHerald | None = None

    @property
    def device(self) -> QuantumDevice:
        """The device; raises NotConnected, saying why it is not there."""
        device = self._supervisor.instrument
        if not isinstance(device, QuantumDevice):
            raise NotConnected(f"{type(device).__name__} is not a quantum device", owner=self._name)
        return device

    async def start(self) -> None:
        """Attempt; only heralds from now on count. Raises InstrumentProblem."""
        # A herald may be read before the reply that says which slots count: it is kept till then.
        self._first_slot = self._early = None
        self._first_slot = await self.device.start(port=self._port)
        self._hear_early()

    def failed(self, problem: InstrumentProblem) -> None:
        """A problem was met in use: the supervisor looks at the device at once."""
        self._supervisor.report(problem)

    async def run(self) -> None:
        """Follow the device until cancelled."""
        while True:
            try:
                await self._supervisor.wait_online(ONLINE_LIMIT_S)
                device = self.device
                capabilities = self._checked(await device.capabilities())
                self.capabilities = capabilities
                self._came(capabilities)
                async for herald in device.heralds(self._port):
                    self._hear(herald)
            except InstrumentProblem as problem:
                if self.capabilities is not None:
                    self.capabilities = None
                    self._went(str(problem))
                self._supervisor.report(problem)
                await asyncio.sleep(RETRY_S)

    def _checked(self, told: DeviceCapabilities) -> DeviceCapabilities:
        """The numbers at this link's port; refuses some that no qubit can have, and devices that
        leave heralding to the host.

        A midpoint has no qubits. Raises ProtocolError.
        """
        try:
            numbers = told.at_port(self._port)
            if numbers.herald_mode != "hardware":
                raise ValueError(
                    f"herald mode {numbers.herald_mode!r}, expected one that stops at its herald"
                )
            if numbers.role == "node":
                Coherence(numbers.t1_s, numbers.t2_s)
            if not 0 <= numbers.readout_error < 0.5:
                raise ValueError(f"readout error {numbers.readout_error}, expected 0 to below 0.5")
            return numbers
        except ValueError as error:
            raise ProtocolError(
                f"the device cannot serve this link: {error}", b"", owner=self._name
            ) from error

    def _hear(self, herald: DeviceHerald) -> None:
        if self._first_slot is None:
            self._early = herald
        elif herald.slot < self._first_slot:
            self.stale_heralds += 1
        else:
            self._heralded(herald)

    def _hear_early(self) -> None:
        early, self._early = self._early, None
        if early is not None:
            self._hear(early)
