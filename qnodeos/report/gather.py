"""Reads all of a node's journal that lies in a span of time."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnodeos.errors import UserError
from qnodeos.journal import EventRow, FidelityRow, RequestRow, ResultRow, reading

MANY = ("status", "test-round", "clock")
"""Events that come by the thousand: they are figures, and told as such."""


@dataclass(slots=True)
class Figures:
    """What a part of the node said of itself: instants, seconds since 1970, and each numeric
    figure by name, NaN where it was not told; words are kept as changes (instant, word)."""

    from_start: bool = False
    """The node started within the span: its counters began at zero."""
    time_s: array[float] = field(default_factory=lambda: array("d"))
    numbers: dict[str, array[float]] = field(default_factory=dict)
    words: dict[str, list[tuple[float, str]]] = field(default_factory=dict)

    def add(self, time_s: float, told: dict[str, Any]) -> None:
        """One more row."""
        missing = float("nan")
        for name, value in told.items():
            if isinstance(value, str):
                changes = self.words.setdefault(name, [])
                if not changes or changes[-1][1] != value:
                    changes.append((time_s, value))
            elif isinstance(value, int | float):
                if name not in self.numbers:
                    self.numbers[name] = array("d", [missing] * len(self.time_s))
                self.numbers[name].append(float(value))
        self.time_s.append(time_s)
        for column in self.numbers.values():
            if len(column) < len(self.time_s):
                column.append(missing)

    def times(self) -> NDArray[np.float64]:
        """The instants."""
        return np.array(self.time_s)

    def of(self, name: str) -> NDArray[np.float64] | None:
        """One figure; None if it was never told."""
        return np.array(self.numbers[name]) if name in self.numbers else None

    def last(self, name: str) -> float | None:
        """The newest that was told of a figure."""
        column = self.of(name)
        told = column[np.isfinite(column)] if column is not None else np.empty(0)
        return float(told[-1]) if len(told) else None

    def gained(self, name: str) -> float:
        """How much a counter has grown, also over restarts that set it to zero."""
        column = self.of(name)
        told = column[np.isfinite(column)] if column is not None else np.empty(0)
        if len(told) == 0:
            return 0.0
        steps = np.diff(told)
        grown = float(np.where(steps >= 0, steps, told[1:]).sum())
        return grown + float(told[0]) * self.from_start


@dataclass(slots=True)
class NodeRecord:
    """One node between two instants; all times are seconds since 1970."""

    name: str
    journal: Path
    from_s: float
    until_s: float
    parts: dict[str, Figures] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    before_start_s: dict[float, float] = field(default_factory=dict)
    """For each instant at which the node started, when it was last heard of before."""
    requests: list[RequestRow] = field(default_factory=list)
    pairs: list[tuple[str, str, str, int]] = field(default_factory=list)
    """Link, role, state, number."""
    fidelities: list[FidelityRow] = field(default_factory=list)
    results: list[ResultRow] = field(default_factory=list)
    described: dict[str, Any] = field(default_factory=dict)
    """Configuration and versions at the last start."""

    def links(self) -> list[str]:
        """Links by name, as far as they said something."""
        return sorted(each.removeprefix("link-") for each in self.parts if each.startswith("link-"))


def gather(
    journal: Path,
    since_s: float | None = None,
    until_s: float | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> NodeRecord:
    """All of a node between two instants, by default all there is. Raises UserError."""
    with reading(journal) as database:
        first_s, last_s = database.execute("SELECT min(time_s), max(time_s) FROM events").fetchone()
        from_s = max(first_s or 0.0, since_s if since_s is not None else float("-inf"))
        to_s = min(last_s or 0.0, until_s if until_s is not None else float("inf"))
        if first_s is None or to_s < from_s:
            raise UserError(
                "the node has nothing to report of that time",
                where=str(journal),
                found="an empty journal" if first_s is None else "events of other times only",
                do="choose another --since or --until",
            )
        within, span = "BETWEEN ? AND ?", (from_s, to_s)
        record = NodeRecord(journal.parent.name, journal, from_s, to_s)
        heard_s = from_s
        for time_s, kind, text in database.execute(
            f"SELECT time_s, kind, data FROM events WHERE time_s {within} ORDER BY id", span
        ):
            if kind == "start":
                record.before_start_s[time_s] = heard_s
            heard_s = time_s
            if kind not in MANY:
                record.events.append(EventRow(time_s, kind, json.loads(text)))
            elif kind == "status":
                told = json.loads(text)
                fresh = Figures(from_start=bool(record.before_start_s))
                record.parts.setdefault(told.pop("of"), fresh).add(time_s, told)
                progress((time_s - from_s) / max(to_s - from_s, 1e-9))
        record.requests = [
            RequestRow(link, int(identity), *rest)
            for link, identity, *rest in database.execute(
                "SELECT link, identity, kind, origin, purpose, number, minimum_fidelity, state, "
                f"delivered, reason, created_s, changed_s FROM requests WHERE created_s {within} "
                "ORDER BY created_s",
                span,
            )
        ]
        record.pairs = database.execute(
            f"SELECT link, role, state, count(*) FROM pairs WHERE heralded_s {within} "
            "GROUP BY link, role, state",
            span,
        ).fetchall()
        record.fidelities = [
            FidelityRow(*row)
            for row in database.execute(
                "SELECT time_s, link, fidelity, error, rounds FROM fidelities "
                f"WHERE time_s {within} ORDER BY id",
                span,
            )
        ]
        record.results = [
            ResultRow(time_s, app, json.loads(data))
            for time_s, app, data in database.execute(
                f"SELECT time_s, app, data FROM results WHERE app LIKE 'verify:%' AND "
                f"time_s {within} ORDER BY id",
                span,
            )
        ]
        for kind, key in (("start", "node"), ("configuration", "")):
            row = database.execute(
                "SELECT data FROM events WHERE kind = ? AND time_s <= ? ORDER BY id DESC LIMIT 1",
                (kind, to_s),
            ).fetchone()
            if row and key:
                record.name = json.loads(row[0]).get(key, record.name)
            elif row:
                record.described = json.loads(row[0])
    return record
