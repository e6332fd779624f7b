"""The open device driver against docs/device-protocol.md."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from drivers.devices import DeviceHerald
from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.framing import LengthCrc
from drivers.links.base import Link
from drivers.plugin import wrong_box
from drivers.quantum.open_device import MAX_WAITING_HERALDS, OpenDevice
from drivers.testing import FarEnd, ScriptedTransport, memory_link
from timing.loop import run_virtual

FRAMES = LengthCrc()
HELLO = {
    "version": 1,
    "role": "node",
    "maker": "Lab",
    "model": "NV",
    "serial": "QM-A",
    "firmware": "2",
}
CAPABILITIES = {
    "qubits": 3,
    "attempt_period_s": 2e-5,
    "herald_mode": "hardware",
    "gates": ["X", "Z", "CNOT"],
    "t1_s": 10,
    "t2_s": 0.5,
    "initial_fidelity": 0.99,
    "gate_error": 0.001,
    "two_qubit_gate_error": 0.005,
    "readout_error": 0.01,
}
IDLE = {"attempting": False, "slot": 0, "time_ps": 0, "held": []}


class Device:
    """The device's side: takes requests in order, answers when told to."""

    def __init__(self, far: FarEnd):
        self.far = far
        self.buffer = bytearray()

    async def asked(self) -> dict[str, Any]:
        while (payload := FRAMES.take(self.buffer)) is None:
            self.buffer += await self.far.read()
        request: dict[str, Any] = msgspec.msgpack.decode(payload)
        return request

    async def send(self, message: Any) -> None:
        await self.far.write(FRAMES.wrap(msgspec.msgpack.encode(message)))

    async def answer(self, do: str, **results: Any) -> dict[str, Any]:
        request = await self.asked()
        assert request["do"] == do
        await self.send({"id": request["id"], "ok": True, **results})
        return request

    async def herald(self, slot: int, **more: Any) -> None:
        await self.send({"event": "herald", "slot": slot, "time_ps": slot * 1000, **more})

    async def greet(self, **changed: Any) -> None:
        await self.answer("hello", **{**HELLO, **changed})
        await self.answer("capabilities", **CAPABILITIES)
        await self.answer("status", **IDLE)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[OpenDevice, Device]]:
    async with memory_link() as (link, far):
        driver, device = OpenDevice(link), Device(far)
        greeting = asyncio.create_task(device.greet())
        who = await driver.connect()
        await greeting
        assert who.serial == "QM-A"
        assert wrong_box(OpenDevice.manifest, who, "QM-A") == ""
        try:
            yield driver, device
        finally:
            await driver.disconnect()


def test_the_hello_is_the_test_vector_of_the_protocol() -> None:
    vector = bytes.fromhex(
        "17000000 83a2696401a2646fa568656c6c6fa776657273696f6e01 ff719184".replace(" ", "")
    )

    async def scenario() -> None:
        async with memory_link() as (link, far):
            connecting = asyncio.create_task(OpenDevice(link).connect())
            await far.expect(vector)
            far.close()
            with pytest.raises(NotConnected):
                await connecting

    run_virtual(scenario())


def test_capabilities_come_typed() -> None:
    async def scenario() -> None:
        async with connected() as (driver, _):
            able = await driver.capabilities()
            assert able.role == "node"
            assert able.gates == ("X", "Z", "CNOT")
            assert able.t1_s == 10.0

    run_virtual(scenario())


