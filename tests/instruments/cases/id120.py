"""An avalanche detector that counts darks: idquantique.id120."""

import numpy as np

from tests.instruments.case import Case, Twin
from tests.instruments.cases.tdc1 import DETECTOR
from tests.instruments.labs import in_lab


def twin(rng: np.random.Generator, serial: str) -> Twin:
    address = {"port": 1}
    return in_lab(
        rng,
        {"detectors": {"d": {**DETECTOR, "channels": 1}}},
        {"type": "id120", "of": "detectors.d", "serial": serial, **address},
        emits=lambda bench: bench.world.detectors["d"].enabled,
        state=lambda bench: tuple(bench.world.detectors["d"].bias_ua),
    )


CASE = Case(
    driver="idquantique.id120",
    twin=twin,
    serial="2019004",
    other_serial="2019005",
    mounts={"port": "hislip"},
    options={"max_bias_v": 170.0},
    settings={
        "gate_ms": 400.0,
        "threshold_mv": 120.5,
        "temperature_c": -30.0,
        "regulating": True,
        "bias_v": [160.0],
    },
    armed={"bias_v": [160.0], "enabled": True},
    refused=(
        ({"bias_v": [171.0]}, "170"),
        ({"bias_v": [1.0, 2.0]}, "one value"),
        ({"gate_ms": 250.0}, "its step is 200"),
        ({"temperature_c": 20.0}, "-50 to -10"),
    ),
    calls={"set_bias_v": ((160.0,),)},
    refused_calls=(("set_bias_v", ((200.0,),), "0 to 170 V"),),
    noisy=("rate_cps", "temperature_c"),
    tolerance=2e-3,
)
