"""NKT Photonics Koheras BASIK fibre laser module (type 33h) on its Interbus.

Registers from two public drivers of the same module and the vendor's manual as they quote it, see
docs/instruments.md. Unverified: that a value out of the module's range is answered by NACK (so a
set point is read back), and that tuning goes on while the laser is dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.checks import apply_in_order, in_range, known_options, number_option
from drivers.devices import Identity, Laser, OutputPower, Tunable
from drivers.draining import drain
from drivers.errors import InstrumentError, Timeout
from drivers.lasers.nkt_interbus import Interbus, Telegrams
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.plugin import Asking, Manifest
from drivers.waiting import becomes

LARGEST_POWER_MW = 655.35
LARGEST_OFFSET_PM = 3276.7
"""What fits into the registers; the module's own bounds are lower and not told by it."""

TOLERANCE_PM = 1.0
"""A wavelength as near as this to the one wanted is reached."""

_TYPE, _SERIAL, _STATUS = 0x61, 0x65, 0x66
_POWER, _TEMPERATURE, _SUPPLY = 0x17, 0x1C, 0x1E
_POWER_SET, _OFFSET_SET = 0x22, 0x2A
_EMISSION, _STANDARD, _OFFSET = 0x30, 0x32, 0x72
_BASIK = 0x33

_EMITS, _INTERLOCK_OFF, _DISABLED, _STABILIZED = 1 << 0, 1 << 1, 1 << 4, 1 << 14
_ALARMS = {
    1: "interlock off",
    4: "module disabled",
    5: "supply voltage low",
    6: "module temperature out of range",
    15: "error code present",
}
_ON_LIMIT_S = 10.0
_OFF_LIMIT_S = 2.0
_TUNE_LIMIT_S = 45.0


