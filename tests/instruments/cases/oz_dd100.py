"""A DD-100-MC attenuator."""

import asyncio

import numpy as np

from sim_backends.instruments.oz_dd100 import OzDd100
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    box = OzDd100(now_s=asyncio.get_running_loop().time)
    return Twin({"pty": box.connect}, state=lambda: round(box.attenuation_db, 2))


CASE = Case(
    driver="ozoptics.dd100",
    twin=twin,
    serial="",
    mounts={"pty": "pty"},
    options={"max_attenuation_db": 50.0},
    settings={"attenuation_db": 20.0},
    refused=(
        ({"attenuation_db": 51.0}, "0.8 to 50 dB"),
        ({"attenuation_db": "20"}, "a number"),
    ),
    calls={"set_attenuation_db": (30.0,)},
    refused_calls=(("set_attenuation_db", (0.0,), "0.8 to 50 dB"),),
)
