"""Interlocks: what one instrument reads makes others safe, and keeps them so.

    unknown ──reading there──> closed ──condition true──> tripped ──acknowledged──> closed
       ^                         │
       └──── reading not there ──┘

While `unknown` or `tripped` the instruments it guards are held in their safe state. `unknown` ends
by itself; `tripped` only when a person acknowledges it and the condition is no longer true.

It is as fast as the readings of the instrument that is watched (0.8 s and its exchange): it guards
detectors against slow light, and is no replacement for a shutter with electronics of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from drivers.conditions import Condition
from drivers.status import InstrumentStatus
from drivers.supervisor import Supervisor

InterlockState = Literal["unknown", "closed", "tripped"]


class Interlock:
    """Guards `makes_safe` by a condition on the readings of the instrument `of`.

    `on_change` hears the state and the reason. It holds them from the moment it is made.
    """

    def __init__(
        self,
        name: str,
        condition: Condition,
        of: str,
        makes_safe: Sequence[Supervisor],
        *,
        on_change: Callable[[InterlockState, str], None] = lambda state, reason: None,
    ):
        self.name = name
        self.of = of
        self.state: InterlockState = "unknown"
        self.reason = ""
        self._condition = condition
        self._makes_safe = tuple(makes_safe)
        self._on_change = on_change
        self._holds: bool | None = None
        self._set("unknown", f"nothing is known of '{of}' yet")

    def hear(self, status: InstrumentStatus) -> None:
        """A status of the watched instrument."""
        self._holds = self._condition.holds(status.readings)
        if self.state == "tripped":
            return
        if self._holds is None:
            missing = ", ".join(sorted(self._condition.names - set(status.readings)))
            lacks = f" and does not tell {missing}" if missing else ""
            self._set("unknown", f"'{self.of}' cannot be judged: it is {status.state}{lacks}")
        elif self._holds:
            found = ", ".join(
                f"{name} = {status.readings[name]}"
                for name in sorted(self._condition.names & set(status.readings))
            )
            self._set("tripped", f"{found} of '{self.of}', tripped by {self._condition.text}")
        else:
            self._set("closed", "")

    def acknowledge(self) -> str:
        """Close it after a trip, on a person's word; why not, or "" when it is closed."""
        if self.state != "tripped":
            return "" if self.state == "closed" else self.reason
        if self._holds is not False:
            return f"the reason is still there: {self.reason}" if self._holds else "it is not known"
        self._set("closed", "")
        return ""

    def _set(self, state: InterlockState, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        for supervisor in self._makes_safe:
            if state == "closed":
                supervisor.let_go(f"interlock {self.name}")
            else:
                supervisor.hold_safe(f"interlock {self.name}", f"interlock '{self.name}': {reason}")
        self._on_change(state, reason)
