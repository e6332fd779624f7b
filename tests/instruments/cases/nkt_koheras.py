"""A Koheras BASIK module that skips one request in thirty."""

import asyncio

import numpy as np

from sim_backends.instruments.nkt_basik import NktBasik
from tests.instruments.case import Case, Twin
from tests.twins import make_laser


def twin(rng: np.random.Generator, serial: str) -> Twin:
    laser = make_laser(1550.12)
    module = NktBasik(
        laser,
        serial,
        rng,
        now_s=asyncio.get_running_loop().time,
        skips_one_in=30.0,
        tuning_s=0.1,
        latency_s=0.005,
    )
    return Twin(
        {"pty": module.connect},
        poll=module.poll,
        emits=lambda: laser.emission,
        state=lambda: (laser.emission, round(laser.current_set_ma, 3)),
    )


CASE = Case(
    driver="nkt.koheras",
    twin=twin,
    serial="K1234567",
    other_serial="K7654321",
    mounts={"pty": "pty"},
    options={"max_power_mw": 40.0, "max_offset_pm": 400.0},
    settings={"power_mw": 12.5, "wavelength_nm": 1550.2},
    armed={"power_mw": 12.5, "emission": True},
    refused=(
        ({"power_mw": 41.0}, "0 to 40 mW"),
        ({"wavelength_nm": 1551.0}, "1550.52"),
        ({"emission": "on"}, "true or false"),
    ),
    calls={"set_power_mw": (20.0,), "set_wavelength_nm": (1549.9,)},
    refused_calls=(("set_power_mw", (-1.0,), "0 to 40 mW"), ("set_wavelength_nm", (1549.0,), "nm")),
    read_back={"set_power_mw": "power_set_mw"},
    noisy=("repeated_requests", "temperature_c", "wavelength_stabilized"),
)
