"""The node's journal in SQLite: requests, pairs, fidelities, results, events.

Writers return at once: entries wait in memory and are committed a few times a second, together, in
a worker thread, because a disk may take a second where a qubit has milliseconds. The connection is
used by one thread at a time. After a crash the journal holds all but the last fraction of a second.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qnodeos.schema import open_journal

if TYPE_CHECKING:
    from link_layer.queue import Request
    from link_layer.states import BellState

log = logging.getLogger("qnodeos.store")

FLUSH_S = 0.2
_WAITING = 20_000
_AT_ONCE = 5_000

_Entry = tuple[str, tuple[Any, ...]]
_NOT_AN_ENTRY = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""The entry is to blame, not the disk: trying it again would not help."""


@dataclass(frozen=True, slots=True)
class OldRows:
    """What may be removed: rows of a table by the column that is their time, and a condition."""

    table: str
    time: str
    only: str = "1"


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows went, the number of the last that was looked at, and whether more are due."""

    removed: int
    last: int
    more: bool


class PairRecord(Protocol):
    """What the journal reads of a pair in memory; instants on the node's own clock."""

    @property
    def link(self) -> str: ...  # noqa: D102
    @property
    def sequence(self) -> int: ...  # noqa: D102
    @property
    def slot(self) -> int: ...  # noqa: D102
    @property
    def bell_state(self) -> BellState: ...  # noqa: D102
    @property
    def fidelity(self) -> float: ...  # noqa: D102
    @property
    def request(self) -> int: ...  # noqa: D102
    @property
    def heralded_s(self) -> float: ...  # noqa: D102
    @property
    def deadline_s(self) -> float: ...  # noqa: D102


