"""The open device driver on multimode twins: a host keeps pairs by the station's word alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from drivers.devices import QuantumDevice
from drivers.errors import InstrumentError, Refused
from drivers.plugin import load_driver, make_instrument
from drivers.quantum.open_device import OpenDevice
from drivers.testing import dial_to
from qnodeos.link_device import LinkDevice
from sim_backends.lab import LabConfig
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from timing.loop import run_virtual


@asynccontextmanager
async def link(
    *, modes: int = 200, scheme: str = "double_click"
) -> AsyncIterator[dict[str, QuantumDevice]]:
    """Drivers of both ends "a" and "b" and of the midpoint "m"."""
    memory = {
        "qubits": 2,
        "t1_s": 100.0,
        "t2_s": 100.0,
        "attempt_modes": modes,
        "gate_time_us": 20.0,
        "readout_time_us": 50.0,
        "two_qubit_gate_error": 0.02,
    }
    bright = {"bright_population": {"a": 0.1, "b": 0.1}} if scheme == "single_click" else {}
    config = LabConfig.model_validate(
        {
            "lab": {"seed": 11},
            "memories": {"a": memory, "b": memory},
            "midpoints": {
                "m": {
                    "ends": ["a", "b"],
                    "scheme": scheme,
                    "attempt_period_us": 100.0,
                    "efficiency": {"a": 0.1, "b": 0.1},
                    "visibility": 1.0,
                    **bright,
                }
            },
            "instruments": {
                name: {"type": "quantum-device", "of": of, "port": port, "serial": name}
                for port, (name, of) in enumerate(
                    {"a": "memories.a", "b": "memories.b", "m": "midpoints.m"}.items(), 1
                )
            },
        }
    )
    bench = Bench(config, TruthLog(None))
    devices: dict[str, QuantumDevice] = {}

    for name in ("a", "b", "m"):
        device = make_instrument(
            load_driver("qnodeos.device"),
            f"mem://{name}",
            owner=name,
            memory={name: dial_to(bench.sockets[name]["port"])},
        )
        assert isinstance(device, QuantumDevice)
        await device.link.open()
        await device.connect()
        devices[name] = device
    try:
        yield devices
    finally:
        for device in devices.values():
            await device.disconnect()
            await device.link.close()


def test_pairs_are_kept_by_the_stations_word_while_attempts_go_on() -> None:
    async def scenario() -> None:
        async with link() as devices:
            a, b, m = devices["a"], devices["b"], devices["m"]
            for device in devices.values():
                await device.configure_attempts(start_slot=500)
            assert {await device.start() for device in devices.values()} == {500}
            anticorrelated = 0
            heralds = m.heralds()
            for _ in range(20):
                herald = await anext(heralds)
                await asyncio.sleep(5e-3)  # the news is on its way, attempts go on
                await a.move(await a.keep(herald.slot), 1)
                assert await b.keep(herald.slot) == 0
                anticorrelated += await a.measure(1) != await b.measure(0)
                assert (await a.readings())["attempting"] is True
            assert anticorrelated >= 18

    run_virtual(scenario(), limit_s=60.0)


def test_capabilities_tell_modes_and_single_gates() -> None:
    async def scenario() -> None:
        async with link() as devices:
            able = await devices["a"].capabilities()
            assert (able.modes, able.herald_mode) == (200, "host")
            assert able.gate_durations_s["measure"] == pytest.approx(50e-6)
            assert able.gate_durations_s["CNOT"] == pytest.approx(20e-6)
            assert (able.gate_errors["CNOT"], able.gate_errors["X"]) == (0.02, 0.0)
            station = await devices["m"].capabilities()
            assert (station.modes, station.herald_mode) == (0, "host")

    run_virtual(scenario())


def test_a_late_word_is_too_late_and_the_safe_state_empties_the_modes() -> None:
    async def scenario() -> None:
        async with link(modes=10) as devices:
            for device in devices.values():
                await device.start()
            herald = await anext(devices["m"].heralds())
            await asyncio.sleep(2e-3)
            with pytest.raises(InstrumentError, match="later attempts") as caught:
                await devices["a"].keep(herald.slot)
            assert caught.value.code == 6
            await devices["a"].enter_safe_state()
            with pytest.raises(InstrumentError, match="given up"):
                await devices["a"].keep(herald.slot + 15)

    run_virtual(scenario())


def test_the_next_start_only_is_configured() -> None:
    async def scenario() -> None:
        async with link() as devices:
            a = devices["a"]
            await a.configure_attempts(count=5, start_slot=100)
            first = await a.start()
            assert first == 100
            await asyncio.sleep(0.1)
            shown = await a.readings()
            assert (shown["attempting"], shown["stopped_slot"]) == (False, 104)
            assert await a.start() > 105
            assert (await a.readings())["attempting"] is True

    run_virtual(scenario())


def test_bright_population_is_of_single_click_ends() -> None:
    async def scenario() -> None:
        async with link(scheme="single_click") as devices:
            await devices["a"].configure_attempts(bright_population=0.0)
            await devices["b"].configure_attempts(bright_population=0.0)
            for device in devices.values():
                await device.start()
            heralds = devices["m"].heralds()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):  # 10 000 attempts without light
                    await anext(heralds)
            with pytest.raises(InstrumentError, match="midpoint has no bright population"):
                await devices["m"].configure_attempts(bright_population=0.1)
        async with link() as devices:
            with pytest.raises(InstrumentError, match="no single-click midpoint"):
                await devices["a"].configure_attempts(bright_population=0.1)

    run_virtual(scenario(), limit_s=60.0)


class OneDevice:
    """As much of a supervisor as a link asks: a device that is there, and what is told of it."""

    def __init__(self, instrument: QuantumDevice):
        self.instrument = instrument
        self.told: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def wait_online(self, limit_s: float) -> None:
        pass

    def report(self, problem: Exception) -> None:
        if not self.told.done():
            self.told.set_result(problem)


@pytest.mark.parametrize("modes", [0, 8])
def test_a_memory_link_says_that_it_needs_modes_where_no_herald_stops_a_device(modes: int) -> None:
    async def scenario() -> None:
        async with link() as devices:
            device = devices["a"]
            assert isinstance(device, OpenDevice)
            told = await device.capabilities()
            assert told.herald_mode == "host"
            device._capabilities = replace(told, modes=modes)
            one, came = OneDevice(device), []
            ends: LinkDevice = LinkDevice(
                "alice",
                one,  # type: ignore[arg-type]
                clock=asyncio.get_running_loop().time,
                heralded=lambda _: None,
                came=came.append,
                went=lambda _: None,
                failed=lambda _: None,
            )
            running = asyncio.create_task(ends.run())
            if modes:
                await asyncio.sleep(0.1)
                assert [each.modes for each in came] == [modes]
            else:
                assert "herald mode 'host' with 0 modes, expected some" in str(await one.told)
                assert came == []
            running.cancel()

    run_virtual(scenario())


def test_a_single_mode_device_refuses_modes() -> None:
    async def scenario() -> None:
        async with link(modes=0) as devices:
            for call in (devices["a"].keep(1), devices["a"].release_mode(None)):
                with pytest.raises(Refused, match="single-mode"):
                    await call
            with pytest.raises(Refused, match="single-mode"):
                await devices["m"].keep(1)

    run_virtual(scenario())
