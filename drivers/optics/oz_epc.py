"""OZ Optics EPC-04, a polarization controller with four fibre squeezers, on a serial line.

Commands and answers from two public drivers, see docs/instruments.md. It tells neither its name nor
a serial number, so it is known by the form of its answers. Nothing is written to its flash memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from drivers.checks import apply_in_order, in_range, known_options
from drivers.devices import Identity, PolarizationController
from drivers.errors import InstrumentError, Refused
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.optics.oz_answers import OzTalk, UntilDone
from drivers.plugin import Asking, Manifest

CHANNELS = 4
LARGEST_MV = 5000.0

_CHANNEL = re.compile(r"CH(\d)\s+([+-]?\d+)")
_MODE = re.compile(r"Work Mode:\s*(AC|DC)\b.*", re.IGNORECASE)


class OzEpc(PolarizationController):
    """An EPC-04 in its DC mode. Setting: `drives_mv`, a list of four. No options."""

    manifest = Manifest(
        driver="ozoptics.epc",
        kind="PolarizationController",
        identity=r"^OZ Optics EPC",
        links=("serial", "tcp"),
        safe_state="voltages stay as they are: nothing comes out of it",
        asking=Asking(b"\r\n", UntilDone(), b"V?", reply=r"Voltage\(mV\)"),
        read_only=("ping", "readings", "drive_ranges", "drives"),
        serial=SerialSettings(baud=9600),
        sources=("QMI ozoptics/epc_driver.py", "pyLabLib OZOptics/base.py"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("ozoptics.epc", self.options)
        self._talk = OzTalk(link, end=b"\r\n")

    @property
    def drive_unit(self) -> Literal["mV", "deg"]:
        """Millivolts."""
        return "mV"

    async def connect(self) -> Identity:
        """End half a command, drop late answers, and see that it answers as an EPC does."""
        await self._talk.settle()
        await self._talk.ask_first("M?")
        mode = await self._mode()
        await self.drives()
        return Identity(f"OZ Optics EPC with {CHANNELS} channels, work mode {mode}")

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `drives_mv`."""
        setters = {"drives_mv": (list, self.set_drives)}
        await apply_in_order(settings, setters, self._talk.about())

    async def enter_safe_state(self) -> None:
        """It sends nothing out; shows that it answers."""
        await self.ping()

    async def ping(self) -> None:
        """Ask for the work mode."""
        await self._mode()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`mode`, and `drive1_mv` to `drive4_mv`."""
        drives = await self.drives()
        shown = {f"drive{n}_mv": drive for n, drive in enumerate(drives, 1)}
        return {"mode": await self._mode(), **shown}

    async def drive_ranges(self) -> tuple[tuple[float, float], ...]:
        """See PolarizationController."""
        return ((-LARGEST_MV, LARGEST_MV),) * CHANNELS

    async def set_drives(self, drives: tuple[float, ...]) -> None:
        """See PolarizationController; whole millivolts. Leaves the scrambling (AC) mode."""
        about = self._talk.about("V")
        if not isinstance(drives, tuple | list) or len(drives) != CHANNELS:
            raise Refused(f"drives = {drives!r}, expected {CHANNELS} voltages in mV", **about)
        wanted = tuple(
            round(in_range(f"drive {n}", drive, -LARGEST_MV, LARGEST_MV, "mV", about))
            for n, drive in enumerate(drives, 1)
        )
        if await self._mode() != "DC":
            await self._talk.ask("MDC")
        for channel, (now, drive) in enumerate(zip(await self.drives(), wanted, strict=True), 1):
            if now != drive:
                await self._talk.ask(f"V{channel},{drive}")
        found = await self.drives()
        if found != wanted:
            raise InstrumentError(
                "drives", f"set to {wanted} mV, it tells {found} mV", **self._talk.about("V?")
            )

    async def drives(self) -> tuple[float, ...]:
        """See PolarizationController."""
        lines = await self._talk.ask("V?")
        found = {int(channel): float(drive) for channel, drive in _CHANNEL.findall(" ".join(lines))}
        if sorted(found) != list(range(1, CHANNELS + 1)):
            raise self._talk.garbled(f"expected {CHANNELS} voltages", lines, "V?")
        return tuple(found[channel] for channel in sorted(found))

    async def _mode(self) -> str:
        lines = await self._talk.ask("M?")
        found = _MODE.fullmatch(" ".join(lines))
        if found is None:
            raise self._talk.garbled("expected a work mode", lines, "M?")
        return found[1].upper()
