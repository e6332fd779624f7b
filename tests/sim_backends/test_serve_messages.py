"""A served lab with every kind of address: each instrument is reached by its own driver."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from drivers.plugin import load_driver, make_instrument
from sim_backends.serve import serve
from tests.ports import free_ports

SERIAL = "7SWP02030P1"
DRIVERS = {
    "time": "idquantique.id900",
    "pulses": "swabian.pulse_streamer",
    "wires": "singlequantum.retina",
    "clock": "whiterabbit.switch",
    "spad": "idquantique.id120",
    "pump": "toptica.dlcpro",
}


def lab_file(folder: Path, ports: list[int]) -> Path:
    path = folder / "lab.toml"
    tags = ", ".join(f"tags{n}_port = {ports[1 + n]}" for n in (1, 2, 3, 4))
    path.write_text(
        f"""
[lab]
seed = 1
[lasers.pump]
threshold_ma = 40.0
slope_mw_per_ma = 0.2
max_current_ma = 120.0
wavelength_nm = 405.0
[detectors.d]
channels = 2
efficiency = 0.8
full_bias_ua = 20.0
dark_cps = 1000.0
jitter_ps = 80.0
dead_time_ns = 60.0
[detectors.e]
channels = 1
efficiency = 0.8
full_bias_ua = 20.0
dark_cps = 1000.0
jitter_ps = 80.0
dead_time_ns = 60.0
[taggers.a]
inputs = {{ 1 = "d.1", 2 = "d.2" }}
[instruments]
time = {{ type = "id900", of = "taggers.a", port = {ports[0]}, dlt_port = {ports[1]}, {tags} }}
pulses = {{ type = "pulse-streamer", port = {ports[6]}, serial = "P1" }}
wires = {{ type = "retina", of = "detectors.d", port = {ports[7]}, counts_port = {ports[8]} }}
clock = {{ type = "wr-switch", port = {ports[9]}, serial = "{SERIAL}" }}
spad = {{ type = "id120", of = "detectors.e", port = {ports[10]}, serial = "2019004" }}
pump = {{ type = "dlcpro", of = "lasers.pump", port = {ports[11]}, monitor_port = {ports[12]} }}
"""
    )
    return path


async def test_each_instrument_is_reached_as_its_lab_file_says(tmp_path: Path) -> None:
    ports = free_ports(13)
    told: asyncio.Queue[list[str]] = asyncio.Queue(1)
    stop = asyncio.Event()
    path = lab_file(tmp_path, ports)
    serving = asyncio.create_task(serve(path, ready=told.put_nowait, stop=stop))
    async with asyncio.timeout(30):
        places: dict[str, list[str]] = {}
        for line in await told.get():
            name, _, resource = line.split(" ")
            places.setdefault(name, []).append(resource)
        assert {name: len(found) for name, found in places.items()} == {
            **dict.fromkeys(("pulses", "clock", "spad"), 1),
            "time": 6,
            "wires": 2,
            "pump": 2,
        }
        time, wires, pump = places["time"], places["wires"], places["pump"]
        options: dict[str, dict[str, Any]] = {
            "time": {"dlt": time[1], "streams": time[2:]},
            "wires": {"counts_resource": wires[1]},
            "pump": {"monitor_resource": pump[1]},
        }
        for name, driver in DRIVERS.items():
            instrument = make_instrument(
                load_driver(driver), places[name][0], owner=name, options=options.get(name)
            )
            await instrument.link.open(timeout_s=5.0)
            identity = await instrument.connect()
            assert identity.text
            await instrument.ping()
            assert await instrument.readings()
            await instrument.disconnect()
            await instrument.link.close()
        stop.set()
        await serving
