"""An OZ Optics DD-100-MC attenuator on its serial line.

Facts: QMI's driver, which is run against this machine, and hispec's, which lists the commands and
errors. Unverified: the layout of `CD`, the speed of the motor, and that the position is unknown
after a loss of power in a move only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sim_backends.mount import Channel, take_lines
from sim_backends.replies import Paced

__all__ = ["OzDd100"]

_LOSS_DB: Final = 0.8
_LARGEST_DB: Final = 60.0
_STEPS_PER_DB: Final = 120.0
_DB_PER_S: Final = 40.0
_HOMING_S: Final = 8.0
_SELF_TEST_S: Final = 2.0


class OzDd100:
    """The attenuator; while it moves it answers nothing else."""

    def __init__(self, *, now_s: Callable[[], float], latency_s: float = 0.02) -> None:
        self.latency_s = latency_s
        self._now_s = now_s
        self._from_db = self._to_db = _LARGEST_DB
        self._since_s = now_s()
        self._known = True

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        return _Session(self, Paced(channel, self.latency_s))

    def lose_position(self) -> None:
        """As after a loss of power during a move."""
        self._known = False

    @property
    def attenuation_db(self) -> float:
        """What light sees now."""
        way_db = self._to_db - self._from_db
        gone_db = min(abs(way_db), _DB_PER_S * (self._now_s() - self._since_s))
        return self._from_db + (gone_db if way_db > 0 else -gone_db)

    def run(self, text: str) -> tuple[str, float]:
        """The answer to one command, and how long the motor needs before it comes."""
        command = text.upper()
        if command in ("D", "A?"):
            steps = round((self.attenuation_db - _LOSS_DB) * _STEPS_PER_DB)
            shown = f"{self.attenuation_db:.2f}" if self._known else "unknown"
            return f"DPos:{steps}\r\nATTEN:{shown}\r\nDone\r\n\r\n", 0.0
        if command == "CD":
            lines = ("DD-100-MC", f"IL:{_LOSS_DB:.2f}", f"MAX ATTEN:{_LARGEST_DB:.2f}", "WL:1550")
            return "\r\n".join([*lines, "Done", "", ""]), 0.0
        if command in ("H", "RST"):
            self._known = True
            self._go(_LOSS_DB)
            needed_s = _HOMING_S + (_SELF_TEST_S if command == "RST" else 0.0)
            return "Diff=2\r\nDone\r\n\r\n", needed_s
        if found := re.fullmatch(r"A(\d{1,3}(?:\.\d{1,2})?)", command):
            wanted_db = float(found[1])
            if not _LOSS_DB <= wanted_db <= _LARGEST_DB:
                return "Error-6\r\n\r\n", 0.0
            way_db = abs(wanted_db - self.attenuation_db)
            self._go(round(wanted_db * _STEPS_PER_DB) / _STEPS_PER_DB)
            steps = round((self._to_db - _LOSS_DB) * _STEPS_PER_DB)
            return f"Pos:{steps}\r\nDone\r\n\r\n", way_db / _DB_PER_S
        return "Error-2\r\n\r\n", 0.0

    def _go(self, attenuation_db: float) -> None:
        self._from_db, self._since_s = self.attenuation_db, self._now_s()
        self._to_db = attenuation_db


class _Session:
    """One client's commands, one after the other."""

    def __init__(self, box: OzDd100, out: Paced) -> None:
        self._box, self._out = box, out
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, b"\r\n", limit=64):
            text = line.decode("ascii", "replace").strip()
            if text:
                answer, busy_s = self._box.run(text)
                self._out.hold(busy_s)
                self._out.send(answer.encode())

    def closed(self) -> None:
        pass
