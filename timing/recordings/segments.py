"""Recordings of our own: a segment, or a whole stream of them (docs/recording.md)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from timing.recordings.errors import RecordingDamaged, RecordingUnreadable
from timing.recordings.recording import Recording, in_time_order
from timing.segments import Damage, SegmentError, StoredBatch, StoredStream, read_stream, streams_in

MOST_TAGS = 200_000_000
"""3.6 GB while they are put together."""

EXPECTED = "the folder of a tagger, one stream in it as FOLDER/000001, or one segment"


def find_stream(path: Path) -> StoredStream | None:
    """The stream that a path means: FOLDER/NUMBER, or a folder of one stream; None: neither.

    Raises RecordingUnreadable for a folder of several or none, and OSError.
    """
    if path.name.isdecimal() and path.parent.is_dir():
        return next((s for s in streams_in(path.parent) if s.number == int(path.name)), None)
    if not path.is_dir():
        return None
    streams = streams_in(path)
    if len(streams) == 1:
        return streams[0]
    names = [f"{path.name}/{each.number:06d}" for each in streams]
    inside = sorted(each.name for each in path.iterdir() if each.is_dir())
    found = f"{len(streams)} streams, each of a timescale of its own" if streams else "a folder"
    do = f"name one: {', '.join(names[:8])}" if streams else "name the file inside it"
    if not streams and inside:
        do = f"name what is inside it: {', '.join(inside[:8])}"
    raise RecordingUnreadable(path, found, at_byte=0, expected=EXPECTED, do=do)


def sealed_stream(path: Path) -> StoredStream | None:
    """The stream of one sealed segment; None for another HDF5 file."""
    stream = StoredStream(0, (path,))
    try:
        stream.head()
    except SegmentError:
        return None
    return stream


def read_segments(path: Path, stream: StoredStream) -> Recording:
    """All tags of a stream; raises RecordingError and OSError."""
    damages: list[str] = []

    def tell(segment: Path, damage: Damage) -> None:
        kind = "torn end" if damage.torn else "damage"
        damages.append(
            f"{segment.name}, byte {damage.at_byte}: {kind}, {damage.size} bytes: {damage.found}"
        )

    try:
        head = stream.head()
    except SegmentError as error:
        raise RecordingDamaged(
            error.path,
            error.found,
            at_byte=error.at_byte,
            expected="the head of a segment",
            do="remove or restore this file",
        ) from None
    stored: list[StoredBatch] = []
    tags = 0
    for each in read_stream(stream, tell):
        tags += len(each.batch)
        if tags > MOST_TAGS:
            raise RecordingUnreadable(
                path,
                f"more than {MOST_TAGS:,} tags",
                at_byte=0,
                expected="no more than memory holds at once",
                do=f"name one segment, such as {stream.segments[0].name}, or read it batch by "
                "batch with qnodeos.tags.read_stream",
            )
        stored.append(each)
    alone = len(stream.segments) == 1 and stored and head.number > 1
    first = stored[0].sequence if alone else 0
    batches = [each.batch for each in stored]
    time_ps = np.concatenate([np.empty(0, np.int64), *(b.time_ps for b in batches)])
    channel = np.concatenate([np.empty(0, np.uint8), *(b.channel for b in batches)])
    time_ps, channel, steps_back, _ = in_time_order(time_ps, channel)
    missed = sum(each.missed for each in stored) - first
    lost = sum(b.lost for b in batches) - (first > 0)
    overflows = sum(b.overflow for b in batches)
    notes = [
        *damages,
        *([f"{missed} batches are missing from the recording"] if missed else ()),
        *([f"tags were lost before {lost} batches"] if lost else ()),
        *([f"the instrument's buffer overflowed in {overflows} batches"] if overflows else ()),
        *([f"{steps_back} tags lay before their predecessor; sorted"] if steps_back else ()),
    ]
    return Recording(
        path=path,
        format="recorded segments",
        instrument=head.identity or head.driver or "unknown",
        time_ps=time_ps,
        channel=channel,
        marker_ps=np.empty(0, np.int64),
        marker=np.empty(0, np.uint8),
        start_ps=batches[0].start_ps if batches else 0,
        stop_ps=batches[-1].stop_ps if batches else 1,
        resolution_ps=Fraction(head.resolution_ps),
        overflows=0,
        gaps=lost + steps_back + len(damages),
        notes=tuple(notes),
        header={
            "node": head.node,
            "instrument": head.instrument,
            "driver": head.driver,
            "version": head.version,
            "began_unix_s": head.began_unix_s,
            "stream": head.stream,
            "segments": len(stream.segments),
            "batches": len(batches),
            "instrument_overflows": overflows,
        },
    )
