"""An optical attenuator on TCP or a serial port, lines ended by LF.

Say here where the protocol is from, and what of it nobody has verified on an instrument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qnodeos.plugin import (
    LINE_LF,
    Asking,
    Attenuator,
    Identity,
    InstrumentError,
    Lines,
    Link,
    Manifest,
    Timeout,
    apply_in_order,
    becomes,
    in_range,
    known_options,
)

_MOVE_LIMIT_S = 5.0
_STEP_DB = 0.05


class Dimmer(Attenuator):
    """Setting: `attenuation_db`. No options."""

    manifest = Manifest(
        driver="acme.dimmer",
        kind="Attenuator",
        identity=r"^ACME,Dimmer,",
        links=("tcp", "serial"),
        safe_state="highest attenuation",
        read_only=("ping", "readings", "attenuation_db"),
        sources=("the manual, with its page",),
        asking=Asking(b"\n", LINE_LF, b"*IDN?"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("acme.dimmer", self.options)
        self._lines = Lines(link)
        self._highest_db = 0.0

    async def connect(self) -> Identity:
        """End half a command, drop what an earlier program left, ask who it is."""
        await self._lines.settle()
        fields = await self._lines.fields("*IDN?", 4)
        self._highest_db = await self._lines.number("ATT? MAX")
        return Identity(",".join(fields), serial=fields[2], firmware=fields[3])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `attenuation_db`."""
        setters = {"attenuation_db": (float, self.set_attenuation_db)}
        await apply_in_order(settings, setters, self._lines.about())

    async def enter_safe_state(self) -> None:
        """Shut as far as it goes."""
        await self.set_attenuation_db(await self._lines.number("ATT? MAX"))

    async def ping(self) -> None:
        """Ask who it is."""
        await self._lines.ask("*IDN?")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`attenuation_db`."""
        return {"attenuation_db": await self.attenuation_db()}

    async def attenuation_db(self) -> float:
        """See Attenuator."""
        return await self._lines.number("ATT?")

    async def set_attenuation_db(self, attenuation_db: float) -> None:
        """See Attenuator; 0 to what the instrument told at connect."""
        about = self._lines.about("ATT")
        value = in_range("attenuation_db", attenuation_db, 0.0, self._highest_db, "dB", about)
        reply = await self._lines.ask(f"ATT {value:.2f}")
        if reply != "OK":
            raise InstrumentError("ATT", reply, **about)

        async def reached() -> bool:
            return abs(await self.attenuation_db() - value) <= _STEP_DB

        if not await becomes(reached, limit_s=_MOVE_LIMIT_S):
            raise Timeout(f"not reached within {_MOVE_LIMIT_S:g} s", **about)
