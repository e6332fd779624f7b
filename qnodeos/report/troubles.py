"""What was wrong, from when to when: read out of a node's events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qnodeos.journal import EventRow
from qnodeos.report.gather import NodeRecord

MOMENT_S = 0.5
"""What is over so soon is told by the events alone: an instrument that is met for the first time, a
basis that is turned."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that was not as it should be. `open`: it still was at the end of the report."""

    what: str
    state: str
    reason: str
    from_s: float
    until_s: float
    open: bool = False

    @property
    def lasted_s(self) -> float:
        """From its beginning to its end, or to that of the report."""
        return self.until_s - self.from_s


def troubles(record: NodeRecord) -> list[Trouble]:
    """All of them in the order in which they began."""
    found: list[Trouble] = []
    going: dict[str, tuple[str, str, float]] = {}

    def end(what: str, until_s: float, *, open_: bool = False) -> None:
        state, reason, from_s = going.pop(what)
        found.append(Trouble(what, state, reason, from_s, until_s, open_))

    down = False
    for event in record.events:
        if event.kind == "start":
            heard_s = record.before_start_s[event.time_s]
            for what in list(going):
                end(what, event.time_s if down else heard_s)
            if not down and heard_s < event.time_s:
                found.append(
                    Trouble("node", "down", "it ended without a word", heard_s, event.time_s)
                )
            down = False
        elif event.kind == "stopping":
            for what in list(going):
                end(what, event.time_s)
            down = True
            going["node"] = ("down", "stopped in good order", event.time_s)
        for what, state, reason in _told(event):
            if what in going and going[what][:2] != (state, reason):
                end(what, event.time_s)
            if state and what not in going and not down:
                going[what] = (state, reason, event.time_s)
    for what in list(going):
        end(what, record.until_s, open_=True)
    return sorted(
        (each for each in found if each.lasted_s > MOMENT_S or each.what.startswith("alarm")),
        key=lambda each: each.from_s,
    )


def _told(event: EventRow) -> Iterable[tuple[str, str, str]]:
    """What an event is about, its state if that is a bad one, and why."""
    data, reason = event.data, str(event.data.get("reason", ""))
    match event.kind:
        case "instrument":
            state = "" if data["state"] == "online" else data["state"]
            yield f"instrument {data['name']}", state, reason if state else ""
        case "peer":
            state = "" if data["state"] == "up" else data["state"]
            yield f"peer {data['peer']}", state, reason if state else ""
        case "clock-state":
            state = "" if data["state"] == "tracking" else data["state"]
            yield f"clock of {data['link']}", state, reason if state else ""
        case "alarm":
            yield f"alarm {data['key']}", "raised" if data["text"] else "", str(data["text"])
