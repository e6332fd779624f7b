"""Recorded tag files of other makers' programs, opened by content."""

from timing.recordings.detect import open_recording
from timing.recordings.errors import (
    NotATagFile,
    RecordingDamaged,
    RecordingError,
    RecordingTruncated,
    RecordingUnreadable,
    WrongMode,
)
from timing.recordings.recording import PulseDelays, Recording

__all__ = [
    "NotATagFile",
    "PulseDelays",
    "Recording",
    "RecordingDamaged",
    "RecordingError",
    "RecordingTruncated",
    "RecordingUnreadable",
    "WrongMode",
    "open_recording",
]
