"""A Polatis optical cross-connect as SCPI lines on TCP.

Facts: the manual's examples as a public driver quotes them (sizes, lists of ports, the state), and
that most commands answer nothing, whether they are taken or not. Unverified: the errors' texts, the
time that switching takes, and that a part of a list is never made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sim_backends.scpi import ScpiBox, ScpiError

__all__ = ["Polatis"]

_SWITCHING_S: Final = 0.025
_LISTS: Final = re.compile(r"\(@([\d,\s]*)\)\s*,\s*\(@([\d,\s]*)\)")


class Polatis(ScpiBox):
    """N inputs, numbered from 1, and as many outputs, numbered from N + 1.

    `failed` are ports that do not move any more: a connection with one of them is not made, and
    nobody is told but the queue of errors.
    """

    def __init__(
        self, serial: str, *, now_s: Callable[[], float], ports: int = 16, latency_s: float = 0.002
    ) -> None:
        self.failed: set[int] = set()
        self._ports, self._now_s = ports, now_s
        self._made: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._since_s = float("-inf")
        self._disabled: set[int] = set()
        super().__init__(
            f"Polatis,I-OST-{ports}x{ports}-LU1-DMHNS,{serial},6.5.2.18",
            {
                "OXC:SWITch:SIZE?": lambda _: f"{ports},{ports}",
                "OXC:SWITch:CONNect:ADD": self._add,
                "OXC:SWITch:CONNect:SUB": self._sub,
                "OXC:SWITch:CONNect:ONLY": self._only,
                "OXC:SWITch:CONNect:STATe?": lambda _: self._state(),
                "OXC:SWITch:CONNect:PORT?": self._port,
                "OXC:SWITch:DISConnect:ALL": lambda _: self._make({}),
                "OXC:SWITch:PORT:DISable": lambda ports: self._disable(ports, True),
                "OXC:SWITch:PORT:ENABle": lambda ports: self._disable(ports, False),
                "OXC:SWITch:PORT:STATe?": self._port_states,
                "SYSTem:ERRor:ALL?": lambda _: self.all_errors(),
            },
            reset=lambda: self._make({}),
            error_form=lambda code, text: f'{code},"{text}"',
            latency_s=latency_s,
        )

    @property
    def connections(self) -> dict[int, int]:
        """Which output the light of every connected input comes out of now."""
        settled = self._now_s() >= self._since_s + _SWITCHING_S
        return dict(self._made if settled else self._before)

    def _make(self, connections: dict[int, int]) -> None:
        self._before, self._since_s = self.connections, self._now_s()
        self._made = connections

    def _pairs(self, argument: str) -> dict[int, int]:
        found = _LISTS.fullmatch(argument)
        if found is None:
            raise ScpiError(-102)
        inputs, outputs = ([int(n) for n in re.findall(r"\d+", part)] for part in found.groups())
        last = 2 * self._ports
        if len(inputs) != len(outputs) or len(set(inputs + outputs)) < len(inputs + outputs):
            raise ScpiError(-224)
        if not all(1 <= i <= self._ports for i in inputs):
            raise ScpiError(-222)
        if not all(self._ports < o <= last for o in outputs):
            raise ScpiError(-222)
        if (self.failed | self._disabled) & {*inputs, *outputs}:
            raise ScpiError(-200)
        return dict(zip(inputs, outputs, strict=True))

    def _add(self, argument: str) -> None:
        wanted = self._pairs(argument)
        taken = set(wanted.values())
        kept = {i: o for i, o in self._made.items() if o not in taken}
        self._make({**kept, **wanted})

    def _only(self, argument: str) -> None:
        self._make(self._pairs(argument))

    def _sub(self, argument: str) -> None:
        gone = self._pairs(argument)
        self._make({i: o for i, o in self._made.items() if i not in gone})

    def _state(self) -> str:
        made = sorted(self.connections.items())
        inputs = ",".join(str(i) for i, _ in made)
        outputs = ",".join(str(o) for _, o in made)
        return f"(@{inputs}),(@{outputs})"

    def _port(self, argument: str) -> str:
        port = int(argument) if argument.isdecimal() else 0
        if not 1 <= port <= 2 * self._ports:
            raise ScpiError(-222)
        made = self.connections
        back = {o: i for i, o in made.items()}
        return f'"{made.get(port, back.get(port, ""))}"'

    def _disable(self, argument: str, disabled: bool) -> None:
        ports = {int(n) for n in re.findall(r"\d+", argument)}
        self._disabled = self._disabled | ports if disabled else self._disabled - ports

    def _port_states(self, argument: str) -> str:
        ports = [int(n) for n in re.findall(r"\d+", argument)] or range(1, 2 * self._ports + 1)
        states = (
            "F" if port in self.failed else "D" if port in self._disabled else "E" for port in ports
        )
        return f"({','.join(states)})"
