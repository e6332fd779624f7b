"""What can be wrong with a recorded tag file.

RecordingError
├── RecordingUnreadable   missing, a folder, empty, or not readable by this user
├── NotATagFile           the content is of another kind, or of a kind not supported
├── RecordingTruncated    the content is a tag file that ends too early
├── WrongMode             the mode that a PicoQuant file states is not that of its records
└── RecordingDamaged      the content contradicts its own format
"""

from __future__ import annotations

from pathlib import Path


class RecordingError(Exception):
    """One file that cannot be read as time tags; `str()` is the whole message for a user."""

    def __init__(self, path: Path, found: str, *, at_byte: int, expected: str, do: str) -> None:
        self.path = path
        self.found = found
        self.at_byte = at_byte
        self.expected = expected
        self.do = do
        super().__init__(f"{path}: byte {at_byte}: found {found}; expected {expected}; {do}")


class RecordingUnreadable(RecordingError):
    """The file is missing, a folder, empty, or closed to this user."""


class NotATagFile(RecordingError):
    """The content is of another kind than the supported recordings."""


class RecordingTruncated(RecordingError):
    """The file is a recording that ends too early."""


class WrongMode(RecordingError):
    """A PicoQuant file that states another mode than its records have."""


class RecordingDamaged(RecordingError):
    """The content contradicts its own format."""
