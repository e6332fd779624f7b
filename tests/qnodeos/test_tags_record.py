"""`qnodeos tags record` with a simulated tagger on its port, and what is read of it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner

from qnodeos.cli.tags import app
from tests.instruments.bench import on_its_mount
from tests.instruments.case import collect

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


def facts(folder: Path) -> dict[str, object]:
    result = CliRunner().invoke(app, ["info", str(folder), "--json"])
    assert result.exception is None, result.output
    told: dict[str, object] = json.loads(result.stdout)
    return told


def test_what_was_recorded_is_told_and_analysed(tmp_path: Path) -> None:
    with tagger(tmp_path) as node:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "qnodeos", "tags", "record", str(node)),
                *("--seconds", "1", "--output", str(tmp_path / "out")),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        )
    assert done.returncode == 0, done.stderr
    (stream,) = facts(tmp_path / "out")["streams"]  # type: ignore[misc]
    assert (stream["node"], stream["instrument"]) == ("alice", "tagger")
    assert f"{stream['tags']:,} tags" in done.stdout
    assert 0.5 < stream["span_s"] < 5.0
    assert (stream["missed_batches"], stream["damage"]) == (0, [])
    result = CliRunner().invoke(app, ["analyze", str(tmp_path / "out" / "tagger"), "--json"])
    assert json.loads(result.stdout)["tags"] == stream["tags"]
