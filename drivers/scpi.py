"""What drivers of instruments that talk in lines of text share: questions, answers, errors.

`Lines` asks one thing at a time and reads the answer strictly. `Scpi` adds the queue of errors,
which is how an SCPI instrument says that it did not take a command.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from drivers.draining import drain
from drivers.errors import InstrumentError, ProtocolError
from drivers.framing import LINE_LF, Framing
from drivers.links.base import Link

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ERROR = re.compile(r'\s*([+-]?\d+)\s*(?:,\s*"?([^"]*)"?\s*)?')
_FLAGS = {"1": True, "ON": True, "0": False, "OFF": False}
_MAX_QUEUED_ERRORS = 32


class Lines:
    """Questions and answers of one line each, on the link of one instrument.

    `end` ends what is sent, `framing` takes the answers. Raises the exceptions of `drivers.errors`;
    an answer of another form than asked for is a ProtocolError and poisons the link.
    """

    def __init__(
        self,
        link: Link,
        *,
        end: bytes = b"\n",
        framing: Framing = LINE_LF,
        timeout_s: float = 1.0,
    ):
        self.link = link
        self._end = end
        self._framing = framing
        self._timeout_s = timeout_s

    async def settle(self, *, quiet_s: float = 0.05, limit_s: float = 1.0) -> None:
        """End half a command that an earlier life has left, and drop late answers."""
        await self.link.send(self._end)
        await drain(self.link, quiet_s=quiet_s, limit_s=limit_s)

    async def say(self, command: str) -> None:
        """Send what has no answer."""
        await self.link.send(command.encode() + self._end, timeout_s=self._timeout_s)

    async def ask(self, command: str, *, timeout_s: float | None = None) -> str:
        """Send and return the answer, without spaces at its ends."""
        reply = await self.link.exchange(
            command.encode() + self._end,
            self._framing,
            timeout_s=timeout_s or self._timeout_s,
            command=command,
        )
        return reply.decode("latin-1").strip()

    async def number(self, command: str) -> float:
        """The answer as a number."""
        text = await self.ask(command)
        if _NUMBER.fullmatch(text) is None:
            raise self.garbled("expected a number", text, command)
        return float(text)

    async def integer(self, command: str) -> int:
        """The answer as a whole number, which some instruments write as 1.0."""
        value = await self.number(command)
        if not value.is_integer():
            raise self.garbled("expected a whole number", str(value), command)
        return int(value)

    async def flag(self, command: str) -> bool:
        """The answer as on or off."""
        text = await self.ask(command)
        if text.upper() not in _FLAGS:
            raise self.garbled("expected 0 or 1", text, command)
        return _FLAGS[text.upper()]

    async def fields(self, command: str, count: int) -> list[str]:
        """The answer as this many fields between commas."""
        text = await self.ask(command)
        fields = [field.strip() for field in text.split(",")]
        if len(fields) != count:
            raise self.garbled(f"expected {count} fields between commas", text, command)
        return fields

    def garbled(self, reason: str, text: str, command: str) -> ProtocolError:
        """The exception for an answer that makes no sense; what follows it cannot be trusted."""
        self.link.poison()
        return ProtocolError(reason, text.encode("latin-1"), **self.about(command))

    def about(self, command: str = "") -> dict[str, str]:
        """Whose, where and what, for an exception of `drivers.errors`."""
        return self.link.about(command)


class Scpi(Lines):
    """Lines to an instrument that keeps what went wrong in a queue, asked by `errors`.

    An error is `-222,"Data out of range"`, or a number alone, whose text is then in `meanings`.
    """

    def __init__(
        self,
        link: Link,
        *,
        errors: str = "SYST:ERR?",
        meanings: Mapping[int, str] | None = None,
        end: bytes = b"\n",
        framing: Framing = LINE_LF,
        timeout_s: float = 1.0,
    ):
        super().__init__(link, end=end, framing=framing, timeout_s=timeout_s)
        self._errors = errors
        self._meanings = meanings or {}
        # An error belongs to the command before it, so nobody else may set or look in between.
        self._turn = asyncio.Lock()

    async def set(self, command: str) -> None:
        """Send a command and look whether it was taken; raises InstrumentError."""
        async with self._turn:
            await self.say(command)
            code, text = await self._next_error()
        if code != 0:
            raise InstrumentError(code, text, **self.about(command))

    async def forget_errors(self) -> None:
        """Empty the queue of what happened before us; raises InstrumentError when it never ends."""
        async with self._turn:
            for _ in range(_MAX_QUEUED_ERRORS):
                if (await self._next_error())[0] == 0:
                    return
        raise InstrumentError(
            "queue", "its error queue does not become empty", **self.about(self._errors)
        )

    async def _next_error(self) -> tuple[int, str]:
        text = await self.ask(self._errors)
        found = _ERROR.fullmatch(text)
        if found is None:
            raise self.garbled('expected an error such as +0,"No error"', text, self._errors)
        code = int(found[1])
        return code, found[2] or self._meanings.get(code, "no text")
