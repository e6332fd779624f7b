"""An optical attenuator on TCP or a serial port, lines ended by LF.

Say here where the protocol is from, and what of it nobody has verified on an instrument.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from qnodeos.plugin import (
    LINE_LF,
    Asking,
    Attenuator,
    Identity,
    InstrumentError,
    Link,
    Manifest,
    ProtocolError,
    Refused,
    Timeout,
    drain,
)

_POLL_S = 0.05
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
        if self.options:
            raise ValueError(f"acme.dimmer has no options, found {', '.join(self.options)}")
        self._highest_db = 0.0

    async def connect(self) -> Identity:
        """End half a command, drop what an earlier program left, ask who it is."""
        await self.link.send(b"\n")
        await drain(self.link, quiet_s=0.05, limit_s=1.0)
        text = await self._ask("*IDN?")
        fields = text.split(",")
        if len(fields) != 4:
            raise self._garbled("expected four fields", text, "*IDN?")
        self._highest_db = await self._number("ATT? MAX")
        return Identity(text, serial=fields[2], firmware=fields[3])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `attenuation_db`."""
        rest = dict(settings)
        attenuation_db = rest.pop("attenuation_db", None)
        await super().apply(rest)
        if attenuation_db is not None:
            await self.set_attenuation_db(attenuation_db)

    async def enter_safe_state(self) -> None:
        """Shut as far as it goes."""
        await self.set_attenuation_db(await self._number("ATT? MAX"))

    async def ping(self) -> None:
        """Ask who it is."""
        await self._ask("*IDN?")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`attenuation_db`."""
        return {"attenuation_db": await self.attenuation_db()}

    async def attenuation_db(self) -> float:
        """See Attenuator."""
        return await self._number("ATT?")

    async def set_attenuation_db(self, attenuation_db: float) -> None:
        """See Attenuator; 0 to what the instrument told at connect."""
        number = isinstance(attenuation_db, int | float) and not isinstance(attenuation_db, bool)
        if not number or not 0.0 <= attenuation_db <= self._highest_db:
            raise Refused(
                f"attenuation_db = {attenuation_db!r}, accepted are 0 to {self._highest_db:g} dB",
                **self._about("ATT"),
            )
        command = f"ATT {attenuation_db:.2f}"
        reply = await self._ask(command)
        if reply != "OK":
            raise InstrumentError("ATT", reply, **self._about(command))
        await self._until_reached(attenuation_db, command)

    async def _until_reached(self, wanted_db: float, command: str) -> None:
        clock = asyncio.get_running_loop().time
        end_s = clock() + _MOVE_LIMIT_S
        while abs(await self.attenuation_db() - wanted_db) > _STEP_DB:
            if clock() >= end_s:
                raise Timeout(f"not reached within {_MOVE_LIMIT_S:g} s", **self._about(command))
            await asyncio.sleep(_POLL_S)

    async def _ask(self, command: str) -> str:
        reply = await self.link.exchange(command.encode() + b"\n", LINE_LF, command=command)
        return reply.decode("latin-1").strip()

    async def _number(self, command: str) -> float:
        text = await self._ask(command)
        try:
            value = float(text)
        except ValueError:
            raise self._garbled("expected a number", text, command) from None
        if not math.isfinite(value):
            raise self._garbled("expected a number", text, command)
        return value

    def _garbled(self, reason: str, text: str, command: str) -> ProtocolError:
        # Whatever comes next may be the answer to something else: connect anew.
        self.link.poison()
        return ProtocolError(reason, text.encode("latin-1"), **self._about(command))

    def _about(self, command: str = "") -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}
