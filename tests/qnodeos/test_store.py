import asyncio
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from link_layer.messages import Create
from link_layer.queue import Request, RequestState
from link_layer.states import BellState
from qnodeos import UserError
from qnodeos.journal import Journal, read_journal
from qnodeos.store import Store

WALL_S = 1_800_000_000.0


@dataclass(frozen=True)
class Pair:
    link: str = "memory"
    sequence: int = (1 << 62) + 1
    slot: int = 12345
    bell_state: BellState = BellState.PSI_MINUS
    fidelity: float = 0.9
    request: int = (1 << 63) + 5
    heralded_s: float = 99.9
    deadline_s: float = 100.4


def opened(path: Path, problems: list[str] | None = None) -> Store:
    return Store(
        path,
        clock=lambda: 100.0,
        wall=lambda: WALL_S,
        on_problem=None if problems is None else problems.append,
    )


async def written(path: Path, *, close: bool = True) -> Journal:
    """What a store with one of everything leaves."""
    store = opened(path)
    store.event("start", {"node": "alice"})
    store.event("status", {"of": "link", "ready": True})
    pair = Pair()
    store.pair_held(pair)
    store.pair_delivered(pair, "teleport")
    store.fidelity("memory", 0.91, 0.02, 300)
    store.result("teleport", {"state": "+i", "outcome": 0})
    await store.flush()
    if close:
        await store.close()
        return read_journal(path)
    journal = read_journal(path)
    await store.close()
    return journal


async def test_everything_written_is_read(tmp_path: Path):
    path = tmp_path / "data" / "journal.sqlite"
    journal = await written(path)
    assert [event.kind for event in journal.events] == ["start", "status"]
    assert journal.of_kind("status")[0].data == {"of": "link", "ready": True}
    (pair,) = journal.pairs
    assert (pair.sequence, pair.request) == ((1 << 62) + 1, (1 << 63) + 5)
    assert (pair.role, pair.bell_state, pair.state) == ("keep", "PSI_MINUS", "delivered")
    assert pair.heralded_s == pytest.approx(WALL_S - 0.1)
    assert pair.deadline_s == pytest.approx(WALL_S + 0.4)
    assert (pair.delivered_s, pair.owner) == (WALL_S, "teleport")
    assert journal.fidelities[0].rounds == 300
    assert journal.results[0].app == "teleport"
    assert journal.results[0].data["state"] == "+i"


async def test_a_request_is_kept_in_its_last_state(tmp_path: Path):
    store = opened(tmp_path / "j.sqlite")
    create = Create("memory", (1 << 63) - 1, "K", 20, 0.8, 10.0, "teleport")
    request = Request(create, "alice", 90.0)
    store.request("memory", request)
    request.state, request.delivered, request.text = RequestState.FAILED, 7, "too late"
    store.request("memory", request)
    await store.close()
    (row,) = read_journal(store.path).requests
    assert (row.identity, row.number, row.delivered) == ((1 << 63) - 1, 20, 7)
    assert (row.state, row.reason, row.origin) == ("failed", "too late", "alice")
    assert (row.created_s, row.changed_s) == (WALL_S - 10.0, WALL_S)


async def test_no_pair_is_delivered_twice_or_after_its_end(tmp_path: Path):
    store = opened(tmp_path / "j.sqlite")
    twice, late, unknown = Pair(sequence=1), Pair(sequence=2), Pair(sequence=3)
    store.pair_held(twice)
    store.pair_delivered(twice, "first")
    store.pair_delivered(twice, "second")
    store.pair_held(late)
    store.pair_ended(late, "expired", "past its deadline")
    store.pair_delivered(late, "somebody")
    store.pair_delivered(unknown, "somebody")
    store.pair_held(twice)
    store.event("after", {})
    await store.close()
    journal = read_journal(store.path)
    assert [(p.sequence, p.state, p.owner) for p in journal.pairs] == [
        (1, "delivered", "first"),
        (2, "expired", None),
    ]
    assert store.refused == 4
    assert [event.kind for event in journal.events] == ["after"]


async def test_not_even_across_a_restart(tmp_path: Path):
    path = tmp_path / "j.sqlite"
    first = opened(path)
    first.pair_held(Pair(sequence=1))
    first.pair_delivered(Pair(sequence=1))
    first.pair_held(Pair(sequence=2))
    await first.close()
    second = opened(path)
    second.pair_delivered(Pair(sequence=1))
    second.pair_delivered(Pair(sequence=2))
    await second.close()
    assert second.refused == 2
    one, two = read_journal(path).pairs
    assert one.state == "delivered"
    assert (two.state, two.reason, two.delivered_s) == ("discarded", "the node ended", None)


