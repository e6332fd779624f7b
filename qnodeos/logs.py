"""What a running node prints: lines for people, or JSON for a collector of logs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from qnodeos.config import LogTable

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_as(table: LogTable, node: str) -> None:
    """Send the program's log to standard error in the form and from the level of the table."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(node) if table.format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(handlers=[handler], level=table.level.upper(), force=True)


class JsonLines(logging.Formatter):
    """One object a line: `time` (UTC, ISO 8601), `level`, `node`, `logger`, `message`, and `error`
    with the traceback where there is one."""

    def __init__(self, node: str):
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; whatever is in it, it stays on one line."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "node": self._node,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told)
