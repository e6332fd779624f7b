"""Polatis (HUBER+SUHNER) optical cross-connect, SCPI lines on TCP port 5025.

Commands and answers from two public drivers, see docs/instruments.md. A command that the switch
does not like is dropped without a word, so what counts is what `conn:stat?` tells afterwards.
Unverified: the form of `:syst:err:all?`, which is only shown, never judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from drivers.checks import apply_in_order, known_options
from drivers.devices import Identity, OpticalSwitch
from drivers.errors import InstrumentError, Refused
from drivers.framing import LINE_LF
from drivers.links.base import Link
from drivers.optics.port_table import port_table
from drivers.plugin import Asking, Manifest
from drivers.scpi import Lines
from drivers.waiting import becomes

_STATE = re.compile(r"\(@([\d,\s]*)\)\s*,\s*\(@([\d,\s]*)\)")
_SWITCHING_LIMIT_S = 1.0


class Polatis(OpticalSwitch):
    """A Polatis of N inputs and M outputs. Setting: `connections`, a table of inputs to outputs.

    Outputs count from 1 here; on the panel and on the wire output 1 is port N + 1. No options.
    """

    manifest = Manifest(
        driver="polatis.oxc",
        kind="OpticalSwitch",
        identity=r"(?i)^polatis\s*,",
        links=("tcp", "serial"),
        safe_state="nothing connected",
        asking=Asking(b"\n", LINE_LF, b"*idn?"),
        tcp_port=5025,
        read_only=("ping", "readings", "size", "connections"),
        sources=("two public drivers with :oxc:swit:conn, one of them with the manual's examples",),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("polatis.oxc", self.options)
        self._lines = Lines(link)
        self._size = (0, 0)

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask who it is and how large."""
        await self._lines.settle()
        fields = await self._lines.fields("*idn?", 4)
        await self._lines.say("*cls")
        command = ":oxc:swit:size?"
        size = await self._lines.fields(command, 2)
        if not all(part.isdecimal() and int(part) > 0 for part in size):
            raise self._lines.garbled("expected two numbers of ports", ",".join(size), command)
        self._size = (int(size[0]), int(size[1]))
        return Identity(",".join(fields), serial=fields[2], firmware=fields[3])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `connections`."""
        setters = {"connections": (dict, self._apply_connections)}
        await apply_in_order(settings, setters, self._lines.about())

    async def enter_safe_state(self) -> None:
        """Disconnect everything, and see that nothing is connected."""
        await self.set_connections({})

    async def ping(self) -> None:
        """Ask who it is."""
        await self._lines.ask("*idn?")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`connections`, as "1-3 2-1"."""
        made = await self.connections()
        return {"connections": " ".join(f"{i}-{o}" for i, o in sorted(made.items())) or "none"}

    async def size(self) -> tuple[int, int]:
        """See OpticalSwitch."""
        return self._size

    async def connections(self) -> dict[int, int]:
        """See OpticalSwitch."""
        command = ":oxc:swit:conn:stat?"
        text = await self._lines.ask(command)
        found = _STATE.fullmatch(text)
        if found is None:
            raise self._lines.garbled("expected two lists of ports", text, command)
        inputs, outputs = ([int(n) for n in re.findall(r"\d+", ports)] for ports in found.groups())
        if len(inputs) != len(outputs) or any(port <= self._size[0] for port in outputs):
            raise self._lines.garbled("expected as many inputs as outputs", text, command)
        return {i: o - self._size[0] for i, o in zip(inputs, outputs, strict=True)}

    async def set_connections(self, connections: Mapping[int, int]) -> None:
        """See OpticalSwitch; raises InstrumentError when the switch does not make them."""
        inputs, outputs = self._size
        command = ":oxc:swit:conn:only"
        for i, o in connections.items():
            if i not in range(1, inputs + 1) or o not in range(1, outputs + 1):
                raise Refused(
                    f"input {i} to output {o}: there are inputs 1 to {inputs} and outputs "
                    f"1 to {outputs} (on the panel {inputs + 1} to {inputs + outputs})",
                    **self._lines.about(command),
                )
        if len(set(connections.values())) < len(connections):
            raise Refused(
                f"connections {dict(connections)} use an output twice", **self._lines.about(command)
            )
        if connections:
            sent = ",".join(str(i) for i in connections)
            to = ",".join(str(o + inputs) for o in connections.values())
            command = f"{command} (@{sent}),(@{to})"
        else:
            command = ":oxc:swit:disc:all"
        await self._lines.say(command)

        async def made() -> bool:
            return await self.connections() == dict(connections)

        if not await becomes(made, limit_s=_SWITCHING_LIMIT_S):
            found = await self.connections()
            errors = await self._lines.ask(":syst:err:all?")
            raise InstrumentError(
                "connections",
                f"asked for {dict(connections)}, found {found}; its errors: {errors}",
                **self._lines.about(command),
            )

    async def _apply_connections(self, table: Mapping[Any, Any]) -> None:
        """A table of a configuration, whose keys are texts."""
        await self.set_connections(port_table(table, self._lines.about("connections")))
