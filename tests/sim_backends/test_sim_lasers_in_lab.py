"""Simulated lasers of the catalogue act on the world: a driver lights one, a meter sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.detectors.pm100d import Pm100d
from drivers.devices import Laser
from drivers.plugin import load_driver, make_instrument
from sim_backends.lab import LabConfig
from sim_backends.mount_memory import MemoryPort
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from timing.loop import run_virtual

# Type in the lab file, driver, its options, settings that light it, power and wavelength then.
LASERS: list[tuple[str, str, str, dict[str, Any], dict[str, Any], float]] = [
    ("nkt-basik", "pty", "drivers.lasers.nkt_koheras:KoherasBasik", {}, {"power_mw": 8.0}, 8.0),
    ("santec-tsl", "port", "drivers.lasers.santec_tsl:SantecTsl", {}, {"power_mw": 8.0}, 8.0),
    ("itla", "pty", "drivers.lasers.itla:Itla", {}, {"power_mw": 8.0}, 8.0),
    (
        "cld1015",
        "port",
        "drivers.lasers.cld1015:Cld1015",
        {"wavelength_nm": 1550.0},
        {"current_ma": 18.0},
        8.0,
    ),
]


@pytest.mark.parametrize(
    ("kind", "field", "driver", "options", "settings", "power_mw"),
    LASERS,
    ids=[n[0] for n in LASERS],
)
def test_light_from_bytes(
    kind: str,
    field: str,
    driver: str,
    options: dict[str, Any],
    settings: dict[str, Any],
    power_mw: float,
) -> None:
    laser = {"threshold_ma": 10, "slope_mw_per_ma": 1, "max_current_ma": 50, "wavelength_nm": 1550}
    where = {"pty": "box"} if field == "pty" else {"port": 5001}
    config = LabConfig.model_validate(
        {
            "lab": {"seed": 3},
            "lasers": {"pump": laser},
            "instruments": {
                "box": {"type": kind, "of": "lasers.pump", "serial": "A17", **where},
                "meter": {"type": "pm100d", "of": "lasers.pump", "port": 5002},
            },
        }
    )

    async def scenario() -> None:
        bench = Bench(config, TruthLog(None))
        life = asyncio.create_task(bench.run())

        def dial(name: str, field: str) -> tuple[MemoryPort, MemoryPort]:
            port = bench.memory(name, field)
            return port, port

        memory = {"box": lambda: dial("box", field), "meter": lambda: dial("meter", "port")}
        box = make_instrument(
            load_driver(driver), "mem://box", owner="box", options=options, memory=memory
        )
        meter = make_instrument(Pm100d, "mem://meter", owner="meter", memory=memory)
        assert isinstance(box, Laser)
        assert isinstance(meter, Pm100d)
        box.armed = lambda: True
        for instrument in (box, meter):
            await instrument.link.open()
            await instrument.connect()
        # The meter's sensor is of silicon and ends at 1100 nm: it reads wrong there, but in
        # proportion.
        dark_w = await meter.power_w()
        await box.apply({**settings, "emission": True})
        await asyncio.sleep(1.0)
        assert bench.world.lasers["pump"].power_mw == pytest.approx(power_mw, rel=0.01)
        lit_w = await meter.power_w()
        await box.enter_safe_state()
        await asyncio.sleep(0.1)
        assert bench.world.lasers["pump"].power_mw == 0.0
        assert abs(dark_w) < 1e-9
        assert lit_w > 1e3 * abs(await meter.power_w())
        life.cancel()
        bench.close()

    run_virtual(scenario())
