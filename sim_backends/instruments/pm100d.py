"""A Thorlabs PM100D power meter with a silicon sensor, as SCPI lines on TCP.

Facts: `MEAS:POW?`, `SENS:CORR:WAV`, `SYST:SENS:IDN?` with its fields and the forms of the answers
are in the manual (p. 51) and public drivers. Unverified: the texts of the error queue, which are
those of the SCPI standard, and that several commands may share a line.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from sim_backends.scpi import ScpiBox, ScpiError, switch, value

__all__ = ["Pm100d", "responsivity_a_per_w"]

_WAVELENGTHS_NM: Final = (400.0, 1100.0)
_RANGES_W: Final = (5e-8, 5e-7, 5e-6, 5e-5, 5e-4, 5e-3, 5e-2)
_DARK_A: Final = 1e-11
_NOISE: Final = 1e-3
_SILICON: Final = (
    (350.0, 400.0, 450.0, 500.0, 600.0, 700.0, 800.0, 900.0, 960.0, 1000.0, 1050.0, 1100.0),
    (0.03, 0.07, 0.16, 0.23, 0.34, 0.43, 0.52, 0.60, 0.63, 0.60, 0.42, 0.15),
)


def responsivity_a_per_w(wavelength_nm: float) -> float:
    """Photocurrent of a silicon diode per optical power: a smooth typical curve, A/W."""
    return float(np.interp(wavelength_nm, *_SILICON))


class Light(Protocol):
    """What the sensor looks at: a laser, or what leaves a fibre."""

    @property
    def power_mw(self) -> float: ...

    @property
    def wavelength_nm(self) -> float: ...


class Pm100d(ScpiBox):
    """The instrument that all its clients share; the error queue is common, as on the real one.

    The sensor measures a current. What power that is depends on the wavelength it was told, so a
    wrong setting gives a wrong power by the ratio of the responsivities.
    """

    def __init__(
        self,
        light: Light,
        serial: str,
        rng: np.random.Generator,
        *,
        latency_s: float = 0.0,
    ) -> None:
        self._light = light
        self._rng = rng
        self._reset()
        power = {
            name: lambda _: _number(self._power_w())
            for name in ("MEASure[:SCALar][:POWer]?", "READ?")
        }
        super().__init__(
            f"THORLABS,PM100D,{serial},2.6.0",
            {
                **power,
                "MEASure[:SCALar]:CURRent[:DC]?": lambda _: _number(self._current_a()),
                "CONFigure[:SCALar][:POWer]": lambda _: None,
                "SYSTem:SENSor:IDN?": lambda _: '"S120VC","21060114","12-Mar-2024",1,18,33',
                "[SENSe:]CORRection:WAVelength": self._set_wavelength,
                "[SENSe:]CORRection:WAVelength?": self._wavelength,
                "[SENSe:]POWer[:DC]:RANGe[:UPPer]": self._set_range,
                "[SENSe:]POWer[:DC]:RANGe[:UPPer]?": lambda _: _number(self._range()),
                "[SENSe:]POWer[:DC]:RANGe:AUTO": self._set_auto,
                "[SENSe:]POWer[:DC]:RANGe:AUTO?": lambda _: str(int(self._auto)),
                "[SENSe:]POWer[:DC]:UNIT": self._set_unit,
                "[SENSe:]POWer[:DC]:UNIT?": lambda _: "W",
            },
            reset=self._reset,
            latency_s=latency_s,
        )

    def _reset(self) -> None:
        self._wavelength_nm = 635.0
        self._range_w = _RANGES_W[-1]
        self._auto = True

    def _wavelength(self, argument: str) -> str:
        low, high = _WAVELENGTHS_NM
        known = {"": self._wavelength_nm, "MIN": low, "MAX": high, "DEF": 635.0}
        if argument.upper() not in known:
            raise ScpiError(-224)
        return _number(known[argument.upper()])

    def _set_wavelength(self, argument: str) -> None:
        self._wavelength_nm = value(argument, *_WAVELENGTHS_NM, unit="nm", names={"DEF": 635.0})

    def _set_range(self, argument: str) -> None:
        wanted_w = value(argument, 0.0, _RANGES_W[-1], unit="W", names={"MIN": _RANGES_W[0]})
        self._range_w = next(step for step in _RANGES_W if step >= wanted_w)
        self._auto = False

    def _set_auto(self, argument: str) -> None:
        auto = switch(argument)
        self._range_w = self._range()
        self._auto = auto

    def _set_unit(self, argument: str) -> None:
        if argument.upper() != "W":
            raise ScpiError(-224)

    def _current_a(self) -> float:
        light_a = self._light.power_mw * 1e-3 * responsivity_a_per_w(self._light.wavelength_nm)
        scale, offset = (float(draw) for draw in self._rng.standard_normal(2))
        return light_a * (1.0 + _NOISE * scale) + _DARK_A * offset

    def _power_w(self) -> float:
        power_w = self._current_a() / responsivity_a_per_w(self._wavelength_nm)
        # Over range, as SCPI says it.
        return power_w if self._auto or power_w <= 1.1 * self._range_w else 9.91e37

    def _range(self) -> float:
        if not self._auto:
            return self._range_w
        light_w = self._light.power_mw * 1e-3
        return next((step for step in _RANGES_W if step >= light_w), _RANGES_W[-1])


def _number(number: float) -> str:
    return f"{number:.8E}"
