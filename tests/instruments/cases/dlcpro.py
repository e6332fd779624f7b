"""A DLC pro with one laser head."""

import numpy as np

from sim_backends.instruments.dlcpro import DlcPro
from sim_backends.lab import LaserConfig
from sim_backends.lasers import LaserModel
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    laser = LaserModel(
        LaserConfig(threshold_ma=30, slope_mw_per_ma=0.1, max_current_ma=120, wavelength_nm=405)
    )
    box = DlcPro(laser, serial, advance=lambda: None)
    return Twin(
        {"port": box.connect},
        emits=lambda: laser.emission,
        state=lambda: (laser.emission, laser.current_set_ma),
    )


CASE = Case(
    driver="toptica.dlcpro",
    twin=twin,
    serial="DLC PRO_024817",
    other_serial="DLC PRO_031416",
    options={"max_current_ma": 110.0},
    settings={"current_ma": 90.0},
    armed={"current_ma": 90.0, "emission": True},
    refused=(
        ({"current_ma": 111.0}, "110"),
        ({"current_ma": "90"}, "current_ma"),
        ({"emission": "yes"}, "true or false"),
    ),
    calls={"set_current_ma": (80.0,)},
    refused_calls=(("set_current_ma", (-1.0,), "110"),),
    read_back={"set_current_ma": "current_set_ma"},
)
