"""An ITLA of Pure Photonics that is lit quickly."""

import asyncio

import numpy as np

from sim_backends.instruments.itla import Itla
from tests.instruments.case import Case, Twin
from tests.twins import make_laser


def twin(rng: np.random.Generator, serial: str) -> Twin:
    laser = make_laser(1550.0)
    clock = asyncio.get_running_loop().time
    module = Itla(laser, serial, now_s=clock, lighting_s=0.2, latency_s=0.003)
    return Twin(
        {"pty": module.connect},
        poll=module.poll,
        emits=lambda: laser.emission,
        state=lambda: (laser.emission, round(laser.current_set_ma, 3)),
    )


CASE = Case(
    driver="oif.itla",
    twin=twin,
    serial="SN0042",
    other_serial="SN0077",
    mounts={"pty": "pty"},
    settings={"power_mw": 10.0, "wavelength_nm": 1545.0, "low_noise": "no dither"},
    armed={"power_mw": 10.0, "emission": True},
    refused=(
        ({"power_mw": 30.0}, "to 22.38"),
        ({"wavelength_nm": 1600.0}, "1528.77"),
        ({"low_noise": "loud"}, "whisper"),
        ({"emission": "on"}, "true or false"),
    ),
    calls={
        "set_power_mw": (15.0,),
        "set_wavelength_nm": (1540.0,),
        "set_low_noise": ("whisper",),
    },
    refused_calls=(("set_power_mw", (1.0,), "mW"), ("set_wavelength_nm", (1500.0,), "1528.77")),
    read_back={"set_power_mw": "power_set_mw", "set_low_noise": "low_noise"},
    tolerance=3e-3,
)
