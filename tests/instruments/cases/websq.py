"""A WebSQ box with two nanowires that count darks."""

import numpy as np

from tests.instruments.case import Case, Twin
from tests.instruments.cases.tdc1 import DETECTOR
from tests.instruments.labs import in_lab


def twin(rng: np.random.Generator, serial: str) -> Twin:
    return in_lab(
        rng,
        {"detectors": {"d": DETECTOR}},
        {"type": "websq", "of": "detectors.d", "port": 1, "counts_port": 2, "serial": serial},
        emits=lambda bench: bench.world.detectors["d"].enabled,
        state=lambda bench: (
            bench.world.detectors["d"].enabled,
            tuple(bench.world.detectors["d"].bias_ua),
        ),
    )


CASE = Case(
    driver="singlequantum.websq",
    twin=twin,
    serial="",
    mounts={"port": "tcp", "counts_port": "tcp"},
    options={"counts_resource": "{counts_port}", "max_bias_ua": 30.0},
    settings={"bias_ua": [15.0, 16.0], "measurement_period_ms": 100},
    armed={"bias_ua": [15.0, 16.0], "enabled": True},
    refused=(({"bias_ua": [31.0, 0.0]}, "30"), ({"enabled": 1}, "true or false")),
    calls={"set_bias_ua": ((12.0, 13.0),), "set_measurement_period_ms": (200,)},
    refused_calls=(("set_bias_ua", ((1.0,),), "2 values"),),
    noisy=("rate_1_cps", "rate_2_cps"),
)
