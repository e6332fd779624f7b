"""`qnodeos tags record` with a simulated tagger on its port, and what is read of it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qnodeos.cli.tags import app
from tests.instruments.bench import on_its_mount
from tests.instruments.case import collect
from timing.segments import read_segment

NODE = """
[node]
name = "alice"
id = 1
data_dir = "data"
[wire]
listen = "tcp://127.0.0.1:7101"
secret_key = "alice.key_secret"
[bus]
url = "mqtt://127.0.0.1:7183"
[instruments.tagger]
driver = "sfifteen.tdc1"
resource = "{resource}"
serial = "{serial}"
"""


@contextmanager
def tagger(folder: Path) -> Iterator[Path]:
    """A node's file with a tagger that lives on its port."""
    case = collect()["tdc1"]
    ready, end, resource = threading.Event(), threading.Event(), ""

    async def live() -> None:
        nonlocal resource
        async with on_its_mount(case, folder / "twin") as plugged:
            resource = next(iter(plugged.resources.values()))
            ready.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    try:
        assert ready.wait(20)
        node = folder / "alice.toml"
        node.write_text(NODE.format(resource=resource, serial=case.serial))
        (folder / "alice.key_secret").touch()
        yield node
    finally:
        end.set()
        thread.join(20)


def start(node: Path, *options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*(sys.executable, "-m", "qnodeos", "tags", "record", str(node)), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(node.parent)},
    )


def facts(folder: Path) -> dict[str, object]:
    result = CliRunner().invoke(app, ["info", str(folder), "--json"])
    assert result.exception is None, result.output
    told: dict[str, object] = json.loads(result.stdout)
    return told


def test_what_was_recorded_is_told_and_analysed(tmp_path: Path) -> None:
    with tagger(tmp_path) as node:
        done = start(node, "--seconds", 1, "--output", tmp_path / "out")
        output, error = done.communicate(timeout=60)
    assert done.returncode == 0, error
    (stream,) = facts(tmp_path / "out")["streams"]  # type: ignore[misc]
    assert (stream["node"], stream["instrument"]) == ("alice", "tagger")
    assert f"{stream['tags']:,} tags" in output
    assert 0.5 < stream["span_s"] < 5.0
    assert (stream["missed_batches"], stream["damage"]) == (0, [])
    result = CliRunner().invoke(app, ["analyze", str(tmp_path / "out" / "tagger"), "--json"])
    assert json.loads(result.stdout)["tags"] == stream["tags"]
    whole = CliRunner().invoke(app, ["info", str(tmp_path / "out")])
    assert "tagger/000001" in whole.stdout


def test_an_interruption_ends_the_recording_in_order(tmp_path: Path) -> None:
    with tagger(tmp_path) as node:
        recording = start(node, "--output", tmp_path / "out")
        segment = tmp_path / "out" / "tagger" / "000001-0001.tags"
        for _ in wait():
            if segment.is_file():
                break
        recording.send_signal(signal.SIGINT)
        output, error = recording.communicate(timeout=60)
    assert recording.returncode == 0, error
    found = read_segment(segment)
    kept = sum(len(each.batch) for each in found)
    assert f"{kept:,} tags" in output
    assert found.ended
    assert found.damage == []


def wait() -> Iterator[None]:
    """Turns of waiting for another process, for 30 s at most."""
    over = threading.Event()
    for _ in range(600):
        yield
        over.wait(0.05)
    raise AssertionError("it did not come")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ((), ("--instrument", "laser"), "one of tagger"),
        (('"sfifteen.tdc1"', '"thorlabs.pm100d"'), (), "add the tagger"),
        ((), ("--output", "alice.toml/no"), "cannot be written"),
    ],
)
def test_what_cannot_be_recorded_is_said_at_once(
    tmp_path: Path, change: tuple[str, ...], options: tuple[str, ...], message: str
) -> None:
    with tagger(tmp_path) as node:
        if change:
            node.write_text(node.read_text().replace(*change))
        given = [str(tmp_path / each) if "alice" in each else each for each in options]
        if "--output" not in given:
            given += ["--output", str(tmp_path / "out")]
        recording = start(node, "--seconds", 30, *given)
        _, error = recording.communicate(timeout=60)
    assert recording.returncode == 2
    assert message in " ".join(error.split())


def test_two_taggers_have_to_be_told_apart(tmp_path: Path) -> None:
    with tagger(tmp_path) as node:
        text = node.read_text()
        node.write_text(text + text[text.index("[instruments") :].replace(".tagger", ".second"))
        recording = start(node, "--seconds", 1, "--output", tmp_path / "out")
        _, error = recording.communicate(timeout=60)
        assert recording.returncode == 2
        assert "2 taggers" in error
        chosen = ("--instrument", "second", "--seconds", 1, "--json")
        recording = start(node, *chosen, "--output", tmp_path / "out")
        output, error = recording.communicate(timeout=60)
    told = json.loads(output)
    assert (recording.returncode, told["dropped_batches"]) == (0, 0), error
    assert told["folder"].endswith("out/second")
