"""What really happened, as JSON lines. Only tests and the demo's report read it; no node does."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["TruthLog"]

_BUFFERED_RECORDS = 256


class TruthLog:
    """Appends one JSON object a record; `path` None keeps nothing.

    A new log replaces an old file of the same name, so that a file is the truth of one run. What
    is buffered is written by `flush`, which the server of the lab calls now and then and at its
    end. Raises OSError when the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[str] = []
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("", encoding="utf-8")

    @property
    def kept(self) -> bool:
        """Whether anybody will read it; what costs much need not be worked out else."""
        return self._path is not None

    def record(self, kind: str, **fields: object) -> None:
        """Note that `kind` happened; the fields must be what JSON can hold."""
        if self._path is None:
            return
        self._lines.append(json.dumps({"kind": kind, **fields}) + "\n")
        if len(self._lines) >= _BUFFERED_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Write out what is buffered."""
        if self._path is None or not self._lines:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(self._lines)
        self._lines.clear()
