"""Toptica DLC pro laser controller on its command line, TCP port 1998, and its monitoring line.

Each reply ends with a line end and the prompt "> "; before the value there may be lines of output.
Keys and forms from the vendor's MIT client (toptica-lasersdk) and a public driver, see
docs/instruments.md. Unverified: the upper bound used where the firmware tells no current clip.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from drivers.checks import Setter, apply_in_order, in_range, is_number, known_options
from drivers.devices import DiodeCurrent, Identity, Laser
from drivers.errors import InstrumentError, ProtocolError, Timeout
from drivers.framing import Until
from drivers.lasers.dlcpro_monitor import Change, changes, monitor_resource
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest
from drivers.waiting import becomes

PROMPT = Until(b"\n> ")
LARGEST_CURRENT_MA = 500.0
"""Bound where neither the option nor the firmware gives one: the smaller of the current drivers."""

OFF_MA = 1.0
"""Below this a diode current counts as off."""

_ENABLED = "laser1:dl:cc:enabled"
WATCHED = ("emission", "interlock-open", "frontkey-locked", "emission-button-enabled", _ENABLED)
"""What tells whether light may come out."""

_ON_LIMIT_S = 6.0  # laser safety rules make some heads wait some seconds before they emit
_OFF_LIMIT_S = 2.0
_ERROR = re.compile(r"^Error:\s*(-?\d+)\s*(.*)", re.DOTALL | re.MULTILINE)
_OPTIONS = {"max_current_ma", "user_level", "user_password", "monitor_resource"}


class DlcPro(Laser, DiodeCurrent):
    """The first laser of a DLC pro. Settings: `current_ma`, `emission`.

    Options: `max_current_ma` (a bound below the controller's own clip), `user_password` with
    `user_level` (1 to 3, default 2), to gain a user level at connect, and `monitor_resource`
    (default port 1999 of the same host), where `changes` come from.
    """

    manifest = Manifest(
        driver="toptica.dlcpro",
        kind="Laser",
        identity=r"(?i)DeCoF Command Line|DLC ?PRO",
        links=("tcp",),
        safe_state="diode current switched off",
        tcp_port=1998,
        asking=Asking(b"\n", PROMPT, b"(param-ref 'serial-number)"),
        emits=True,
        read_only=("ping", "readings", "emission", "current_ma", "wavelength_nm"),
        sources=("toptica-lasersdk asyncio/connection.py, client.py", "QMI toptica/dlc.py"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("toptica.dlcpro", self.options, *_OPTIONS)
        bound = self.options.get("max_current_ma")
        if bound is not None and not is_number(bound, 0.0, math.inf):
            raise ValueError(f"max_current_ma = {bound!r}, expected a positive number of mA")
        if self.options.get("user_level", 2) not in (1, 2, 3):
            raise ValueError(f"user_level = {self.options['user_level']!r}, expected 1, 2 or 3")
        self._bound_ma = LARGEST_CURRENT_MA if bound is None else float(bound)

    async def connect(self) -> Identity:
        """Wait for the greeting's prompt, ask who it is and what its current clip is."""
        greeting = await self.link.receive(PROMPT, timeout_s=3.0, command="(greeting)")
        if password := self.options.get("user_password"):
            await self._change_level(int(self.options.get("user_level", 2)), str(password))
        serial = await self._text("serial-number")
        firmware = await self._text("fw-ver")
        try:
            clip_ma = await self._number("laser1:dl:cc:current-clip")
        except InstrumentError:
            clip_ma = LARGEST_CURRENT_MA  # an old firmware does not know the key
        self._bound_ma = min(float(self.options.get("max_current_ma", math.inf)), clip_ma)
        words = greeting.decode("latin-1").split()
        return Identity(
            text=f"{' '.join(words)}; {serial}; {firmware}", serial=serial, firmware=firmware
        )

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `current_ma` first, then `emission`."""
        setters: dict[str, Setter] = {
            "current_ma": (float, self.set_current_ma),
            "emission": (bool, self.set_emission),
        }
        await apply_in_order(settings, setters, self._about())

    async def enter_safe_state(self) -> None:
        """Switch the current off and see that it is off."""
        await self._set(_ENABLED, "#f")
        await self._until_off()

    async def ping(self) -> None:
        """Read the emission flag."""
        await self._flag("emission")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Emission, currents, health and interlocks; the wavelength where the laser tells one."""
        shown: dict[str, float | int | bool | str] = {
            "emission": await self.emission(),
            "current_ma": await self.current_ma(),
            "current_set_ma": await self._number("laser1:dl:cc:current-set"),
            "interlock_open": await self._flag("interlock-open"),
            "frontkey_locked": await self._flag("frontkey-locked"),
            "health": await self._text("system-health-txt"),
        }
        with contextlib.suppress(InstrumentError):  # only a tunable laser head has this key
            shown["wavelength_nm"] = await self.wavelength_nm()
        return shown

    def changes(self, *names: str, interval_ms: int = 100) -> AsyncGenerator[Change, None]:
        """The values of some parameters and then their changes, told by the controller itself.

        By default those that tell whether light may come out. Each call has a connection of its
        own, which ends with the generator; see `drivers.lasers.dlcpro_monitor` for exceptions.
        """
        resource = str(self.options.get("monitor_resource", monitor_resource(self.link.resource)))
        return changes(self.link.beside(resource), names or WATCHED, interval_ms=interval_ms)

    async def set_emission(self, on: bool) -> None:
        """See Laser; refuses with the reason when an interlock forbids light."""
        if not on:
            await self.enter_safe_state()
            return
        self.require_armed("switching the laser on")
        if await self._flag("interlock-open"):
            raise self._forbidden("its interlock is open; close the interlock circuit")
        if await self._flag("frontkey-locked"):
            raise self._forbidden("its front key is locked; turn the key")
        if not await self._flag("emission-button-enabled"):
            raise self._forbidden("its emission button is off; press it on the front panel")
        await self._set(_ENABLED, "#t")
        if not await becomes(self.emission, limit_s=_ON_LIMIT_S):
            raise Timeout(
                f"the laser was switched on but does not emit after {_ON_LIMIT_S:g} s",
                **self._about(_ENABLED),
            )

    async def emission(self) -> bool:
        """See Laser: the controller emits and this laser's current is switched on."""
        return await self._flag("emission") and await self._flag(_ENABLED)

    async def set_current_ma(self, current_ma: float) -> None:
        """See Laser; the upper bound is the lower of the option and the controller's clip."""
        about = self._about("laser1:dl:cc:current-set")
        value = in_range("current_ma", current_ma, 0.0, self._bound_ma, "mA", about)
        await self._set("laser1:dl:cc:current-set", repr(value))

    async def current_ma(self) -> float:
        """See Laser."""
        return await self._number("laser1:dl:cc:current-act")

    async def wavelength_nm(self) -> float:
        """See Laser; raises InstrumentError for a laser head that tells none."""
        return await self._number("laser1:ctl:wavelength-act")

    async def _until_off(self) -> None:
        async def off() -> bool:
            if await self._flag(_ENABLED):
                return False
            # A second laser of the controller keeps the common flag up: then the current tells.
            return not await self._flag("emission") or await self.current_ma() < OFF_MA

        if not await becomes(off, limit_s=_OFF_LIMIT_S):
            raise Timeout(
                f"the laser was switched off but is not dark after {_OFF_LIMIT_S:g} s; "
                "turn the front key",
                **self._about(_ENABLED),
            )

    async def _change_level(self, level: int, password: str) -> None:
        escaped = password.replace("\\", "\\\\").replace('"', '\\"')
        reply = await self._ask(f'(exec \'change-ul {level} "{escaped}")', shown="change-ul")
        if reply != str(level):
            raise InstrumentError(
                "change-ul",
                f"user level {level} asked, {reply} given; check user_password",
                **self._about("change-ul"),
            )

    async def _set(self, key: str, value: str) -> None:
        command = f"(param-set! '{key} {value})"
        reply = await self._ask(command)
        try:
            status = int(reply)
        except ValueError:
            raise self._garbled("expected an integer status", reply, command) from None
        if status < 0:
            raise InstrumentError(status, f"{key} was not set to {value}", **self._about(command))

    async def _ask(self, command: str, shown: str = "") -> str:
        """The last line of the reply; lines before it are output of the command."""
        raw = await self.link.exchange(
            command.encode() + b"\n", PROMPT, timeout_s=1.5, command=shown or command
        )
        text = raw.decode("latin-1").strip()
        if failed := _ERROR.search(text):
            raise InstrumentError(
                int(failed[1]), " ".join(failed[2].split()), **self._about(shown or command)
            )
        if not text:
            raise self._garbled("expected a value, found an empty reply", text, shown or command)
        return text.splitlines()[-1].strip()

    async def _flag(self, key: str) -> bool:
        command = f"(param-ref '{key})"
        reply = await self._ask(command)
        if reply not in ("#t", "#f"):
            raise self._garbled("expected #t or #f", reply, command)
        return reply == "#t"

    async def _number(self, key: str) -> float:
        command = f"(param-ref '{key})"
        reply = await self._ask(command)
        try:
            return float(reply)
        except ValueError:
            raise self._garbled("expected a number", reply, command) from None

    async def _text(self, key: str) -> str:
        command = f"(param-ref '{key})"
        reply = await self._ask(command)
        if len(reply) < 2 or not (reply.startswith('"') and reply.endswith('"')):
            raise self._garbled("expected a quoted text", reply, command)
        return reply[1:-1]

    def _forbidden(self, reason: str) -> InstrumentError:
        return InstrumentError("interlock", f"no emission: {reason}", **self._about(_ENABLED))

    def _garbled(self, reason: str, text: str, command: str) -> ProtocolError:
        self.link.poison()
        return ProtocolError(reason, text.encode("latin-1"), **self._about(command))

    def _about(self, command: str = "") -> dict[str, str]:
        return self.link.about(command)
