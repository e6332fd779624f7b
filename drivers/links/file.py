"""A file or folder in the place of an instrument: a recording that is played back."""

from __future__ import annotations

from pathlib import Path

from drivers.links.base import Transport


class FileTransport(Transport):
    """Holds the place of a byte pipe; it opens if the path is there."""

    def __init__(self, path: Path, *, resource: str):
        self.resource = resource
        self.path = path

    async def open(self) -> None:
        """Look whether it is there; raises FileNotFoundError."""
        if not self.path.exists():
            raise FileNotFoundError(f"there is no {self.path}")

    async def read(self) -> bytes:
        """Raises OSError."""
        raise OSError("a recording is read by its driver, not as bytes")

    async def write(self, data: bytes) -> None:
        """Raises OSError."""
        raise OSError("a recording is not written to")

    async def close(self) -> None:
        """Nothing to close."""
