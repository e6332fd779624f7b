"""Recordings keep within their share of the disk, and a full disk stops them, not the node."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.links.base import Link
from drivers.taggers.tdc1 import Tdc1
from drivers.testing.script import ScriptedTransport
from qnodeos.disk_guard import HYSTERESIS, DiskGuard, KeptFile, Share, surplus
from qnodeos.recording import Limits, TagRecorder
from qnodeos.sealing import Sealer
from timing.loop import run_virtual
from timing.segments import SegmentHead, SegmentWriter, StoredBatch, read_stream, streams_in
from timing.tags import TagBatch

files = st.lists(
    st.builds(
        KeptFile,
        st.integers(0, 10**6).flatmap(
            lambda n: st.sampled_from([Path(f"{n}.tags"), Path(f"{n}.h5")])
        ),
        st.integers(0, 1000),
        st.floats(0, 1000),
    ),
    max_size=20,
)


@given(files, st.floats(1, 1000) | st.none(), st.integers(0, 5000) | st.none())
def test_what_is_left_keeps_within_the_share_and_no_more_is_removed_than_needed(
    given_files: list[KeptFile], keep_s: float | None, keep_bytes: int | None
) -> None:
    share = Share(keep_s, keep_bytes)
    gone = surplus(given_files, share, 1000.0)
    left = list(given_files)
    for each in gone:
        left.remove(each)
    if keep_s is not None:
        assert all(1000.0 - each.written_s <= keep_s for each in left)
    if keep_bytes is not None:
        assert sum(each.size for each in left) <= keep_bytes
    if gone and left:
        assert max(each.written_s for each in gone) <= min(each.written_s for each in left)
    if gone:  # the last one was needed
        last = gone[-1]
        too_old = keep_s is not None and 1000.0 - last.written_s > keep_s
        too_many = keep_bytes is not None and sum(f.size for f in [*left, last]) > keep_bytes
        assert too_old or too_many


class Guarded:
    """A guard on a folder, with a disk that has as much room as is said."""

    def __init__(self, folder: Path, share: Share, free: int = 10**12):
        self.free = free
        self.told: list[str] = []
        self.removed: list[str] = []
        self.guard = DiskGuard(
            folder,
            share,
            pause=self.told.append,
            resume=lambda: self.told.append(""),
            note=lambda data: self.removed.extend(data["removed"]),
            wall=lambda: 10_000.0,
            free=lambda _: self.free,
        )

    def look(self) -> None:
        run_virtual(self.guard.look())


def segment(folder: Path, written_s: float, size: int) -> SegmentWriter:
    """A segment of one batch, closed at that time."""
    writer = SegmentWriter(folder, SegmentHead(0.0, 1, (1,)))
    rng = np.random.default_rng(size)
    times = np.sort(rng.integers(0, 10**15, size))
    writer.write(StoredBatch(0, 0, TagBatch(times, np.ones(size, np.uint8), 0, 10**15)))
    writer.close()
    os.utime(max(folder.iterdir()), (written_s, written_s))
    return writer


def test_the_oldest_are_removed_and_the_one_that_is_written_stays(tmp_path: Path) -> None:
    for k in range(4):
        segment(tmp_path / "tagger", 1000.0 * k, 100)
    writer = SegmentWriter(tmp_path / "tagger", SegmentHead(0.0, 1, (1,)))
    writer.write(StoredBatch(0, 0, TagBatch(np.empty(0, np.int64), np.empty(0, np.uint8), 0, 1)))
    os.utime(tmp_path / "tagger" / "000005-0001.tags", (0.0, 0.0))
    guarded = Guarded(tmp_path, Share(keep_s=8500.0))
    guarded.look()
    assert guarded.removed == ["000001-0001.tags", "000002-0001.tags"]
    assert [each.number for each in streams_in(tmp_path / "tagger")] == [3, 4, 5]
    status = guarded.guard.status()
    assert status["removed_files"] == 2
    left = sum(path.stat().st_size for path in (tmp_path / "tagger").iterdir())
    assert status["kept_bytes"] == left
    writer.close()


def test_recording_pauses_below_the_least_free_space_and_resumes_with_room_to_spare(
    tmp_path: Path,
) -> None:
    guarded = Guarded(tmp_path / "not there yet", Share(free_bytes=1000), free=999)
    guarded.look()
    assert len(guarded.told) == 1
    assert "min_free_gb" in guarded.told[0]
    for guarded.free in (1000, 1099):
        guarded.look()
    assert "" not in guarded.told
    guarded.free = round(1000 * HYSTERESIS)
    guarded.look()
    guarded.look()
    assert guarded.told[1:] == [""]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_really_full_gives_one_alarm_and_whole_files(small_disk: Path) -> None:
    told: list[str] = []

    async def scenario() -> TagRecorder:
        loop = asyncio.get_running_loop()
        recorder = TagRecorder(
            small_disk / "records",
            clock=loop.time,
            limits=Limits(segment_bytes=30_000),
            on_problem=told.append,
        )
        task = asyncio.create_task(recorder.run())
        with recorder.begin("tagger", Tdc1(Link(ScriptedTransport([]), owner="")), "") as stream:
            for k in range(60):
                times = np.sort(np.random.default_rng(k).integers(0, 10**12, 2000)) + k * 10**12
                ones = np.ones(2000, np.uint8)
                stream.take(TagBatch(times, ones, k * 10**12, (k + 1) * 10**12))
                await asyncio.sleep(1)
                if k == 50:
                    for path in sorted((small_disk / "records" / "tagger").iterdir())[:2]:
                        path.unlink()
        task.cancel()
        await asyncio.wait([task])
        return recorder

    recorder = run_virtual(scenario(), limit_s=600.0)
    assert [bool(each) for each in told] == [True, False] * (len(told) // 2)
    assert "No space left" in told[0]
    assert len(told) == 2
    (stream,) = streams_in(small_disk / "records" / "tagger")
    damage: list[Any] = []
    read = list(read_stream(stream, lambda *each: damage.append(each)))
    assert damage == []
    assert recorder.dropped_batches > 10
    assert read[-1].sequence == 59
    assert any(each.missed for each in read[1:])


async def test_closed_segments_are_sealed_in_a_process_and_open_ones_are_not(
    tmp_path: Path,
) -> None:
    pytest.importorskip("h5py")
    segment(tmp_path / "tagger", 1000.0, 100)
    noted: list[dict[str, Any]] = []
    writer = SegmentWriter(tmp_path / "tagger", SegmentHead(0.0, 1, (1,)))
    writer.write(StoredBatch(0, 0, TagBatch(np.empty(0, np.int64), np.empty(0, np.uint8), 0, 1)))
    (tmp_path / "tagger" / "000003-0001.tags").write_bytes(b"no segment")
    sealer = Sealer(tmp_path, note=noted.append)
    await sealer.look()
    await sealer.look()
    names = sorted(path.name for path in (tmp_path / "tagger").iterdir())
    assert names == ["000001-0001.h5", "000002-0001.tags", "000003-0001.tags"]
    sealed = (tmp_path / "tagger" / "000001-0001.h5").stat()
    assert (sealed.st_mtime, sealed.st_mode & 0o777) == (1000.0, 0o640)
    assert [Path(each["file"]).name for each in noted] == ["000003-0001.tags"]
    assert sealer.status()["sealed"] == 1
    writer.close()
