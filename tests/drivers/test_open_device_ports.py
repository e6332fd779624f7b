"""Optical ports of the open device driver: the vectors of docs/device-protocol.md, and refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from drivers.devices import DevicePort
from drivers.errors import InstrumentError, ProtocolError, Refused
from drivers.quantum.open_device import OpenDevice
from tests.drivers.test_open_device_modes import CAPABILITIES, FRAMES, HELLO, connected, vector
from timing.loop import run_virtual

HELLO_2 = {**HELLO, "minor": 2}
TO_X = {"name": "x", "attempt_period_s": 1e-6, "initial_fidelity": 0.9}
TO_Y = {"name": "y", "attempt_period_s": 5e-6, "initial_fidelity": 0.8}
ABLE = {**CAPABILITIES, "ports": [TO_X, TO_Y]}

CALLS: tuple[tuple[str, int, Callable[[OpenDevice], Awaitable[Any]]], ...] = (
    (
        '`{"id": 6, "do": "configure"',
        6,
        lambda d: d.configure_attempts(start_slot=8192, port=1),
    ),
    ('`{"id": 7, "do": "start"', 7, lambda d: d.start(port=1)),
    ('`{"id": 8, "do": "abort"', 8, lambda d: d.abort(port=1)),
    ('`{"id": 9, "do": "keep"', 9, lambda d: d.keep(8193, port=1)),
)


@pytest.mark.parametrize(("start", "number", "call"), CALLS)
def test_requests_are_the_vectors_of_the_document(
    start: str, number: int, call: Callable[[OpenDevice], Awaitable[Any]]
) -> None:
    async def scenario() -> None:
        async with connected(HELLO_2, ABLE) as (driver, script):
            driver._last_id = number - 1
            calling = asyncio.ensure_future(call(driver))
            await script.far.expect(vector(start))
            calling.cancel()

    run_virtual(scenario())


def test_each_port_has_its_heralds_and_all_hear_of_a_fault() -> None:
    async def scenario() -> None:
        async with connected(HELLO_2, ABLE) as (driver, script):
            first, second = driver.heralds(), driver.heralds(1)
            await script.far.write(vector('`{"event": "herald", "slot": 8193'))
            of_second = await anext(second)
            assert (of_second.port, of_second.slot, of_second.qubit) == (1, 8193, 0)
            event = {"event": "herald", "slot": 8193, "time_ps": 1, "qubit": 0}
            await script.far.write(FRAMES.wrap(msgspec.msgpack.encode(event)))
            assert (await anext(first)).port == 0
            fault = {"event": "fault", "code": "laser", "text": "off"}
            await script.far.write(FRAMES.wrap(msgspec.msgpack.encode(fault)))
            for heralds in (first, second):
                with pytest.raises(InstrumentError, match="off"):
                    await anext(heralds)

    run_virtual(scenario())


def test_a_herald_of_a_port_that_is_not_there_ends_the_connection() -> None:
    async def scenario() -> None:
        async with connected(HELLO_2, ABLE) as (driver, script):
            event = {"event": "herald", "slot": 1, "time_ps": 1, "qubit": 0, "port": 2}
            await script.far.write(FRAMES.wrap(msgspec.msgpack.encode(event)))
            with pytest.raises(ProtocolError, match="port of 0 to 1"):
                await anext(driver.heralds(1))

    run_virtual(scenario())


def test_capabilities_of_each_port() -> None:
    async def scenario() -> None:
        async with connected(HELLO_2, ABLE) as (driver, _):
            able = await driver.capabilities()
            assert able.ports == (DevicePort("x", 1e-6, 0.9), DevicePort("y", 5e-6, 0.8))
            there = able.at_port(1)
            assert (there.attempt_period_s, there.initial_fidelity) == (5e-6, 0.8)
            assert (there.t2_s, there.qubits) == (able.t2_s, able.qubits)
            with pytest.raises(ValueError, match="port 2, the device has 0 to 1"):
                able.at_port(2)
        async with connected() as (driver, _):
            able = await driver.capabilities()
            assert able.ports == ()
            assert able.at_port(0) == able
            with pytest.raises(ValueError, match="port 1, the device has 0 to 0"):
                able.at_port(1)

    run_virtual(scenario())


def test_a_device_without_ports_is_asked_as_before() -> None:
    async def scenario() -> None:
        async with connected() as (driver, script):
            starting = asyncio.create_task(driver.start())
            assert await script.answer("start", slot=5) == {"count": 0}
            assert await starting == 5
            aborting = asyncio.create_task(driver.abort(port=0))
            assert await script.answer("abort") == {}
            await aborting

    run_virtual(scenario())


def test_a_port_that_is_not_there_is_refused_unsent() -> None:
    async def scenario() -> None:
        of_1_1 = {**HELLO, "minor": 1}
        for hello, able, call, words in (
            (HELLO, CAPABILITIES, lambda d: d.start(port=1), "port = 1, accepted: 0 to 0"),
            (HELLO_2, ABLE, lambda d: d.start(port=2), "port = 2, accepted: 0 to 1"),
            (HELLO_2, ABLE, lambda d: d.abort(port=-1), "port = -1, accepted: 0 to 1"),
            (HELLO_2, ABLE, lambda d: anext(d.heralds(2)), "port = 2"),
            (of_1_1, ABLE, lambda d: d.start(port=1), r"1\.1.*begins with 1\.2"),
        ):
            async with connected(hello, able) as (driver, script):
                with pytest.raises(Refused, match=words):
                    await call(driver)
                polling = asyncio.create_task(driver.ping())
                assert await script.answer("status", port=0, held=[]) == {}
                await polling

    run_virtual(scenario())
