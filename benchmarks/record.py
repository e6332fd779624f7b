"""`qnodeos tags record` on a tagger of 20 Mtags/s in another process, ended by SIGKILL.

The command, its driver, its thread and the disk are those of every day; the tagger is the twin of
an ID900 that sends tags made beforehand. Afterwards everything on the disk is read and compared.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.frame import CannotRunError, Row, benchmark
from benchmarks.id900_source import INPUTS, PERIOD_S, times_of
from timing.segments import Damage, StoredBatch, read_stream, streams_in

TAGS_PER_S = 20e6
SECONDS = float(os.environ.get("QNODEOS_RECORD_S", "60"))
START_LIMIT_S = 20.0

NODE = """
[node]
name = "bench"
id = 1
data_dir = "data"
[wire]
listen = "tcp://127.0.0.1:7101"
secret_key = "bench.key_secret"
[bus]
url = "mqtt://127.0.0.1:7183"
[instruments.tagger]
driver = "idquantique.id900"
resource = "{0}"
options = {{ dlt = "{1}", streams = {2} }}
"""


@dataclass(frozen=True)
class _Run:
    seconds: float
    cpu_s: float
    resident_mb: float


@dataclass(frozen=True)
class _Found:
    batches: int
    tags: int
    wrong: int
    missed: int
    bytes: int
    torn: int
    damaged: int
    last_s: float


@benchmark("record", "tags record at 20 Mtags/s for a minute, then SIGKILL: what is on the disk")
def rows() -> list[Row]:
    """Record from a twin in another process, kill the recorder, and read what it wrote."""
    with tempfile.TemporaryDirectory(prefix="qnodeos-record-") as name:
        folder = Path(name)
        source = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.id900_source", f"--tags-per-s={TAGS_PER_S}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert source.stdout is not None
        try:
            places = json.loads(source.stdout.readline())
            run = _record(folder, places)
        finally:
            source.kill()
            source.wait()
        found = _read(folder / "out" / "tagger")
    return [
        Row("tags on the disk", found.tags / run.seconds / 1e6, "Mtags/s", at_least=19.8),
        Row("for", run.seconds, "s"),
        Row("tags on the disk, in all", found.tags / 1e6, "Mtags"),
        Row("batches with a wrong time, channel or count", found.wrong, "", at_most=0),
        Row("batches that are missing", found.missed, "", at_most=0),
        Row("damaged places, but for a torn end", found.damaged, "", at_most=0),
        Row("bytes of the torn end", found.torn, "B"),
        Row("from the last batch on the disk to the kill", run.seconds - found.last_s, "s"),
        Row("written", found.bytes / found.last_s / 1e6, "MB/s"),
        Row("size", found.bytes / found.tags, "B/tag"),
        Row("processor time of the recorder", 100 * run.cpu_s / run.seconds, "% of a core"),
        Row("memory of the recorder", run.resident_mb, "MB"),
    ]


def _record(folder: Path, places: list[str]) -> _Run:
    """Run the command until so long after its first batch, then kill it."""
    node = folder / "bench.toml"
    node.write_text(NODE.format(places[0], places[1], json.dumps(places[2:])))
    (folder / "bench.key_secret").touch()
    command = [
        *(sys.executable, "-m", "qnodeos", "tags", "record", str(node)),
        *("--output", str(folder / "out")),
    ]
    recorder = subprocess.Popen(command, env={**os.environ, "XDG_RUNTIME_DIR": str(folder)})
    first = folder / "out" / "tagger" / "000001-0001.tags"
    limit_s = time.monotonic() + START_LIMIT_S
    while not first.is_file():
        if recorder.poll() is not None or time.monotonic() > limit_s:
            recorder.kill()
            raise CannotRunError("`qnodeos tags record` did not start; see its words above")
        time.sleep(0.01)
    begin_s = time.monotonic()
    time.sleep(SECONDS)
    recorder.send_signal(signal.SIGKILL)
    seconds = time.monotonic() - begin_s + PERIOD_S  # the first batch was on its way for one period
    _, _, usage = os.wait4(recorder.pid, 0)
    return _Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def _read(folder: Path) -> _Found:
    """Read every frame and compare every tag with what the twin sent."""
    times = [times_of(n, round(TAGS_PER_S * PERIOD_S / len(INPUTS))) for n in INPUTS]
    every = np.concatenate(times).astype(np.int64)
    order = np.argsort(every, kind="stable")
    every, channels = every[order], np.repeat(np.array(INPUTS, np.uint8), len(times[0]))[order]
    damages: list[Damage] = []
    batches = tags = wrong = missed = 0
    last: StoredBatch | None = None
    (stream,) = streams_in(folder)
    for stored in read_stream(stream, lambda _, damage: damages.append(damage)):
        batch = stored.batch
        right = not batch.lost and len(batch) == len(every)
        right = right and np.array_equal(batch.channel, channels)
        wrong += not (right and np.array_equal(batch.time_ps - batch.start_ps, every))
        batches, tags, missed, last = (
            batches + 1,
            tags + len(batch),
            missed + stored.missed,
            stored,
        )
    if last is None:
        raise CannotRunError("nothing was recorded")
    return _Found(
        batches,
        tags,
        wrong,
        missed,
        sum(path.stat().st_size for path in stream.segments),
        sum(each.size for each in damages if each.torn),
        sum(not each.torn for each in damages),
        batches * PERIOD_S,
    )
