"""A Thorlabs CLD1015 laser diode controller as SCPI lines.

Facts: the commands of three public drivers and a manual page (p. 13, `*RST` switches outputs off).
Unverified: the code of the error for switching on with an open interlock, the delay before the
diode is lit, and how fast the temperature settles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from sim_backends.lasers import LaserModel
from sim_backends.scpi import ScpiBox, ScpiError, switch, value

__all__ = ["Cld1015"]

_AMBIENT_C: Final = 23.5
_RANGE_C: Final = (5.0, 70.0)
_TRIP_C: Final = 60.0
_DELAY_S: Final = 0.3
_TRIPS: Final = ("INTLock", "KEYLock", "OTEMperature", "VOLTage", "EXTernal")


class Cld1015(ScpiBox):
    """The controller with its diode.

    `interlock_open` and `key_locked` are its panel. The diode's temperature follows the set point,
    or the room while it is not regulated, with `settling_s`. `poll` has to be called each 20 ms or
    so; `advance` brings the world up to now before the light changes.
    """

    def __init__(
        self,
        laser: LaserModel,
        serial: str,
        *,
        now_s: Callable[[], float],
        advance: Callable[[], None] = lambda: None,
        settling_s: float = 2.0,
        latency_s: float = 0.005,
    ) -> None:
        self.interlock_open = False
        self.key_locked = False
        self._laser, self._now_s, self._advance = laser, now_s, advance
        self._settling_s = settling_s
        self._set_c = 25.0
        self._from_c, self._goal_c, self._since_s = _AMBIENT_C, _AMBIENT_C, now_s()
        self._kelvin = False
        self._limit_ma = laser.max_current_ma
        self.regulating = False
        self._output = False
        self._output_s = 0.0
        trips = {
            f"OUTPut[1]:PROTection:{word}:TRIPped?": lambda _, word=word: str(
                int(self._tripped(word))
            )
            for word in _TRIPS
        }
        super().__init__(
            f"THORLABS,CLD1015,{serial},1.2.0/1.4.0",
            {
                **trips,
                "OUTPut[1][:STATe]": self._set_output,
                "OUTPut[1][:STATe]?": lambda _: str(int(self._laser.emission)),
                "OUTPut2[:STATe]": self._set_regulating,
                "OUTPut2[:STATe]?": lambda _: str(int(self.regulating)),
                "SOURce[1]:CURRent[:LEVel][:IMMediate][:AMPLitude]": self._set_current,
                "SOURce[1]:CURRent[:LEVel][:IMMediate][:AMPLitude]?": self._current,
                "SOURce[1]:CURRent:LIMit[:AMPLitude]": self._set_limit,
                "SOURce[1]:CURRent:LIMit[:AMPLitude]?": lambda _: _number(self._limit_ma / 1e3),
                "SOURce[1]:FUNCtion:MODE?": lambda _: "CURR",
                "SOURce2:TEMPerature[:SPOint]": self._set_temperature,
                "SOURce2:TEMPerature[:SPOint]?": self._temperature,
                "UNIT:TEMPerature": self._set_unit,
                "UNIT:TEMPerature?": lambda _: "K" if self._kelvin else "C",
                "MEASure[:SCALar]:CURRent[:DC]?": lambda _: _number(
                    self._laser.current_act_ma / 1e3
                ),
                "MEASure[:SCALar]:VOLTage[:DC]?": lambda _: _number(self._volts()),
                "MEASure[:SCALar]:TEMPerature?": lambda _: _number(self._shown(self.actual_c)),
                "MEASure[:SCALar]:POWer2?": lambda _: _number(self._laser.power_mw / 1e3),
            },
            reset=self._reset,
            latency_s=latency_s,
        )

    @property
    def actual_c(self) -> float:
        """The diode's temperature."""
        gone = math.exp(-(self._now_s() - self._since_s) / self._settling_s)
        return self._goal_c + (self._from_c - self._goal_c) * gone

    def poll(self) -> None:
        """Let the light follow output, interlock, key and temperature."""
        if self.interlock_open or self.key_locked or self.actual_c > _TRIP_C:
            self._output = False
        light = self._output and self._now_s() >= self._output_s + _DELAY_S
        if light != self._laser.emission:
            self._advance()
            self._laser.emission = light

    def _reset(self) -> None:
        self._output = False
        self._regulate(False)
        self._advance()
        self._laser.current_set_ma = 0.0
        self.poll()

    def _tripped(self, word: str) -> bool:
        states = {
            "INTLock": self.interlock_open,
            "KEYLock": self.key_locked,
            "OTEMperature": self.actual_c > _TRIP_C,
        }
        return states.get(word, False)

    def _set_output(self, argument: str) -> None:
        wanted = switch(argument)
        if wanted and (self.interlock_open or self.key_locked or not self.regulating):
            raise ScpiError(-221)
        if wanted and not self._output:
            self._output_s = self._now_s()
        self._output = wanted
        self.poll()

    def _set_regulating(self, argument: str) -> None:
        wanted = switch(argument)
        if not wanted:
            self._output = False
            self.poll()
        self._regulate(wanted)

    def _regulate(self, wanted: bool) -> None:
        self.regulating = wanted
        self._from_c, self._since_s = self.actual_c, self._now_s()
        self._goal_c = self._set_c if wanted else _AMBIENT_C

    def _set_current(self, argument: str) -> None:
        current_ma = 1e3 * value(argument, 0.0, self._limit_ma / 1e3, unit="A")
        self._advance()
        self._laser.current_set_ma = current_ma

    def _current(self, argument: str) -> str:
        bounds = {"": self._laser.current_set_ma, "MIN": 0.0, "MAX": self._limit_ma}
        if argument.upper() not in bounds:
            raise ScpiError(-224)
        return _number(bounds[argument.upper()] / 1e3)

    def _set_limit(self, argument: str) -> None:
        self._limit_ma = 1e3 * value(argument, 0.0, self._laser.max_current_ma / 1e3, unit="A")

    def _set_temperature(self, argument: str) -> None:
        low, high = (self._shown(bound) for bound in _RANGE_C)
        self._set_c = value(argument, low, high, unit="C") - (273.15 if self._kelvin else 0.0)
        if self.regulating:
            self._regulate(True)

    def _temperature(self, argument: str) -> str:
        bounds = {"": self._set_c, "MIN": _RANGE_C[0], "MAX": _RANGE_C[1]}
        if argument.upper() not in bounds:
            raise ScpiError(-224)
        return _number(self._shown(bounds[argument.upper()]))

    def _set_unit(self, argument: str) -> None:
        if argument.upper() not in ("C", "K"):
            raise ScpiError(-224)
        self._kelvin = argument.upper() == "K"

    def _shown(self, celsius: float) -> float:
        return celsius + (273.15 if self._kelvin else 0.0)

    def _volts(self) -> float:
        return 0.9 + 5e-3 * self._laser.current_act_ma if self._laser.emission else 0.0


def _number(number: float) -> str:
    return f"{number:.6E}"
