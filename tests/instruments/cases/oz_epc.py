"""An EPC-04 that repeats what it is sent."""

import numpy as np

from sim_backends.instruments.oz_epc import OzEpc
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    box = OzEpc(echo=True)
    return Twin({"pty": box.connect}, state=lambda: tuple(box.voltages_mv))


CASE = Case(
    driver="ozoptics.epc",
    twin=twin,
    serial="",
    mounts={"pty": "pty"},
    settings={"drives_mv": [100.0, -200.0, 300.0, -400.0]},
    refused=(
        ({"drives_mv": [0.0, 0.0, 0.0, 5001.0]}, "-5000 to 5000 mV"),
        ({"drives_mv": [0.0]}, "4 voltages"),
        ({"drives_mv": 1.0}, "a list"),
    ),
    calls={"set_drives": ((1.0, 2.0, 3.0, -4.0),)},
    refused_calls=(("set_drives", ((0.0, 0.0, -5001.0, 0.0),), "-5000 to 5000 mV"),),
)
