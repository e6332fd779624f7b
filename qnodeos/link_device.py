"""The quantum device of one link: followed through its connections, given orders, listened to.

Orders return at once. Their results, and heralds, come in the moment the device's words are read,
because a stored half decays meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from drivers.devices import DeviceCapabilities, DeviceHerald, Order, QuantumDevice
from drivers.errors import InstrumentProblem, NotConnected, ProtocolError
from drivers.supervisor import Supervisor
from link_layer.messages import MeasuredBasis
from link_layer.states import Pauli
from qnodeos.memory_map import COMMUNICATION_QUBIT, MemoryMap
from qnodeos.shared_device import SharedDevice

ONLINE_LIMIT_S = 60.0

RETRY_S = 0.05
"""Pause after a problem: the supervisor needs a turn before the device is looked at again."""


class LinkDevice:
    """What a link needs of its device, whether it is there or not.

    `heralded` is called with every herald that belongs to the last `start`; `came` when the device
    is there with its numbers, `went` with the reason when it is not any more, `failed` when an
    order was not carried out, `started` with the first slot of each run. Of a device with several
    optical ports all this is about one, `port`.
    """

    def __init__(
        self,
        name: str,
        supervisor: Supervisor,
        *,
        clock: Callable[[], float],
        heralded: Callable[[DeviceHerald], None],
        came: Callable[[DeviceCapabilities], None],
        went: Callable[[str], None],
        failed: Callable[[str], None],
        port: int = 0,
        shared: SharedDevice | None = None,
        started: Callable[[int], None] = lambda slot: None,
    ):
        self.capabilities: DeviceCapabilities | None = None
        self.stale_heralds = 0
        self.attempts = 0
        """Those that led to a herald of ours, the successful ones included."""
        self.pending = 0
        """Orders whose results are not here yet."""
        self._name, self._supervisor, self._clock = name, supervisor, clock
        self._heralded, self._came, self._went, self._failed = heralded, came, went, failed
        self._told_start = started
        self._port = port
        self._bright_population: float | None = None
        self._shared = shared
        self._run = 0
        self._first_slot: int | None = None
        self._counted_from = 0
        self._started_s = 0.0
        self._early: DeviceHerald | None = None
        self._error: Exception | None = None
        self._ended = asyncio.Event()

    @property
    def device(self) -> QuantumDevice:
        """The device; raises NotConnected, saying why it is not there."""
        device = self._supervisor.instrument
        if not isinstance(device, QuantumDevice):
            raise NotConnected(f"{type(device).__name__} is not a quantum device", owner=self._name)
        return device

    # Orders.

    def start(self, bright_population: float | None = None) -> None:
        """Attempt; only heralds from now on count. The bright population stays until it is told
        anew."""
        if bright_population is not None and bright_population != self._bright_population:
            done = partial(self._configured, bright_population)
            self._post(done, "configure_attempts", bright_population, port=self._port)
        if self._shared is not None:
            self._shared.take(self._name)
        # A herald may be read before the reply that says which slots count: it is kept till then.
        self._first_slot = self._early = None
        self._run += 1
        self._post(partial(self._started, self._run), "start", port=self._port)

    def stop(self) -> None:
        """Attempt no longer at this port; a node's communication qubit is free then."""
        self._run += 1
        self._first_slot = self._early = None
        self._post(_nothing, "abort", port=self._port)
        if self.capabilities is None or self.capabilities.role == "node":
            self.release(COMMUNICATION_QUBIT)
        self._give()

    @property
    def goes_on(self) -> bool:
        """No herald stops its attempts."""
        return self.capabilities is not None and self.capabilities.herald_mode == "host"

    def keep(self, slot: int) -> None:
        """The station says that this slot succeeded. A device that is not stopped by its heralds
        gets that half out of its modes, and it counts as heralded then; others know by themselves.
        """
        if not self.goes_on:
            return
        self._post(_nothing, "abort", port=self._port)
        self._post(partial(self._kept, self._run, slot), "keep", slot, port=self._port)

    def joint_from(self, slot: int) -> None:
        """The station took part from this slot on in the attempts that led to the last herald: in
        those before, nothing could come."""
        self.attempts -= max(0, slot - self._counted_from)
        self._counted_from = max(slot, self._counted_from)

    def gate(self, gate: Pauli, done: Callable[[float], None]) -> None:
        """A gate on the communication qubit."""
        self._post(partial(self._in_time, done), "gate", gate, COMMUNICATION_QUBIT)

    def move(self, qubit: int, done: Callable[[float], None]) -> None:
        """From the communication qubit into a storage qubit."""
        self._post(partial(self._stored, done), "move", COMMUNICATION_QUBIT, qubit)

    def measure(self, basis: MeasuredBasis, done: Callable[[int, float], None]) -> None:
        """Measure the communication qubit."""
        self._post(partial(self._measured, done), "measure", COMMUNICATION_QUBIT, basis)

    def apply(self, gate: str, *qubits: int) -> None:
        """A gate on storage qubits."""
        self._post(_nothing, "gate", gate, *qubits)

    def read(
        self, qubit: int, done: Callable[[int, float], None], basis: MeasuredBasis = "Z"
    ) -> None:
        """Measure a storage qubit, which frees it."""
        self._post(partial(self._read, done), "measure", qubit, basis)

    def release(self, qubit: int) -> None:
        """Free a qubit of the device."""
        self._post(_nothing, "release", qubit)

    def _post(
        self, done: Callable[[Any], None], order: Order, *arguments: Any, port: int | None = None
    ) -> None:
        self.pending += 1
        take = partial(self._done, done)
        try:
            self.device.post(take, order, *arguments, port=port)
        except InstrumentProblem as problem:
            asyncio.get_running_loop().call_soon(take, problem)

    def _done(self, done: Callable[[Any], None], result: Any) -> None:
        self.pending -= 1
        try:
            if isinstance(result, InstrumentProblem):
                self._supervisor.report(result)
                self._failed(str(result))
            else:
                done(result)
        except Exception as error:
            self._crash(error)

    def _kept(self, run: int, slot: int, qubit: int) -> None:
        if run != self._run or self._first_slot is None or self.capabilities is None:
            self.release(qubit)
        elif qubit != COMMUNICATION_QUBIT:
            self.release(qubit)
            self._failed(f"the half of slot {slot} went to qubit {qubit}, expected the free one, 0")
        else:
            # Its age counts from its attempt, which may be many attempts ago.
            attempts = slot + 1 - self._first_slot
            made_s = self._started_s + attempts * self.capabilities.attempt_period_s
            self._hear(DeviceHerald(slot, 0, min(made_s, self._clock()), qubit))

    def _configured(self, bright_population: float, result: None) -> None:
        self._bright_population = bright_population

    def _in_time(self, done: Callable[[float], None], result: None) -> None:
        done(self._clock())

    def _stored(self, done: Callable[[float], None], result: None) -> None:
        self._give()
        done(self._clock())

    def _measured(self, done: Callable[[int, float], None], outcome: int) -> None:
        self._give()
        done(outcome, self._clock())

    def _read(self, done: Callable[[int, float], None], outcome: int) -> None:
        done(outcome, self._clock())

    def _give(self) -> None:
        """The communication qubit is free: another link may have the device."""
        if self._shared is not None:
            self._shared.give(self._name)

    # What it says.

    async def run(self) -> None:
        """Follow the device until cancelled; raises what a callback has raised."""
        self._ended.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            await self._ended.wait()
            assert self._error is not None
            raise self._error

    async def _follow(self) -> None:
        while True:
            try:
                await self._supervisor.wait_online(ONLINE_LIMIT_S)
                device = self.device
                capabilities = self._checked(await device.capabilities())
                self.capabilities = capabilities
                self._bright_population = None
                self._came(capabilities)
                await device.listen(self._hear, self._port)
            except InstrumentProblem as problem:
                if self.capabilities is not None:
                    self.capabilities = None
                    self._went(str(problem))
                    self._give()
                self._supervisor.report(problem)
                await asyncio.sleep(RETRY_S)

    def _checked(self, told: DeviceCapabilities) -> DeviceCapabilities:
        """The numbers at this link's port; refuses some that no qubit can have.

        A midpoint has no qubits. Raises ProtocolError.
        """
        try:
            numbers = told.at_port(self._port)
            if numbers.role == "node":
                if numbers.herald_mode == "host" and not numbers.modes:
                    raise ValueError("herald mode 'host' with 0 modes, expected some")
                MemoryMap(numbers)
            for error in (numbers.readout_error, *(q.readout_error for q in numbers.qubit_numbers)):
                if not 0 <= error < 0.5:
                    raise ValueError(f"readout error {error}, expected 0 to below 0.5")
            if numbers.qubit_numbers:
                # Test rounds are read where they come in.
                here = numbers.qubit_numbers[COMMUNICATION_QUBIT]
                numbers = replace(numbers, readout_error=here.readout_error)
            return numbers
        except ValueError as error:
            raise ProtocolError(
                f"the device cannot serve this link: {error}", b"", owner=self._name
            ) from error

    def _started(self, run: int, first_slot: int) -> None:
        self._told_start(first_slot)
        if run != self._run:
            return
        self._first_slot, self._started_s = first_slot, self._clock()
        early, self._early = self._early, None
        if early is not None:
            self._hear(early)

    def _hear(self, herald: DeviceHerald) -> None:
        if self._first_slot is None:
            self._early = herald
        elif herald.slot < self._first_slot:
            self.stale_heralds += 1
        else:
            self._counted_from = self._first_slot
            self.attempts += herald.slot - self._first_slot + 1
            try:
                self._heralded(herald)
            except Exception as error:
                self._crash(error)

    def _crash(self, error: Exception) -> None:
        """A mistake of the link must not look like one of the device."""
        self._error = error
        self._ended.set()


def _nothing(result: object) -> None:
    pass
