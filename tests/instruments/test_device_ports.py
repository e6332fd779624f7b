"""The open device driver on a twin with two optical ports: two links take turns on one device."""

import asyncio

import pytest

from drivers.devices import QuantumDevice
from drivers.errors import InstrumentError
from drivers.plugin import load_driver, make_instrument
from drivers.testing import dial_to
from sim_backends.lab import LabConfig
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from timing.loop import run_virtual


def lab() -> LabConfig:
    memory = {"qubits": 3, "t1_s": 100.0, "t2_s": 100.0}

    def midpoint(one: str, other: str, period_us: float) -> dict[str, object]:
        return {
            "ends": [one, other],
            "attempt_period_us": period_us,
            "efficiency": {one: 0.9, other: 0.9},
            "visibility": 1.0,
        }

    names = ("memories.a", "memories.b", "memories.c", "midpoints.x", "midpoints.y")
    return LabConfig.model_validate(
        {
            "lab": {"seed": 3},
            "memories": dict.fromkeys("abc", memory),
            "midpoints": {"x": midpoint("a", "b", 20.0), "y": midpoint("b", "c", 50.0)},
            "instruments": {
                of.partition(".")[2]: {"type": "quantum-device", "of": of, "port": port}
                for port, of in enumerate(names, 1)
            },
        }
    )


async def connect(bench: Bench, name: str) -> QuantumDevice:
    device = make_instrument(
        load_driver("qnodeos.device"),
        f"mem://{name}",
        owner=name,
        memory={name: dial_to(bench.sockets[name]["port"])},
    )
    assert isinstance(device, QuantumDevice)
    await device.link.open()
    await device.connect()
    return device


def test_two_links_take_turns_on_one_device() -> None:
    async def scenario() -> None:
        bench = Bench(lab(), TruthLog(None))
        life = asyncio.create_task(bench.run())
        devices = {name: await connect(bench, name) for name in "abcxy"}
        b = devices["b"]
        told = await b.capabilities()
        assert [port.name for port in told.ports] == ["x", "y"]
        assert told.at_port(1).attempt_period_s == pytest.approx(50e-6)
        for name in "acxy":
            assert (await devices[name].capabilities()).ports == ()

        for turn in range(6):
            port = turn % 2
            far, station = devices["ac"[port]], devices["xy"[port]]
            await b.configure_attempts(count=10_000, port=port)
            first = max(
                [await far.start(), await station.start(), await b.start(port=port)],
            )
            async with asyncio.timeout(5.0):
                heralds = [
                    await anext(device.heralds(at))
                    for device, at in ((b, port), (far, 0), (station, 0))
                ]
            assert {herald.slot for herald in heralds} == {heralds[0].slot}
            assert heralds[0].slot >= first
            assert heralds[0].port == port
            assert await far.measure(0) != await b.measure(0)
        # The readings say at which port the device was last.
        assert (await b.readings())["port"] == 1
        await b.start(port=1)
        with pytest.raises(InstrumentError, match="attempting at port 1"):
            await b.start(port=0)
        await b.abort(port=0)
        assert (await b.readings())["attempting"] is True
        await b.abort(port=1)
        assert (await b.readings())["attempting"] is False
        for device in devices.values():
            await device.disconnect()
            await device.link.close()
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        bench.close()

    run_virtual(scenario())
