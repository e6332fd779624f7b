"""Recorded tags through whole nodes: the same pairs again, though the light is another."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from qnodeos.cli.rehearse import load, recording
from qnodeos.cli.tags import app
from qnodeos.cli.tags_play import with_recorded
from qnodeos.config import NodeConfig
from qnodeos.errors import UserError
from qnodeos.rehearsal import Transcript, rehearsal
from timing.loop import run_virtual
from timing.segments import read_stream, streams_in

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
SECONDS = 8.0
NODES = ("alice", "bob")


BODY = 3
"""Where an envelope has its message."""


def run(
    folder: Path, change: Callable[[NodeConfig], NodeConfig], *, light: int | None = None
) -> Transcript:
    """All that is said in some seconds of the example; `light`: another seed of the lab alone."""

    async def scenario() -> Transcript:
        lab, nodes, _ = load(EXAMPLE, folder, seed=light)
        heard = Transcript(asyncio.get_running_loop().time, keep=True)
        changed = [change(config) for config in nodes]
        async with rehearsal(lab, changed, seed=1935, tap=heard) as network:
            await network.lasts(SECONDS)
        return heard

    return run_virtual(scenario())


def said(heard: Transcript, kind: str, of: str = "photonic") -> list[dict[str, Any]]:
    """The messages of a kind between the two ends of a link, in their order."""
    found = []
    for wire in ("wire alice-bob", "wire bob-alice"):
        for _, _, data in heard.words[wire]:
            body = msgspec.msgpack.decode(data)[BODY]
            if isinstance(body, dict) and (body.get("type"), body.get("link")) == (kind, of):
                found.append(body)
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Transcript]:
    folder = tmp_path_factory.mktemp("recorded")
    return folder, run(folder, recording)


def played(folder: Path, records: Path) -> Transcript:
    def change(config: NodeConfig) -> NodeConfig:
        return with_recorded(config, records / config.node.name)[0]

    return run(folder, change, light=7)


def test_replay_gives_the_identical_sequence_of_pairs(
    recorded: tuple[Path, Transcript], tmp_path: Path
) -> None:
    folder, live = recorded
    again = played(tmp_path, folder)
    assert not any("tagger" in wire for wire in again.words)
    matches = said(live, "match-report")
    assert len(matches) > 20
    assert said(again, "match-report") == matches
    assert said(again, "basis-turned") == said(live, "basis-turned")
    last = len(said(again, "tag-report"))
    assert said(again, "tag-report") == said(live, "tag-report")[:last]
    assert requests(tmp_path, "photonic") == requests(folder, "photonic")


def requests(folder: Path, link: str) -> list[tuple[str, int]]:
    with sqlite3.connect(folder / "alice" / "journal.sqlite") as database:
        rows = database.execute(
            "SELECT identity, delivered FROM requests WHERE link = ? ORDER BY created_s", (link,)
        ).fetchall()
    database.close()
    assert sum(delivered for _, delivered in rows) > 1000
    return rows


def test_a_node_that_records_keeps_all_that_its_link_counted(
    recorded: tuple[Path, Transcript],
) -> None:
    folder, _ = recorded
    for node in NODES:
        with sqlite3.connect(folder / node / "journal.sqlite") as database:
            tags, dropped = database.execute(
                "SELECT json_extract(data, '$.tags'), json_extract(data, '$.dropped_batches') "
                "FROM events WHERE kind = 'status' AND json_extract(data, '$.of') = 'record' "
                "ORDER BY id DESC LIMIT 1"
            ).fetchone()
        database.close()
        (stream,) = streams_in(folder / node / "records" / "tagger")
        kept = sum(len(each.batch) for each in read_stream(stream))
        assert kept >= tags > 10_000
        assert dropped == 0


def test_another_recording_gives_other_pairs(
    recorded: tuple[Path, Transcript], tmp_path: Path
) -> None:
    """What shows that the pairs come from the recording: without a batch they are others."""
    folder, live = recorded
    for node in NODES:
        there = tmp_path / "less" / node / "records" / "tagger"
        there.mkdir(parents=True)
        (path,) = (folder / node / "records" / "tagger").iterdir()
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        (there / path.name).write_bytes(data)
    again = played(tmp_path / "again", tmp_path / "less")
    assert said(again, "match-report") != said(live, "match-report")
    assert len(said(again, "match-report")) > 10


def test_a_node_without_room_on_its_disk_says_so_and_goes_on(tmp_path: Path) -> None:
    def change(config: NodeConfig) -> NodeConfig:
        table = config.record.model_copy(update={"record": True, "min_free_gb": 1e6})
        return config.model_copy(update={"record": table})

    heard = run(tmp_path, change)
    assert len(said(heard, "match-report")) > 20
    with sqlite3.connect(tmp_path / "alice" / "journal.sqlite") as database:
        alarms = database.execute("SELECT data FROM events WHERE kind = 'alarm'").fetchall()
    database.close()
    (alarm,) = (data for (data,) in alarms if '"record"' in data)
    assert "min_free_gb" in alarm
    assert not (tmp_path / "alice" / "records").exists()


def test_a_node_seals_its_segments_and_they_are_played_all_the_same(tmp_path: Path) -> None:
    def change(config: NodeConfig) -> NodeConfig:
        update = {"record": True, "seal": True, "segment_s": 2.0}
        return config.model_copy(update={"record": config.record.model_copy(update=update)})

    pytest.importorskip("h5py")
    live = run(tmp_path / "live", change)
    kinds = [path.suffix for path in (tmp_path / "live" / "alice" / "records" / "tagger").iterdir()]
    assert kinds.count(".h5") >= 2
    again = played(tmp_path / "again", tmp_path / "live")
    assert said(again, "match-report") == said(live, "match-report")


def test_what_is_not_there_cannot_be_played(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["play", str(tmp_path), "--into", str(EXAMPLE / "alice.toml")])
    assert isinstance(result.exception, UserError)
    assert "nothing to play" in str(result.exception)
