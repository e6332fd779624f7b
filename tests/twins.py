"""A driver on its simulated twin in memory, and a client that only keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from drivers.devices import Instrument
from drivers.plugin import make_instrument
from sim_backends.lab import LaserConfig
from sim_backends.lasers import LaserModel
from sim_backends.mount import Connect, Session
from sim_backends.mount_memory import MemoryPort, open_memory

Driver = TypeVar("Driver", bound=Instrument)
POLL_S = 0.02


@asynccontextmanager
async def on_twin(
    driver: type[Driver],
    connect: Connect,
    *,
    options: Mapping[str, Any] | None = None,
    armed: bool = True,
    poll: Callable[[], None] = lambda: None,
) -> AsyncIterator[Driver]:
    """A connected driver; `poll` of the twin is called as the simulated lab would."""

    def dial() -> tuple[MemoryPort, MemoryPort]:
        port = open_memory(connect)
        return port, port

    async def live() -> None:
        while True:
            poll()
            await asyncio.sleep(POLL_S)

    instrument = make_instrument(
        driver, "mem://box", owner="test/box", options=options, memory={"box": dial}
    )
    assert isinstance(instrument, driver)
    instrument.armed = lambda: armed
    life = asyncio.create_task(live())
    try:
        await instrument.link.open()
        await instrument.connect()
        yield instrument
    finally:
        life.cancel()
        await instrument.disconnect()
        await instrument.link.close()


class Sink:
    """The far end of a twin's channel."""

    def __init__(self) -> None:
        self.taken = b""

    def send(self, data: bytes) -> bool:
        self.taken += data
        return True

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        """What was said since the last time."""
        taken, self.taken = self.taken, b""
        return taken


async def said(session: Session, sink: Sink, data: bytes, wait_s: float = 0.5) -> bytes:
    """What a twin answers to some bytes within a time."""
    sink.take()
    session.feed(data)
    await asyncio.sleep(wait_s)
    return sink.take()


def make_laser(wavelength_nm: float = 1550.0, max_mw: float = 40.0) -> LaserModel:
    """A laser of 1 mW/mA above 10 mA."""
    return LaserModel(
        LaserConfig(
            threshold_ma=10.0,
            slope_mw_per_ma=1.0,
            max_current_ma=10.0 + max_mw,
            wavelength_nm=wavelength_nm,
        )
    )
