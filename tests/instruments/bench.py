"""A twin on the bench, plugged in in memory or on what it really stands on, and its driver."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drivers.devices import Instrument
from drivers.links.memory import Registry
from drivers.plugin import load_driver, make_instrument
from sim_backends.catalogue import MESSAGE_KINDS
from sim_backends.faulty_line import FaultyLine
from sim_backends.mount import Connect
from sim_backends.mount_memory import MemoryPort, open_memory
from sim_backends.mount_messages import in_packets
from sim_backends.places import PLACES, Place, PtyPlace
from tests.instruments.case import Case, Twin

STEP_S = 0.02


@dataclass
class Plugged:
    """One twin that can be reached; `lines` are its cables by socket, the first is the driver's."""

    case: Case
    rng: np.random.Generator
    twin: Twin
    lines: dict[str, FaultyLine]
    resources: dict[str, str]
    registry: Registry | None
    powered: bool = True

    @property
    def driver(self) -> type[Instrument]:
        """The driver under test."""
        return load_driver(self.case.driver)

    def make(self) -> Instrument:
        """A fresh driver on a fresh link."""
        options = {key: self._filled(value) for key, value in self.case.options.items()}
        return make_instrument(
            self.driver,
            next(iter(self.resources.values())),
            owner=f"bench/{self.case.driver}",
            options=options,
            memory=self.registry,
        )

    def emits(self) -> bool:
        """Does light or bias come out, seen from the inside; no for what cannot."""
        return self.twin.emits is not None and self.twin.emits()

    def power_off(self) -> None:
        """Its connections end, and new ones are refused."""
        self.powered = False
        for line in self.lines.values():
            line.refuses = True
            line.hang_up()

    def power_on(self, serial: str | None = None) -> None:
        """Another fresh twin stands there, with the same serial number unless given."""
        self.twin = self.case.twin(self.rng, self.case.serial if serial is None else serial)
        for name, line in self.lines.items():
            line.machine = self.twin.sockets[name]
            line.refuses = False
        self.powered = True

    def dial(self, name: str) -> tuple[MemoryPort, MemoryPort]:
        """Connect in memory, as the cable allows."""
        if not self.powered:
            raise ConnectionRefusedError("switched off")
        if self.lines[name].pulled:
            raise ConnectionError("no route to it")
        connect = self.lines[name].connect
        if self.case.mounts[name] in MESSAGE_KINDS:
            connect = in_packets(connect)
        port = open_memory(connect)
        return port, port

    async def live(self) -> None:
        """Let the twin do what is due, until cancelled."""
        while True:
            self.twin.poll()
            await asyncio.sleep(STEP_S)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._filled(each) for each in value]
        if not isinstance(value, str):
            return value
        for name, resource in self.resources.items():
            value = value.replace(f"{{{name}}}", resource)
        return value


def _machines(case: Case, seed: int) -> tuple[np.random.Generator, Twin, dict[str, FaultyLine]]:
    rng = np.random.default_rng(seed)
    twin = case.twin(rng, case.serial)
    assert list(twin.sockets) == list(case.mounts), "mounts name the sockets of the twin, in order"
    lines = {
        name: FaultyLine(connect, keeps=case.mounts[name] != "pty")
        for name, connect in twin.sockets.items()
    }
    return rng, twin, lines


@asynccontextmanager
async def in_memory(case: Case, *, seed: int = 1) -> AsyncIterator[Plugged]:
    """On `mem://`, on whatever clock the loop has."""
    rng, twin, lines = _machines(case, seed)
    resources = {name: f"mem://{name}" for name in lines}
    plugged = Plugged(case, rng, twin, lines, resources, None)
    plugged.registry = {name: lambda name=name: plugged.dial(name) for name in lines}
    async with _alive(plugged):
        yield plugged


@asynccontextmanager
async def on_its_mount(case: Case, folder: Path, *, seed: int = 1) -> AsyncIterator[Plugged]:
    """On real sockets of this machine and pseudo-terminals in `folder`."""
    rng, twin, lines = _machines(case, seed)
    places: dict[str, Place] = {}
    try:
        for name, kind in case.mounts.items():
            places[name] = (
                PtyPlace(folder / name) if kind == "pty" else PLACES[kind]("127.0.0.1", 0)
            )
            await places[name].start(_connect(lines[name]))
        resources = {name: place.resource for name, place in places.items()}
        async with _alive(Plugged(case, rng, twin, lines, resources, None)) as plugged:
            yield plugged
    finally:
        for place in places.values():
            await place.stop()


def _connect(line: FaultyLine) -> Connect:
    return line.connect


@asynccontextmanager
async def _alive(plugged: Plugged) -> AsyncIterator[Plugged]:
    life = asyncio.create_task(plugged.live(), name="twin")
    try:
        yield plugged
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
