"""A Polatis of 16 by 16 ports."""

import asyncio

import numpy as np

from sim_backends.instruments.polatis import Polatis
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    box = Polatis(serial, now_s=asyncio.get_running_loop().time)
    return Twin({"port": box.connect}, state=lambda: box.connections)


CASE = Case(
    driver="polatis.oxc",
    twin=twin,
    serial="002414",
    other_serial="003141",
    settings={"connections": {"1": 3, "2": 1}},
    refused=(
        ({"connections": {"1": 17}}, "outputs 1 to 16"),
        ({"connections": {"1": 2, "2": 2}}, "twice"),
        ({"connections": [1]}, "a table"),
    ),
    calls={"set_connections": ({3: 4},)},
    refused_calls=(("set_connections", ({17: 1},), "inputs 1 to 16"),),
)
