"""How instruments of OZ Optics answer: some lines, then `Done`, or `Error!` or `Error-2`.

Some repeat what was sent first (echo), some leave an empty line after `Done`; both are passed over.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from drivers.draining import drain
from drivers.errors import InstrumentError, ProtocolError
from drivers.framing import MAX_FRAME_BYTES
from drivers.links.base import Link

_LAST_LINE = re.compile(rb"^[ \t]*(?:Done|Error[^\r\n]*)[ \t]*\r?\n", re.MULTILINE | re.IGNORECASE)
_TRIES = 3
_ERROR = re.compile(r"Error\s*(-?\d+)?\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UntilDone:
    """An answer up to and with its last line, which says `Done` or `Error`."""

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        found = _LAST_LINE.search(buffer)
        if found is None:
            if len(buffer) > MAX_FRAME_BYTES:
                raise ProtocolError(f"no Done in {len(buffer)} bytes", bytes(buffer))
            return None
        answer = bytes(buffer[: found.end()])
        del buffer[: found.end()]
        return answer


class OzTalk:
    """Commands and answers on the link of one instrument; `end` ends what is sent.

    `errors` gives the meaning of an error's number, where the manual tells it.
    """

    def __init__(self, link: Link, *, end: bytes, errors: dict[int, str] | None = None):
        self.link = link
        self._end = end
        self._errors = errors or {}

    async def settle(self) -> None:
        """End half a command that an earlier life has left, and drop what is answered to it."""
        await self.link.send(self._end)
        await drain(self.link, quiet_s=0.1, limit_s=1.0)

    async def ask_first(self, command: str, *, timeout_s: float = 1.0) -> list[str]:
        """The first question after `settle`: an error may still be meant for what was before."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(InstrumentError):
                return await self.ask(command, timeout_s=timeout_s)
            await drain(self.link, quiet_s=0.1, limit_s=1.0)
        return await self.ask(command, timeout_s=timeout_s)

    async def ask(self, command: str, *, timeout_s: float = 1.0) -> list[str]:
        """Send a command; the lines that answer it, without echo, empty lines and `Done`.

        Raises InstrumentError when the answer is an error.
        """
        raw = await self.link.exchange(
            command.encode() + self._end, UntilDone(), timeout_s=timeout_s, command=command
        )
        lines = [line.strip() for line in raw.decode("latin-1").splitlines() if line.strip()]
        if failed := _ERROR.fullmatch(lines[-1]):
            code = int(failed[1]) if failed[1] else "Error!"
            meaning = self._errors.get(code, "") if isinstance(code, int) else ""
            text = meaning or f"it does not take {command}"
            raise InstrumentError(code, text, **self.about(command))
        echoed = bool(lines) and lines[0].upper() == command.upper()
        return lines[1 if echoed else 0 : -1]

    def garbled(self, reason: str, lines: list[str], command: str) -> ProtocolError:
        """The exception for an answer that makes no sense; what follows it cannot be trusted."""
        self.link.poison()
        raw = "\r\n".join(lines).encode("latin-1")
        return ProtocolError(reason, raw, **self.about(command))

    def about(self, command: str = "") -> dict[str, str]:
        """Whose, where and what, for an exception of `drivers.errors`."""
        return self.link.about(command)