class Store:
    """The journal's writer. `clock` is the node's clock, `wall` the seconds since 1970.

    Raises UserError when the file cannot be opened. Later trouble with the disk is told once
    through `on_problem` (and "" when it is over); the node goes on and counts what is lost.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        on_problem: Callable[[str], None] | None = None,
    ):
        self.path = path
        self.written = 0
        self.dropped = 0
        self.refused = 0
        """Entries the database would not take, such as a pair delivered a second time."""
        self._clock, self._wall = clock, wall
        self._on_problem = on_problem
        self._problem = ""
        self._waiting: deque[_Entry] = deque()
        self._writing = asyncio.Lock()
        self._abandoned = False
        self._database = open_journal(path)
        self._put(
            "UPDATE pairs SET state = 'discarded', reason = 'the node ended', ended_s = ? "
            "WHERE state = 'held'",
            wall(),
        )
        self._put(
            "UPDATE requests SET state = 'failed', reason = 'the node ended', changed_s = ? "
            "WHERE state IN ('proposed', 'active')",
            wall(),
        )

    # What may be written. Every method returns at once.

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Anything worth finding again: a kind, and a table of JSON values."""
        self._put(
            "INSERT INTO events (time_s, kind, data) VALUES (?, ?, ?)",
            self._wall(),
            kind,
            json.dumps(data, default=str),
        )

    def request(self, link: str, request: Request) -> None:
        """A request as it stands now; called at each change."""
        now_s, create = self._wall(), request.create
        self._put(
            "INSERT INTO requests (link, identity, kind, origin, purpose, number, "
            "minimum_fidelity, state, delivered, reason, created_s, changed_s) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (link, identity) DO UPDATE SET "
            "state = excluded.state, delivered = excluded.delivered, reason = excluded.reason, "
            "changed_s = excluded.changed_s",
            link,
            str(request.id),
            create.kind,
            request.origin,
            create.purpose,
            create.number,
            create.minimum_fidelity,
            request.state.value,
            request.delivered,
            request.text,
            self._as_wall(request.created_s),
            now_s,
        )

    def pair_held(self, pair: PairRecord, role: str = "keep") -> None:
        """A pair has come to be; `role` is keep, measured or test."""
        self._put(
            "INSERT INTO pairs (link, sequence, slot, request, role, bell_state, fidelity, "
            "heralded_s, deadline_s, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'held')",
            pair.link,
            pair.sequence,
            pair.slot,
            str(pair.request),
            role,
            pair.bell_state.value,
            pair.fidelity,
            self._as_wall(pair.heralded_s),
            self._as_wall(pair.deadline_s),
        )

    def pair_delivered(self, pair: PairRecord, to: str = "") -> None:
        """A pair has been handed to its owner; a second time is refused by the database."""
        self._put(
            "INSERT INTO deliveries (link, sequence, owner, time_s) VALUES (?, ?, ?, ?)",
            pair.link,
            pair.sequence,
            to,
            self._wall(),
        )

    def pair_renewed(self, pair: PairRecord) -> None:
        """A pair has become better by purification."""
        self._put(
            "UPDATE pairs SET fidelity = ?, heralded_s = ?, deadline_s = ? "
            "WHERE link = ? AND sequence = ?",
            pair.fidelity,
            self._as_wall(pair.heralded_s),
            self._as_wall(pair.deadline_s),
            pair.link,
            pair.sequence,
        )

    def pair_ended(self, pair: PairRecord, state: str, reason: str = "") -> None:
        """A pair is gone undelivered or unused: `state` is expired or discarded."""
        self._put(
            "UPDATE pairs SET state = CASE state WHEN 'held' THEN ? ELSE state END, "
            "reason = ?, ended_s = ? WHERE link = ? AND sequence = ?",
            state,
            reason,
            self._wall(),
            pair.link,
            pair.sequence,
        )

    def fidelity(self, link: str, fidelity: float, error: float, rounds: int) -> None:
        """A link's fidelity from so many test rounds, with its standard error."""
        self._put(
            "INSERT INTO fidelities (time_s, link, fidelity, error, rounds) VALUES (?, ?, ?, ?, ?)",
            self._wall(),
            link,
            float(fidelity),
            float(error),
            int(rounds),
        )

    def result(self, app: str, data: Mapping[str, Any]) -> None:
        """One result of an application."""
        self._put(
            "INSERT INTO results (time_s, app, data) VALUES (?, ?, ?)",
            self._wall(),
            app,
            json.dumps(data, default=str),
        )

    # Writing.

    async def run(self) -> None:
        """Commit what waits, a few times a second, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Commit what waits now, or note that the disk does not take it."""
        async with self._writing:
            while self._waiting:
                entries = [
                    self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))
                ]
                # Shielded: a thread cannot be cancelled, and its connection must not be closed
                # under it.
                write = asyncio.ensure_future(asyncio.to_thread(self._commit, entries))
                try:
                    refused = await asyncio.shield(write)
                except asyncio.CancelledError:
                    await asyncio.wait([write])
                    self._take_result(write, entries)
                    raise
                except sqlite3.Error as error:
                    self._failed(entries, error)
                    return
                self._succeeded(entries, refused)

    async def remove(
        self, rows: OldRows, after: int, until_s: float, at_once: int
    ) -> Removed | None:
        """Remove old rows from number `after` on; None where the disk does not take it."""
        async with self._writing:
            work = asyncio.to_thread(self._remove, rows, after, until_s, at_once)
            write = asyncio.ensure_future(work)
            try:
                return await asyncio.shield(write)
            except asyncio.CancelledError:
                await asyncio.wait([write])  # as in `flush`
                raise
            except sqlite3.Error as error:
                log.error("the journal %s cannot be tidied: %s", self.path, error)
                return None

    def _remove(self, rows: OldRows, after: int, until_s: float, at_once: int) -> Removed:
        """In the worker thread. Rows are in the order of time, as they were written."""
        seen = self._database.execute(
            f"SELECT rowid, {rows.time} FROM {rows.table} WHERE rowid > ? ORDER BY rowid LIMIT ?",
            (after, at_once),
        ).fetchall()
        old = list(itertools.takewhile(lambda row: row[1] < until_s, seen))
        if not old:
            return Removed(0, after, more=False)
        last = old[-1][0]
        gone = self._database.execute(
            f"DELETE FROM {rows.table} WHERE rowid > ? AND rowid <= ? AND ({rows.only})",
            (after, last),
        )
        return Removed(gone.rowcount, last, more=len(old) == at_once)

    async def close(self) -> None:
        """Commit the rest and close; may be called twice."""
        await self.flush()
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._database.close()

    def abandon(self) -> None:
        """Close the file as the end of the process would: what waits is lost, and what comes."""
        self._abandoned = True
        self._waiting.clear()
        self._database.close()

    def _put(self, statement: str, *values: Any) -> None:
        if self._abandoned:
            return
        if len(self._waiting) >= _WAITING:
            self.dropped += 1
            if self.dropped == 1:
                self._tell(f"the journal {self.path} cannot keep up; entries are dropped")
            return
        self._waiting.append((statement, values))

    def _commit(self, entries: Iterable[_Entry]) -> list[str]:
        """In the worker thread: one transaction; returns what the constraints refused."""
        refused = []
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for statement, values in entries:
                try:
                    self._database.execute(statement, values)
                except (*_NOT_AN_ENTRY, OverflowError) as error:
                    refused.append(f"{error}: {values}")
        return refused

    def _take_result(self, write: asyncio.Future[list[str]], entries: list[_Entry]) -> None:
        problem = write.exception()
        if isinstance(problem, sqlite3.Error):
            self._failed(entries, problem)
        elif problem is not None:
            raise problem
        else:
            self._succeeded(entries, write.result())

    def _succeeded(self, entries: list[_Entry], refused: list[str]) -> None:
        self.written += len(entries) - len(refused)
        self.refused += len(refused)
        for text in refused:
            log.error("the journal %s refuses an entry: %s", self.path, text)
        if self._problem:
            self._problem = ""
            self._tell("")

    def _failed(self, entries: list[_Entry], error: sqlite3.Error) -> None:
        """Keep the entries for the next try, as far as there is room."""
        self._waiting.extendleft(reversed(entries))
        while len(self._waiting) > _WAITING:
            self._waiting.pop()
            self.dropped += 1
        text = f"the journal {self.path} cannot be written: {error}"
        if text != self._problem:
            self._problem = text
            self._tell(text)

    def _tell(self, text: str) -> None:
        if text:
            log.error("%s", text)
        if self._on_problem is not None:
            self._on_problem(text)

    def _as_wall(self, instant_s: float) -> float:
        return self._wall() + instant_s - self._clock()
