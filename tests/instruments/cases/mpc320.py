"""An MPC320 with three paddles, on a serial line."""

import asyncio

import numpy as np

from sim_backends.instruments.mpc320 import Mpc320
from sim_backends.lab_parts import PaddlesConfig
from sim_backends.paddles import Paddles
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    paddles = Paddles(PaddlesConfig(), asyncio.get_running_loop().time)
    box = Mpc320(paddles, serial)
    return Twin({"pty": box.connect}, poll=box.poll, state=lambda: box.targets)


CASE = Case(
    driver="thorlabs.mpc320",
    twin=twin,
    serial="38449564",
    other_serial="38000002",
    mounts={"pty": "pty"},
    settings={"velocity_percent": 80, "drives_deg": [10.0, 170.0, 85.5]},
    refused=(
        ({"drives_deg": [0.0, 0.0, 171.0]}, "0 to 170 deg"),
        ({"drives_deg": [0.0]}, "3 angles"),
        ({"drives_deg": 1.0}, "a list"),
        ({"velocity_percent": 5}, "10 to 100 %"),
    ),
    calls={"set_drives": ((1.0, 90.0, 45.0),), "set_velocity_percent": (33.0,)},
    refused_calls=(("set_drives", ((0.0, 0.0, -0.1),), "0 to 170 deg"),),
    tolerance=0.1,
)
