"""A TDC1 behind two detectors that count darks at 5000 /s each."""

import numpy as np

from sim_backends.serve import Bench
from tests.instruments.case import Case, Twin
from tests.instruments.labs import in_lab

DETECTOR = {
    "channels": 2,
    "efficiency": 0.8,
    "full_bias_ua": 20.0,
    "dark_cps": 5000.0,
    "jitter_ps": 80.0,
    "dead_time_ns": 60.0,
}


def bias(bench: Bench) -> None:
    bench.world.detectors["d"].enabled = True
    bench.world.detectors["d"].bias_ua = [20.0, 20.0]


def twin(rng: np.random.Generator, serial: str) -> Twin:
    return in_lab(
        rng,
        {
            "detectors": {"d": DETECTOR},
            "taggers": {"t": {"skew_ppm": 3.0, "inputs": {1: "d.1", 3: "d.2"}}},
        },
        {"type": "tdc1", "of": "taggers.t", "pty": "box", "serial": serial},
        start=bias,
    )


CASE = Case(
    driver="sfifteen.tdc1",
    twin=twin,
    serial="TDC1-0117",
    other_serial="TDC1-0118",
    mounts={"pty": "pty"},
    settings={"level": "TTL", "reference": "internal"},
    refused=(({"level": "ECL"}, "NIM, TTL"), ({"reference": "gps"}, "external")),
)
