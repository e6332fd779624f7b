"""An FS725 that is warm and has a pulse to follow."""

import asyncio

import numpy as np

from sim_backends.instruments.fs725 import Fs725
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    clock = Fs725(
        serial,
        rng,
        now_s=asyncio.get_running_loop().time,
        warm_up_s=0.0,
        pps_offset_ns=40.0,
        latency_s=0.005,
    )
    return Twin({"pty": clock.connect}, state=lambda: clock.follow)


CASE = Case(
    driver="srs.fs725",
    twin=twin,
    serial="19957",
    other_serial="9340",
    mounts={"pty": "pty"},
    settings={"follow_pps": False},
    refused=(({"follow_pps": 1}, "true or false"), ({"frequency_hz": 1e7}, "frequency_hz")),
    calls={"set_follow_pps": (True,)},
    read_back={"set_follow_pps": "follow_pps"},
    noisy=("pps_offset_ns", "warnings", "following"),
)
