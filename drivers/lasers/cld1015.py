"""Thorlabs CLD1015 and ITC4000 laser diode and temperature controllers, SCPI lines ended by LF.

The real ones are on USB (USBTMC), which is `visa://`; a bridge makes it TCP. The diode gets current
only when its temperature is where it was set, and cooling ends only when the current has. Commands
from three public drivers and a manual page, see docs/instruments.md. Unverified: `? MIN` and
`? MAX` of the temperature, and that a CLD1015 knows all of the trips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.checks import Setter, apply_in_order, in_range, known_options, number_option
from drivers.devices import DiodeCurrent, Identity, Laser, TemperatureController
from drivers.errors import InstrumentError, Refused, Timeout
from drivers.framing import LINE_LF
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest
from drivers.scpi import Scpi
from drivers.waiting import becomes

TRIPS = {
    "INTL": "interlock",
    "KEYL": "key lock",
    "OTEM": "over-temperature",
    "VOLT": "diode voltage",
    "EXT": "external",
}

OFF_MA = 1.0
"""Below this a diode current counts as off."""

_SETTLE_LIMIT_S = 40.0
_ON_LIMIT_S = 5.0
_OFF_LIMIT_S = 2.0


class Cld1015(Laser, DiodeCurrent, TemperatureController):
    """A CLD1015 or ITC4000 with one diode.

    Settings: `temperature_c`, `regulating`, `current_ma`, `emission`. Options: `wavelength_nm` of
    the diode (needed: the controller cannot know it), `max_current_ma` (a bound below the limit set
    on the controller), `tolerance_c` (0.1: so near to its set point the diode may be lit).
    """

    manifest = Manifest(
        driver="thorlabs.cld1015",
        kind="Laser",
        identity=r"(?i)^thorlabs\s*,\s*(CLD101|ITC4)",
        links=("visa", "tcp", "serial"),
        safe_state="diode current switched off; the temperature stays regulated",
        asking=Asking(b"\n", LINE_LF, b"*IDN?"),
        emits=True,
        read_only=(
            *("ping", "readings", "emission", "current_ma", "wavelength_nm"),
            *("temperatures_c", "trips"),
        ),
        udev_hint='SUBSYSTEM=="usb", ATTR{idVendor}=="1313", ATTR{idProduct}=="804f", MODE="0660"',
        sources=(
            "three public drivers of ITC4000 and CLD1015",
            "manualshive.com thorlabs/4000-series/1110716 p. 13",
        ),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options(
            "thorlabs.cld1015", self.options, "wavelength_nm", "max_current_ma", "tolerance_c"
        )
        if "wavelength_nm" not in self.options:
            raise ValueError("thorlabs.cld1015 needs the option wavelength_nm of its diode")
        self._diode_nm = number_option(self.options, "wavelength_nm", 0.0, 200.0, 20_000.0, "nm")
        self._bound_ma = number_option(self.options, "max_current_ma", 1e6, 0.0, 1e6, "mA")
        self._tolerance_c = number_option(self.options, "tolerance_c", 0.1, 0.001, 10.0, "C")
        self._largest_ma = self._bound_ma
        self._range_c = (0.0, 0.0)
        self._scpi = Scpi(link)

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask who it is and for its limits."""
        await self._scpi.settle()
        fields = await self._scpi.fields("*IDN?", 4)
        await self._scpi.forget_errors()
        await self._scpi.set("UNIT:TEMP C")
        limit_ma = 1e3 * await self._scpi.number("SOUR:CURR:LIM?")
        self._largest_ma = min(self._bound_ma, limit_ma)
        self._range_c = (
            await self._scpi.number("SOUR2:TEMP? MIN"),
            await self._scpi.number("SOUR2:TEMP? MAX"),
        )
        return Identity(",".join(fields), serial=fields[2], firmware=fields[3])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `temperature_c`, `regulating`, `current_ma`, then `emission`."""

        async def temperature(value: float) -> None:
            await self.set_temperature_c(1, value)

        setters: dict[str, Setter] = {
            "temperature_c": (float, temperature),
            "regulating": (bool, self.set_regulating),
            "current_ma": (float, self.set_current_ma),
            "emission": (bool, self.set_emission),
        }
        await apply_in_order(settings, setters, self._scpi.about())

    async def enter_safe_state(self) -> None:
        """Switch the current off and see that it is gone; the diode stays cooled."""
        await self._scpi.set("OUTP1:STAT OFF")

        async def dark() -> bool:
            return not await self.emission() and await self.current_ma() < OFF_MA

        if not await becomes(dark, limit_s=_OFF_LIMIT_S):
            raise Timeout(
                f"the diode was switched off but is not dark after {_OFF_LIMIT_S:g} s; "
                "turn the key",
                **self._scpi.about("OUTP1:STAT?"),
            )

    async def ping(self) -> None:
        """Ask for the diode's output state."""
        await self.emission()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Emission, currents, temperatures, voltage and trips."""
        return {
            "emission": await self.emission(),
            "current_ma": await self.current_ma(),
            "current_set_ma": 1e3 * await self._scpi.number("SOUR:CURR?"),
            "voltage_v": await self._scpi.number("MEAS:VOLT?"),
            "temperature_c": await self._scpi.number("MEAS:TEMP?"),
            "temperature_set_c": await self._scpi.number("SOUR2:TEMP?"),
            "regulating": await self._scpi.flag("OUTP2:STAT?"),
            "trips": ", ".join(await self.trips()) or "none",
        }

    async def trips(self) -> list[str]:
        """Which of its protections have tripped, in words; read-only."""
        return [
            text for word, text in TRIPS.items() if await self._scpi.flag(f"OUTP:PROT:{word}:TRIP?")
        ]

    async def set_emission(self, on: bool) -> None:
        """See Laser; switches regulation on, waits for the temperature, then lights the diode."""
        if not on:
            await self.enter_safe_state()
            return
        self.require_armed("switching the laser on")
        if tripped := await self.trips():
            raise InstrumentError(
                "interlock",
                f"no emission: tripped are {', '.join(tripped)}; remove the cause first",
                **self._scpi.about("OUTP1:STAT ON"),
            )
        await self.set_regulating(True)
        if not await becomes(self._settled, limit_s=_SETTLE_LIMIT_S, poll_s=0.2):
            raise Timeout(
                f"the temperature is not within {self._tolerance_c:g} C of its set point after "
                f"{_SETTLE_LIMIT_S:g} s; the diode stays dark",
                **self._scpi.about("MEAS:TEMP?"),
            )
        self.require_armed("switching the laser on")  # a lease may end in all that time
        await self._scpi.set("OUTP1:STAT ON")
        if not await becomes(self.emission, limit_s=_ON_LIMIT_S):
            raise Timeout(
                f"the diode was switched on but is not lit after {_ON_LIMIT_S:g} s",
                **self._scpi.about("OUTP1:STAT?"),
            )

    async def emission(self) -> bool:
        """See Laser: the diode's output is on."""
        return await self._scpi.flag("OUTP1:STAT?")

    async def set_current_ma(self, current_ma: float) -> None:
        """See DiodeCurrent; the upper bound is the lower of the option and the limit set there."""
        about = self._scpi.about("SOUR:CURR")
        value = in_range("current_ma", current_ma, 0.0, self._largest_ma, "mA", about)
        await self._scpi.set(f"SOUR:CURR {value / 1e3:.7g}")

    async def current_ma(self) -> float:
        """See DiodeCurrent."""
        return 1e3 * await self._scpi.number("MEAS:CURR?")

    async def wavelength_nm(self) -> float:
        """See Laser: the option `wavelength_nm`."""
        return self._diode_nm

    async def temperatures_c(self) -> tuple[float, ...]:
        """See TemperatureController: the diode's."""
        return (await self._scpi.number("MEAS:TEMP?"),)

    async def set_temperature_c(self, channel: int, temperature_c: float) -> None:
        """See TemperatureController; there is channel 1 only."""
        about = self._scpi.about("SOUR2:TEMP")
        if channel != 1:
            raise Refused(f"channel {channel}, there is 1 only", **about)
        value = in_range("temperature_c", temperature_c, *self._range_c, "C", about)
        await self._scpi.set(f"SOUR2:TEMP {value:.7g}")

    async def set_regulating(self, on: bool) -> None:
        """See TemperatureController; raises Refused for a lit diode that would lose its cooling."""
        if not on and (await self.emission() or await self.current_ma() >= OFF_MA):
            raise Refused(
                "the diode is lit and needs its cooling; switch emission off first",
                **self._scpi.about("OUTP2:STAT OFF"),
            )
        await self._scpi.set(f"OUTP2:STAT {'ON' if on else 'OFF'}")
        if await self._scpi.flag("OUTP2:STAT?") is not on:
            raise InstrumentError(
                "regulating",
                f"regulation was switched {'on' if on else 'off'} and is not",
                **self._scpi.about("OUTP2:STAT?"),
            )

    async def _settled(self) -> bool:
        wanted_c = await self._scpi.number("SOUR2:TEMP?")
        return abs(await self._scpi.number("MEAS:TEMP?") - wanted_c) <= self._tolerance_c