async def test_a_delivered_pair_stays_delivered_when_it_ends(tmp_path: Path):
    store = opened(tmp_path / "j.sqlite")
    store.pair_held(Pair())
    store.pair_delivered(Pair())
    store.pair_ended(Pair(), "discarded", "given up by its owner")
    await store.close()
    (pair,) = read_journal(store.path).pairs
    assert (pair.state, pair.reason) == ("delivered", "given up by its owner")


async def test_an_entry_of_the_wrong_kind_hurts_no_other(tmp_path: Path):
    store = opened(tmp_path / "j.sqlite")
    store.pair_held(replace(Pair(), sequence=1 << 70))
    store.pair_held(replace(Pair(), link=None))  # type: ignore[arg-type]
    store.pair_held(replace(Pair(), link=object()))  # type: ignore[arg-type]
    store.pair_ended(Pair(), "lost in thought")
    store.pair_held(Pair(sequence=5))
    store.pair_ended(Pair(sequence=5), "lost in thought")
    await store.close()
    assert [(p.sequence, p.state) for p in read_journal(store.path).pairs] == [(5, "held")]
    assert store.refused == 4


async def test_a_journal_is_readable_while_it_is_written(tmp_path: Path):
    assert len((await written(tmp_path / "j.sqlite", close=False)).events) == 2


def test_after_a_kill_the_journal_holds_what_was_committed(tmp_path: Path):
    path = tmp_path / "j.sqlite"
    code = (
        "import asyncio, os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from qnodeos.store import Store\n"
        "async def main():\n"
        "    store = Store(Path(sys.argv[1]), clock=time.monotonic, wall=time.time)\n"
        "    for n in range(2000):\n"
        "        store.event('count', {'n': n})\n"
        "    run = asyncio.create_task(store.run())\n"
        "    while store.written < 2000:\n"
        "        await asyncio.sleep(0.01)\n"
        "    store.event('too late', {})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], timeout=20, check=False)
    assert done.returncode == -signal.SIGKILL
    journal = read_journal(path)
    assert [event.data["n"] for event in journal.of_kind("count")] == list(range(2000))
    assert not journal.of_kind("too late")
    asyncio.run(written(path))
    assert len(read_journal(path).events) == 2002


async def test_ending_the_service_in_mid_write_loses_nothing(tmp_path: Path):
    store = opened(tmp_path / "j.sqlite")
    for number in range(15_000):
        store.event("count", {"n": number})
    flush = asyncio.create_task(store.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    await store.close()
    assert [e.data["n"] for e in read_journal(store.path).events] == list(range(15_000))


async def test_trouble_is_told_once_and_its_end_too_and_nothing_is_lost(tmp_path: Path):
    problems: list[str] = []
    store = opened(tmp_path / "j.sqlite", problems)
    await store.flush()
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for number in range(3):
        store.event("count", {"n": number})
        await store.flush()
    assert len(problems) == 1
    assert "cannot be written" in problems[0]
    assert str(store.path) in problems[0]
    other.execute("ROLLBACK")
    other.close()
    await store.flush()
    assert problems[1:] == [""]
    await store.close()
    assert [e.data["n"] for e in read_journal(store.path).events] == [0, 1, 2]
    assert store.dropped == 0


async def test_what_waits_is_bounded(tmp_path: Path):
    problems: list[str] = []
    store = opened(tmp_path / "j.sqlite", problems)
    for _ in range(21_000):
        store.event("flood", {})
    assert store.dropped == 1002  # two entries of the start wait before them
    assert len(problems) == 1
    await store.close()
    assert len(read_journal(store.path).events) == 21_000 - 1002


async def test_files_that_are_no_journal(tmp_path: Path):
    text = tmp_path / "text.sqlite"
    text.write_text("this is not a database, but long enough to be taken for one" * 20)
    with pytest.raises(UserError, match="not an SQLite file"):
        opened(text)
    with pytest.raises(UserError, match="cannot be read"):
        read_journal(text)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be opened"):
        opened(tmp_path / "file" / "j.sqlite")
    with pytest.raises(UserError, match="cannot be opened"):
        opened(tmp_path)
    with pytest.raises(UserError, match="no such journal"):
        read_journal(tmp_path / "absent.sqlite")
    assert not (tmp_path / "absent.sqlite").exists()


async def test_a_journal_of_another_version(tmp_path: Path):
    path = tmp_path / "j.sqlite"
    await opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UserError, match="another version") as caught:
        opened(path)
    assert "99" in caught.value.found
    with pytest.raises(UserError, match="not a journal of this version"):
        read_journal(path)
