"""Memory modes of the open device driver: the vectors of docs/device-protocol.md, and refusals."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused
from drivers.framing import LengthCrc
from drivers.quantum.open_device import OpenDevice
from drivers.testing import FarEnd, memory_link
from timing.loop import run_virtual

FRAMES = LengthCrc()
DOCUMENT = Path(__file__).parents[2] / "docs" / "device-protocol.md"
HELLO = {"version": 1, "minor": 1, "role": "node", "maker": "Lab", "serial": "QM-A"}
CAPABILITIES = {
    "qubits": 2,
    "modes": 50,
    "attempt_period_s": 1e-6,
    "herald_mode": "host",
    "gates": ["X", "CNOT"],
    "t1_s": 1,
    "t2_s": 0.1,
    "initial_fidelity": 0.9,
    "gate_error": 0.001,
    "two_qubit_gate_error": 0.01,
    "readout_error": 0.01,
    "gate_durations_s": {"X": 1e-6, "CNOT": 2e-4, "measure": 1e-5},
    "gate_errors": {"CNOT": 0.02},
}
IDLE = {"attempting": False, "slot": 0, "time_ps": 0, "held": [], "modes_held": 0}


class Script:
    """The device's end: what it is asked, and answers to it."""

    def __init__(self, far: FarEnd):
        self.far = far
        self.buffer = bytearray()

    async def answer(self, do: str, **fields: Any) -> dict[str, Any]:
        while (payload := FRAMES.take(self.buffer)) is None:
            self.buffer += await self.far.read()
        request: dict[str, Any] = msgspec.msgpack.decode(payload)
        assert request.pop("do") == do
        reply = {"id": request.pop("id"), **({} if "error" in fields else {"ok": True}), **fields}
        await self.far.write(FRAMES.wrap(msgspec.msgpack.encode(reply)))
        return request

    async def greet(self, hello: dict[str, Any], capabilities: dict[str, Any]) -> None:
        await self.answer("hello", **hello)
        await self.answer("capabilities", **capabilities)
        await self.answer("status", **IDLE)


@asynccontextmanager
async def connected(
    hello: dict[str, Any] = HELLO, capabilities: dict[str, Any] = CAPABILITIES
) -> AsyncIterator[tuple[OpenDevice, Script]]:
    async with memory_link() as (link, far):
        driver, script = OpenDevice(link), Script(far)
        greeting = asyncio.create_task(script.greet(hello, capabilities))
        who = await driver.connect()
        await greeting
        assert re.search(OpenDevice.manifest.identity, who.text)
        try:
            yield driver, script
        finally:
            await driver.disconnect()


def vector(start: str) -> bytes:
    """The frame that the document shows after the message that begins so."""
    after = DOCUMENT.read_text().split(start, 1)[1].split("`:", 1)[1]
    return bytes.fromhex(after.split("`", 2)[1].replace("\n", " "))


CALLS: tuple[tuple[str, int, Callable[[OpenDevice], Awaitable[Any]]], ...] = (
    (
        '`{"id": 2, "do": "configure"',
        2,
        lambda d: d.configure_attempts(bright_population=0.125, count=1000, start_slot=4096),
    ),
    ('`{"id": 3, "do": "keep"', 3, lambda d: d.keep(4100)),
    ('`{"id": 4, "do": "release_mode"', 4, lambda d: d.release_mode(4101)),
)


@pytest.mark.parametrize(("start", "number", "call"), CALLS)
def test_requests_are_the_vectors_of_the_document(
    start: str, number: int, call: Callable[[OpenDevice], Awaitable[Any]]
) -> None:
    async def scenario() -> None:
        async with connected() as (driver, script):
            driver._last_id = number - 1
            calling = asyncio.ensure_future(call(driver))
            await script.far.expect(vector(start))
            calling.cancel()

    run_virtual(scenario())


def test_the_answer_to_keep_is_the_vector_of_the_document() -> None:
    async def scenario() -> None:
        async with connected() as (driver, script):
            driver._last_id = 2
            keeping = asyncio.create_task(driver.keep(4100))
            await script.far.expect(vector('`{"id": 3, "do": "keep"'))
            await script.far.write(vector('`{"id": 3, "ok": true'))
            assert await keeping == 0

    run_virtual(scenario())


