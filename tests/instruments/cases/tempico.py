"""A TP1004 with two detectors of 5000 dark counts a second, as start and stop of input 1."""

import numpy as np

from tests.instruments.case import Case, Twin
from tests.instruments.cases.tdc1 import DETECTOR, bias
from tests.instruments.labs import in_lab


def twin(rng: np.random.Generator, serial: str) -> Twin:
    return in_lab(
        rng,
        {
            "detectors": {"d": DETECTOR},
            "taggers": {"t": {"skew_ppm": 3.0, "inputs": {11: "d.1", 1: "d.2"}}},
        },
        {"type": "tempico", "of": "taggers.t", "pty": "box", "serial": serial},
        start=bias,
    )


CASE = Case(
    driver="tausand.tempico",
    twin=twin,
    serial="TP1004-220500",
    other_serial="TP1004-220501",
    mounts={"pty": "pty"},
    settings={"threshold_v": 1.2, "runs": 20.0, "mode": 2.0, "inputs": [1]},
    refused=(
        ({"threshold_v": 2.0}, "0.9 to 1.6 V"),
        ({"runs": 0.0}, "1 to 1000"),
        ({"stops": 2.5}, "whole number"),
        ({"inputs": [5]}, "[1, 2, 3, 4]"),
    ),
    calls={"set_threshold_v": (1.1,)},
    refused_calls=(("set_threshold_v", (0.5,), "0.9 to 1.6"),),
)
