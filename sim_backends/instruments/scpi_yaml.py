"""A plain box of questions and answers, as a user's file has it; see `sim_backends.scpi_yaml`."""

from __future__ import annotations

from typing import Final

from sim_backends.mount import Channel
from sim_backends.scpi_yaml import BoxScript

__all__ = ["ScpiYaml"]

_LONGEST: Final = 4096


class ScpiYaml:
    """Its values are shared by all its clients."""

    def __init__(self, script: BoxScript) -> None:
        self.script = script
        self.values: dict[str, int | float | str] = {
            name: each.default for name, each in script.properties.items()
        }

    def connect(self, channel: Channel) -> _Session:
        """A client has connected."""
        return _Session(self, channel)

    def answer(self, question: str) -> str | None:
        """What it says; None for nothing."""
        script = self.script
        if question in script.dialogues:
            return script.dialogues[question]
        for name, each in script.properties.items():
            if question == each.getter:
                return each.form.format(self.values[name])
            found = each.setter.fullmatch(question) if each.setter is not None else None
            if found is not None:
                try:
                    self.values[name] = each.taken(found[1].strip())
                except ValueError:
                    return script.error if each.refusal is None else each.refusal
                return each.reply
        return script.error


class _Session:
    def __init__(self, box: ScpiYaml, channel: Channel) -> None:
        self._box, self._channel = box, channel
        self._end = box.script.ends_question.encode()
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """See Session."""
        self._buffer += data
        *questions, rest = bytes(self._buffer).split(self._end)
        self._buffer[:] = rest if len(rest) <= _LONGEST else b""
        for question in questions:
            answer = self._box.answer(question.decode("latin-1"))
            if answer is not None:
                said = answer + self._box.script.ends_answer
                self._channel.send(said.encode("latin-1", errors="replace"))

    def closed(self) -> None:
        """See Session."""
