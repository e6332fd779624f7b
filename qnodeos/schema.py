"""The tables of the journal. Times are seconds since 1970; identities that may not fit 63 bits are
text."""

SCHEMA_VERSION = 1

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

CREATE TABLE clocks (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, peer TEXT NOT NULL, state TEXT NOT NULL,
    epoch_ps INTEGER NOT NULL, offset_ps REAL NOT NULL, skew REAL NOT NULL,
    uncertainty_ps REAL NOT NULL
);

CREATE TABLE fidelities (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, link TEXT NOT NULL, fidelity REAL NOT NULL,
    error REAL NOT NULL, rounds INTEGER NOT NULL
);

CREATE TABLE results (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, app TEXT NOT NULL, data TEXT NOT NULL
);
"""