@pytest.mark.parametrize("wrong", [{"qubits": "3"}, {"herald_mode": "both"}, {"gates": None}])
def test_wrong_capabilities_are_named(wrong: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            device = Device(far)
            connecting = asyncio.create_task(OpenDevice(link).connect())
            await device.answer("hello", **HELLO)
            await device.answer("capabilities", **{**CAPABILITIES, **wrong})
            with pytest.raises(ProtocolError, match=next(iter(wrong))):
                await connecting

    run_virtual(scenario())


def test_every_request_has_the_arguments_of_the_protocol() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            for call, do, results, arguments in (
                (driver.start(count=5), "start", {"slot": 77}, {"count": 5}),
                (driver.abort(), "abort", {}, {}),
                (driver.initialise(1, "+i"), "initialise", {}, {"qubit": 1, "state": "+i"}),
                (driver.gate("CNOT", 0, 2), "gate", {}, {"gate": "CNOT", "qubits": [0, 2]}),
                (driver.move(0, 1), "move", {}, {"source": 0, "target": 1}),
                (driver.measure(1, "X"), "measure", {"outcome": 1}, {"qubit": 1, "basis": "X"}),
                (driver.release(2), "release", {}, {"qubit": 2}),
            ):
                calling = asyncio.ensure_future(call)
                request = await device.answer(do, **results)
                assert {k: v for k, v in request.items() if k not in ("id", "do")} == arguments
                assert await calling == (77 if do == "start" else 1 if do == "measure" else None)

    run_virtual(scenario())


def test_a_gate_does_not_wait_for_a_status_poll() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            polling = asyncio.create_task(driver.ping())
            gating = asyncio.create_task(driver.gate("X", 0))
            first, second = await device.asked(), await device.asked()
            assert (first["do"], second["do"]) == ("status", "gate")
            await device.send({"id": first["id"], "ok": True, **IDLE})
            await device.send({"id": second["id"], "ok": True})
            await asyncio.gather(polling, gating)

    run_virtual(scenario())


def test_errors_of_the_device_carry_code_and_text() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            starting = asyncio.create_task(driver.start())
            request = await device.asked()
            await device.send({"id": request["id"], "error": 3, "text": "qubit 0 is in use"})
            with pytest.raises(InstrumentError, match="3: qubit 0 is in use") as caught:
                await starting
            assert caught.value.code == 3

    run_virtual(scenario())


def test_what_cannot_be_is_refused_before_it_is_sent() -> None:
    async def scenario() -> None:
        async with connected() as (driver, _):
            for call, match in (
                (driver.gate("H", 0), "X Z CNOT"),
                (driver.gate("X", 3), "0 to 2"),
                (driver.gate("CNOT", 1), "2 different"),
                (driver.gate("CNOT", 1, 1), "2 different"),
                (driver.initialise(0, "T"), r"\+i -i"),
                (driver.measure(-1), "0 to 2"),
                (driver.measure(0, "W"), "Z X Y"),  # type: ignore[arg-type]
                (driver.start(count=-1), "0 \\(no limit\\)"),
            ):
                with pytest.raises(Refused, match=match):
                    await call

    run_virtual(scenario())


def test_heralds_come_with_the_time_of_reading() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            await asyncio.sleep(3)
            await device.herald(12, qubit=0)
            await asyncio.sleep(1)
            await device.herald(13, bell_state="PSI_MINUS")
            heralds = driver.heralds()
            assert await anext(heralds) == DeviceHerald(12, 12_000, 3.0, qubit=0)
            assert await anext(heralds) == DeviceHerald(13, 13_000, 4.0, bell_state="PSI_MINUS")

    run_virtual(scenario())


def test_a_herald_reaches_who_listens_in_the_moment_it_arrives() -> None:
    """The latency budget: from the link to the listener there is no turn of the loop."""

    async def scenario() -> None:
        async with connected() as (driver, device):
            seen: list[int] = []
            listening = asyncio.create_task(driver.listen(lambda herald: seen.append(herald.slot)))
            await asyncio.sleep(0)
            await device.herald(1)
            assert seen == [1]
            device.far.close()
            with pytest.raises(NotConnected):
                await listening

    run_virtual(scenario())


def test_what_is_posted_is_done_in_order_and_never_before_posting_is_over() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            told: list[object] = []
            driver.post(told.append, "start", port=0)
            driver.post(told.append, "gate", "X", 0)
            driver.post(told.append, "gate", "H", 0)  # the device has none
            driver.post(told.append, "measure", 0, "Z")
            assert not told
            await device.answer("start", slot=3)
            await device.answer("gate")
            await device.answer("measure", outcome=1)
            await asyncio.sleep(0)
            refused = [each for each in told if isinstance(each, Refused)]
            assert [each for each in told if each not in refused] == [3, None, 1]
            assert "accepted: X Z CNOT" in str(refused[0])
            driver.post(told.append, "release", 0)
            await asyncio.sleep(driver.request_limit_s + 0.1)
            assert isinstance(told[-1], Timeout)

    run_virtual(scenario())


def test_heralds_nobody_takes_are_bounded_and_counted() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            for slot in range(MAX_WAITING_HERALDS + 3):
                await device.herald(slot)
            reading = asyncio.create_task(driver.readings())
            await device.answer("status", **IDLE)
            assert (await reading)["dropped_heralds"] == 3
            assert (await anext(driver.heralds())).slot == 3

    run_virtual(scenario())


def test_a_lost_connection_fails_all_who_wait() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            waiting = [
                asyncio.ensure_future(call)
                for call in (driver.ping(), driver.gate("X", 0), anext(driver.heralds()))
            ]
            await device.asked()
            device.far.close()
            for result in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(result, NotConnected)
            with pytest.raises(NotConnected):
                await driver.ping()
            with pytest.raises(NotConnected):
                await anext(driver.heralds())

    run_virtual(scenario())


def test_a_device_that_does_not_answer_fails_all_who_wait_within_the_limit() -> None:
    async def scenario() -> None:
        async with connected() as (driver, _):
            begin_s = asyncio.get_running_loop().time()
            results = await asyncio.gather(
                driver.ping(), driver.ping(), anext(driver.heralds()), return_exceptions=True
            )
            assert asyncio.get_running_loop().time() - begin_s == pytest.approx(1.0)
            assert all(isinstance(result, Exception) for result in results)
            assert not driver.link.usable

    run_virtual(scenario())


def test_a_cancelled_request_does_not_hurt_the_others() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            given_up = asyncio.create_task(driver.ping())
            request = await device.asked()
            given_up.cancel()
            gating = asyncio.create_task(driver.gate("X", 0))
            await device.send({"id": request["id"], "ok": True, **IDLE})
            await device.answer("gate")
            await gating
            assert driver.link.usable

    run_virtual(scenario())


@pytest.mark.parametrize(
    "frame",
    [
        FRAMES.wrap(b"\xc1"),
        FRAMES.wrap(msgspec.msgpack.encode([1, 2])),
        FRAMES.wrap(msgspec.msgpack.encode({"id": 999, "ok": True})),
        FRAMES.wrap(msgspec.msgpack.encode({"id": [1], "ok": True})),
        FRAMES.wrap(msgspec.msgpack.encode({"event": "herald", "slot": "x"})),
        FRAMES.wrap(msgspec.msgpack.encode({"event": "stopped", "slot": None})),
        FRAMES.wrap(msgspec.msgpack.encode({"event": "news"})),
        b"\x01\x00\x00\x00\xc0\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
    ],
)
def test_a_broken_frame_ends_the_connection_and_shows_its_bytes(frame: bytes) -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            heralds = driver.heralds()
            await device.far.write(frame)
            with pytest.raises(ProtocolError) as caught:
                await anext(heralds)
            assert caught.value.raw
            assert caught.value.raw in frame
            with pytest.raises(ProtocolError):
                await driver.ping()
            assert not driver.link.usable

    run_virtual(scenario())


def test_a_fault_of_the_device_reaches_whoever_waits_for_heralds() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            await device.send({"event": "stopped", "slot": 40})
            await device.send({"event": "fault", "code": 9, "text": "laser unlocked"})
            with pytest.raises(InstrumentError, match="9: laser unlocked"):
                await anext(driver.heralds())
            reading = asyncio.create_task(driver.readings())
            await device.answer("status", **IDLE)
            shown = await reading
            assert shown["last_fault"] == "9: laser unlocked"
            assert shown["stopped_slot"] == 40

    run_virtual(scenario())


def test_the_safe_state_stops_and_releases_and_is_checked() -> None:
    async def scenario() -> None:
        async with connected() as (driver, device):
            for left_over in ([], [2]):
                securing = asyncio.create_task(driver.enter_safe_state())
                await device.answer("abort")
                await device.answer("status", **{**IDLE, "held": [0, 2]})
                assert (await device.answer("release"))["qubit"] == 0
                assert (await device.answer("release"))["qubit"] == 2
                await device.answer("status", **{**IDLE, "held": left_over})
                if left_over:
                    with pytest.raises(InstrumentError, match="held"):
                        await securing
                else:
                    await securing

    run_virtual(scenario())


def test_connect_stops_what_an_earlier_owner_left_and_forgets_its_heralds() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            driver, device = OpenDevice(link), Device(far)
            connecting = asyncio.create_task(driver.connect())
            await device.send({"id": 4711, "ok": True})
            await device.herald(3)
            await device.answer("hello", **HELLO)
            await device.answer("capabilities", **CAPABILITIES)
            await device.answer("status", **{**IDLE, "attempting": True})
            await device.answer("abort")
            await device.answer("status", **{**IDLE, "held": [0]})
            await device.answer("release")
            await device.answer("status", **IDLE)
            await connecting
            await device.herald(9)
            assert (await anext(driver.heralds())).slot == 9
            await driver.disconnect()

    run_virtual(scenario())


def test_another_version_is_refused_and_the_driver_connects_again_afterwards() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            driver, device = OpenDevice(link), Device(far)
            connecting = asyncio.create_task(driver.connect())
            await device.answer("hello", **{**HELLO, "version": 2})
            with pytest.raises(InstrumentError, match="version 2, expected 1"):
                await connecting
            connecting = asyncio.create_task(driver.connect())
            await device.greet()
            await connecting
            await driver.disconnect()

    run_virtual(scenario())


def test_options_are_refused() -> None:
    with pytest.raises(ValueError, match="no options"):
        OpenDevice(Link(ScriptedTransport([]), owner="test"), {"qubits": 2})
