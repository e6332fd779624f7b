"""An OSW22 switch."""

import asyncio

import numpy as np

from sim_backends.instruments.osw_e import OswE
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    box = OswE("OSW22-1310E", now_s=asyncio.get_running_loop().time)
    return Twin({"pty": box.connect}, state=lambda: box.state)


CASE = Case(
    driver="thorlabs.osw_e",
    twin=twin,
    serial="",
    mounts={"pty": "pty"},
    options={"model": "2x2"},
    settings={"connections": {"1": 2, "2": 1}},
    refused=(
        ({"connections": {"1": 3}}, "a 2x2 switch makes"),
        ({"connections": "1"}, "a table"),
    ),
    calls={"set_connections": ({1: 2, 2: 1},)},
    refused_calls=(("set_connections", ({1: 1, 2: 1},), "a 2x2 switch makes"),),
)
