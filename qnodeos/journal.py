"""Reads a node's journal, also while the node writes it or after it has crashed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qnodeos.errors import UserError
from qnodeos.schema import SCHEMA_VERSION

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class EventRow:
    """Times here and below are seconds since 1970."""

    time_s: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request in its last known state."""

    link: str
    identity: int
    kind: str
    origin: str
    purpose: str
    number: int
    minimum_fidelity: float
    state: str
    delivered: int
    reason: str
    created_s: float
    changed_s: float


@dataclass(frozen=True, slots=True)
class PairRow:
    """A pair in its last known state; `delivered_s` is None if it never was."""

    link: str
    sequence: int
    slot: int
    request: int
    role: str
    bell_state: str
    fidelity: float
    heralded_s: float
    deadline_s: float
    state: str
    reason: str
    ended_s: float | None
    delivered_s: float | None
    owner: str | None


@dataclass(frozen=True, slots=True)
class FidelityRow:
    """A link's fidelity from its test rounds, with its standard error."""

    time_s: float
    link: str
    fidelity: float
    error: float
    rounds: int


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One result of an application."""

    time_s: float
    app: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Journal:
    """All of a journal, each table in the order of time."""

    events: tuple[EventRow, ...]
    requests: tuple[RequestRow, ...]
    pairs: tuple[PairRow, ...]
    fidelities: tuple[FidelityRow, ...]
    results: tuple[ResultRow, ...]

    def of_kind(self, kind: str) -> list[EventRow]:
        """The events of one kind."""
        return [event for event in self.events if event.kind == kind]


def read_journal(path: str | Path) -> Journal:
    """Everything in the journal as of now, in one consistent view; raises UserError."""
    with reading(Path(path)) as database:
        return Journal(
            events=tuple(
                EventRow(time_s, kind, json.loads(data))
                for time_s, kind, data in database.execute(
                    "SELECT time_s, kind, data FROM events ORDER BY id"
                )
            ),
            requests=tuple(
                RequestRow(link, int(identity), *rest)
                for link, identity, *rest in database.execute(
                    "SELECT link, identity, kind, origin, purpose, number, minimum_fidelity, "
                    "state, delivered, reason, created_s, changed_s FROM requests "
                    "ORDER BY created_s"
                )
            ),
            pairs=tuple(
                PairRow(link, sequence, slot, int(request), *rest)
                for link, sequence, slot, request, *rest in database.execute(
                    "SELECT link, sequence, slot, request, role, bell_state, fidelity, "
                    "heralded_s, deadline_s, state, reason, ended_s, time_s, owner "
                    "FROM pairs LEFT JOIN deliveries USING (link, sequence) ORDER BY heralded_s"
                )
            ),
            fidelities=tuple(
                FidelityRow(*row)
                for row in database.execute(
                    "SELECT time_s, link, fidelity, error, rounds FROM fidelities ORDER BY id"
                )
            ),
            results=tuple(
                ResultRow(time_s, app, json.loads(data))
                for time_s, app, data in database.execute(
                    "SELECT time_s, app, data FROM results ORDER BY id"
                )
            ),
        )


def events_after(
    path: str | Path, number: int, *, kinds: list[str] | None = None, last: int | None = None
) -> list[tuple[int, EventRow]]:
    """Events with a higher number, oldest first; without `kinds` all but each second's figures.

    `last`: only so many, the newest. Raises UserError.
    """
    chosen = "kind != 'status'"
    if kinds:
        chosen = f"kind IN ({', '.join('?' * len(kinds))})"
    limit = -1 if last is None else last
    with reading(Path(path)) as database:
        rows = database.execute(
            f"SELECT id, time_s, kind, data FROM events WHERE id > ? AND {chosen} "
            "ORDER BY id DESC LIMIT ?",
            (number, *(kinds or ()), limit),
        ).fetchall()
    return [
        (row, EventRow(time_s, kind, json.loads(data)))
        for row, time_s, kind, data in reversed(rows)
    ]


def figures_over(
    path: str | Path, part: str, from_s: float, until_s: float, points: int
) -> list[tuple[float, dict[str, Any]]]:
    """What a part said of itself at about so many instants of a time, each with that instant.

    The first word of each step is taken, within a minute of its start, so that a month costs no
    more than an hour; a step without one is left out. Seconds since 1970. Raises UserError.
    """
    step_s = (until_s - from_s) / points
    found = []
    with reading(Path(path)) as database:
        for k in range(points):
            begin_s = from_s + k * step_s
            row = database.execute(
                "SELECT time_s, data FROM events WHERE kind = 'status' AND time_s >= ? "
                "AND time_s < ? AND json_extract(data, '$.of') = ? ORDER BY time_s LIMIT 1",
                (begin_s, begin_s + min(step_s, 60.0), part),
            ).fetchone()
            if row is not None:
                found.append((row[0], json.loads(row[1])))
    return found


def requests_ended(path: str | Path, wanted: str, last: int) -> list[RequestRow]:
    """The requests that ended last, oldest first; `wanted`: of this number or purpose, "" for any.

    Raises UserError.
    """
    with reading(Path(path)) as database:
        rows = database.execute(
            "SELECT link, identity, kind, origin, purpose, number, minimum_fidelity, state, "
            "delivered, reason, created_s, changed_s FROM requests "
            "WHERE state NOT IN ('proposed', 'active') AND ? IN ('', identity, purpose) "
            "ORDER BY changed_s DESC LIMIT ?",
            (wanted, last),
        ).fetchall()
    return [RequestRow(link, int(identity), *rest) for link, identity, *rest in reversed(rows)]


def last_results(path: str | Path, app: str) -> tuple[float, float]:
    """When an application's newest result was written, and its newest that holds a `state`, in
    seconds since 1970; 0 for none. Raises UserError."""
    with reading(Path(path)) as database:
        any_s, state_s = database.execute(
            "SELECT coalesce(max(time_s), 0), coalesce(max(CASE WHEN "
            "json_extract(data, '$.state') IS NOT NULL THEN time_s END), 0) "
            "FROM results WHERE app = ?",
            (app,),
        ).fetchone()
    return float(any_s), float(state_s)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One consistent view of a journal as of now; raises UserError."""
    if not path.is_file():
        raise UserError(
            "there is no such journal",
            where=str(path),
            expected="a journal.sqlite in a node's data_dir",
            do="check the path; a node makes it when it starts",
        )
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)
        ) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA_VERSION:
                raise UserError(
                    "this is not a journal of this version of qnodeos",
                    where=str(path),
                    found=f"schema version {version}",
                    expected=f"schema version {SCHEMA_VERSION}",
                    do="read it with the version that wrote it",
                )
            database.execute("BEGIN")
            yield database
    except sqlite3.Error as error:
        raise UserError(
            "the journal cannot be read",
            where=str(path),
            found=str(error),
            expected="a journal written by qnodeos",
            do="check the file and its permissions",
        ) from error
