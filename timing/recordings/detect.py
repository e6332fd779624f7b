"""Opens a recording by what it contains, whatever it is called."""

from __future__ import annotations

from pathlib import Path

from timing.recordings.errors import NotATagFile, RecordingTruncated, RecordingUnreadable
from timing.recordings.packed import MAGIC as PACKED
from timing.recordings.packed import read_packed
from timing.recordings.picoquant import read_picoquant
from timing.recordings.ptu_header import AGAIN, MAGIC
from timing.recordings.recording import Recording
from timing.recordings.segments import find_stream, read_segments, sealed_stream
from timing.recordings.tdc2 import SUPPORTED, read_tdc2
from timing.segments import StoredStream
from timing.segments.frame import MAGIC as SEGMENT

HEAD_BYTES = 4096
HDF = b"\x89HDF"
OTHER_KINDS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive (or .npz, .xlsx)",
    b"\x1f\x8b": "gzip-compressed data; unpack it first",
    HDF: "an HDF5 file, which is no sealed segment of ours",
    b"\x93NUMPY": "a NumPy array file",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
    b"PQHISTO\0": "a PicoQuant histogram",
    b"PQDEFLT\0": "PicoQuant settings",
    b"PicoHarp 300\0": "a PicoHarp file of the format before PTU",
    b"HydraHarp 400\0": "a HydraHarp file of the format before PTU",
    b"TimeHarp 260\0": "a TimeHarp file of the format before PTU",
}


def open_recording(path: Path | str) -> Recording:
    """Read a PicoQuant (PTU, T2 or T3), S-Fifteen TDC2 or packed recording, known by content, or
    one of our own: a segment, a tagger's folder with one stream, or FOLDER/000002 for the second.

    Raises RecordingError, whose text names the file, the byte, what was found and expected, and
    what to do.
    """
    path = Path(path)
    try:
        if not path.is_file() and (found := find_stream(path)) is not None:
            return read_segments(path, found)
        size = path.stat().st_size
        if not path.is_file():
            # A pipe or a device could keep the reader waiting for ever.
            raise _unreadable(path, "a pipe or a device", "name a file on disk")
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        if not head:
            raise _unreadable(path, "an empty file", AGAIN)
        if head.startswith(MAGIC):
            return read_picoquant(path, size)
        if head.startswith(SEGMENT):
            return read_segments(path, StoredStream(0, (path,)))
        if head.startswith(HDF) and (sealed := sealed_stream(path)) is not None:
            return read_segments(path, sealed)
        if head.startswith(PACKED):
            return read_packed(path)
        _refuse_other_kinds(path, head)
        return read_tdc2(path, size)
    except FileNotFoundError:
        raise _unreadable(path, "no such file", "check the path") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise _unreadable(path, reason, "check the path and its permissions") from None


def _refuse_other_kinds(path: Path, head: bytes) -> None:
    if len(head) < len(MAGIC) and MAGIC.startswith(head):
        raise RecordingTruncated(
            path,
            "the end of the file inside the PTU signature",
            at_byte=len(head),
            expected="the rest of the PTU header",
            do=AGAIN,
        )
    found = next((kind for magic, kind in OTHER_KINDS.items() if head.startswith(magic)), "")
    if not found and _is_text(head):
        found = f"text ({head[:24].decode('utf-8', 'replace')!r})"
    if found:
        raise NotATagFile(
            path, found, at_byte=0, expected=SUPPORTED, do="check that this is the recording"
        )


def _is_text(head: bytes) -> bool:
    try:
        # A character may be cut at the end of the head.
        text = head[: len(head) - 3 if len(head) == HEAD_BYTES else None].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)


def _unreadable(path: Path, found: str, do: str) -> RecordingUnreadable:
    return RecordingUnreadable(path, found, at_byte=0, expected=SUPPORTED, do=do)
