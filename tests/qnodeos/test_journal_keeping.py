"""The journal keeps details for days and the rest for months; nothing of the present goes."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from qnodeos.config import JournalTable
from qnodeos.journal import read_journal
from qnodeos.journal_keeping import AT_ONCE, S_PER_DAY, JournalKeeper
from qnodeos.store import Store
from timing.loop import run_virtual

NOW_S = 1_767_225_600.0
DAYS = (40.0, 9.0, 1.0)


async def filled(path: Path, statuses: int) -> Store:
    """A journal with the same things of each of the days."""
    store = Store(path, clock=asyncio.get_running_loop().time, wall=lambda: NOW_S)
    await store.flush()  # what it says of the process before
    with closing(sqlite3.connect(path)) as database, database:
        for day in DAYS:
            began_s = NOW_S - day * S_PER_DAY

            def event(at_s: float, kind: str, **data: object) -> None:
                database.execute(
                    "INSERT INTO events (time_s, kind, data) VALUES (?, ?, ?)",
                    (at_s, kind, json.dumps(data)),
                )

            event(began_s, "start", node="alice")
            for k in range(statuses):
                event(began_s + k + 0.3, "status", of="loop", k=k)
            event(began_s + 1, "test-round")
            database.execute(
                "INSERT INTO fidelities (time_s, link, fidelity, error, rounds) "
                "VALUES (?, 'a', 0.9, 0.1, 10)",
                (began_s,),
            )
            for number, state in enumerate(("delivered", "held")):
                database.execute(
                    "INSERT INTO pairs VALUES ('a', ?, 0, '1', 'keep', 'PHI_PLUS', 0.9, ?, ?, "
                    "?, '', NULL)",
                    (round(day) * 10 + number, began_s, began_s + 1, state),
                )
            for state in ("done", "active"):
                database.execute(
                    "INSERT INTO requests VALUES "
                    "('a', ?, 'K', 'alice', '', 1, 0.9, ?, 0, '', ?, ?)",
                    (str(round(day)) + str(len(state)), state, began_s, began_s),
                )
    return store


def kept(path: Path, **days: float) -> tuple[JournalKeeper, dict[str, list[float]]]:
    """After one look: the ages in days of what is left, by kind."""

    async def scenario() -> JournalKeeper:
        store = await filled(path, 300)
        keeper = JournalKeeper(store, JournalTable(**days), lambda: NOW_S)
        await keeper.look()
        await store.close()
        return keeper

    keeper = run_virtual(scenario())
    journal = read_journal(path)

    def ages(times: list[float]) -> list[float]:
        return sorted({round((NOW_S - each) / S_PER_DAY) for each in times}, reverse=True)

    left = {
        "start": ages([each.time_s for each in journal.of_kind("start")]),
        "test-round": ages([each.time_s for each in journal.of_kind("test-round")]),
        "fidelities": ages([each.time_s for each in journal.fidelities]),
        "delivered": ages([p.heralded_s for p in journal.pairs if p.state == "delivered"]),
        "held": ages([p.heralded_s for p in journal.pairs if p.state == "held"]),
        "done": ages([r.created_s for r in journal.requests if r.state == "done"]),
        "active": ages([r.created_s for r in journal.requests if r.state == "active"]),
    }
    return keeper, left


def test_details_go_after_days_and_the_rest_after_months(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    keeper, left = kept(path, details_days=7.0, keep_days=30.0)
    assert left == {
        "start": [9, 1],
        "test-round": [1],
        "fidelities": [9, 1],
        "delivered": [1],
        "held": [40, 9, 1],
        "done": [9, 1],
        "active": [40, 9, 1],
    }
    of_day = {
        day: [
            each.data["k"]
            for each in read_journal(path).of_kind("status")
            if round((NOW_S - each.time_s) / S_PER_DAY) == day
        ]
        for day in DAYS
    }
    assert of_day[1.0] == list(range(300))
    assert of_day[9.0] == [0, 1, 60, 61, 120, 121, 180, 181, 240, 241]
    assert of_day[40.0] == []
    assert keeper.status()["removed"] > 500


def test_nothing_goes_before_its_time_and_a_second_look_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    keeper, left = kept(path, details_days=100.0, keep_days=100.0)
    assert keeper.removed == 0
    assert left["delivered"] == [40, 9, 1]


def test_much_is_removed_in_small_steps_between_which_the_journal_is_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"

    async def scenario() -> None:
        store = await filled(path, 2 * AT_ONCE)
        loop = asyncio.get_running_loop()
        writing = asyncio.create_task(store.run())
        keeper = JournalKeeper(store, JournalTable(details_days=7.0), lambda: NOW_S)
        began_s = loop.time()
        await keeper.look()
        assert loop.time() > began_s  # it gave way
        store.event("meanwhile", {})
        await asyncio.sleep(1)
        before = keeper.removed
        await keeper.look()
        assert keeper.removed == before
        writing.cancel()
        await asyncio.wait([writing])
        await store.close()

    run_virtual(scenario())
    assert len(read_journal(path).of_kind("meanwhile")) == 1


def test_details_that_outlive_the_rest_are_refused() -> None:
    with pytest.raises(ValidationError, match="details_days"):
        JournalTable(details_days=30.0, keep_days=7.0)
