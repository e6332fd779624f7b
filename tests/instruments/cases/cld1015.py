"""A CLD1015 whose diode cools quickly."""

import asyncio

import numpy as np

from sim_backends.instruments.cld1015 import Cld1015
from tests.instruments.case import Case, Twin
from tests.twins import make_laser


def twin(rng: np.random.Generator, serial: str) -> Twin:
    laser = make_laser(1550.0, max_mw=90.0)
    box = Cld1015(laser, serial, now_s=asyncio.get_running_loop().time, settling_s=0.1)
    return Twin(
        {"port": box.connect},
        poll=box.poll,
        emits=lambda: laser.emission,
        state=lambda: (laser.emission, laser.current_set_ma, box.regulating),
    )


CASE = Case(
    driver="thorlabs.cld1015",
    twin=twin,
    serial="M00443953",
    other_serial="M00466376",
    options={"wavelength_nm": 1550.0, "max_current_ma": 90.0},
    settings={"temperature_c": 24.0, "regulating": True, "current_ma": 70.0},
    armed={"temperature_c": 24.0, "current_ma": 70.0, "emission": True},
    refused=(
        ({"current_ma": 91.0}, "0 to 90 mA"),
        ({"temperature_c": 80.0}, "5 to 70 C"),
        ({"regulating": "on"}, "true or false"),
    ),
    calls={"set_current_ma": (60.0,), "set_temperature_c": (1, 22.0), "set_regulating": (True,)},
    refused_calls=(
        ("set_current_ma", (-1.0,), "0 to 90 mA"),
        ("set_temperature_c", (1, 4.0), "5 to 70 C"),
    ),
    read_back={
        "set_current_ma": "current_set_ma",
        "set_temperature_c": "temperature_set_c",
        "set_regulating": "regulating",
    },
    noisy=("temperature_c",),
)
