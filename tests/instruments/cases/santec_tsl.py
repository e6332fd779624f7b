"""A TSL-570 in its SCPI dialect, its power in dBm."""

import asyncio

import numpy as np

from sim_backends.instruments.santec_tsl import SantecTsl
from tests.instruments.case import Case, Twin
from tests.twins import make_laser


def twin(rng: np.random.Generator, serial: str) -> Twin:
    laser = make_laser(1550.0)
    box = SantecTsl(laser, serial, now_s=asyncio.get_running_loop().time)
    box.scpi = True
    return Twin(
        {"port": box.connect},
        poll=box.poll,
        emits=lambda: laser.emission,
        state=lambda: (laser.emission, round(laser.current_set_ma, 3)),
    )


CASE = Case(
    driver="santec.tsl",
    twin=twin,
    serial="21020001",
    other_serial="21020077",
    options={"max_power_mw": 15.0},
    settings={"power_mw": 5.0, "wavelength_nm": 1552.5},
    armed={"power_mw": 5.0, "emission": True},
    refused=(
        ({"power_mw": 16.0}, "0.04 to 15 mW"),
        ({"wavelength_nm": 1700.0}, "1480 to 1640 nm"),
        ({"emission": "on"}, "true or false"),
    ),
    calls={"set_power_mw": (8.0,), "set_wavelength_nm": (1549.0,)},
    refused_calls=(
        ("set_power_mw", (0.0,), "0.04 to 15 mW"),
        ("set_wavelength_nm", (1.55e-6,), "1480 to 1640 nm"),
    ),
    read_back={"set_power_mw": "power_set_mw"},
)
