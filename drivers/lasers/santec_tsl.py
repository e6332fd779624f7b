"""Santec TSL tunable lasers (TSL-550, 570, 770) in both of their dialects, lines ended by CR.

In the legacy dialect a wavelength is in nm, in the SCPI dialect in m, and somebody at the panel can
change the dialect, or the unit of power, at any time. So a wavelength is known by its size, which
is a billion times different, and a power is read between two looks at its unit. Commands from two
public drivers, see docs/instruments.md. Unverified: the TCP port, `*OPC?` while it tunes, and the
range of power, which is that of a TSL-570.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from drivers.checks import Setter, apply_in_order, in_range, known_options, number_option
from drivers.devices import Identity, Laser, OutputPower, Tunable
from drivers.errors import InstrumentError, ProtocolError, Timeout
from drivers.framing import EitherEnd
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest
from drivers.scpi import Scpi
from drivers.waiting import becomes

POWER_RANGE_MW = (0.04, 20.0)
TOLERANCE_NM = 0.001
"""A wavelength as near as this to the one wanted is reached."""

ALERTS = {
    "No00.": "power supply 1",
    "No02.": "power supply 2",
    "No03.": "power supply 3",
    "No05.": "wavelength",
    "No06.": "power setting",
    "No07.": "interlock",
    "No20.": "temperature control 1",
    "No21.": "temperature control 2",
    "No22.": "temperature control 3",
    "No23.": "warming up",
    "No25.": "shutter",
    "No26.": "sensor",
    "No27.": "connection",
    "No28.": "fan",
}

_ALERT = re.compile(r"No\d\d\.")
_LEGACY, _SCPI = 0, 1
_DBM, _MW = 0, 1
_TRIES = 3
_MAX_ALERTS = 16
_ON_LIMIT_S = 30.0
_OFF_LIMIT_S = 2.0
_TUNE_LIMIT_S = 30.0


class SantecTsl(Laser, OutputPower, Tunable):
    """A TSL. Settings: `power_mw`, `wavelength_nm`, `emission`.

    Option: `max_power_mw` (20). Emission is the diode on and the shutter open.
    """

    manifest = Manifest(
        driver="santec.tsl",
        kind="Laser",
        identity=r"(?i)^santec\s*,\s*TSL-",
        links=("tcp", "visa", "serial"),
        safe_state="shutter closed and diode off",
        asking=Asking(b"\r", EitherEnd(), b"*IDN?"),
        tcp_port=5000,
        emits=True,
        read_only=("ping", "readings", "emission", "power_mw", "wavelength_nm", "alerts"),
        sources=("QMI santec/tsl_570.py", "pymeasure santec/tsl570.py, tsl500series.py"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("santec.tsl", self.options, "max_power_mw")
        low, high = POWER_RANGE_MW
        self._largest_mw = number_option(self.options, "max_power_mw", high, low, 100.0, "mW")
        self._scpi = Scpi(link, errors=":SYST:ERR?", end=b"\r", framing=EitherEnd(), timeout_s=1.5)
        self._range_nm = (0.0, math.inf)

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask who it is and how far it tunes."""
        await self._scpi.settle()
        fields = await self._scpi.fields("*IDN?", 4)
        await self._scpi.forget_errors()
        await self._dialect()
        self._range_nm = (await self._nm(":WAV:MIN?"), await self._nm(":WAV:MAX?"))
        return Identity(",".join(fields), serial=fields[2], firmware=fields[3])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `power_mw`, `wavelength_nm`, then `emission`."""
        setters: dict[str, Setter] = {
            "power_mw": (float, self.set_power_mw),
            "wavelength_nm": (float, self.set_wavelength_nm),
            "emission": (bool, self.set_emission),
        }
        await apply_in_order(settings, setters, self._scpi.about())

    async def enter_safe_state(self) -> None:
        """Close the shutter, switch the diode off, and see that both are so."""
        await self._scpi.set(":POW:SHUT 1")
        await self._scpi.set(":POW:STAT 0")

        async def dark() -> bool:
            closed = await self._scpi.flag(":POW:SHUT?")
            return closed and not await self._scpi.flag(":POW:STAT?")

        if not await becomes(dark, limit_s=_OFF_LIMIT_S):
            raise Timeout(
                f"the laser was switched off but is not dark after {_OFF_LIMIT_S:g} s; "
                "open its interlock",
                **self._scpi.about(":POW:STAT?"),
            )

    async def ping(self) -> None:
        """Ask for the diode's state."""
        await self._scpi.flag(":POW:STAT?")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Emission, wavelength, powers, alerts and dialect."""
        return {
            "emission": await self.emission(),
            "wavelength_nm": await self.wavelength_nm(),
            "power_mw": await self.power_mw(),
            "power_set_mw": await self._milliwatts(":POW?"),
            "alerts": ", ".join(await self.alerts()) or "none",
            "dialect": "SCPI" if await self._dialect() == _SCPI else "legacy",
        }

    async def set_emission(self, on: bool) -> None:
        """See Laser; raises InstrumentError when the interlock is open."""
        if not on:
            await self.enter_safe_state()
            return
        self.require_armed("switching the laser on")
        if ALERTS["No07."] in await self.alerts():
            raise InstrumentError(
                "interlock",
                "no emission: its interlock is open; close it and acknowledge at the panel",
                **self._scpi.about(":POW:STAT 1"),
            )
        await self._scpi.set(":POW:STAT 1")
        await self._scpi.set(":POW:SHUT 0")
        if not await becomes(self.emission, limit_s=_ON_LIMIT_S, poll_s=0.2):
            raise Timeout(
                f"the laser was switched on but does not emit after {_ON_LIMIT_S:g} s",
                **self._scpi.about(":POW:STAT?"),
            )

    async def emission(self) -> bool:
        """See Laser: the diode is on and the shutter open."""
        return await self._scpi.flag(":POW:STAT?") and not await self._scpi.flag(":POW:SHUT?")

    async def set_power_mw(self, power_mw: float) -> None:
        """See OutputPower; sent in the unit that is set, which stays."""
        about = self._scpi.about(":POW")
        value = in_range("power_mw", power_mw, POWER_RANGE_MW[0], self._largest_mw, "mW", about)
        for _ in range(_TRIES):
            unit = await self._power_unit()
            text = f"{value:.3f}" if unit == _MW else f"{10 * math.log10(value):.2f}"
            await self._scpi.set(f":POW {text}")
            if await self._power_unit() == unit:
                break
        found = await self._milliwatts(":POW?")
        if abs(found / value - 1) > 0.02:
            raise InstrumentError(
                "power", f"the power was set to {value:g} mW and reads {found:g} mW", **about
            )

    async def power_mw(self) -> float:
        """See OutputPower; 0 while it does not emit, of which the monitor shows only noise."""
        return await self._milliwatts(":POW:ACT?") if await self.emission() else 0.0

    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """See Tunable; the range is the one that the laser tells."""
        about = self._scpi.about(":WAV")
        value = in_range("wavelength_nm", wavelength_nm, *self._range_nm, "nm", about)
        legacy = await self._dialect() == _LEGACY
        await self._scpi.set(f":WAV {value:.4f}" if legacy else f":WAV {value * 1e-9:.8e}")

        async def tuned() -> bool:
            return await self._scpi.flag("*OPC?")

        if not await becomes(tuned, limit_s=_TUNE_LIMIT_S, poll_s=0.1):
            raise Timeout(f"{value:.4f} nm is not reached after {_TUNE_LIMIT_S:g} s", **about)
        found = await self.wavelength_nm()
        if abs(found - value) > TOLERANCE_NM:
            raise InstrumentError(
                "wavelength", f"it was set to {value:.4f} nm and reads {found:.4f} nm", **about
            )

    async def wavelength_nm(self) -> float:
        """See Laser."""
        return await self._nm(":WAV?")

    async def alerts(self) -> list[str]:
        """What the laser itself complains of, in words; read-only."""
        found: list[str] = []
        for _ in range(_MAX_ALERTS):
            text = await self._scpi.ask(":SYST:ALER?")
            if text.lower().startswith("no alert"):
                break
            number = _ALERT.match(text)
            if number is None:
                raise self._scpi.garbled("expected an alert or none", text, ":SYST:ALER?")
            word = ALERTS.get(number[0], text)
            if word in found:
                break  # it tells the same again for as long as it lasts
            found.append(word)
        return found

    async def _nm(self, command: str) -> float:
        """A wavelength, in whichever dialect it comes."""
        value = await self._scpi.number(command)
        if 100.0 <= value <= 10_000.0:
            return value
        if 1e-7 <= value <= 1e-5:
            return value * 1e9
        raise self._scpi.garbled("expected a wavelength in nm or m", f"{value!r}", command)

    async def _milliwatts(self, command: str) -> float:
        """A power, of which the unit was the same before and after."""
        for _ in range(_TRIES):
            unit = await self._power_unit()
            value = await self._scpi.number(command)
            if await self._power_unit() == unit:
                return value if unit == _MW else math.pow(10.0, value / 10.0)
        raise ProtocolError(
            "the unit of power changes all the time", b"", **self._scpi.about(command)
        )

    async def _power_unit(self) -> int:
        return _MW if await self._scpi.flag(":POW:UNIT?") else _DBM

    async def _dialect(self) -> int:
        return _SCPI if await self._scpi.flag(":SYST:COMM:COD?") else _LEGACY
