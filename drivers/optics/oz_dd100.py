"""OZ Optics DD-100-MC, a motorised optical attenuator, on a serial line.

Commands and answers from two public drivers, see docs/instruments.md. It tells neither its name nor
a serial number. Unverified: the form of the configuration (`CD`) beyond its words `IL` and
`MAX ATTEN`; where they are not found the option `max_attenuation_db` is needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from drivers.checks import apply_in_order, in_range, known_options, number_option
from drivers.devices import Attenuator, Identity
from drivers.errors import InstrumentError
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.optics.oz_answers import OzTalk, UntilDone
from drivers.plugin import Asking, Manifest

TOLERANCE_DB = 0.1
"""An attenuation as near as this to the one wanted is reached."""

_NUMBER = r"[^\d\r\n-]*(-?\d+(?:\.\d+)?)"
_ATTENUATION = re.compile(r"\bATTEN\s*:\s*(-?\d+(?:\.\d+)?|unknown)", re.IGNORECASE)
_LARGEST = re.compile(rf"\bMAX\.?\s*ATTEN{_NUMBER}", re.IGNORECASE)
_LOSS = re.compile(rf"\bIL{_NUMBER}", re.IGNORECASE)
_ERRORS = {
    2: "bad command",
    5: "home sensor error: it has to go to the factory",
    6: "overflow",
    7: "the motor's voltage is beyond its safe limits",
}
_MOVE_LIMIT_S = 10.0
_HOME_LIMIT_S = 45.0


class OzDd100(Attenuator):
    """A DD-100-MC. Setting: `attenuation_db`.

    Option: `max_attenuation_db` (a bound below the one that the instrument tells).
    """

    manifest = Manifest(
        driver="ozoptics.dd100",
        kind="Attenuator",
        identity=r"^OZ Optics DD-100",
        links=("serial", "tcp"),
        safe_state="largest attenuation",
        asking=Asking(b"\r", UntilDone(), b"CD", reply=r"ATTEN"),
        read_only=("ping", "readings", "attenuation_db"),
        serial=SerialSettings(baud=9600),
        sources=("QMI ozoptics/dd100mc.py", "hispec util/ozoptics/dd100mc.py"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("ozoptics.dd100", self.options, "max_attenuation_db")
        self._bound_db = number_option(
            self.options, "max_attenuation_db", math.inf, 0.0, math.inf, "dB"
        )
        self._range_db = (0.0, self._bound_db)
        self._talk = OzTalk(link, end=b"\r", errors={-code: text for code, text in _ERRORS.items()})

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask for its range and where it stands."""
        await self._talk.settle()
        lines = await self._talk.ask_first("CD", timeout_s=1.5)
        told = "\n".join(lines)
        largest, loss = _LARGEST.search(told), _LOSS.search(told)
        bound_db = min(self._bound_db, float(largest[1]) if largest else math.inf)
        if math.isinf(bound_db):
            raise InstrumentError(
                "CD",
                "its configuration does not tell the largest attenuation; "
                "give the option max_attenuation_db from its data sheet",
                **self._talk.about("CD"),
            )
        self._range_db = (float(loss[1]) if loss else 0.0, bound_db)
        await self.attenuation_db()
        low, high = self._range_db
        return Identity(f"OZ Optics DD-100 from {low:g} to {high:g} dB")

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `attenuation_db`."""
        setters = {"attenuation_db": (float, self.set_attenuation_db)}
        await apply_in_order(settings, setters, self._talk.about())

    async def enter_safe_state(self) -> None:
        """Go to the largest attenuation, and see that it is there."""
        await self.set_attenuation_db(self._range_db[1])

    async def ping(self) -> None:
        """Ask where it stands."""
        await self.attenuation_db()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`attenuation_db`, insertion loss included."""
        return {"attenuation_db": await self.attenuation_db()}

    async def set_attenuation_db(self, attenuation_db: float) -> None:
        """See Attenuator; the range is from the insertion loss to what the instrument tells."""
        low, high = self._range_db
        about = self._talk.about("A")
        value = in_range("attenuation_db", attenuation_db, low, high, "dB", about)
        await self._talk.ask(f"A{value:.2f}", timeout_s=_MOVE_LIMIT_S)
        found = await self.attenuation_db()
        if abs(found - value) > TOLERANCE_DB:
            raise InstrumentError(
                "attenuation", f"it was set to {value:g} dB and stands at {found:g} dB", **about
            )

    async def attenuation_db(self) -> float:
        """See Attenuator; raises InstrumentError where it does not know where it stands."""
        lines = await self._talk.ask("D")
        found = _ATTENUATION.search("\n".join(lines))
        if found is None:
            raise self._talk.garbled("expected an attenuation", lines, "D")
        if found[1].lower() == "unknown":
            raise InstrumentError(
                "unknown",
                "it does not know where it stands; call `home`",
                **self._talk.about("D"),
            )
        return float(found[1])

    async def home(self) -> None:
        """Find the home position, which takes up to 45 s; on the way light passes as it may."""
        await self._talk.ask("H", timeout_s=_HOME_LIMIT_S)
