"""The monitoring line of the DLC pro driver: what is pushed, and what cannot be."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from drivers.errors import InstrumentError, NotConnected, ProtocolError
from drivers.lasers.dlcpro import DlcPro
from drivers.lasers.dlcpro_monitor import Change, monitor_resource
from drivers.links import make_link
from drivers.links.memory import Pipe, pipe_pair
from sim_backends.instruments.dlcpro import DlcPro as Twin
from sim_backends.instruments.dlcpro_monitor import DlcProMonitor
from sim_backends.mount_memory import open_memory
from tests.twins import make_laser
from timing.loop import run_virtual


def watching(lines: bytes, *names: str) -> tuple[list[Change], bytes]:
    """The changes that some lines give, and what the driver sent for them."""

    async def scenario() -> tuple[list[Change], bytes]:
        near, (reader, writer) = pipe_pair()
        registry = {"dlc-monitor": lambda: near}
        laser = DlcPro(make_link("mem://dlc", owner="lab/pump", memory=registry))
        await writer.write(lines)
        found = []
        async with aclosing(laser.changes(*names, interval_ms=50)) as stream:
            try:
                async with asyncio.timeout(1.0):
                    async for change in stream:
                        found.append(change)
            except TimeoutError:
                pass
        return found, await reader.read()

    return run_virtual(scenario())


def test_lines_become_changes_with_the_controllers_time() -> None:
    found, sent = watching(
        b"(2026-03-01T12:00:00.250Z 'emission #t)\r\n"
        b"(2026-03-01T12:00:01.000000Z 'laser1:dl:cc:current-act 89.75)\r\n"
        b'(2026-03-01T12:00:01.5Z \'system-label "rack \\"3\\"")\n'
        b"(2026-03-01T12:00:02.000Z 'laser1:scan:limits (1.0 2.0))\r\n"
        b"(2026-03-01T12:00:02.000Z 'ul 2)\r\n",
        "emission",
        "ul",
    )
    assert sent == b"(add 'emission 50)\n(add 'ul 50)\n"
    assert [(c.name, c.value) for c in found] == [
        ("emission", True),
        ("laser1:dl:cc:current-act", 89.75),
        ("system-label", 'rack "3"'),
        ("laser1:scan:limits", "(1.0 2.0)"),
        ("ul", 2),
    ]
    assert found[0].unix_s == 1_772_366_400.25


def test_a_parameter_that_does_not_exist_is_named() -> None:
    with pytest.raises(InstrumentError, match=r"add 'x:y.*error -2: Unknown parameter") as caught:
        watching(b"(Error: -2 (2026-03-01T12:00:00.250Z 'x:y) Unknown parameter)\r\n", "x:y")
    assert caught.value.code == -2


@pytest.mark.parametrize(
    "line",
    [b"hello", b"(now 'emission #t)", b"(2026-03-01T12:00:00.250Z 'emission yes)", b"(\xff)"],
)
def test_a_line_that_cannot_be_shows_its_bytes(line: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"expected \(time 'name value\)"):
        watching(line + b"\r\n")


def test_the_line_is_on_port_1999_of_the_same_host() -> None:
    assert monitor_resource("tcp://10.0.0.7:1998") == "tcp://10.0.0.7:1999"
    assert monitor_resource("tcp://[::1]:1998") == "tcp://[::1]:1999"
    assert monitor_resource("TCPIP::10.0.0.7::1998::SOCKET") == "tcp://10.0.0.7:1999"


def test_an_interlock_that_opens_is_told_without_asking() -> None:
    async def scenario() -> None:
        model = make_laser(405.0)
        twin = Twin(model, "DLC PRO_024817", advance=lambda: None)
        clock = asyncio.get_running_loop().time
        monitor = DlcProMonitor(twin, now_s=clock, unix_s=lambda: 1.7e9 + clock())

        def dial() -> Any:
            port = open_memory(monitor.connect)
            return port, port

        async def live() -> None:
            while True:
                monitor.poll()
                await asyncio.sleep(0.02)

        life = asyncio.create_task(live())
        laser = DlcPro(make_link("mem://dlc", owner="lab/pump", memory={"dlc-monitor": dial}))
        async with aclosing(laser.changes()) as stream:
            first = {(await anext(stream)).name for _ in range(5)}
            assert first >= {"emission", "interlock-open", "laser1:dl:cc:enabled"}
            asked_s = clock()
            twin.interlock_open = True
            change = await anext(stream)
            assert (change.name, change.value) == ("interlock-open", True)
            assert clock() - asked_s <= 0.12
        life.cancel()

    run_virtual(scenario())


def test_a_line_that_ends_is_told() -> None:
    async def scenario() -> None:
        ends: list[tuple[Pipe, Pipe]] = []

        def dial() -> tuple[Pipe, Pipe]:
            near, far = pipe_pair()
            ends.append(far)
            return near

        laser = DlcPro(make_link("mem://dlc", owner="lab/pump", memory={"dlc-monitor": dial}))
        async with aclosing(laser.changes("emission")) as stream:
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.1)
            ends[0][1].close()
            with pytest.raises(NotConnected, match="closed"):
                await waiting

    run_virtual(scenario())
