"""A PM100D in front of a laser of 2 mW."""

import numpy as np

from sim_backends.instruments.pm100d import Pm100d
from sim_backends.lab import LaserConfig
from sim_backends.lasers import LaserModel
from tests.instruments.case import Case, Twin


def twin(rng: np.random.Generator, serial: str) -> Twin:
    laser = LaserModel(
        LaserConfig(threshold_ma=20, slope_mw_per_ma=0.1, max_current_ma=100, wavelength_nm=405)
    )
    laser.emission, laser.current_set_ma = True, 40.0
    meter = Pm100d(laser, serial, rng)
    return Twin({"port": meter.connect}, state=lambda: meter.run("SENS:CORR:WAV?"))


CASE = Case(
    driver="thorlabs.pm100d",
    twin=twin,
    serial="P0031415",
    other_serial="P0027182",
    settings={"wavelength_nm": 405.0},
    refused=(({"wavelength_nm": 1200.0}, "1100"), ({"wavelenght_nm": 405.0}, "wavelenght_nm")),
    calls={"set_wavelength_nm": (780.0,)},
    refused_calls=(("set_wavelength_nm", (300.0,), "400"),),
    noisy=("power_mw",),
)
