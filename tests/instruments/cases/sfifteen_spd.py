"""An avalanche detector that counts darks: sfifteen.spd."""

import numpy as np

from tests.instruments.case import Case, Twin
from tests.instruments.cases.tdc1 import DETECTOR
from tests.instruments.labs import in_lab


def twin(rng: np.random.Generator, serial: str) -> Twin:
    address = {"pty": "box"}
    return in_lab(
        rng,
        {"detectors": {"d": {**DETECTOR, "channels": 1}}},
        {"type": "sfifteen-spd", "of": "detectors.d", "serial": serial, **address},
        emits=lambda bench: bench.world.detectors["d"].enabled,
        state=lambda bench: tuple(bench.world.detectors["d"].bias_ua),
    )


CASE = Case(
    driver="sfifteen.spd",
    twin=twin,
    serial="SPD-0231",
    other_serial="SPD-0232",
    mounts={"pty": "pty"},
    options={"max_bias_v": 170.0},
    settings={"gate_ms": 50.0, "temperature_c": -20.0, "regulating": False, "bias_v": [148.0]},
    armed={"bias_v": [148.0], "enabled": True},
    refused=(
        ({"bias_v": [171.0]}, "170"),
        ({"bias_v": [1.0, 2.0]}, "one value"),
        ({"gate_ms": 5.0}, "10 to 1000 ms"),
        ({"temperature_c": 80.0}, "-60 to 30"),
    ),
    calls={"set_bias_v": ((148.0,),)},
    refused_calls=(("set_bias_v", ((200.0,),), "0 to 170 V"),),
    noisy=("rate_cps", "temperature_c"),
    tolerance=2e-3,
)
