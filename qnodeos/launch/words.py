"""Classical words between the roles of a run: a hub in the launcher, one line of JSON a word.

A role says `{"to", "socket", "text"}`, and hears the same with `from`. What is sent before the
other role listens waits for it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

MOST_WORD_BYTES = 1 << 20
MOST_WAITING = 10_000


class Hub:
    """Carries words between the roles of one run."""

    def __init__(self) -> None:
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._waiting: dict[str, list[bytes]] = {}

    async def serve(self, place: Path) -> asyncio.Server:
        """Listen at a socket until the server is closed."""
        return await asyncio.start_unix_server(self._welcome, place, limit=MOST_WORD_BYTES)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        role = ""
        try:
            role = str(json.loads(await reader.readline())["role"])
            self._writers[role] = writer
            for word in self._waiting.pop(role, []):
                writer.write(word)
            while line := await reader.readline():
                self._pass_on(role, json.loads(line))
                await writer.drain()
        except (ValueError, KeyError, TypeError, ConnectionError):
            pass  # a role that says nonsense is not heard
        finally:
            if self._writers.get(role) is writer:
                del self._writers[role]
            writer.close()

    def _pass_on(self, role: str, word: dict[str, Any]) -> None:
        to = str(word["to"])
        said = json.dumps({"from": role, "socket": word["socket"], "text": word["text"]})
        line = said.encode() + b"\n"
        writer = self._writers.get(to)
        if writer is not None:
            writer.write(line)
        else:
            waiting = self._waiting.setdefault(to, [])
            if len(waiting) < MOST_WAITING:
                waiting.append(line)
