"""A Santec TSL-570 tunable laser by its lines, in either dialect.

Facts: QMI's driver (legacy dialect) and pymeasure's (both), which are run against this machine; the
codes of errors and alerts as they list them. Unverified: how a number is written in the SCPI
dialect, the speed of tuning, and that closing the interlock is enough to clear its alert.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from sim_backends.lasers import LaserModel
from sim_backends.scpi import ScpiBox, ScpiError, switch, value

__all__ = ["SantecTsl"]

_RANGE_NM: Final = (1480.0, 1640.0)
_C_NM_THZ: Final = 299_792.458
_NM_PER_S: Final = 100.0
_WARM_UP_S: Final = 1.0
_POWER_MW: Final = (0.04, 20.0)


class SantecTsl(ScpiBox):
    """The laser that all clients share.

    `scpi` is its dialect, which somebody at the panel may flip; `interlock_open` is its back panel.
    `poll` has to be called each 20 ms or so; `advance` brings the world up to now before that.
    """

    def __init__(
        self,
        laser: LaserModel,
        serial: str,
        *,
        now_s: Callable[[], float],
        advance: Callable[[], None] = lambda: None,
        latency_s: float = 0.01,
    ) -> None:
        self.scpi = False
        self.milliwatts = False
        self.interlock_open = False
        self._laser, self._now_s, self._advance = laser, now_s, advance
        self._on_s = now_s()
        self._reset()
        self._goes_nm(laser.wavelength_nm, at_once=True)
        super().__init__(
            f"SANTEC,TSL-570,{serial},0001.000.0001",
            {
                "SYSTem:COMMunicate:CODe": self._set_code,
                "SYSTem:COMMunicate:CODe?": lambda _: str(int(self.scpi)),
                "SYSTem:ALERt?": lambda _: "No07." if self.interlock_open else "No alerts.",
                "*OPC?": lambda _: str(int(self._now_s() >= self._tuned_s)),
                "WAVelength": self._set_wavelength,
                "WAVelength?": lambda _: self._length(self._set_nm),
                "WAVelength:MINimum?": lambda _: self._length(_RANGE_NM[0]),
                "WAVelength:MAXimum?": lambda _: self._length(_RANGE_NM[1]),
                "WAVelength:SWEep:RANGe:MINimum?": lambda _: self._length(_RANGE_NM[0]),
                "WAVelength:SWEep:RANGe:MAXimum?": lambda _: self._length(_RANGE_NM[1]),
                "[WAVelength:]FREQuency": self._set_frequency,
                "[WAVelength:]FREQuency?": lambda _: self._rate(self._set_nm),
                "WAVelength:FREQuency:MINimum?": lambda _: self._rate(_RANGE_NM[1]),
                "WAVelength:FREQuency:MAXimum?": lambda _: self._rate(_RANGE_NM[0]),
                "WAVelength:UNIT?": lambda _: "0",
                "POWer[:LEVel]": self._set_power,
                "POWer[:LEVel]?": lambda _: self._power(self._power_mw),
                "POWer:ACTual?": lambda _: self._power(self._laser.power_mw),
                "POWer:UNIT": self._set_unit,
                "POWer:UNIT?": lambda _: str(int(self.milliwatts)),
                "POWer:STATe": self._set_state,
                "POWer:STATe?": lambda _: str(int(self._lasing())),
                "POWer:SHUTter": self._set_shutter,
                "POWer:SHUTter?": lambda _: str(int(self._closed)),
            },
            reset=self._reset,
            ends=b"\r\n",
            end="\r",
            error_form=self._error_form_of_dialect,
            latency_s=latency_s,
        )

    def poll(self) -> None:
        """Let the light follow diode, shutter, interlock and tuning."""
        light = self._lasing() and not self._closed
        left_s = max(0.0, self._tuned_s - self._now_s())
        way_nm = math.copysign(min(left_s * _NM_PER_S, 200.0), self._set_nm - self._from_nm)
        wavelength_nm = self._set_nm - way_nm
        moved = abs(wavelength_nm - self._laser.wavelength_nm) > 1e-6
        if light != self._laser.emission or moved:
            self._advance()
            self._laser.emission = light
            self._laser.wavelength_nm = wavelength_nm

    def _reset(self) -> None:
        self._wanted = False
        self._closed = True
        self._power_mw = 1.0
        self._laser.regulate_mw(self._power_mw)

    def _lasing(self) -> bool:
        warm = self._now_s() >= self._on_s + _WARM_UP_S
        return self._wanted and warm and not self.interlock_open

    def _set_state(self, argument: str) -> None:
        wanted = switch(argument)
        if wanted and self.interlock_open:
            raise ScpiError(-200)
        if wanted and not self._wanted:
            self._on_s = self._now_s()
        self._wanted = wanted
        self.poll()

    def _set_shutter(self, argument: str) -> None:
        self._closed = switch(argument)
        self.poll()

    def _set_code(self, argument: str) -> None:
        self.scpi = switch(argument)

    def _set_unit(self, argument: str) -> None:
        self.milliwatts = switch(argument)

    def _set_power(self, argument: str) -> None:
        if self.milliwatts:
            power_mw = value(argument, *_POWER_MW)
        else:
            low, high = (10 * math.log10(mw) for mw in _POWER_MW)
            power_mw = 10 ** (value(argument, low, high + 0.005) / 10)
        self._advance()
        self._power_mw = power_mw
        self._laser.regulate_mw(power_mw)

    def _set_wavelength(self, argument: str) -> None:
        scale = 1e-9 if self.scpi else 1.0
        low, high = (bound * scale for bound in _RANGE_NM)
        self._goes_nm(round(value(argument, low, high) / scale, 4))

    def _set_frequency(self, argument: str) -> None:
        scale = 1e12 if self.scpi else 1.0
        low, high = (_C_NM_THZ / bound * scale for bound in reversed(_RANGE_NM))
        self._goes_nm(_C_NM_THZ / (value(argument, low, high) / scale))

    def _goes_nm(self, wavelength_nm: float, *, at_once: bool = False) -> None:
        self._from_nm = self._laser.wavelength_nm
        self._set_nm = wavelength_nm
        way_nm = 0.0 if at_once else abs(wavelength_nm - self._from_nm)
        self._tuned_s = self._now_s() + way_nm / _NM_PER_S

    def _length(self, wavelength_nm: float) -> str:
        return f"{wavelength_nm * 1e-9:+.8E}" if self.scpi else f"{wavelength_nm:.4f}"

    def _rate(self, wavelength_nm: float) -> str:
        thz = _C_NM_THZ / wavelength_nm
        return f"{thz * 1e12:+.8E}" if self.scpi else f"{thz:.5f}"

    def _power(self, power_mw: float) -> str:
        if not self.milliwatts:
            power_mw = 10 * math.log10(max(power_mw, 1e-6))
        return f"{power_mw:+.8E}" if self.scpi else f"{power_mw:+.3f}"

    def _error_form_of_dialect(self, code: int, text: str) -> str:
        return f"{code},{text}" if self.scpi else f'{code},"{text}"'
