"""The tables of the journal, and how it is opened.

Times are seconds since 1970; identities that may not fit 63 bits are text.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from qnodeos.errors import UserError

SCHEMA_VERSION = 1
_BUSY_S = 0.5

SCHEMA = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX events_by_kind ON events (kind, time_s);

CREATE TABLE requests (
    link TEXT NOT NULL, identity TEXT NOT NULL, kind TEXT NOT NULL, origin TEXT NOT NULL,
    purpose TEXT NOT NULL, number INTEGER NOT NULL, minimum_fidelity REAL NOT NULL,
    state TEXT NOT NULL, delivered INTEGER NOT NULL, reason TEXT NOT NULL,
    created_s REAL NOT NULL, changed_s REAL NOT NULL,
    PRIMARY KEY (link, identity)
);

CREATE TABLE pairs (
    link TEXT NOT NULL, sequence INTEGER NOT NULL, slot INTEGER NOT NULL, request TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('keep', 'measured', 'test')),
    bell_state TEXT NOT NULL, fidelity REAL NOT NULL,
    heralded_s REAL NOT NULL, deadline_s REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('held', 'delivered', 'expired', 'discarded')),
    reason TEXT NOT NULL DEFAULT '', ended_s REAL,
    PRIMARY KEY (link, sequence)
);

-- A pair has one owner: the key makes a second delivery impossible, the trigger one after the end.
CREATE TABLE deliveries (
    link TEXT NOT NULL, sequence INTEGER NOT NULL, owner TEXT NOT NULL, time_s REAL NOT NULL,
    PRIMARY KEY (link, sequence)
);
CREATE TRIGGER only_held_pairs BEFORE INSERT ON deliveries
WHEN (SELECT state FROM pairs WHERE link = NEW.link AND sequence = NEW.sequence) IS NOT 'held'
BEGIN SELECT RAISE(ABORT, 'only a held pair can be delivered, and only once'); END;
CREATE TRIGGER delivered AFTER INSERT ON deliveries
BEGIN
    UPDATE pairs SET state = 'delivered' WHERE link = NEW.link AND sequence = NEW.sequence;
END;

CREATE TABLE fidelities (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, link TEXT NOT NULL, fidelity REAL NOT NULL,
    error REAL NOT NULL, rounds INTEGER NOT NULL
);

CREATE TABLE results (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, app TEXT NOT NULL, data TEXT NOT NULL
);
"""


def open_journal(path: Path) -> sqlite3.Connection:
    """A connection for the one writer, with the tables made if need be; raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Autocommit: transactions are begun by hand.
        database = sqlite3.connect(
            path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise _cannot_open(path, error) from None
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise UserError(
                "the journal was written by another version of qnodeos",
                where=str(path),
                found=f"schema version {version}",
                expected=f"schema version {SCHEMA_VERSION}",
                do="move the file away, or use the version that wrote it",
            )
        # WAL with NORMAL: a crash of the process loses nothing that was committed, a power cut at
        # most the last commits, and never the file.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            database.executescript(
                f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        else:
            database.execute("BEGIN IMMEDIATE")  # shows now whether it can be written
            database.execute("ROLLBACK")
    except UserError:
        database.close()
        raise
    except sqlite3.Error as error:
        database.close()
        raise _cannot_open(path, error) from None
    return database


def _cannot_open(path: Path, error: Exception) -> UserError:
    if "not a database" in str(error):
        return UserError(
            "the journal is not an SQLite file",
            where=str(path),
            found=str(error),
            expected="a journal written by qnodeos, or no file",
            do="move the file away; a new journal will be made",
        )
    return UserError(
        "the journal cannot be opened",
        where=str(path),
        found=str(error),
        expected="a directory and file that this user may write (node.data_dir)",
        do="correct node.data_dir, its permissions, or stop the other process that uses it",
    )
