"""An AB1004 behind two detectors of 5000 dark counts a second."""

import numpy as np

from tests.instruments.case import Case, Twin
from tests.instruments.cases.tdc1 import DETECTOR, bias
from tests.instruments.labs import in_lab


def twin(rng: np.random.Generator, serial: str) -> Twin:
    return in_lab(
        rng,
        {
            "detectors": {"d": DETECTOR},
            "taggers": {"t": {"skew_ppm": 3.0, "inputs": {1: "d.1", 3: "d.2"}}},
        },
        {"type": "abacus", "of": "taggers.t", "pty": "box"},
        start=bias,
    )


CASE = Case(
    driver="tausand.abacus",
    twin=twin,
    serial="",
    mounts={"pty": "pty"},
    settings={
        "gate_s": 0.1,
        "window_ns": 20.0,
        "delay_ns": [0, 5, 10, 0],
        "multifold": [[1, 2, 3]],
    },
    refused=(
        ({"gate_s": 0.3}, "0.05, 0.1, 0.2"),
        ({"window_ns": 7.0}, "steps of 5"),
        ({"delay_ns": [0, 5]}, "one value or 4"),
        ({"multifold": [[1, 2]]}, "three or more inputs"),
    ),
    calls={"set_gate_s": (0.2,), "set_window_ns": (50.0,)},
    refused_calls=(("set_window_ns", (20_000.0,), "10000"),),
)
