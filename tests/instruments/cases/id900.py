"""An ID1000 with two detectors of 5000 dark counts a second, at inputs 1 and 3."""

import numpy as np

from sim_backends.serve import Bench
from tests.instruments.case import Case, Twin
from tests.instruments.cases.tdc1 import DETECTOR, bias
from tests.instruments.labs import in_lab

PORTS = ("port", "dlt_port", "tags1_port", "tags2_port", "tags3_port", "tags4_port")


def twin(rng: np.random.Generator, serial: str) -> Twin:
    def start(bench: Bench) -> None:
        bias(bench)

    return in_lab(
        rng,
        {
            "detectors": {"d": DETECTOR},
            "taggers": {"t": {"skew_ppm": 3.0, "inputs": {1: "d.1", 3: "d.2"}}},
        },
        {
            "type": "id900",
            "of": "taggers.t",
            "serial": serial,
            **{name: 5555 + n for n, name in enumerate(PORTS)},
        },
        start=start,
    )


CASE = Case(
    driver="idquantique.id900",
    twin=twin,
    serial="2108004P010",
    other_serial="2108004P011",
    mounts={"port": "zmq", "dlt_port": "zmq", **dict.fromkeys(PORTS[2:], "zmq-pair")},
    options={"dlt": "{dlt_port}", "streams": [f"{{{name}}}" for name in PORTS[2:]]},
    settings={"threshold_v": 0.4, "edge": "FALLING", "coupling": "DC", "resolution": "HIRES"},
    refused=(
        ({"threshold_v": 3.0}, "-2 to 2"),
        ({"threshold_v": [0.1, 0.2]}, "one value or 4"),
        ({"edge": "BOTH"}, "RISING, FALLING"),
        ({"resolution": "MEDIUM"}, "HIRES, LOWRES"),
    ),
    messes=(),
)
