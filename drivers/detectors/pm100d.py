"""Thorlabs PM100D optical power meter (and its PM10x relatives), SCPI lines ended by LF.

Command set from public drivers and a manual page, see docs/instruments.md. Unverified: that an
overrange reads as 9.9E37, as SCPI-1999 has it for infinity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from drivers.devices import Identity, PowerMeter
from drivers.draining import drain
from drivers.errors import InstrumentError, ProtocolError, Refused
from drivers.framing import LINE_LF
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest

OVERRANGE = 9.9e37
"""SCPI's infinity; a power at or above it is no power."""

_ERROR = re.compile(r'\s*([+-]?\d+)\s*,\s*"?([^"]*)"?\s*')
_MAX_QUEUED_ERRORS = 32


class Pm100d(PowerMeter):
    """A PM100D behind a TCP bridge. Setting: `wavelength_nm`. No options."""

    manifest = Manifest(
        driver="thorlabs.pm100d",
        kind="PowerMeter",
        identity=r"(?i)thorlabs\s*,\s*PM",
        links=("tcp", "serial"),
        safe_state="nothing to switch off: it only measures",
        asking=Asking(b"\n", LINE_LF, b"*IDN?"),
        read_only=("ping", "readings", "power_w", "wavelength_nm"),
        udev_hint='SUBSYSTEM=="usb", ATTR{idVendor}=="1313", ATTR{idProduct}=="8078", MODE="0660"',
        sources=("QMI thorlabs/pm100d.py", "pymeasure", "easymanua.ls thorlabs/pm100d p. 51"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        if self.options:
            raise ValueError(f"thorlabs.pm100d has no options, found {', '.join(self.options)}")
        self._range_nm: tuple[float, float] | None = None

    async def connect(self) -> Identity:
        """End half a command, drop late replies, ask who it is, empty the error queue."""
        await self.link.send(b"\n")
        await drain(self.link, quiet_s=0.05, limit_s=1.0)
        text = await self._ask("*IDN?")
        fields = [field.strip() for field in text.split(",")]
        if len(fields) != 4:
            raise self._garbled("expected four fields in the identity", text, "*IDN?")
        for _ in range(_MAX_QUEUED_ERRORS):
            if (await self._next_error())[0] == 0:
                break
        else:
            raise InstrumentError(
                "queue", "its error queue does not become empty", **self._about("SYST:ERR?")
            )
        self._range_nm = (
            await self._number("SENS:CORR:WAV? MIN"),
            await self._number("SENS:CORR:WAV? MAX"),
        )
        return Identity(text=text, serial=fields[2], firmware=fields[3])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `wavelength_nm`."""
        rest = dict(settings)
        wavelength = rest.pop("wavelength_nm", None)
        await super().apply(rest)
        if wavelength is not None:
            if isinstance(wavelength, bool) or not isinstance(wavelength, int | float):
                raise Refused(
                    f"wavelength_nm = {wavelength!r}, expected a number", owner=self.link.owner
                )
            await self.set_wavelength_nm(float(wavelength))

    async def enter_safe_state(self) -> None:
        """A power meter sends nothing out; shows that it answers."""
        await self.ping()

    async def ping(self) -> None:
        """Ask who it is."""
        await self._ask("*IDN?")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`power_mw` and `wavelength_nm`."""
        return {
            "power_mw": 1e3 * await self.power_w(),
            "wavelength_nm": await self.wavelength_nm(),
        }

    async def power_w(self) -> float:
        """See PowerMeter; raises InstrumentError when the sensor is overloaded."""
        power = await self._number("MEAS:POW?")
        if abs(power) >= OVERRANGE:
            raise InstrumentError(
                "overrange",
                "more light than the range takes; attenuate, or set a higher range",
                **self._about("MEAS:POW?"),
            )
        return power

    async def wavelength_nm(self) -> float:
        """The wavelength for which the sensor's response is corrected."""
        return await self._number("SENS:CORR:WAV?")

    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """See PowerMeter; the range is that of the sensor, read at connect."""
        low, high = self._range_nm or (0.0, math.inf)
        if not low <= wavelength_nm <= high:
            raise Refused(
                f"wavelength_nm = {wavelength_nm:g}, the sensor takes {low:g} to {high:g}",
                **self._about("SENS:CORR:WAV"),
            )
        command = f"SENS:CORR:WAV {wavelength_nm:g}"
        await self.link.send(command.encode() + b"\n")
        code, text = await self._next_error()
        if code != 0:
            raise InstrumentError(code, text, **self._about(command))

    async def _ask(self, command: str) -> str:
        reply = await self.link.exchange(command.encode() + b"\n", LINE_LF, command=command)
        return reply.decode("latin-1").strip()

    async def _number(self, command: str) -> float:
        text = await self._ask(command)
        try:
            value = float(text)
        except ValueError:
            raise self._garbled("expected a number", text, command) from None
        if math.isnan(value):
            raise self._garbled("expected a number", text, command)
        return value

    async def _next_error(self) -> tuple[int, str]:
        text = await self._ask("SYST:ERR?")
        found = _ERROR.fullmatch(text)
        if found is None:
            raise self._garbled('expected an error such as +0,"No error"', text, "SYST:ERR?")
        return int(found[1]), found[2]

    def _garbled(self, reason: str, text: str, command: str) -> ProtocolError:
        self.link.poison()
        return ProtocolError(reason, text.encode("latin-1"), **self._about(command))

    def _about(self, command: str) -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}
