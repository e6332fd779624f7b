"""Two ELL14 mounts with wave plates on one bus."""

import numpy as np

from tests.instruments.case import Case, Twin
from tests.instruments.labs import in_lab


def twin(rng: np.random.Generator, serial: str) -> Twin:
    first = serial.partition("+")[0]  # the bus numbers its two mounts in sequence
    return in_lab(
        rng,
        {"analyzers": {"a": {"qwp_offset_deg": -10.0, "hwp_offset_deg": 20.0}}},
        {"type": "ell14", "of": "analyzers.a", "pty": "box", "serial": first},
    )


CASE = Case(
    driver="thorlabs.ell14",
    twin=twin,
    serial="11400517+11400518",
    other_serial="11400601+11400602",
    mounts={"pty": "pty"},
    options={"qwp_address": "0", "hwp_address": "1", "qwp_zero_deg": 10.0, "hwp_zero_deg": -20.0},
    refused_calls=(("set_basis", ("Q",), "Z, X, Y"),),
    noisy=("lost_replies",),
)
