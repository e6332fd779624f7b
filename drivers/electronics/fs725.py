"""Stanford Research Systems FS725 rubidium frequency standard (a PRS10 inside), on RS-232.

Lines ended by CR. Commands, status bits and answers from three public sources, see
docs/instruments.md. A status bit stays set until it is read, so what is read is what has happened
since the last look; `status` and `readings` each tell it once. Nothing is written to the EEPROM.
Unverified: that setting `PL` is not answered, that `TT?` is -1 while there is no pulse, and that it
counts from our pulse to the other one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from drivers.checks import Setter, apply_in_order, known_options
from drivers.devices import FrequencyReference, Identity, ReferenceStatus
from drivers.errors import InstrumentError
from drivers.framing import Until
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.plugin import Asking, Manifest
from drivers.scpi import Lines

WARNINGS: tuple[tuple[str, ...], ...] = (
    (
        "electronics supply below 22 V",
        "electronics supply above 30 V",
        "heater supply below 22 V",
        "heater supply above 30 V",
        "lamp light too low",
        "lamp light too high",
        "gate voltage too low",
        "gate voltage too high",
    ),
    (
        "RF synthesizer unlocked",
        "RF crystal varactor too low",
        "RF crystal varactor too high",
        "RF VCO control too low",
        "RF VCO control too high",
        "RF AGC control too low",
        "RF AGC control too high",
        "bad synthesizer parameter",
    ),
    (
        "lamp below its temperature",
        "lamp above its temperature",
        "crystal below its temperature",
        "crystal above its temperature",
        "cell below its temperature",
        "cell above its temperature",
        "case too cold",
        "case too hot",
    ),
    (
        "frequency lock is off",
        "frequency lock is disabled",
        "10 MHz control too high",
        "10 MHz control too low",
        "calibration voltage above 4.9 V",
        "calibration voltage below 0.1 V",
        "",
        "",
    ),
    (
        "1 pps lock disabled",
        "fewer than 256 good 1 pps inputs",
        "",  # the lock is active
        "more than 256 bad 1 pps inputs",
        "1 pps too far away",
        "1 pps lock restarted",
        "frequency control saturated",
        "no 1 pps input",
    ),
    (
        "lamp restarted",
        "watchdog reset",
        "bad interrupt",
        "EEPROM write failure",
        "EEPROM corrupted",
        "bad command",
        "bad parameter",
        "unit has been reset",
    ),
)
"""What each bit of the six status bytes says, lowest first; "" is no warning."""

_LOCK_BYTE = 4
_ACTIVE, _RESTARTED, _NO_PULSE = 1 << 2, 1 << 5, 1 << 7
_PULSE = (0, 1, 5, 7)
"""Bits of the lock byte that mean nothing while it is not to follow a pulse."""

_NUMBER = re.compile(r"SN_(\w+)")


class Fs725(FrequencyReference):
    """An FS725 or PRS10. Setting: `follow_pps`, true to lock to the pulse at its input. No options.

    Locked means the oscillator to its rubidium line.
    """

    manifest = Manifest(
        driver="srs.fs725",
        kind="FrequencyReference",
        identity=r"^PRS10_",
        links=("serial", "tcp"),
        safe_state="keeps ticking: nothing to switch off",
        asking=Asking(b"\r", Until(b"\r"), b"ID?"),
        read_only=("ping", "readings", "status"),
        serial=SerialSettings(baud=9600, xonxoff=True),
        sources=("taishi-hashimoto/prs10", "PRS10 monitor with PRS10m.pdf", "glacier.lbl.gov"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("srs.fs725", self.options)
        self._lines = Lines(link, end=b"\r", framing=Until(b"\r"))
        self._untold: dict[str, dict[str, None]] = {"status": {}, "readings": {}}

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask who it is, and clear its old status bits."""
        await self._lines.settle()
        text = await self._lines.ask("ID?")
        found = _NUMBER.search(text)
        if found is None:
            raise self._lines.garbled("expected an identity with SN_", text, "ID?")
        await self._status_bytes()
        for untold in self._untold.values():
            untold.clear()
        return Identity(text, serial=found[1], firmware=text.split("_")[1])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `follow_pps`."""
        setters: dict[str, Setter] = {"follow_pps": (bool, self.set_follow_pps)}
        await apply_in_order(settings, setters, self._lines.about())

    async def enter_safe_state(self) -> None:
        """A clock sends out nothing that harms; shows that it answers."""
        await self.ping()

    async def ping(self) -> None:
        """Ask whether it is locked, which clears no status bit."""
        await self._lines.flag("LO?")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Locks, offset to the pulse, case temperature, and warnings since the last time."""
        status = await self._look("readings")
        shown: dict[str, float | int | bool | str] = {
            "locked": status.locked,
            "following": bool(status.following),
            "follow_pps": await self._lines.flag("PL?"),
            "case_c": 100 * await self._lines.number("AD10?"),
            "warnings": ", ".join(status.warnings) or "none",
        }
        if status.pps_offset_ns is not None:
            shown["pps_offset_ns"] = status.pps_offset_ns
        return shown

    async def status(self) -> ReferenceStatus:
        """See FrequencyReference; the warnings are those since the last time it was asked."""
        return await self._look("status")

    async def set_follow_pps(self, on: bool) -> None:
        """Lock to the pulse at the 1 pps input, or run free; raises InstrumentError."""
        await self._lines.say(f"PL {int(on)}")
        if await self._lines.flag("PL?") is not on:
            raise InstrumentError(
                "PL",
                f"it was told to {'follow' if on else 'ignore'} the pulse and does not",
                **self._lines.about("PL?"),
            )

    async def _look(self, who: str) -> ReferenceStatus:
        locked = await self._lines.flag("LO?")
        follows = await self._lines.flag("PL?")
        bits = await self._status_bytes()
        offset_ns = await self._offset_ns()
        warnings = tuple(
            text
            for text in self._untold[who]
            if follows or text not in {WARNINGS[_LOCK_BYTE][bit] for bit in _PULSE}
        )
        self._untold[who].clear()
        # All of these stay set until they are read: what has ended may still look active.
        active = bits[_LOCK_BYTE] & (_ACTIVE | _RESTARTED | _NO_PULSE) == _ACTIVE
        return ReferenceStatus(
            locked=locked,
            following=follows and active,
            pps_offset_ns=offset_ns,
            warnings=warnings,
        )

    async def _offset_ns(self) -> float | None:
        """Ours minus the pulse's; None without a pulse."""
        tag_ns = await self._lines.integer("TT?")
        if tag_ns < 0:
            return None
        if tag_ns >= 10**9:
            raise self._lines.garbled("expected less than a second in ns", str(tag_ns), "TT?")
        # The tag is when the pulse came, counted by our own clock from our own pulse.
        return float(tag_ns - 10**9 if tag_ns > 5 * 10**8 else tag_ns)

    async def _status_bytes(self) -> list[int]:
        """The status bytes, which reading clears; what they say waits for both who tell it."""
        fields = await self._lines.fields("ST?", len(WARNINGS))
        if not all(field.isdecimal() and int(field) < 256 for field in fields):
            raise self._lines.garbled("expected six bytes", ",".join(fields), "ST?")
        values = [int(field) for field in fields]
        for value, texts in zip(values, WARNINGS, strict=True):
            for bit, text in enumerate(texts):
                if text and value >> bit & 1:
                    for untold in self._untold.values():
                        untold[text] = None
        return values
