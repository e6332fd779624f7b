"""The tagged header of PicoQuant's unified (PTU) files: 48-byte entries until `Header_End`."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from timing.recordings.errors import RecordingDamaged, RecordingTruncated

MAGIC = b"PQTTTR\0\0"
ENTRY = struct.Struct("<32siI8s")

EMPTY = 0xFFFF0008
BOOL = 0x00000008
INTEGERS = {0x10000008, 0x11000008, 0x12000008}
FLOAT = 0x20000008
DATE = 0x21000008
FLOAT_ARRAY = 0x2001FFFF
TEXT = 0x4001FFFF
WIDE_TEXT = 0x4002FFFF
BLOB = 0xFFFFFFFF
DAY_ZERO = datetime(1899, 12, 30)
WITH_PAYLOAD = {FLOAT_ARRAY, TEXT, WIDE_TEXT, BLOB}

AGAIN = "copy the file again from the measuring PC"


@dataclass(frozen=True, slots=True)
class PtuHeader:
    """Entries by name (`Name[index]` for those with an index) and where the records begin."""

    version: str
    entries: dict[str, object]
    records_at: int


def read_ptu_header(path: Path, data: bytes) -> PtuHeader:
    """Parse the header at the start of `data` (the whole file or more than its header).

    Raises RecordingTruncated where the file ends first and RecordingDamaged on impossible entries.
    """
    at = len(MAGIC) + 8
    if len(data) < at:
        raise _truncated(path, len(data), len(data))
    version = data[8:16].rstrip(b"\0").decode("ascii", "replace")
    entries: dict[str, object] = {}
    while True:
        if at + ENTRY.size > len(data):
            raise _truncated(path, at, len(data))
        raw_name, index, kind, value = ENTRY.unpack_from(data, at)
        name = _name(path, at, raw_name)
        payload_at = at + ENTRY.size
        payload = b""
        if kind in WITH_PAYLOAD:
            size = int.from_bytes(value, "little", signed=True)
            if size < 0:
                raise _damaged(path, at, f"header entry {name} of {size} bytes")
            payload = data[payload_at : payload_at + size]
            if len(payload) < size:
                raise _truncated(path, at, len(data))
        if name == "Header_End":
            return PtuHeader(version, entries, payload_at)
        key = name if index < 0 else f"{name}[{index}]"
        entries[key] = _value(path, at, name, kind, value, payload)
        at = payload_at + len(payload)


def _name(path: Path, at: int, raw: bytes) -> str:
    name = raw.rstrip(b"\0")
    if not name or not name.isascii() or not name.decode("ascii").isprintable():
        raise _damaged(path, at, f"{raw[:16]!r} in place of the name of a header entry")
    return name.decode("ascii")


def _value(path: Path, at: int, name: str, kind: int, value: bytes, payload: bytes) -> object:
    if kind == EMPTY:
        return None
    if kind == BOOL:
        return value != bytes(8)
    if kind in INTEGERS:
        return int.from_bytes(value, "little", signed=True)
    if kind == FLOAT:
        return float(struct.unpack("<d", value)[0])
    if kind == DATE:
        return _date(path, at, name, struct.unpack("<d", value)[0])
    if kind == TEXT:
        return payload.split(b"\0")[0].decode("utf-8", "replace")
    if kind == WIDE_TEXT:
        return payload.decode("utf-16-le", "replace").split("\0")[0]
    if kind == FLOAT_ARRAY and len(payload) % 8 == 0:
        return tuple(struct.unpack(f"<{len(payload) // 8}d", payload))
    if kind == BLOB:
        return payload
    raise _damaged(path, at, f"header entry {name} of unknown type 0x{kind:08X}")


def _date(path: Path, at: int, name: str, days: float) -> str:
    try:
        return (DAY_ZERO + timedelta(days=days)).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        raise _damaged(path, at, f"header entry {name}, a date {days} days after 1899") from None


def _truncated(path: Path, at: int, size: int) -> RecordingTruncated:
    return RecordingTruncated(
        path,
        f"the end of the file, {size} bytes, inside the PTU header",
        at_byte=at,
        expected="further header entries up to Header_End",
        do=AGAIN,
    )


def _damaged(path: Path, at: int, found: str) -> RecordingDamaged:
    return RecordingDamaged(path, found, at_byte=at, expected="a valid PTU header", do=AGAIN)
