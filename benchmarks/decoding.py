"""Decoding of PicoQuant T2 records beside trattoria, ptufile and numpy on the same records.

trattoria reads a file and counts; it gives no tags. So it is held against our decoding of the same
file, which returns every time and channel, in the chunks in which a program would read it.
"""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame import CannotRunError, Row, benchmark, best_of, need
from cext.decode import decode_picoquant_t2

if TYPE_CHECKING:
    from collections.abc import Callable

Times = NDArray[np.int64]
Records = NDArray[np.uint32]

REPEATS = 5
COPIES = 24
CHUNK = 10_000
READ_BYTES = 1 << 20
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
RECORDING = "200204_HH400_T2_320MHz_HBT.timeres"


@benchmark("decode", "PicoQuant T2 records of a real recording: trattoria, ptufile, numpy")
def decode_rows() -> list[Row]:
    """Decode one second of a HydraHarp 400, and 24 times as much, and compare tags and times."""
    ptufile, trattoria = need("ptufile"), need("trattoria")
    path = Path(os.environ.get("QNODEOS_DATA", SHARED_DATA)) / RECORDING
    if not path.is_file():
        raise CannotRunError(
            f"there is no recording {path}; set QNODEOS_DATA to the folder that holds it"
        )
    with ptufile.PtuFile(path) as opened:
        records = np.ascontiguousarray(opened.read_records(), dtype=np.uint32)
        theirs = opened.decode_records(records)
        longer = np.tile(records, COPIES)
        ptufile_s = _median(lambda: opened.decode_records(longer))
    ours = decode_picoquant_t2(records, 1)
    is_tag = theirs["channel"] >= 0
    peer = theirs["time"][is_tag], theirs["channel"][is_tag] + 1
    by_numpy, numpy_s = best_of(REPEATS, lambda: _numpy_t2(records))
    room = np.empty(len(longer), np.int64), np.empty(len(longer), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        # trattoria goes by the ending, and by the number of records in the header.
        copy = Path(folder) / "longer.ptu"
        start = _write_longer(path, copy, len(records))
        parameters = trattoria.TimeTraceParameters(resolution=0.01, channel=None)
        opened = trattoria.PTUFile(str(copy))
        trattoria_s = _median(lambda: opened.timetrace(parameters))
        file_s = _median(lambda: _decode_file(copy, start))
        found = _decode_file(copy, start)
    speeds = {
        "whole array, fresh memory": _median(lambda: decode_picoquant_t2(longer, 1)),
        "whole array, the caller's memory": _median(
            lambda: decode_picoquant_t2(longer, 1, out=room)
        ),
        "whole array, fresh memory, two threads": _median(
            lambda: decode_picoquant_t2(longer, 1, threads=2)
        ),
        f"chunks of {CHUNK:,} records": _median(lambda: _decode_chunks(longer)),
        f"file in pieces of {READ_BYTES >> 20} MB, tags handed on": file_s,
        "trattoria, same file, counts only": trattoria_s,
        "ptufile": ptufile_s,
    }
    whole_s = speeds["whole array, fresh memory"]
    touched_s = _median(lambda: (np.full(len(longer), 1), np.full(len(longer), 1, np.uint8)))
    return [
        Row("tags", len(ours[0]), "tags"),
        Row("tags that differ from ptufile", _differ(ours, peer), "", at_most=0),
        Row("tags that differ from numpy", _differ(ours, by_numpy), "", at_most=0),
        Row("tags of the file less those of its copies", found - COPIES * len(ours[0]), "", 0, 0),
        *(Row(f"T2, {name}", len(longer) / s / 1e6, "Mrecords/s") for name, s in speeds.items()),
        Row("T2 from the file over trattoria", trattoria_s / file_s, "x", at_least=2),
        Row("T2 in chunks over trattoria", trattoria_s / _speed(speeds, "chunks"), "x", at_least=2),
        # Its limit is the system, which has to give out and zero the pages that it writes.
        Row("T2 whole array, fresh memory, over trattoria", trattoria_s / whole_s, "x"),
        Row("T2 whole array, fresh memory, over filling such memory", touched_s / whole_s, "x"),
        Row(
            "T2 whole array, the caller's memory, over trattoria",
            trattoria_s / speeds["whole array, the caller's memory"],
            "x",
            at_least=2,
        ),
        Row("T2 in chunks over the whole array", whole_s / _speed(speeds, "chunks"), "x", 0.75),
        Row("T2 whole array over ptufile", ptufile_s / whole_s, "x"),
        Row("T2 whole array over numpy", COPIES * numpy_s / whole_s, "x", at_least=1),
    ]


def _speed(speeds: dict[str, float], start: str) -> float:
    return next(seconds for name, seconds in speeds.items() if name.startswith(start))


def _median(work: Callable[[], object]) -> float:
    """Median seconds of some runs after one that warms up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return median(times)


def _decode_chunks(records: Records) -> int:
    ticks = count = 0
    for start in range(0, len(records), CHUNK):
        time_ps, _, _, _, _, ticks = decode_picoquant_t2(
            records[start : start + CHUNK], 1, "generic", ticks
        )
        count += len(time_ps)
    return count


def _decode_file(path: Path, start: int) -> int:
    """Tags of the file, read and decoded piece by piece into memory that is used again."""
    buffer = np.empty(READ_BYTES // 4, np.uint32)
    room = np.empty(len(buffer), np.int64), np.empty(len(buffer), np.uint8)
    ticks = count = 0
    with path.open("rb", buffering=0) as stream:
        stream.seek(start)
        while size := stream.readinto(buffer.data):
            time_ps, _, _, _, _, ticks = decode_picoquant_t2(
                buffer[: size // 4], 1, "generic", ticks, room
            )
            count += len(time_ps)
    return count


def _write_longer(path: Path, copy: Path, records: int) -> int:
    """The recording with its records so many times; returns where they start."""
    whole = path.read_bytes()
    start = len(whole) - 4 * records
    header = bytearray(whole[:start])
    value_at = header.index(b"TTResult_NumberOfRecords") + 40
    header[value_at : value_at + 8] = struct.pack("<q", COPIES * records)
    copy.write_bytes(bytes(header) + COPIES * whole[start:])
    return start


def _differ(ours: tuple[object, ...], theirs: tuple[object, ...]) -> float:
    """Number of tags whose time or channel differs; infinite for another number of tags."""
    times, channels = np.asarray(ours[0]), np.asarray(ours[1])
    other_times, other_channels = np.asarray(theirs[0]), np.asarray(theirs[1])
    if times.shape != other_times.shape:
        return float("inf")
    return int(((times != other_times) | (channels != other_channels)).sum())


def _numpy_t2(records: Records) -> tuple[Times, NDArray[np.uint8]]:
    special = records >> 31 == 1
    field = (records & 0x1FFFFFF).astype(np.int64)
    overflow = special & (records >> 25 & 63 == 63)
    turns = np.cumsum(np.where(overflow, np.maximum(field, 1), 0))
    tags = ~special
    return (turns * (1 << 25) + field)[tags], ((records[tags] >> 25) + 1).astype(np.uint8)
