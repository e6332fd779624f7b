"""A Retina with two nanowires that count darks."""

import numpy as np

from tests.instruments.case import Case, Twin
from tests.instruments.cases.tdc1 import DETECTOR
from tests.instruments.labs import in_lab


def twin(rng: np.random.Generator, serial: str) -> Twin:
    return in_lab(
        rng,
        {"detectors": {"d": DETECTOR}},
        {"type": "retina", "of": "detectors.d", "port": 1, "counts_port": 2, "serial": serial},
        emits=lambda bench: bench.world.detectors["d"].enabled,
        state=lambda bench: (
            bench.world.detectors["d"].enabled,
            tuple(bench.world.detectors["d"].bias_ua),
        ),
    )


CASE = Case(
    driver="singlequantum.retina",
    twin=twin,
    serial="",
    mounts={"port": "http", "counts_port": "ws"},
    options={"counts_resource": "{counts_port}", "max_bias_ua": 30.0},
    settings={"bias_ua": [15.0, 16.0], "integration_ms": 100},
    armed={"bias_ua": [15.0, 16.0], "enabled": True},
    refused=(
        ({"bias_ua": [31.0, 0.0]}, "30"),
        ({"enabled": 1}, "true or false"),
        ({"integration_ms": 15.0}, "steps of 10"),
    ),
    calls={"set_bias_ua": ((12.0, 13.0),), "set_trigger_v": ((0.1, 0.2),)},
    refused_calls=(("set_bias_ua", ((1.0,),), "2 values"),),
    noisy=("rate_1_cps", "rate_2_cps"),
    messes=(),
)
