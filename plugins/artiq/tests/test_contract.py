"""The driver `qnodeos.device` keeps the contract of quantum devices on this server, over TCP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from qnodeos_artiq.device import Device
from qnodeos_artiq.sequencer import LocalSequencer, Sequencer
from qnodeos_artiq.server import Server
from qnodeos_artiq.simulation import SimulatedTarget
from qnodeos_artiq.sipyco_sequencer import SipycoSequencer

from qnodeos.plugin import (
    Check,
    InstrumentError,
    QuantumDevice,
    Subject,
    checks_for,
    load_driver,
    make_instrument,
)

Way = Callable[[SimulatedTarget], AbstractAsyncContextManager[Sequencer]]

DRIVER = load_driver("qnodeos.device")
LIMIT_S = 5.0


@asynccontextmanager
async def local(target: SimulatedTarget) -> AsyncIterator[Sequencer]:
    """The target in this process."""
    sequencer = LocalSequencer(target)
    yield sequencer
    await sequencer.close()


@asynccontextmanager
async def behind_sipyco(target: SimulatedTarget) -> AsyncIterator[Sequencer]:
    """The target behind sipyco's own server and client."""
    pc_rpc = pytest.importorskip(
        "sipyco.pc_rpc", reason="sipyco (LGPL) is not installed; it is the lab's own choice"
    )
    server = pc_rpc.Server({"device": target})
    await server.start("127.0.0.1", 0)
    port = server.server.sockets[0].getsockname()[1]
    sequencer = SipycoSequencer("127.0.0.1", port)
    try:
        yield sequencer
    finally:
        await sequencer.close()
        await server.stop()


@asynccontextmanager
async def served(sequencer: Sequencer) -> AsyncIterator[str]:
    """The resource of a device on TCP."""
    server = Server(await Device.of(sequencer))
    async with await server.start("127.0.0.1", 0) as listening:
        yield f"tcp://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        await server.close()


@asynccontextmanager
async def plugged(way: Way, target: SimulatedTarget) -> AsyncIterator[str]:
    """The resource of a device of this target."""
    async with way(target) as sequencer, served(sequencer) as resource:
        yield resource


@asynccontextmanager
async def a_driver(way: Way, target: SimulatedTarget) -> AsyncIterator[QuantumDevice]:
    """A connected driver, for a few seconds."""
    async with plugged(way, target) as resource, connected(resource) as device:
        async with asyncio.timeout(LIMIT_S):
            yield device


@asynccontextmanager
async def connected(resource: str) -> AsyncIterator[QuantumDevice]:
    device = make_instrument(DRIVER, resource, owner="test")
    assert isinstance(device, QuantumDevice)
    await device.link.open()
    try:
        await device.connect()
        yield device
    finally:
        await device.disconnect()
        await device.link.close()


async def stopped_slot(device: QuantumDevice) -> int:
    """The slot after which the attempts ran out."""
    while "stopped_slot" not in (shown := await device.readings()):
        pass
    assert shown["attempting"] is False
    return int(shown["stopped_slot"])


WAYS = pytest.mark.parametrize("way", [local, behind_sipyco])


@WAYS
@pytest.mark.parametrize("modes", [0, 50])
@pytest.mark.parametrize("check", checks_for(DRIVER), ids=lambda check: check.__name__)
async def test_the_contract(check: Check, modes: int, way: Way) -> None:
    async with plugged(way, SimulatedTarget("K-17", modes=modes)) as resource:
        await check(
            Subject(
                lambda: make_instrument(DRIVER, resource, owner="test"),
                serial="K-17",
                noisy=("slot",),
            )
        )


@WAYS
async def test_a_herald_reaches_the_node_with_its_qubit(way: Way) -> None:
    async with a_driver(way, SimulatedTarget()) as device:
        first = await device.start()
        herald = await anext(device.heralds())
        assert herald.qubit == 0
        assert herald.slot % 1000 == 0
        assert herald.slot >= first
        assert (await device.readings())["held_qubits"] == 1
        with pytest.raises(InstrumentError, match="qubit 0 is in use") as caught:
            await device.start()
        assert caught.value.code == 3
        await device.move(0, 1)
        await device.gate("X", 1)
        assert await device.measure(1) == 1
        assert await device.start() > herald.slot


@WAYS
async def test_a_multimode_target_goes_on_and_is_told_what_to_keep(way: Way) -> None:
    async with a_driver(way, SimulatedTarget(modes=3000)) as device:
        target_slot = await device.start() + 2500
        while (await device.readings())["slot"] < target_slot:
            pass
        await device.abort()
        await device.configure_attempts(bright_population=0.25, count=10)
        first = await device.start()
        last = await stopped_slot(device)
        assert last >= first + 9
        assert await device.keep(last) == 0
        with pytest.raises(InstrumentError) as caught:
            await device.keep(last)
        assert caught.value.code == 6
        await device.release_mode(last - 1)
        with pytest.raises(InstrumentError):
            await device.keep(last - 1)
        assert await device.keep(last - 9) == 1
        with pytest.raises(InstrumentError, match="no free qubit"):
            await device.keep(last - 3)


@WAYS
async def test_what_runs_out_is_told_and_a_far_slot_is_waited_for(way: Way) -> None:
    async with a_driver(way, SimulatedTarget(herald_every=10**12)) as device:
        now = int((await device.readings())["slot"])
        await device.configure_attempts(count=5000, start_slot=now + 20_000)
        assert await device.start() == now + 20_000
        assert (await device.readings())["attempting"] is True
        assert await stopped_slot(device) >= now + 24_999


async def test_a_lost_node_and_a_second_one_leave_nothing_held() -> None:
    async with plugged(local, SimulatedTarget()) as resource, connected(resource) as first:
        await first.initialise(1, "1")
        async with connected(resource) as second, asyncio.timeout(LIMIT_S):
            assert (await second.readings())["held_qubits"] == 0
            await second.initialise(1, "-")
            assert await second.measure(1, "X") == 1
