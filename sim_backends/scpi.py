"""What simulated SCPI instruments have in common: headers, compound lines, the queue of errors.

Facts: the standard SCPI-1999 (volume 1: 6 headers and compound lines; volume 2: 21.8 errors).
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from sim_backends.mount import Channel, take_lines
from sim_backends.replies import Paced

__all__ = ["Commands", "ScpiBox", "ScpiError", "switch", "value"]

Command = Callable[[str], str | None]
"""Takes the argument of a command, gives the answer of a query; raises ScpiError."""

Commands = Mapping[str, Command]
"""By header as manuals print it: `[SENSe:]CORRection:WAVelength?`, short form in capitals."""

_TEXTS: Final = {
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -200: "Execution error",
    -221: "Settings conflict",
    -222: "Data out of range",
    -224: "Illegal parameter value",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
}
_LINE_LIMIT: Final = 1024
_QUEUE: Final = 30


class ScpiError(Exception):
    """Goes into the queue of errors: one of the standard's codes, or one with a text of its own."""

    def __init__(self, code: int, text: str = "") -> None:
        self.code, self.text = code, text or _TEXTS[code]
        super().__init__(self.code, self.text)


class ScpiBox:
    """An instrument that all its clients share, queue of errors included.

    `ends` are the bytes that end a line, `end` ends an answer. The queries of one line share the
    answer, joined by `;`. `error_form` writes an error of the queue, and code 0 for none.
    """

    def __init__(
        self,
        identity: str,
        commands: Commands,
        *,
        reset: Callable[[], None],
        ends: bytes = b"\n",
        end: str = "\n",
        error_form: Callable[[int, str], str] = lambda code, text: f'{code:+d},"{text}"',
        latency_s: float = 0.0,
    ) -> None:
        self._ends, self._end, self._latency_s = ends, end, latency_s
        self._error_form = error_form
        self._errors: deque[ScpiError] = deque()
        standard: Commands = {
            "*IDN?": lambda _: identity,
            "*OPC?": lambda _: "1",
            "*TST?": lambda _: "0",
            "*STB?": lambda _: str(4 if self._errors else 0),
            "*CLS": lambda _: self._errors.clear(),
            "*RST": lambda _: reset(),
            "SYSTem:ERRor[:NEXT]?": lambda _: self._next_error(),
        }
        self._commands = [(_pattern(key), do) for key, do in {**standard, **commands}.items()]

    def connect(self, channel: Channel) -> _Session:
        """A client has connected."""
        return _Session(self, Paced(channel, self._latency_s))

    @property
    def ends(self) -> bytes:
        """The bytes that end a line."""
        return self._ends

    def run(self, line: str) -> bytes:
        """Run the commands of one line; what it answers, b"" for nothing."""
        answers: list[str] = []
        branch = ""
        for part in line.split(";"):
            header, _, argument = part.strip().partition(" ")
            if not header:
                continue
            try:
                command, branch = self._find(header.upper(), branch)
                answer = command(argument.strip())
            except ScpiError as error:
                self.error(error)
            else:
                if answer is not None:
                    answers.append(answer)
        return f"{';'.join(answers)}{self._end}".encode() if answers else b""

    def error(self, error: ScpiError) -> None:
        """Put an error into the queue; a full queue ends in "Queue overflow"."""
        if len(self._errors) < _QUEUE - 1:
            self._errors.append(error)
        elif self._errors[-1].code != -350:
            self._errors.append(ScpiError(-350))

    def all_errors(self) -> str:
        """All of the queue in one answer, which empties it."""
        errors = [self._next_error()]
        while self._errors:
            errors.append(self._next_error())
        return ",".join(errors)

    def _find(self, header: str, branch: str) -> tuple[Command, str]:
        """The command of a header, and the branch on which the next one of the line may go on."""
        full = header.lstrip(":")
        names = [full] if header.startswith((":", "*")) or not branch else [branch + full, full]
        for name in names:
            for pattern, command in self._commands:
                if pattern.fullmatch(name):
                    # A common command leaves the branch as it is.
                    return command, branch if name[0] == "*" else name[: name.rfind(":") + 1]
        raise ScpiError(-113)

    def _next_error(self) -> str:
        error = self._errors.popleft() if self._errors else None
        return self._error_form(*((0, "No error") if error is None else (error.code, error.text)))


class _Session:
    """One client's lines."""

    def __init__(self, box: ScpiBox, out: Paced) -> None:
        self._box, self._out = box, out
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        lines = take_lines(self._buffer, self._box.ends, limit=len(self._buffer))
        if len(self._buffer) > _LINE_LIMIT:
            self._buffer.clear()
            self._box.error(ScpiError(-363))
        for line in lines:
            if len(line) > _LINE_LIMIT:
                self._box.error(ScpiError(-363))
            elif answer := self._box.run(line.decode("ascii", "replace").strip()):
                self._out.send(answer)

    def closed(self) -> None:
        pass


def value(
    argument: str,
    low: float,
    high: float,
    *,
    unit: str = "",
    names: Mapping[str, float] | None = None,
) -> float:
    """A number within a range, with or without its unit, or MIN, MAX and other `names`."""
    text = argument.upper()
    known = {"MIN": low, "MAX": high, **(names or {})}
    if not text:
        raise ScpiError(-109)
    if text in known:
        return known[text]
    try:
        number = float(text.removesuffix(unit.upper()).strip())
    except ValueError:
        raise ScpiError(-104) from None
    if math.isnan(number) or not low <= number <= high:
        raise ScpiError(-222)
    return number


def switch(argument: str) -> bool:
    """ON, OFF, 1 or 0."""
    words = {"1": True, "ON": True, "0": False, "OFF": False}
    if not argument:
        raise ScpiError(-109)
    if argument.upper() not in words:
        raise ScpiError(-224)
    return words[argument.upper()]


def _pattern(header: str) -> re.Pattern[str]:
    """What matches the long and the short form of a header as a manual prints it, in capitals."""

    def part(found: re.Match[str]) -> str:
        if found[1]:
            return f"{found[1]}(?:{found[2].upper()})?" if found[2] else found[1]
        return {"[": "(?:", "]": ")?"}.get(found[0], re.escape(found[0]))

    return re.compile(re.sub(r"([A-Z]+)([a-z]*)|.", part, header))
