"""Thorlabs OSW-E, MEMS fibre switches 1x2 and 2x2, on a serial line (USB).

Commands and answers from two public drivers, one of them tried on an OSW22-1310E, see
docs/instruments.md. Setting is not answered, and the first answer after it may still be the state
before; so the state is asked until it is the one wanted. The switch tells no serial number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.checks import apply_in_order, known_options
from drivers.devices import Identity, OpticalSwitch
from drivers.errors import InstrumentError, Refused
from drivers.framing import LINE_CRLF
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.optics.port_table import port_table
from drivers.plugin import Asking, Manifest
from drivers.scpi import Lines
from drivers.waiting import becomes

MODELS: dict[str, dict[int, dict[int, int]]] = {
    "1x2": {1: {1: 1}, 2: {1: 2}},
    "2x2": {1: {1: 1, 2: 2}, 2: {1: 2, 2: 1}},
}
"""What each state connects: state 1 is bar, state 2 is cross."""

_SWITCHING_LIMIT_S = 2.5


class OswE(OpticalSwitch):
    """An OSW12 or OSW22. Setting: `connections`, a table of inputs to outputs.

    Option: `model`, "1x2" or "2x2" (the switch's own word for it is a code that is not public).
    Whoever asks for one connection of a 2x2 switch gets the other one with it.
    """

    manifest = Manifest(
        driver="thorlabs.osw_e",
        kind="OpticalSwitch",
        identity=r"^OSW\b",
        links=("serial", "tcp"),
        safe_state="state 1 (bar), in which it also wakes up",
        asking=Asking(b"\n", LINE_CRLF),
        read_only=("ping", "readings", "size", "connections"),
        serial=SerialSettings(baud=115200, rtscts=True),
        udev_hint='SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", SYMLINK+="osw"',
        sources=("PnPQ switch_thorlabs_osw_e.py", "qudi osw12.py"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("thorlabs.osw_e", self.options, "model")
        model = self.options.get("model", "1x2")
        if model not in MODELS:
            raise ValueError(f"model = {model!r}, expected one of {', '.join(MODELS)}")
        self._model = str(model)
        self._states = MODELS[self._model]
        self._lines = Lines(link, framing=LINE_CRLF)

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask for board, type and state."""
        await self._lines.settle()
        board = await self._lines.ask("I?")
        kind = await self._lines.ask("T?")
        await self._state()
        return Identity(f"OSW {self._model}, board {board}, type {kind}")

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `connections`."""
        setters = {"connections": (dict, self._apply_connections)}
        await apply_in_order(settings, setters, self._lines.about())

    async def enter_safe_state(self) -> None:
        """Go to state 1 and see that it is there."""
        await self._set(1)

    async def ping(self) -> None:
        """Ask for the state."""
        await self._state()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`state`: 1 is bar, 2 is cross."""
        return {"state": await self._state()}

    async def size(self) -> tuple[int, int]:
        """See OpticalSwitch."""
        return len(self._states[1]), 2

    async def connections(self) -> dict[int, int]:
        """See OpticalSwitch."""
        return dict(self._states[await self._state()])

    async def set_connections(self, connections: Mapping[int, int]) -> None:
        """See OpticalSwitch; a part of what a state connects stands for the whole."""
        for state, made in self._states.items():
            if connections and connections.items() <= made.items():
                await self._set(state)
                return
        accepted = " or ".join(str(made) for made in self._states.values())
        raise Refused(
            f"connections {dict(connections)}, a {self._model} switch makes {accepted}",
            **self._lines.about("S"),
        )

    async def _set(self, state: int) -> None:
        command = f"S {state}"
        await self._lines.say(command)

        async def there() -> bool:
            return await self._state() == state

        if not await becomes(there, limit_s=_SWITCHING_LIMIT_S, poll_s=0.1):
            raise InstrumentError(
                "state",
                f"it was sent to state {state} and is not there after {_SWITCHING_LIMIT_S:g} s",
                **self._lines.about(command),
            )

    async def _state(self) -> int:
        text = await self._lines.ask("S?")
        if text not in ("1", "2"):
            raise self._lines.garbled("expected state 1 or 2", text, "S?")
        return int(text)

    async def _apply_connections(self, table: Mapping[Any, Any]) -> None:
        await self.set_connections(port_table(table, self._lines.about("connections")))
