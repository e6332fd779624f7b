"""Integrable tunable laser assemblies (OIF-ITLA-MSA-01.3), and those of Pure Photonics.

Registers from the standard as two public drivers have them, see docs/instruments.md. Unverified:
that fine tuning is not contained in the frequency that the module tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from drivers.checks import Setter, apply_in_order, in_range, known_options
from drivers.devices import Identity, Laser, OutputPower, Tunable
from drivers.errors import InstrumentError, Refused, Timeout
from drivers.lasers.itla_packets import NOT_IMPLEMENTED, FourBytes, Registers
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.plugin import Asking, Manifest

SPEED_OF_LIGHT_NM_THZ = 299_792.458
MODES = ("dither", "no dither", "whisper")
"""Low-noise modes of Pure Photonics, by the number in register 90h."""

ALARMS = {8: "power", 9: "temperature", 10: "frequency", 11: "vendor's own"}

_DEVICE, _MAKER, _MODEL, _SERIAL, _RELEASE = 0x01, 0x02, 0x03, 0x04, 0x06
_FATAL, _WARNING = 0x20, 0x21
_CHANNEL, _POWER_SET, _ENABLE = 0x30, 0x31, 0x32
_FIRST_THZ, _FIRST_GHZ10, _FINE_MHZ = 0x35, 0x36, 0x62
_THZ, _GHZ10, _POWER, _TEMPERATURE = 0x40, 0x41, 0x42, 0x43
_FINE_RANGE, _POWER_LOW, _POWER_HIGH = 0x4F, 0x50, 0x51
_LOWEST, _HIGHEST = (0x52, 0x53), (0x54, 0x55)
_MODE = 0x90
_SENA = 1 << 3

_ON_LIMIT_S = 45.0
_OFF_LIMIT_S = 2.0
_TUNE_LIMIT_S = 20.0


class Itla(Laser, OutputPower, Tunable):
    """An ITLA. Settings: `power_mw`, `wavelength_nm`, `low_noise`, `emission`. No options.

    A dark laser tunes anywhere in steps of 0.1 GHz (0.8 pm); a lit one only within its fine tuning,
    in steps of 1 MHz. `low_noise` is one of "dither", "no dither", "whisper" (Pure Photonics).
    """

    manifest = Manifest(
        driver="oif.itla",
        kind="Laser",
        identity=r"\bITLA\b",
        links=("serial", "tcp"),
        safe_state="output disabled",
        asking=Asking(b"", FourBytes()),
        emits=True,
        read_only=("ping", "readings", "emission", "power_mw", "wavelength_nm"),
        serial=SerialSettings(baud=9600),
        sources=("pytla itla/utils.py, registers", "ScanLoop itla_pyvisa.py", "OIF-ITLA-MSA-01.3"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("oif.itla", self.options)
        self._registers = Registers(link)
        self._range_mw = (0.0, 0.0)
        self._range_thz = (1.0, 1.0)
        self._fine_mhz = 0
        self._has_mode = False

    async def connect(self) -> Identity:
        """Find the beginning of a packet, ask who it is and for its ranges."""
        registers = self._registers
        await registers.align()
        kind = await registers.read_text(_DEVICE)
        maker = await registers.read_text(_MAKER)
        model = await registers.read_text(_MODEL)
        serial = await registers.read_text(_SERIAL)
        release = await registers.read_text(_RELEASE)
        self._range_mw = (
            _milliwatts(await registers.read_signed(_POWER_LOW)),
            _milliwatts(await registers.read_signed(_POWER_HIGH)),
        )
        self._range_thz = (
            await self._frequency_thz(*_LOWEST),
            await self._frequency_thz(*_HIGHEST),
        )
        self._fine_mhz = await registers.read(_FINE_RANGE)
        self._has_mode = await self._implements(_MODE)
        return Identity(f"{kind}; {maker} {model}", serial=serial, firmware=release)

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `power_mw`, `wavelength_nm`, then `emission`, then `low_noise`."""
        setters: dict[str, Setter] = {
            "power_mw": (float, self.set_power_mw),
            "wavelength_nm": (float, self.set_wavelength_nm),
            "emission": (bool, self.set_emission),
            "low_noise": (str, self.set_low_noise),
        }
        await apply_in_order(settings, setters, self._about(_ENABLE))

    async def enter_safe_state(self) -> None:
        """Disable the output and read that it is."""
        await self._registers.write(_ENABLE, 0, limit_s=_OFF_LIMIT_S)
        if await self.emission():
            raise Timeout(
                "the output was disabled and is still enabled; take away its power",
                **self._about(_ENABLE),
            )

    async def ping(self) -> None:
        """Read the enable register."""
        await self.emission()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Emission, powers, wavelength, temperature, alarms; its low-noise mode if it has one."""
        registers = self._registers
        status = await registers.read(_FATAL) | await registers.read(_WARNING)
        alarms = [text for bit, text in ALARMS.items() if status >> bit & 1]
        shown: dict[str, float | int | bool | str] = {
            "emission": await self.emission(),
            "power_mw": await self.power_mw(),
            "power_set_mw": _milliwatts(await registers.read_signed(_POWER_SET)),
            "wavelength_nm": await self.wavelength_nm(),
            "temperature_c": await registers.read_signed(_TEMPERATURE) / 100,
            "alarms": ", ".join(alarms) or "none",
        }
        if self._has_mode:
            mode = await registers.read(_MODE)
            shown["low_noise"] = MODES[mode] if mode < len(MODES) else f"mode {mode}"
        return shown

    async def set_emission(self, on: bool) -> None:
        """See Laser; returns when the module has nothing pending any more."""
        if not on:
            await self.enter_safe_state()
            return
        self.require_armed("switching the laser on")
        await self._registers.write(_ENABLE, _SENA, limit_s=_ON_LIMIT_S)
        if not await self.emission():
            raise InstrumentError(
                "enable",
                "the output was enabled and is not; see its disable pin and its alarms",
                **self._about(_ENABLE),
            )

    async def emission(self) -> bool:
        """See Laser: the output is enabled, light is there or about to come."""
        return bool(await self._registers.read(_ENABLE) & _SENA)

    async def set_power_mw(self, power_mw: float) -> None:
        """See OutputPower; the range is the one that the module tells, in steps of 0.01 dBm."""
        about = self._about(_POWER_SET)
        low, high = self._range_mw
        value = in_range("power_mw", power_mw, low, high, "mW", about)
        wanted = round(1000 * math.log10(value))
        await self._registers.write(_POWER_SET, wanted, limit_s=_TUNE_LIMIT_S)
        found = await self._registers.read_signed(_POWER_SET)
        if found != wanted:
            raise InstrumentError(
                "power", f"set to {wanted / 100:g} dBm, it reads {found / 100:g} dBm", **about
            )

    async def power_mw(self) -> float:
        """See OutputPower; 0 while the output is disabled."""
        if not await self.emission():
            return 0.0
        return _milliwatts(await self._registers.read_signed(_POWER))

    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """See Tunable; a lit laser is tuned finely, a dark one by its channel."""
        about = self._about(_FIRST_THZ)
        low, high = (SPEED_OF_LIGHT_NM_THZ / thz for thz in reversed(self._range_thz))
        value = in_range("wavelength_nm", wavelength_nm, low, high, "nm", about)
        wanted_thz = SPEED_OF_LIGHT_NM_THZ / value
        if await self.emission():
            await self._tune_finely(wanted_thz)
            return
        steps = round(wanted_thz * 10_000)
        for register, part in (
            (_FINE_MHZ, 0),
            (_FIRST_THZ, steps // 10_000),
            (_FIRST_GHZ10, steps % 10_000),
            (_CHANNEL, 1),
        ):
            await self._registers.write(register, part, limit_s=_TUNE_LIMIT_S)
        found_thz = await self._frequency_thz(_THZ, _GHZ10)
        if round(found_thz * 10_000) != steps:
            raise InstrumentError(
                "frequency",
                f"it was set to {steps / 10_000:.4f} THz and is at {found_thz:.4f} THz",
                **about,
            )

    async def wavelength_nm(self) -> float:
        """See Laser: from the frequency of the channel and the fine tuning."""
        thz = await self._frequency_thz(_THZ, _GHZ10)
        fine_mhz = await self._registers.read_signed(_FINE_MHZ)
        return SPEED_OF_LIGHT_NM_THZ / (thz + fine_mhz * 1e-6)

    async def set_low_noise(self, mode: str) -> None:
        """One of "dither", "no dither", "whisper"; raises Refused where there are no such modes."""
        about = self._about(_MODE)
        if mode not in MODES:
            raise Refused(f"low_noise = {mode!r}, accepted are {', '.join(MODES)}", **about)
        if not self._has_mode:
            raise Refused("this module has no low-noise modes", **about)
        await self._registers.write(_MODE, MODES.index(mode), limit_s=_TUNE_LIMIT_S)

    async def _tune_finely(self, wanted_thz: float) -> None:
        about = self._about(_FINE_MHZ)
        offset_mhz = round((wanted_thz - await self._frequency_thz(_THZ, _GHZ10)) * 1e6)
        if abs(offset_mhz) > self._fine_mhz:
            raise Refused(
                f"{offset_mhz / 1000:g} GHz away, a lit laser goes -{self._fine_mhz / 1000:g} to "
                f"{self._fine_mhz / 1000:g} GHz from its channel; switch emission off first",
                **about,
            )
        await self._registers.write(_FINE_MHZ, offset_mhz, limit_s=_TUNE_LIMIT_S)

    async def _frequency_thz(self, thz: int, ghz10: int) -> float:
        return await self._registers.read(thz) + await self._registers.read(ghz10) * 1e-4

    async def _implements(self, register: int) -> bool:
        try:
            await self._registers.read(register)
        except InstrumentError as error:
            if error.code != NOT_IMPLEMENTED:
                raise
            return False
        return True

    def _about(self, register: int) -> dict[str, str]:
        return self._registers.about(register)


def _milliwatts(dbm100: int) -> float:
    return math.pow(10.0, dbm100 / 1000.0)
