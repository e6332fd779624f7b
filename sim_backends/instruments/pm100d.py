"""A Thorlabs PM100D power meter with a silicon sensor, as SCPI lines on TCP.

Facts: `MEAS:POW?`, `SENS:CORR:WAV`, `SYST:SENS:IDN?` with its fields and the forms of the answers
are in the manual (p. 51) and public drivers. Unverified: the texts of the error queue, which are
those of the SCPI standard, and that several commands may share a line.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

from sim_backends.lasers import LaserModel
from sim_backends.mount import Channel, take_lines

__all__ = ["Pm100d", "responsivity_a_per_w"]

_WAVELENGTHS_NM: Final = (400.0, 1100.0)
_RANGES_W: Final = (5e-8, 5e-7, 5e-6, 5e-5, 5e-4, 5e-3, 5e-2)
_DARK_A: Final = 1e-11
_NOISE: Final = 1e-3
_ERRORS: Final = 30
_OVERFLOW: Final = (-350, "Queue overflow")
_LIMIT: Final = 1024
_SILICON: Final = (
    (350.0, 400.0, 450.0, 500.0, 600.0, 700.0, 800.0, 900.0, 960.0, 1000.0, 1050.0, 1100.0),
    (0.03, 0.07, 0.16, 0.23, 0.34, 0.43, 0.52, 0.60, 0.63, 0.60, 0.42, 0.15),
)


def responsivity_a_per_w(wavelength_nm: float) -> float:
    """Photocurrent of a silicon diode per optical power: a smooth typical curve, A/W."""
    return float(np.interp(wavelength_nm, *_SILICON))


class Pm100d:
    """The instrument that all its clients share; the error queue is common, as on the real one.

    The sensor measures a current. What power that is depends on the wavelength it was told, so a
    wrong setting gives a wrong power by the ratio of the responsivities.
    """

    def __init__(self, laser: LaserModel, serial: str, rng: np.random.Generator) -> None:
        self._laser = laser
        self._serial = serial
        self._rng = rng
        self._errors: deque[tuple[int, str]] = deque()
        self._reset()

    def _reset(self) -> None:
        self._wavelength_nm = 635.0
        self._range_w = _RANGES_W[-1]
        self._auto = True

    def connect(self, channel: Channel) -> _Session:
        """A client has connected."""
        return _Session(self, channel)

    def run(self, line: str) -> str:
        """Run the commands of one line; the answers are joined by `;`."""
        parts = [part.strip().lstrip(":") for part in line.split(";")]
        answers = [self._command(part) for part in parts if part]
        return ";".join(answer for answer in answers if answer)

    def too_long(self) -> None:
        """The input buffer overflowed."""
        self._error(-363, "Input buffer overrun")

    def _command(self, text: str) -> str:
        header, _, argument = text.partition(" ")
        name, argument = _short(header), argument.strip().upper()
        answers: dict[str, Callable[[], str]] = {
            "*IDN?": lambda: f"THORLABS,PM100D,{self._serial},2.6.0",
            "SYST:ERR?": self._next_error,
            "SYST:ERR:NEXT?": self._next_error,
            "SYST:SENS:IDN?": lambda: '"S120VC","21060114","12-Mar-2024",1,18,33',
            "SENS:CORR:WAV?": lambda: self._wavelength(argument),
            "SENS:POW:RANG?": lambda: _number(self._range()),
            "SENS:POW:RANG:UPP?": lambda: _number(self._range()),
            "SENS:POW:RANG:AUTO?": lambda: str(int(self._auto)),
            "SENS:POW:UNIT?": lambda: "W",
            "MEAS:POW?": lambda: _number(self._power_w()),
            "MEAS?": lambda: _number(self._power_w()),
            "READ?": lambda: _number(self._power_w()),
            "MEAS:CURR?": lambda: _number(self._current_a()),
            "*OPC?": lambda: "1",
            "*TST?": lambda: "0",
            "*STB?": lambda: str(4 if self._errors else 0),
        }
        actions: dict[str, Callable[[], None]] = {
            "*CLS": self._errors.clear,
            "*RST": self._reset,
            "SENS:CORR:WAV": lambda: self._set_wavelength(argument),
            "SENS:POW:RANG": lambda: self._set_range(argument),
            "SENS:POW:RANG:UPP": lambda: self._set_range(argument),
            "SENS:POW:RANG:AUTO": lambda: self._set_auto(argument),
            "SENS:POW:UNIT": lambda: self._set_unit(argument),
            "CONF:POW": lambda: None,
        }
        if name in answers:
            return answers[name]()
        if name not in actions:
            self._error(-113, "Undefined header")
        else:
            actions[name]()
        return ""

    def _wavelength(self, argument: str) -> str:
        low, high = _WAVELENGTHS_NM
        known = {"": self._wavelength_nm, "MIN": low, "MAX": high, "DEF": 635.0}
        if argument not in known:
            self._error(-224, "Illegal parameter value")
            return ""
        return _number(known[argument])

    def _set_wavelength(self, argument: str) -> None:
        low, high = _WAVELENGTHS_NM
        value = self._value(argument, {"MIN": low, "MAX": high, "DEF": 635.0}, "NM")
        if value is None:
            return
        if low <= value <= high:
            self._wavelength_nm = value
        else:
            self._error(-222, "Data out of range")

    def _set_range(self, argument: str) -> None:
        value = self._value(argument, {"MIN": _RANGES_W[0], "MAX": _RANGES_W[-1]}, "W")
        if value is None:
            return
        if value > _RANGES_W[-1] or value < 0.0:
            self._error(-222, "Data out of range")
            return
        self._range_w = next(step for step in _RANGES_W if step >= value)
        self._auto = False

    def _set_auto(self, argument: str) -> None:
        if argument in ("0", "OFF", "1", "ON"):
            self._range_w = self._range()
            self._auto = argument in ("1", "ON")
        else:
            self._error(-224, "Illegal parameter value")

    def _set_unit(self, argument: str) -> None:
        if argument != "W":
            self._error(-224, "Illegal parameter value")

    def _value(self, argument: str, names: dict[str, float], unit: str) -> float | None:
        if not argument:
            self._error(-109, "Missing parameter")
            return None
        if argument in names:
            return names[argument]
        try:
            value = float(argument.removesuffix(unit))
        except ValueError:
            self._error(-104, "Data type error")
            return None
        return value if math.isfinite(value) else math.inf

    def _current_a(self) -> float:
        light_a = self._laser.power_mw * 1e-3 * responsivity_a_per_w(self._laser.wavelength_nm)
        scale, offset = (float(draw) for draw in self._rng.standard_normal(2))
        return light_a * (1.0 + _NOISE * scale) + _DARK_A * offset

    def _power_w(self) -> float:
        power_w = self._current_a() / responsivity_a_per_w(self._wavelength_nm)
        # Over range, as SCPI says it.
        return power_w if self._auto or power_w <= 1.1 * self._range_w else 9.91e37

    def _range(self) -> float:
        if not self._auto:
            return self._range_w
        light_w = self._laser.power_mw * 1e-3
        return next((step for step in _RANGES_W if step >= light_w), _RANGES_W[-1])

    def _error(self, code: int, text: str) -> None:
        if len(self._errors) < _ERRORS - 1:
            self._errors.append((code, text))
        elif self._errors[-1] != _OVERFLOW:
            self._errors.append(_OVERFLOW)

    def _next_error(self) -> str:
        code, text = self._errors.popleft() if self._errors else (0, "No error")
        return f'{code:+d},"{text}"'


class _Session:
    """One client's lines."""

    def __init__(self, instrument: Pm100d, channel: Channel) -> None:
        self._instrument = instrument
        self._channel = channel
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        lines = take_lines(self._buffer, limit=len(self._buffer))
        if len(self._buffer) > _LIMIT:
            self._buffer.clear()
            self._instrument.too_long()
        for line in lines:
            if len(line) > _LIMIT:
                self._instrument.too_long()
            elif answer := self._instrument.run(line.decode("ascii", "replace").strip()):
                self._channel.send(f"{answer}\n".encode())

    def closed(self) -> None:
        pass


_LONG: Final = {
    "SYSTEM": "SYST", "ERROR": "ERR", "SENSOR": "SENS", "SENSE": "SENS", "CORRECTION": "CORR",
    "WAVELENGTH": "WAV", "POWER": "POW", "RANGE": "RANG", "UPPER": "UPP", "MEASURE": "MEAS",
    "CURRENT": "CURR", "CONFIGURE": "CONF",
}  # fmt: skip


def _short(header: str) -> str:
    """The header with every keyword in its short form; `[:DC]` and the like are not kept."""
    question = header.endswith("?")
    words = [_LONG.get(word, word) for word in header.upper().rstrip("?").split(":")]
    if words[0] in ("CORR", "POW") or (words[0] == "RANG"):
        words.insert(0, "SENS")
    return ":".join(words) + ("?" if question else "")


def _number(value: float) -> str:
    return f"{value:.8E}"
