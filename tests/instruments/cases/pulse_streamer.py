"""A Pulse Streamer 8/2."""

import asyncio

import numpy as np

from drivers.devices import Pulse
from sim_backends.instruments.pulse_streamer import PulseStreamer
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    box = PulseStreamer(serial, now_s=asyncio.get_running_loop().time)
    return Twin({"port": box.connect}, state=lambda: list(box.sequence))


CASE = Case(
    driver="swabian.pulse_streamer",
    twin=twin,
    serial="00:26:32:f0:3b:1c",
    other_serial="00:26:32:f0:3b:1d",
    mounts={"port": "http"},
    settings={
        "clock": "10MHz",
        "pulses": {"0": {"delay_ps": 100_000, "width_ps": 20_000}},
        "trigger_rate_hz": 1e6,
        "running": True,
    },
    refused=(
        ({"pulses": {"0": {"delay_ps": 1500, "width_ps": 5000}}}, "steps of 1000 ps"),
        ({"pulses": {"8": {"delay_ps": 0, "width_ps": 5000}}}, "0, 1, 2, 3"),
        ({"trigger_rate_hz": 3e6}, "no multiple of 8 ns"),
        ({"clock": "100MHz"}, "10MHz"),
    ),
    calls={"set_pulses": ({"7": Pulse(0, 1000)},), "set_running": (True,)},
    refused_calls=(("set_pulses", ({"0": Pulse(0, 10**14)},), "1e+13 ps"),),
    read_back={"set_pulses": ""},
    messes=(),
)
