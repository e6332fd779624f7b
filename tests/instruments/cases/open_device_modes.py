"""A multimode node's device of the open protocol."""

import numpy as np

from tests.instruments.case import Case, Twin
from tests.instruments.labs import in_lab

MEMORY = {
    "qubits": 3,
    "t1_s": 10.0,
    "t2_s": 1.0,
    "gate_time_us": 20.0,
    "readout_time_us": 50.0,
    "attempt_modes": 20,
}
MIDPOINT = {
    "ends": ["a", "b"],
    "attempt_period_us": 20.0,
    "efficiency": {"a": 0.1, "b": 0.1},
    "visibility": 1.0,
}


def twin(rng: np.random.Generator, serial: str) -> Twin:
    return in_lab(
        rng,
        {"memories": {"a": MEMORY, "b": MEMORY}, "midpoints": {"m": MIDPOINT}},
        {"type": "quantum-device", "of": "memories.a", "port": 1, "serial": serial},
    )


CASE = Case(
    driver="qnodeos.device",
    twin=twin,
    serial="QMM-A",
    other_serial="QMM-B",
    noisy=("slot",),
)
