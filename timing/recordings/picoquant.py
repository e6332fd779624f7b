"""PicoQuant T2 and T3 recordings in the unified (PTU) format."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cext.decode import decode_picoquant_t2, decode_picoquant_t3
from timing.recordings.errors import (
    NotATagFile,
    RecordingDamaged,
    RecordingTruncated,
    WrongMode,
)
from timing.recordings.ptu_header import AGAIN, PtuHeader, read_ptu_header
from timing.recordings.recording import PulseDelays, Recording, in_time_order
from timing.tags import PS_PER_S, Channels, TimesPs

Records = np.ndarray[tuple[int], np.dtype[np.uint32]]

RECORD_BYTES = 4
HIGHEST_MARKER = 15
# Real headers take 4 to 30 kB, image files with embedded settings up to some MB.
HEADER_LIMIT_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class RecordType:
    """What `TTResultFormat_TTTRRecType` names: instrument, T mode and the kernel's variant."""

    instrument: str
    mode: int
    variant: str


RECORD_TYPES = {
    0x00010203: RecordType("PicoHarp 300", 2, "picoharp"),
    0x00010303: RecordType("PicoHarp 300", 3, "picoharp"),
    0x00010204: RecordType("HydraHarp 400", 2, "hydraharp1"),
    0x00010304: RecordType("HydraHarp 400", 3, "hydraharp1"),
    0x01010204: RecordType("HydraHarp 400", 2, "generic"),
    0x01010304: RecordType("HydraHarp 400", 3, "generic"),
    0x00010205: RecordType("TimeHarp 260 N", 2, "generic"),
    0x00010305: RecordType("TimeHarp 260 N", 3, "generic"),
    0x00010206: RecordType("TimeHarp 260 P", 2, "generic"),
    0x00010306: RecordType("TimeHarp 260 P", 3, "generic"),
    0x00010207: RecordType("MultiHarp or PicoHarp 330", 2, "generic"),
    0x00010307: RecordType("MultiHarp or PicoHarp 330", 3, "generic"),
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
    records = _records(path, size, header)
    decode = _decode_t2 if kind.mode == 2 else _decode_t3
    try:
        tags = decode(path, header, kind, records)
    except ValueError as error:
        raise RecordingDamaged(
            path,
            str(error),
            at_byte=header.records_at,
            expected=f"T{kind.mode} records",
            do=AGAIN,
        ) from None
    if len(tags.marker) and not 1 <= tags.marker.min() <= tags.marker.max() <= HIGHEST_MARKER:
        raise _unknown_special(path, header, kind, records)
    stop_reason = header.entries.get("TTResult_StopReason", 0)
    notes = _notes(size, header, len(records), stop_reason)
    if tags.note:
        notes.append(tags.note)
    last_ps = max(int(tags.time_ps[-1]), 0) + 1 if len(tags.time_ps) else 1
    return Recording(
        path=path,
        format=f"PicoQuant T{kind.mode} (PTU)",
        instrument=_instrument(header, kind),
        time_ps=tags.time_ps,
        channel=tags.channel,
        marker_ps=tags.marker_ps,
        marker=tags.marker,
        start_ps=0,
        stop_ps=max(last_ps, tags.end_ps),
        resolution_ps=Fraction(tags.resolution_ps),
        overflows=tags.overflows,
        gaps=tags.steps_back + (stop_reason in LOSSES),
        notes=tuple(notes),
        header={"version": header.version, **header.entries},
        pulses=tags.pulses,
    )


@dataclass(frozen=True, slots=True)
class _Tags:
    """What the records of a file say, in order of time."""

    time_ps: TimesPs
    channel: Channels
    marker_ps: TimesPs
    marker: NDArray[np.uint8]
    end_ps: int
    resolution_ps: int
    overflows: int
    steps_back: int
    note: str
    pulses: PulseDelays | None = None


def _decode_t2(path: Path, header: PtuHeader, kind: RecordType, records: Records) -> _Tags:
    resolution_ps = _whole_ps(path, header, "MeasDesc_GlobalResolution")
    time_ps, channel, marker_ps, marker, overflows, end_ticks = decode_picoquant_t2(
        records, resolution_ps, kind.variant
    )
    time_ps, channel, steps_back, first = in_time_order(time_ps, channel)
    note = f"{steps_back} tags lay before their predecessor, first tag {first}; sorted"
    return _Tags(
        time_ps,
        channel,
        marker_ps,
        marker,
        end_ticks * resolution_ps,
        resolution_ps,
        overflows,
        steps_back,
        note if steps_back else "",
    )


def _decode_t3(path: Path, header: PtuHeader, kind: RecordType, records: Records) -> _Tags:
    resolution_ps = _whole_ps(path, header, "MeasDesc_Resolution")
    period_ps = _sync_period_ps(path, header)
    time_ps, channel, sync, dtime, marker_ps, marker, overflows, end_syncs = decode_picoquant_t3(
        records, period_ps, resolution_ps, kind.variant
    )
    # Delays of one pulse come in any order, which is no fault; pulses must not step back.
    back = np.flatnonzero(np.diff(sync) < 0)
    note = f"{len(back)} tags lay in a pulse before their predecessor's, first tag {{}}; sorted"
    if len(time_ps) and (np.diff(time_ps) < 0).any():
        order = np.argsort(time_ps, kind="stable")
        time_ps, channel, sync, dtime = time_ps[order], channel[order], sync[order], dtime[order]
    return _Tags(
        time_ps,
        channel,
        marker_ps,
        marker,
        int(end_syncs * period_ps),
        resolution_ps,
        overflows,
        len(back),
        note.format(int(back[0]) + 1) if len(back) else "",
        PulseDelays(period_ps, sync, dtime),
    )


def _record_type(path: Path, header: PtuHeader) -> RecordType:
    code = header.entries.get("TTResultFormat_TTTRRecType")
    kind = RECORD_TYPES.get(code) if isinstance(code, int) else None
    if kind is None:
        stated = f"record type 0x{code:08X}" if isinstance(code, int) else f"record type {code}"
        known = ", ".join(f"0x{c:08X}" for c in RECORD_TYPES)
        raise NotATagFile(
            path,
            stated,
            at_byte=0,
            expected=f"one of the T2 and T3 types {known}",
            do="convert the file with the maker's software, or report the type as an issue",
        )
    mode = header.entries.get("Measurement_Mode", kind.mode)
    if mode != kind.mode:
        raise WrongMode(
            path,
            f"Measurement_Mode {mode} with T{kind.mode} records of a {kind.instrument}",
            at_byte=0,
            expected=f"Measurement_Mode {kind.mode}",
            do=AGAIN,
        )
    return kind


def _whole_ps(path: Path, header: PtuHeader, name: str) -> int:
    seconds = header.entries.get(name)
    ps = seconds * 1e12 if isinstance(seconds, float) else 0.0
    whole = round(ps) if 0.5 <= ps < 2**31 else 0
    # The header holds a double; 1e-6 of a step is far below one step over any recording it allows.
    if whole < 1 or abs(ps - whole) > 1e-6 * whole:
        raise RecordingDamaged(
            path,
            f"{name} {seconds}",
            at_byte=0,
            expected="a time step in seconds that is a whole number of picoseconds",
            do=AGAIN,
        )
    return whole


def _sync_period_ps(path: Path, header: PtuHeader) -> Fraction:
    """The time between SYNC pulses, which in T3 files is the global resolution."""
    seconds = header.entries.get("MeasDesc_GlobalResolution")
    if not isinstance(seconds, float) or not 1e-12 <= seconds < 1:
        raise RecordingDamaged(
            path,
            f"MeasDesc_GlobalResolution {seconds}",
            at_byte=0,
            expected="the time between SYNC pulses, 1 ps to 1 s",
            do=AGAIN,
        )
    # Instruments count the SYNC rate in whole hertz and write its inverse as a double.
    rate_hz = round(1 / seconds)
    if abs(seconds * rate_hz - 1) < 1e-14:
        return Fraction(PS_PER_S, rate_hz)
    return Fraction(seconds) * PS_PER_S


def _records(path: Path, size: int, header: PtuHeader) -> Records:
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
    path: Path, header: PtuHeader, kind: RecordType, records: Records
) -> RecordingDamaged:
    if kind.variant == "picoharp":
        # In T2 all four bits are markers; in T3 the delay field holds them and may hold more.
        unknown = (records >> 28 == 15) & (records >> 16 & 0xFFF != 0) & (records >> 16 & 15 == 0)
    else:
        source = (records >> 25).astype(np.int64) - 64
        # Source 0 is SYNC, which only T2 records.
        unknown = (source > HIGHEST_MARKER) & (source != 63) | (source == 0) & (kind.mode == 3)
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
