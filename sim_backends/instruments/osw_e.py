"""A Thorlabs OSW-E fibre switch on its serial line.

Facts: PnPQ's driver, tried on an OSW22-1310E, and qudi's, which found that the first answer after a
command may be the state before it. Unverified: the words of `I?` and `T?`, and that what is no
command is not answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim_backends.mount import Channel, take_lines
from sim_backends.replies import Paced

__all__ = ["OswE"]

_SWITCHING_S: Final = 0.15


class OswE:
    """The switch. `state`: 1 is bar, 2 is cross; `stuck` makes it stay where it is."""

    def __init__(
        self, model: str = "OSW12-1310E", *, now_s: Callable[[], float], latency_s: float = 0.005
    ) -> None:
        self.stuck = False
        self._model, self._now_s, self._latency_s = model, now_s, latency_s
        self._state, self._before = 1, 1
        self._since_s = float("-inf")

    @property
    def state(self) -> int:
        """The state in which light sees it."""
        settled = self._now_s() >= self._since_s + _SWITCHING_S
        return self._state if settled else self._before

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        return _Session(self, Paced(channel, self._latency_s))

    def run(self, command: str) -> str:
        """The answer to a command, "" for none."""
        match command.upper():
            case "S 1" | "S 2" if not self.stuck:
                self._before, self._since_s = self.state, self._now_s()
                self._state = int(command[-1])
            case "S?":
                return str(self.state)
            case "T?":
                return "1" if "12" in self._model else "2"
            case "I?":
                return f"{self._model} v1.0"
        return ""


class _Session:
    """One client's commands."""

    def __init__(self, switch: OswE, out: Paced) -> None:
        self._switch, self._out = switch, out
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, limit=64):
            if answer := self._switch.run(line.decode("ascii", "replace").strip()):
                self._out.send(f"{answer}\r\n".encode())

    def closed(self) -> None:
        pass
