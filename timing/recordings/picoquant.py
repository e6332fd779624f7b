"""PicoQuant T2 recordings in the unified (PTU) format."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from cext.decode import decode_picoquant_t2
from timing.recordings.errors import (
    NotATagFile,
    RecordingDamaged,
    RecordingTruncated,
    WrongMode,
)
from timing.recordings.ptu_header import AGAIN, PtuHeader, read_ptu_header
from timing.recordings.recording import Recording, in_time_order

RECORD_BYTES = 4
HIGHEST_MARKER = 15
# Real headers take 4 to 30 kB, image files with embedded settings up to some MB.
HEADER_LIMIT_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class RecordType:
    """What `TTResultFormat_TTTRRecType` names: the instrument and, for T2, the kernel's variant."""

    instrument: str
    variant: str | None


RECORD_TYPES = {
    0x00010203: RecordType("PicoHarp 300", "picoharp"),
    0x00010303: RecordType("PicoHarp 300", None),
    0x00010204: RecordType("HydraHarp 400", "hydraharp1"),
    0x00010304: RecordType("HydraHarp 400", None),
    0x01010204: RecordType("HydraHarp 400", "generic"),
    0x01010304: RecordType("HydraHarp 400", None),
    0x00010205: RecordType("TimeHarp 260 N", "generic"),
    0x00010305: RecordType("TimeHarp 260 N", None),
    0x00010206: RecordType("TimeHarp 260 P", "generic"),
    0x00010306: RecordType("TimeHarp 260 P", None),
    0x00010207: RecordType("MultiHarp or PicoHarp 330", "generic"),
    0x00010307: RecordType("MultiHarp or PicoHarp 330", None),
}

STOP_REASONS = {
    1: "stopped by hand",
    2: "a counter reached its limit",
    3: "an error",
    -2: "the FIFO of the instrument overran",
    -7: "the measuring PC was suspended",
    -9: "the queue of the measuring program overran",
    -10: "the transfer of data failed",
    -11: "a check of the data failed",
    -12: "the reference clock was lost",
    -13: "SYNC was lost",
}
LOSSES = {-2, -9, -10, -11}


def read_picoquant(path: Path, size: int) -> Recording:
    """Read a PTU file of `size` bytes whose magic was seen; raises RecordingError."""
    with path.open("rb") as stream:
        header = read_ptu_header(path, stream.read(HEADER_LIMIT_BYTES))
    kind = _record_type(path, header)
    resolution_ps = _resolution_ps(path, header)
    records = _records(path, size, header)
    try:
        time_ps, channel, marker_ps, marker, overflows, end_ticks = decode_picoquant_t2(
            records, resolution_ps, kind.variant or ""
        )
    except ValueError as error:
        raise RecordingDamaged(
            path, str(error), at_byte=header.records_at, expected="T2 records", do=AGAIN
        ) from None
    if len(marker) and marker.max() > HIGHEST_MARKER:
        raise _unknown_special(path, header, records)
    time_ps, channel, steps_back, first = in_time_order(time_ps, channel)
    stop_reason = header.entries.get("TTResult_StopReason", 0)
    notes = _notes(size, header, len(records), stop_reason)
    if steps_back:
        notes.append(f"{steps_back} tags lay before their predecessor, first tag {first}; sorted")
    last_ps = max(int(time_ps[-1]), 0) + 1 if len(time_ps) else 1
    return Recording(
        path=path,
        format="PicoQuant T2 (PTU)",
        instrument=_instrument(header, kind),
        time_ps=time_ps,
        channel=channel,
        marker_ps=marker_ps,
        marker=marker,
        start_ps=0,
        stop_ps=max(last_ps, end_ticks * resolution_ps),
        resolution_ps=Fraction(resolution_ps),
        overflows=overflows,
        gaps=steps_back + (stop_reason in LOSSES),
        notes=tuple(notes),
        header={"version": header.version, **header.entries},
    )


def _record_type(path: Path, header: PtuHeader) -> RecordType:
    code = header.entries.get("TTResultFormat_TTTRRecType")
    kind = RECORD_TYPES.get(code) if isinstance(code, int) else None
    if kind is None:
        stated = f"record type 0x{code:08X}" if isinstance(code, int) else f"record type {code}"
        known = ", ".join(f"0x{c:08X}" for c, k in RECORD_TYPES.items() if k.variant)
        raise NotATagFile(
            path,
            stated,
            at_byte=0,
            expected=f"one of the T2 types {known}",
            do="convert the file with the maker's software, or report the type as an issue",
        )
    if kind.variant is None or header.entries.get("Measurement_Mode", 2) != 2:
        raise WrongMode(
            path,
            f"a T3 recording of a {kind.instrument}",
            at_byte=0,
            expected="a T2 recording, which holds the absolute time of every tag",
            do="record again in T2 mode",
        )
    return kind


def _resolution_ps(path: Path, header: PtuHeader) -> int:
    seconds = header.entries.get("MeasDesc_GlobalResolution")
    ps = seconds * 1e12 if isinstance(seconds, float) else 0.0
    whole = round(ps) if 0.5 <= ps < 2**31 else 0
    # The header holds a double; 1e-6 of a step is far below one step over any recording it allows.
    if whole < 1 or abs(ps - whole) > 1e-6 * whole:
        raise RecordingDamaged(
            path,
            f"MeasDesc_GlobalResolution {seconds}",
            at_byte=0,
            expected="a time step in seconds that is a whole number of picoseconds",
            do=AGAIN,
        )
    return whole


def _records(
    path: Path, size: int, header: PtuHeader
) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The records the header states; all whole ones where it states none (a broken-off run)."""
    present, rest = divmod(size - header.records_at, RECORD_BYTES)
    stated = header.entries.get("TTResult_NumberOfRecords")
    count = stated if isinstance(stated, int) and stated > 0 else present
    if count > present or (rest and count == present and not stated):
        whole = f"{present} whole records" + (f" and {rest} bytes of another" if rest else "")
        raise RecordingTruncated(
            path,
            f"the end of the file after {whole}",
            at_byte=size,
            expected=f"{count} records of {RECORD_BYTES} bytes from byte {header.records_at}",
            do=AGAIN,
        )
    words = np.fromfile(path, dtype="<u4", count=count, offset=header.records_at)
    return words.astype(np.uint32, copy=False)


def _unknown_special(
    path: Path, header: PtuHeader, records: np.ndarray[tuple[int], np.dtype[np.uint32]]
) -> RecordingDamaged:
    source = records >> 25
    unknown = (source > 64 + HIGHEST_MARKER) & (source < 127)
    k = int(np.argmax(unknown))
    return RecordingDamaged(
        path,
        f"special record 0x{int(records[k]):08X} of no known meaning",
        at_byte=header.records_at + RECORD_BYTES * k,
        expected="a tag, an overflow, SYNC or a marker 1 to 15",
        do=AGAIN,
    )


def _notes(size: int, header: PtuHeader, records: int, stop_reason: object) -> list[str]:
    notes = []
    if isinstance(stop_reason, int) and stop_reason != 0:
        text = STOP_REASONS.get(stop_reason, f"reason {stop_reason}")
        notes.append(f"the recording did not run to its planned end: {text}")
    rest = size - header.records_at - RECORD_BYTES * records
    if rest:
        notes.append(f"{rest} bytes after the last stated record were not read")
    return notes


def _instrument(header: PtuHeader, kind: RecordType) -> str:
    model = header.entries.get("HW_Type") or kind.instrument
    serial = header.entries.get("HW_SerialNo")
    return f"PicoQuant {model}" + (f", serial number {serial}" if serial else "")
