"""A DG645 delay generator."""

import numpy as np

from drivers.devices import Pulse
from sim_backends.instruments.dg645 import Dg645
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    box = Dg645(serial)
    return Twin(
        {"port": box.connect},
        state=lambda: (dict(box.edges), dict(box.singles), dict(box.whole)),
    )


CASE = Case(
    driver="srs.dg645",
    twin=twin,
    serial="001013",
    other_serial="002718",
    settings={
        "pulses": {"AB": {"delay_ps": 1_000_005, "width_ps": 20_000}},
        "trigger_rate_hz": 1e6,
        "running": True,
    },
    refused=(
        ({"pulses": {"AB": {"delay_ps": 3, "width_ps": 5}}}, "step is 5 ps"),
        ({"pulses": {"T0": {"delay_ps": 0, "width_ps": 5}}}, "AB, CD, EF, GH"),
        ({"trigger_rate_hz": "fast"}, "a number"),
    ),
    calls={"set_pulses": ({"CD": Pulse(500, 1000)},), "set_running": (True,)},
    refused_calls=(("set_pulses", ({"AB": Pulse(0, 3 * 10**15)},), "2e+15 ps"),),
    read_back={"set_pulses": ""},
)
