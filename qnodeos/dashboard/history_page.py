"""A link over the last hour, day or month, from the journals of its ends on this computer."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from nicegui import background_tasks

from qnodeos.dashboard.frame import Board
from qnodeos.dashboard.link_page import FIDELITY
from qnodeos.dashboard.live import plot
from qnodeos.dashboard.markup import Html, chip, joined, named, span, table, tag
from qnodeos.dashboard.places import LinkPlace
from qnodeos.errors import UserError
from qnodeos.journal import EventRow, events_after, figures_over

SPANS_S = {"hour": 3600.0, "day": 86400.0, "month": 30 * 86400.0}
POINTS = 300
EVENTS = 40
AGAIN_S = 15.0

SERIES: dict[str, dict[str, tuple[str, ...]]] = {
    "photonic": {
        "fidelity": ("fidelity", "fidelity_low", "fidelity_high"),
        "pairs": ("coincidences_cps", "accidentals_cps"),
        "clock": ("clock_uncertainty_ps", "clock_residual_ps"),
    },
    "memory": {
        "fidelity": ("fidelity", "fidelity_low", "fidelity_high"),
        "rates": ("heralds", "delivered"),
        "corrections": ("correction_p50_ms", "correction_p99_ms"),
    },
}
COUNTERS = ("heralds", "delivered")
SHOWN_EVENTS = [
    *("start", "stop", "instrument", "peer", "service", "clock-state", "interlock"),
    *("turn-failed", "guard", "withdrawn", "coherence", "loop-stall", "draining"),
]

Columns = dict[str, list[list[float | None]]]


class HistoryPage:
    """The page of the past; `link` and `over` as in its address."""

    title, path = "History", "/history"

    def __init__(self, link: LinkPlace, over: str, board: Board):
        self._link, self._over, self._board = link, over, board
        self._columns: Columns = {}
        self._told = True
        self._events: list[tuple[str, EventRow]] | None = None
        self._problem = ""
        self._due_s = -math.inf

    def fragments(self) -> dict[str, Html]:
        """What to choose, plots, events."""
        return {
            "title": self._title(),
            "plots": tag("div", *self._plots(), class_="grid"),
            "events": tag("div", tag("h2", "What happened"), self._happened(), class_="card"),
        }

    def plots(self) -> dict[str, Any]:
        """Everything, whenever it has been read again."""
        now_s = self._board.network.clock()
        if now_s >= self._due_s:
            self._due_s = now_s + AGAIN_S
            background_tasks.create(self._read(), name="history")
        if self._told:
            return {}
        self._told = True
        return self.whole()

    def whole(self) -> dict[str, Any]:
        """What was read last."""
        return {name: {"set": columns} for name, columns in self._columns.items()}

    async def _read(self) -> None:
        now_s = self._board.network.wall()
        begin_s = now_s - SPANS_S[self._over]
        nodes = self._board.network.nodes
        files = {
            n: nodes[n].place.data_dir / "journal.sqlite" for n in self._link.nodes if n in nodes
        }
        samples: list[tuple[float, dict[str, Any]]] = []
        events: list[tuple[str, EventRow]] = []
        self._problem = ""
        for name, file in files.items():
            try:
                if name in self._link.ends:
                    part = f"link-{self._link.name}"
                    found = await asyncio.to_thread(
                        figures_over, file, part, begin_s, now_s, POINTS
                    )
                    samples = _better(samples, found)
                rows = await asyncio.to_thread(
                    events_after, file, 0, kinds=SHOWN_EVENTS, last=EVENTS
                )
                events += [(name, row) for _, row in rows if row.time_s >= begin_s]
            except UserError as problem:
                self._problem = f"{name}: {problem.what}"
        self._columns = columns_of(samples, SERIES[self._link.kind], SPANS_S[self._over] / POINTS)
        self._told = False
        self._events = sorted(events, key=lambda each: each[1].time_s, reverse=True)[:EVENTS]

    def _title(self) -> Html:
        links = self._board.network.places.links.values()
        choices = [
            joined(
                _choice(f"{each.name}", each.key, self._over, each is self._link) for each in links
            ),
            joined(_choice(over, self._link.key, over, over == self._over) for over in SPANS_S),
        ]
        step = span(SPANS_S[self._over] / POINTS)
        text = self._problem or f"From the nodes' journals, one value every {step}."
        return tag(
            "div",
            tag("div", tag("h1", self.title), class_="title"),
            *(tag("div", each, class_="choices") for each in choices),
            tag("p", text, class_="soft"),
        )

    def _plots(self) -> list[Html]:
        drawn = [("Fidelity", plot("fidelity", FIDELITY, unit="F", zero=False))]
        if self._link.kind == "photonic":
            drawn += [
                ("Pairs", plot("pairs", ("coincidences", "accidentals"), unit="1/s")),
                ("Clock", plot("clock", ("uncertainty", "residual"), unit="ps")),
            ]
        else:
            drawn += [
                ("Rates", plot("rates", ("heralds", "pairs"), unit="1/s")),
                ("Herald to correction", plot("corrections", ("median", "99 %"), unit="ms")),
            ]
        return [tag("div", tag("h2", title), each, class_="card") for title, each in drawn]

    def _happened(self) -> Html:
        if self._events is None:
            return tag("p", "The journals are being read.", class_="empty")
        rows = [
            [
                tag("span", _moment(event.time_s), class_="nowrap"),
                node,
                chip(event.kind, "idle"),
                _told(event),
            ]
            for node, event in self._events
        ]
        return table(
            ["When", "Node", "What", "How"], rows, empty=f"Nothing in the last {self._over}."
        )


def columns_of(
    samples: list[tuple[float, dict[str, Any]]], series: dict[str, tuple[str, ...]], step_s: float
) -> Columns:
    """Columns for the plots: times first, a hole where nothing was written, counters as rates."""
    rows: list[tuple[float, dict[str, Any]]] = []
    before: tuple[float, dict[str, Any]] | None = None
    for at_s, told in samples:
        if before is not None and at_s > before[0] + 2.5 * step_s:
            rows.append((before[0] + step_s, {}))
            before = None
        rates: dict[str, Any] = dict.fromkeys(COUNTERS)
        if before is not None:
            for name in COUNTERS:
                more = told.get(name, 0) - before[1].get(name, 0)
                # It began anew with a restart.
                rates[name] = more / (at_s - before[0]) if more >= 0 else None
        rows.append((at_s, told | rates))
        before = at_s, told
    times: list[float | None] = [round(at_s, 1) for at_s, _ in rows]
    return {
        name: [times, *([_number(told.get(key)) for _, told in rows] for key in keys)]
        for name, keys in series.items()
    }


def _better(
    one: list[tuple[float, dict[str, Any]]], other: list[tuple[float, dict[str, Any]]]
) -> list[tuple[float, dict[str, Any]]]:
    """Of two ends' figures those that say more."""
    most = max((len(told) for _, told in one), default=0)
    return other if max((len(told) for _, told in other), default=0) > most else one


def _told(event: EventRow) -> str:
    """An event in one line: whom it is about, its new state, and why."""
    told = dict(event.data)
    about = [str(told.pop(key)) for key in ("name", "peer", "link", "node", "state") if key in told]
    for dull in ("driver", "identity", "config", "clock_s"):
        told.pop(dull, None)
    reason = str(told.pop("reason", "") or "")
    about += [" ".join(named(key, value)) for key, value in told.items() if value not in ("", None)]
    return " ".join(about) + (f": {reason}" if reason else "")


def _number(value: Any) -> float | None:
    return float(f"{value:.6g}") if isinstance(value, int | float) else None


def _moment(time_s: float) -> str:
    return time.strftime("%d.%m. %H:%M:%S", time.localtime(time_s))


def _choice(text: str, link: str, over: str, chosen: bool) -> Html:
    current = "true" if chosen else None
    return tag("a", text, href=f"/history?link={link}&over={over}", aria_current=current)