def test_all_modes_are_released_by_the_vector_of_the_document() -> None:
    shown = DOCUMENT.read_text().split("with id 5 and nil:\n`", 1)[1].split("`", 1)[0]

    async def scenario() -> None:
        async with connected() as (driver, script):
            driver._last_id = 4
            releasing = asyncio.create_task(driver.release_mode(None))
            await script.far.expect(bytes.fromhex(shown))
            releasing.cancel()

    run_virtual(scenario())


def test_numbers_of_single_gates_come_typed_and_are_optional() -> None:
    async def scenario() -> None:
        async with connected() as (driver, _):
            able = await driver.capabilities()
            assert (able.modes, able.herald_mode) == (50, "host")
            assert able.gate_durations_s == {"X": 1e-6, "CNOT": 2e-4, "measure": 1e-5}
            assert able.gate_errors == {"CNOT": 0.02}
        old = {
            key: value
            for key, value in CAPABILITIES.items()
            if key not in ("modes", "gate_durations_s", "gate_errors")
        }
        async with connected({**HELLO, "minor": 0}, old) as (driver, _):
            able = await driver.capabilities()
            assert (able.modes, able.gate_durations_s, able.gate_errors) == (0, {}, {})

    run_virtual(scenario())


def test_what_the_device_cannot_do_is_refused_unsent() -> None:
    async def scenario() -> None:
        single = {**CAPABILITIES, "modes": 0, "herald_mode": "hardware"}
        hello_of_1_0 = {key: value for key, value in HELLO.items() if key != "minor"}
        nothing_is_sent = {"id": 4, "do": "status"}
        for hello, able, call, words in (
            (HELLO, single, lambda d: d.keep(4), "single-mode device"),
            (HELLO, single, lambda d: d.release_mode(4), "single-mode device"),
            (HELLO, single, lambda d: d.release_mode(None), "single-mode device"),
            (hello_of_1_0, single, lambda d: d.keep(4), "single-mode device"),
            (hello_of_1_0, single, lambda d: d.configure_attempts(), r"1\.0.*begins with 1\.1"),
            (hello_of_1_0, CAPABILITIES, lambda d: d.keep(4), r"1\.0.*begins with 1\.1"),
            (HELLO, CAPABILITIES, lambda d: d.keep(-1), "0 or more"),
            (HELLO, CAPABILITIES, lambda d: d.configure_attempts(count=-1), "0 or more"),
            (HELLO, CAPABILITIES, lambda d: d.configure_attempts(start_slot=-1), "0 or more"),
            (
                HELLO,
                CAPABILITIES,
                lambda d: d.configure_attempts(bright_population=1.1),
                "0 to 1",
            ),
            (
                HELLO,
                CAPABILITIES,
                lambda d: d.configure_attempts(bright_population=float("nan")),
                "0 to 1",
            ),
        ):
            async with connected(hello, able) as (driver, script):
                with pytest.raises(Refused, match=words):
                    await call(driver)
                polling = asyncio.create_task(driver.ping())
                await script.far.expect(FRAMES.wrap(msgspec.msgpack.encode(nothing_is_sent)))
                polling.cancel()

    run_virtual(scenario())


def test_a_mode_that_is_gone_is_told_and_a_qubit_that_cannot_be_is_garbled() -> None:
    async def scenario() -> None:
        async with connected() as (driver, script):
            keeping = asyncio.create_task(driver.keep(7))
            assert await script.answer("keep", error=6, text="no mode of slot 7") == {"slot": 7}
            with pytest.raises(InstrumentError, match="no mode of slot 7") as caught:
                await keeping
            assert caught.value.code == 6
            keeping = asyncio.create_task(driver.keep(7))
            await script.answer("keep", qubit=2)
            with pytest.raises(ProtocolError, match="a qubit that the device has"):
                await keeping

    run_virtual(scenario())


def test_the_safe_state_gives_up_all_modes_and_is_checked() -> None:
    async def scenario() -> None:
        async with connected() as (driver, script):
            for left in (0, 3):
                securing = asyncio.create_task(driver.enter_safe_state())
                await script.answer("abort")
                assert await script.answer("release_mode") == {"slot": None}
                await script.answer("status", **IDLE)
                await script.answer("status", **{**IDLE, "modes_held": left})
                if left:
                    with pytest.raises(InstrumentError, match="modes_held"):
                        await securing
                else:
                    await securing

    run_virtual(scenario())
