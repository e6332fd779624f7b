"""Thorlabs PM100D optical power meter (and its PM10x relatives), SCPI lines ended by LF.

Command set from public drivers and a manual page, see docs/instruments.md. Unverified: that an
overrange reads as 9.9E37, as SCPI-1999 has it for infinity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from drivers.checks import apply_in_order, in_range, known_options
from drivers.devices import Identity, PowerMeter
from drivers.errors import InstrumentError
from drivers.framing import LINE_LF
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest
from drivers.scpi import Scpi

OVERRANGE = 9.9e37
"""SCPI's infinity; a power at or above it is no power."""


class Pm100d(PowerMeter):
    """A PM100D on USB (VISA), or behind a TCP bridge. Setting: `wavelength_nm`. No options."""

    manifest = Manifest(
        driver="thorlabs.pm100d",
        kind="PowerMeter",
        identity=r"(?i)thorlabs\s*,\s*PM",
        links=("visa", "tcp", "serial"),
        safe_state="nothing to switch off: it only measures",
        asking=Asking(b"\n", LINE_LF, b"*IDN?"),
        read_only=("ping", "readings", "power_w", "wavelength_nm"),
        udev_hint='SUBSYSTEM=="usb", ATTR{idVendor}=="1313", ATTR{idProduct}=="8078", MODE="0660"',
        sources=("QMI thorlabs/pm100d.py", "pymeasure", "easymanua.ls thorlabs/pm100d p. 51"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("thorlabs.pm100d", self.options)
        self._scpi = Scpi(link)
        self._range_nm = (0.0, math.inf)

    async def connect(self) -> Identity:
        """End half a command, drop late replies, ask who it is, empty the error queue."""
        await self._scpi.settle()
        fields = await self._scpi.fields("*IDN?", 4)
        await self._scpi.forget_errors()
        self._range_nm = (
            await self._scpi.number("SENS:CORR:WAV? MIN"),
            await self._scpi.number("SENS:CORR:WAV? MAX"),
        )
        return Identity(text=",".join(fields), serial=fields[2], firmware=fields[3])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `wavelength_nm`."""
        setters = {"wavelength_nm": (float, self.set_wavelength_nm)}
        await apply_in_order(settings, setters, self._scpi.about())

    async def enter_safe_state(self) -> None:
        """A power meter sends nothing out; shows that it answers."""
        await self.ping()

    async def ping(self) -> None:
        """Ask who it is."""
        await self._scpi.ask("*IDN?")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`power_mw` and `wavelength_nm`."""
        return {
            "power_mw": 1e3 * await self.power_w(),
            "wavelength_nm": await self.wavelength_nm(),
        }

    async def power_w(self) -> float:
        """See PowerMeter; raises InstrumentError when the sensor is overloaded."""
        power = await self._scpi.number("MEAS:POW?")
        if abs(power) >= OVERRANGE:
            raise InstrumentError(
                "overrange",
                "more light than the range takes; attenuate, or set a higher range",
                **self._scpi.about("MEAS:POW?"),
            )
        return power

    async def wavelength_nm(self) -> float:
        """The wavelength for which the sensor's response is corrected."""
        return await self._scpi.number("SENS:CORR:WAV?")

    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """See PowerMeter; the range is that of the sensor, read at connect."""
        command = "SENS:CORR:WAV"
        low, high = self._range_nm
        value = in_range("wavelength_nm", wavelength_nm, low, high, "nm", self._scpi.about(command))
        await self._scpi.set(f"{command} {value:.10g}")
