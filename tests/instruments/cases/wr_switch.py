"""A White Rabbit switch that follows a master."""

import numpy as np

from sim_backends.instruments.wr_switch import WrSwitch
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    return Twin({"port": WrSwitch(serial).connect})


CASE = Case(
    driver="whiterabbit.switch",
    twin=twin,
    serial="7SWP02030P1",
    other_serial="7SWP02031P1",
    mounts={"port": "snmp"},
    messes=(),
)