class KoherasBasik(Laser, OutputPower, Tunable):
    """One BASIK module. Settings: `power_mw`, `wavelength_nm`, `emission`.

    Options: `address` of the module on its bus (1), `max_power_mw` and `max_offset_pm` (bounds of
    this laser from its data sheet; without them what fits into the registers).
    """

    manifest = Manifest(
        driver="nkt.koheras",
        kind="Laser",
        identity=r"^NKT module type 33h",
        links=("serial", "tcp"),
        safe_state="emission off",
        asking=Asking(b"", Telegrams()),
        emits=True,
        read_only=("ping", "readings", "emission", "power_mw", "wavelength_nm"),
        serial=SerialSettings(baud=115200, rtscts=True),
        sources=("QMI nkt_photonics/adjustik.py", "NKT-Basik register_enums.py, bits_handling.py"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("nkt.koheras", self.options, "address", "max_power_mw", "max_offset_pm")
        self._module = int(number_option(self.options, "address", 1, 1, 160, ""))
        self._largest_mw = number_option(
            self.options, "max_power_mw", LARGEST_POWER_MW, 0.0, LARGEST_POWER_MW, "mW"
        )
        self._largest_pm = number_option(
            self.options, "max_offset_pm", LARGEST_OFFSET_PM, 0.0, LARGEST_OFFSET_PM, "pm"
        )
        self._bus = Interbus(link)
        self._standard_nm = 0.0

    async def connect(self) -> Identity:
        """Drop what is left on the bus, ask for type, serial number and standard wavelength."""
        # What ends a telegram also ends half of one that somebody left behind.
        await self.link.send(b"\n")
        await drain(self.link, quiet_s=0.05, limit_s=1.0)
        kind = await self._integer(_TYPE, 1, 2)
        if kind != _BASIK:
            raise InstrumentError(
                "type",
                f"module {self._module} is of type {kind:02X}h, expected is a BASIK, 33h; "
                "check the option `address`",
                **self._about(_TYPE),
            )
        name = await self._bus.read(self._module, _SERIAL)
        serial = name.split(b"\0")[0].decode("latin-1").strip()
        self._standard_nm = await self._integer(_STANDARD, 4) * 1e-4
        return Identity(f"NKT module type {kind:02X}h, serial number {serial}", serial)

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `power_mw`, `wavelength_nm`, then `emission`."""
        setters = {
            "power_mw": (float, self.set_power_mw),
            "wavelength_nm": (float, self.set_wavelength_nm),
            "emission": (bool, self.set_emission),
        }
        await apply_in_order(settings, setters, self._about())

    async def enter_safe_state(self) -> None:
        """Switch emission off and see in the status that it is."""
        await self._bus.write(self._module, _EMISSION, b"\0")
        if not await becomes(self._dark, limit_s=_OFF_LIMIT_S):
            raise Timeout(
                f"the laser was switched off but still emits after {_OFF_LIMIT_S:g} s; "
                "open its interlock",
                **self._about(_EMISSION),
            )

    async def ping(self) -> None:
        """Read the status."""
        await self._status()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Emission, powers, wavelength, temperature, supply, alarms, repeated requests."""
        status = await self._status()
        alarms = [text for bit, text in _ALARMS.items() if status >> bit & 1]
        return {
            "emission": bool(status & _EMITS),
            "power_mw": await self.power_mw(),
            "power_set_mw": await self._integer(_POWER_SET, 2) / 100,
            "wavelength_nm": await self.wavelength_nm(),
            "wavelength_stabilized": bool(status & _STABILIZED),
            "temperature_c": await self._integer(_TEMPERATURE, 2, signed=True) / 10,
            "supply_v": await self._integer(_SUPPLY, 2) / 1000,
            "alarms": ", ".join(alarms) or "none",
            "repeated_requests": self._bus.repeated,
        }

    async def set_emission(self, on: bool) -> None:
        """See Laser; raises InstrumentError when the interlock or the enable pin forbids light."""
        if not on:
            await self.enter_safe_state()
            return
        self.require_armed("switching the laser on")
        status = await self._status()
        if status & _INTERLOCK_OFF:
            raise self._forbidden("its interlock is off; close the interlock circuit")
        if status & _DISABLED:
            raise self._forbidden("the module is disabled; see its enable pin")
        await self._bus.write(self._module, _EMISSION, b"\1")
        if not await becomes(self.emission, limit_s=_ON_LIMIT_S):
            raise Timeout(
                f"the laser was switched on but does not emit after {_ON_LIMIT_S:g} s",
                **self._about(_EMISSION),
            )

    async def emission(self) -> bool:
        """See Laser; from the status, which tells what is and not what was asked for."""
        return bool(await self._status() & _EMITS)

    async def set_power_mw(self, power_mw: float) -> None:
        """See OutputPower; the upper bound is the option `max_power_mw`."""
        about = self._about(_POWER_SET)
        value = in_range("power_mw", power_mw, 0.0, self._largest_mw, "mW", about)
        await self._set(_POWER_SET, round(value * 100), "the power", "0.01 mW")

    async def power_mw(self) -> float:
        """See OutputPower."""
        return await self._integer(_POWER, 2) / 100

    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """See Tunable; the range is the standard wavelength and `max_offset_pm` to each side."""
        reach_nm = self._largest_pm * 1e-3
        low, high = self._standard_nm - reach_nm, self._standard_nm + reach_nm
        about = self._about(_OFFSET_SET)
        value = in_range("wavelength_nm", wavelength_nm, low, high, "nm", about)
        largest = round(LARGEST_OFFSET_PM * 10)
        offset = max(-largest, min(largest, round((value - self._standard_nm) * 1e4)))
        await self._set(_OFFSET_SET, offset, "the wavelength offset", "0.1 pm", signed=True)

        async def reached() -> bool:
            return abs(await self._integer(_OFFSET, 2, 4, signed=True) - offset) < TOLERANCE_PM * 10

        if not await becomes(reached, limit_s=_TUNE_LIMIT_S, poll_s=0.2):
            raise Timeout(
                f"{value:.4f} nm is not reached after {_TUNE_LIMIT_S:g} s; "
                f"the laser is at {await self.wavelength_nm():.4f} nm",
                **about,
            )

    async def wavelength_nm(self) -> float:
        """See Laser: the standard wavelength plus the offset as measured."""
        return self._standard_nm + await self._integer(_OFFSET, 2, 4, signed=True) * 1e-4

    async def _dark(self) -> bool:
        return not await self.emission()

    async def _status(self) -> int:
        return await self._integer(_STATUS, 2)

    async def _integer(self, register: int, *lengths: int, signed: bool = False) -> int:
        data = await self._bus.read(self._module, register, *lengths)
        return int.from_bytes(data, "little", signed=signed)

    async def _set(
        self, register: int, value: int, what: str, unit: str, *, signed: bool = False
    ) -> None:
        """Write a set point of two bytes and see that it was taken."""
        data = value.to_bytes(2, "little", signed=signed)
        await self._bus.write(self._module, register, data)
        found = await self._integer(register, 2, signed=signed)
        if found != value:
            raise InstrumentError(
                "set point",
                f"{what} was set to {value} and reads {found}, in {unit}",
                **self._about(register),
            )

    def _forbidden(self, reason: str) -> InstrumentError:
        return InstrumentError("interlock", f"no emission: {reason}", **self._about(_EMISSION))

    def _about(self, register: int | None = None) -> dict[str, str]:
        return self.link.about(
            "" if register is None else f"module {self._module} register {register:02X}h"
        )
