"""The kit for authors complains exactly when a driver does not send what it should."""

import asyncio

import pytest

from drivers.devices import Identity, Instrument
from drivers.errors import Refused, Timeout
from drivers.framing import LINE_LF
from drivers.plugin import Manifest
from drivers.testing import expected_exchange, memory_link
from timing.loop import run_virtual


class Lamp(Instrument):
    manifest = Manifest("test.lamp", "Laser", "Lamp", ("tcp",), "off", emits=True)

    async def connect(self) -> Identity:
        return Identity((await self.link.exchange(b"who?\n", LINE_LF)).decode())

    async def enter_safe_state(self) -> None:
        await self.link.send(b"off\n")

    async def ping(self) -> None:
        await self.connect()

    async def on(self) -> None:
        self.require_armed("switching on")
        await self.link.send(b"o")
        await self.link.send(b"n\n")


def test_all_and_only_the_expected_bytes() -> None:
    async def scenario() -> None:
        script = [(b"who?\n", b"Lamp 3\n"), (b"on\n", None), (b"off\n", None)]
        async with expected_exchange(Lamp, script) as lamp:
            assert await lamp.connect() == Identity("Lamp 3")
            await lamp.on()
            await lamp.enter_safe_state()

    run_virtual(scenario())


def test_other_bytes_are_told() -> None:
    async def scenario() -> None:
        async with expected_exchange(Lamp, [(b"off\r\n", None)]) as lamp:
            await lamp.enter_safe_state()

    with pytest.raises(AssertionError, match=r"sent b'off\\n', expected was b'off\\r\\n'"):
        run_virtual(scenario())


def test_more_bytes_are_told() -> None:
    async def scenario() -> None:
        async with expected_exchange(Lamp, [(b"off\n", None)]) as lamp:
            await lamp.enter_safe_state()
            await lamp.enter_safe_state()

    with pytest.raises(AssertionError, match="expected was nothing more"):
        run_virtual(scenario())


def test_missing_bytes_are_told() -> None:
    async def scenario() -> None:
        async with expected_exchange(Lamp, [(b"off\n", None), (b"on\n", None)]) as lamp:
            await lamp.enter_safe_state()

    with pytest.raises(AssertionError, match=r"never sent \[b'on\\n'\]"):
        run_virtual(scenario())


def test_a_complaint_that_the_driver_swallowed_comes_at_the_end() -> None:
    async def scenario() -> None:
        async with expected_exchange(Lamp, []) as lamp:
            with pytest.raises(AssertionError):
                await lamp.enter_safe_state()

    with pytest.raises(AssertionError, match="expected was nothing more"):
        run_virtual(scenario())


def test_an_instrument_that_does_not_answer_is_a_timeout() -> None:
    async def scenario() -> None:
        async with expected_exchange(Lamp, [(b"who?\n", None)]) as lamp:
            with pytest.raises(Timeout):
                await lamp.connect()

    run_virtual(scenario())


def test_what_comes_unasked() -> None:
    async def scenario() -> None:
        async with expected_exchange(Lamp, [(b"", b"welcome\n"), (b"off\n", None)]) as lamp:
            assert await lamp.link.receive(LINE_LF) == b"welcome"
            await lamp.enter_safe_state()

    run_virtual(scenario())


def test_an_unarmed_driver_sends_nothing() -> None:
    async def scenario() -> None:
        async with expected_exchange(Lamp, [], armed=False) as lamp:
            with pytest.raises(Refused, match="switching on needs an arming lease"):
                await lamp.on()

    run_virtual(scenario())


def test_the_far_end_of_a_memory_link_expects() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            await link.send(b"one two")
            await far.expect(b"one ")
            assert await far.read() == b"two"
            with pytest.raises(AssertionError, match="sent b'', expected was b'x'"):
                await far.expect(b"x", timeout_s=1.0)
            await link.send(b"y")
            with pytest.raises(AssertionError, match="sent b'y', expected was b'x'"):
                await far.expect(b"x")
            far.close()
            assert await asyncio.wait_for(far.read(), 1.0) == b""

    run_virtual(scenario())
