"""The vendor's client on both lines of the simulated DLC pro: it watches what it sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from toptica.lasersdk.asyncio.client import Client, NetworkConnection
from toptica.lasersdk.client import Client as BlockingClient
from toptica.lasersdk.client import DecopError
from toptica.lasersdk.client import NetworkConnection as BlockingConnection

from sim_backends.instruments.dlcpro import DlcPro
from sim_backends.instruments.dlcpro_monitor import DlcProMonitor
from sim_backends.mount import listen_on
from sim_backends.mount_tcp import TcpMount
from tests.twins import make_laser


@asynccontextmanager
async def dlc_pro() -> AsyncIterator[tuple[int, int, DlcPro]]:
    laser = DlcPro(make_laser(405.0), "DLC PRO_024817", advance=lambda: None)
    clock = asyncio.get_running_loop().time
    monitor = DlcProMonitor(laser, now_s=clock, unix_s=lambda: 1.7e9)
    mounts, ports = [], []
    for connect in (laser.connect, monitor.connect):
        mounts.append(TcpMount(connect))
        listener = listen_on("127.0.0.1", 0)
        ports.append(listener.getsockname()[1])
        await mounts[-1].start(listener)

    async def live() -> None:
        while True:
            monitor.poll()
            await asyncio.sleep(0.01)

    life = asyncio.create_task(live())
    try:
        yield ports[0], ports[1], laser
    finally:
        life.cancel()
        for mount in mounts:
            await mount.stop()


async def test_asyncio_subscriptions_tell_values_changes_and_errors() -> None:
    async with (
        dlc_pro() as (port, monitor, laser),
        Client(NetworkConnection("127.0.0.1", port, monitor)) as client,
        asyncio.timeout(10),
    ):
        current = await client.subscribe("laser1:dl:cc:current-set", float, 50)
        lock = await client.subscribe("interlock-open", bool)
        wrong = await client.subscribe("laser9:emission", bool)
        assert (await current.next())[1] == 0.0
        when, value = await lock.next()
        assert (when.timestamp() > 0, value) == (True, False)
        with pytest.raises(DecopError, match="Unknown parameter"):
            await wrong.next()
        await client.set("laser1:dl:cc:current-set", 45.0)
        assert (await current.next())[1] == 45.0
        laser.interlock_open = True
        assert (await lock.next())[1] is True
        await lock.cancel()


async def test_the_blocking_client_watches_too() -> None:
    def session(port: int, monitor: int) -> list[Any]:
        seen: list[Any] = []
        with BlockingClient(BlockingConnection("127.0.0.1", port, monitor)) as client:
            watched = client.subscribe(
                "laser1:dl:cc:current-set",
                lambda _, name, value: seen.append((name, value.get())),
                float,
            )
            client.run(0.3)
            client.set("laser1:dl:cc:current-set", 30.0)
            client.run(0.3)
            watched.cancel()
        return seen

    async with dlc_pro() as (port, monitor, _), asyncio.timeout(10):
        seen = await asyncio.to_thread(session, port, monitor)
    assert [value for _, value in seen] == [0.0, 30.0]
