"""The recorder of a node: it never waits, and whatever it drops is counted and told."""

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.links.base import Link
from drivers.taggers.tdc1 import Tdc1
from drivers.testing.script import ScriptedTransport
from qnodeos.config import RecordTable
from qnodeos.recording import (
    BYTES_A_BATCH,
    BYTES_A_TAG,
    RETRY_S,
    TOO_SLOW,
    Limits,
    RecordedStream,
    TagRecorder,
)
from timing.loop import run_virtual
from timing.segments import StoredBatch, read_stream, streams_in
from timing.tags import TagBatch


def batch(k: int, tags: int = 100) -> TagBatch:
    times = k * 10**9 + np.arange(tags, dtype=np.int64)
    return TagBatch(times, np.ones(tags, np.uint8), k * 10**9, (k + 1) * 10**9)


class Recording:
    """A recorder at work, and what it told of problems."""

    def __init__(self, folder: Path, limits: Limits | None = None):
        self.told: list[str] = []
        self.folder = folder
        self.recorder = TagRecorder(
            folder,
            clock=asyncio.get_running_loop().time,
            limits=limits,
            on_problem=self.told.append,
        )

    async def __aenter__(self) -> "Recording":
        self._task = asyncio.create_task(self.recorder.run())
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def begin(self) -> RecordedStream:
        return self.recorder.begin("tagger", Tdc1(Link(ScriptedTransport([]), owner="")), "a box")

    def read(self, stream: int = 0) -> list[StoredBatch]:
        return list(read_stream(streams_in(self.folder / "tagger")[stream]))


def test_streams_are_kept_with_the_instants_at_which_their_batches_came(tmp_path: Path) -> None:
    async def scenario() -> Recording:
        async with Recording(tmp_path) as recording:
            for _ in range(2):
                with recording.begin() as stream:
                    for k in range(3):
                        await asyncio.sleep(0.25)
                        stream.take(batch(k))
                await asyncio.sleep(1)
        return recording

    recording = run_virtual(scenario(), limit_s=60.0)
    for k in (0, 1):
        assert [each.after_ns for each in recording.read(k)] == [250e6, 500e6, 750e6]
        assert [each.sequence for each in recording.read(k)] == [0, 1, 2]
    status = recording.recorder.status()
    assert (status["batches"], status["tags"], status["dropped_batches"]) == (6, 600, 0)
    assert status["waiting_bytes"] == 0
    assert recording.told == []


def test_what_waits_is_bounded_and_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    async def scenario() -> Recording:
        limits = Limits(waiting_bytes=2 * (BYTES_A_BATCH + 100 * BYTES_A_TAG))
        async with Recording(tmp_path, limits) as recording:
            stream = recording.begin()
            for k in range(4):
                stream.take(batch(k))  # the writer has no turn between
            assert recording.told == [TOO_SLOW]
            await asyncio.sleep(0.1)
            stream.take(batch(4))
            await asyncio.sleep(RETRY_S)
            assert recording.told == [TOO_SLOW]  # it does not come and go with every batch
            stream.take(batch(5))
        return recording

    recording = run_virtual(scenario(), limit_s=60.0)
    assert [(each.sequence, each.missed) for each in recording.read()] == [
        (0, 0),
        (1, 0),
        (4, 2),
        (5, 0),
    ]
    status = recording.recorder.status()
    assert (status["dropped_batches"], status["dropped_tags"]) == (2, 200)
    assert recording.told == [TOO_SLOW, ""]


def test_batches_without_a_tag_are_bounded_too(tmp_path: Path) -> None:
    async def scenario() -> Recording:
        async with Recording(tmp_path, Limits(waiting_bytes=10 * BYTES_A_BATCH)) as recording:
            stream = recording.begin()
            for k in range(25):
                stream.take(batch(k, tags=0))
            assert recording.recorder.status()["waiting_bytes"] == 10 * BYTES_A_BATCH
        return recording

    recording = run_virtual(scenario(), limit_s=60.0)
    assert len(recording.read()) == 10
    assert recording.recorder.status()["dropped_batches"] == 15


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_takes_nothing_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real, broken = os.write, True

    def write(file: int, data: bytes) -> int:
        if broken:
            raise OSError(number, os.strerror(number))
        return real(file, data)

    async def scenario() -> Recording:
        nonlocal broken
        monkeypatch.setattr(os, "write", write)
        async with Recording(tmp_path) as recording:
            stream = recording.begin()
            for k in range(5):
                stream.take(batch(k))
                await asyncio.sleep(1)
            broken = False
            await asyncio.sleep(RETRY_S)
            stream.take(batch(5))
        return recording

    recording = run_virtual(scenario(), limit_s=60.0)
    (problem, good) = recording.told
    assert os.strerror(number) in problem
    assert good == ""
    assert [(each.sequence, each.missed) for each in recording.read()] == [(5, 5)]
    assert recording.recorder.status()["dropped_batches"] == 5


def test_a_pause_drops_and_counts_until_it_is_over(tmp_path: Path) -> None:
    async def scenario() -> Recording:
        async with Recording(tmp_path) as recording:
            stream = recording.begin()
            for k in range(4):
                if k == 1:
                    recording.recorder.pause("the disk is nearly full")
                if k == 3:
                    recording.recorder.resume()
                stream.take(batch(k))
                await asyncio.sleep(0.1)
        return recording

    recording = run_virtual(scenario(), limit_s=60.0)
    assert [(each.sequence, each.missed) for each in recording.read()] == [(0, 0), (3, 2)]
    assert recording.told == ["the disk is nearly full", ""]


WRITER = """
import sys, numpy as np
from pathlib import Path
from timing.segments import SegmentHead, SegmentWriter, StoredBatch
from timing.tags import TagBatch
writer = SegmentWriter(Path(sys.argv[1]), SegmentHead(0.0, 1, (1,)), segment_bytes=20_000)
k = 0
while True:
    times = k * 10**9 + np.arange(100, dtype=np.int64)
    batch = TagBatch(times, np.ones(100, np.uint8), k * 10**9, (k + 1) * 10**9)
    writer.write(StoredBatch(k, k, batch))
    print(k, flush=True)
    k += 1
"""


def test_after_sigkill_all_that_was_written_is_read(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 500:
                process.kill()
    last = int(line)
    (stream,) = streams_in(tmp_path)
    read = list(read_stream(stream))
    assert len(read) >= last + 1 > 500
    assert all(each.missed == 0 for each in read)
    assert all(np.array_equal(each.batch.time_ps, batch(each.sequence).time_ps) for each in read)
    assert len(stream.segments) > 1


def test_limits_are_taken_as_people_write_them() -> None:
    table = RecordTable.model_validate(
        {"keep_gb": "0.2 TB", "min_free_gb": "500 MB", "keep_days": "36 h", "segment_s": "10 min"}
    )
    assert (table.keep_gb, table.min_free_gb, table.keep_days) == (200.0, 0.5, 1.5)
    assert table.segment_s == 600.0
    with pytest.raises(ValidationError, match="data size"):
        RecordTable.model_validate({"keep_gb": "2 s"})
