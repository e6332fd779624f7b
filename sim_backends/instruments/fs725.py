"""A Stanford Research Systems FS725 rubidium standard on its serial line.

Facts: the readings of two real PRS10 as glacier.lbl.gov prints them, the commands of
taishi-hashimoto/prs10, the status bytes as it and the PRS10 monitor list them from the manual.
Unverified: which bits are set while it warms up, how long it takes to lock to a pulse, and that
what is no command is answered by nothing but a status bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from sim_backends.mount import Channel, take_lines
from sim_backends.replies import Paced

__all__ = ["Fs725"]

_PULSES: Final = 256
_WARM_C: Final = 55.0
_BAD_SYNTAX: Final = (5, 5)
_RESET: Final = (5, 7)


class Fs725:
    """The clock. It is locked `warm_up_s` after it was switched on, if `lamp_failed` does not hold.

    `pps_offset_ns` is its time minus that of the pulse at its input, None for no pulse; `jump_ns`
    moves it. With `follow` set (PL 1) it follows, and the offset goes away with `servo_s`.
    """

    def __init__(
        self,
        serial: str,
        rng: np.random.Generator,
        *,
        now_s: Callable[[], float],
        warm_up_s: float = 360.0,
        pps_offset_ns: float | None = None,
        servo_s: float = 100.0,
        latency_s: float = 0.03,
    ) -> None:
        self.lamp_failed = False
        self._serial, self._rng, self._now_s = serial, rng, now_s
        self._latency_s, self._servo_s = latency_s, servo_s
        self._on_s, self._warm_up_s = now_s(), warm_up_s
        self._offset_ns, self._offset_s = pps_offset_ns, now_s()
        self.follow = True
        self._follow_s = now_s()
        self._latched = [0] * 6
        self._latch(*_RESET)
        self._latch_causes()

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        return _Session(self, Paced(channel, self._latency_s))

    @property
    def locked(self) -> bool:
        """The oscillator to the rubidium line."""
        return self._now_s() >= self._on_s + self._warm_up_s and not self.lamp_failed

    @property
    def follows(self) -> bool:
        """The clock to the pulse: after so many good ones."""
        since_s = max(self._follow_s, self._on_s + self._warm_up_s, self._offset_s)
        has_pulse = self._offset_ns is not None
        return self.locked and self.follow and has_pulse and self._now_s() >= since_s + _PULSES

    def jump_ns(self, offset_ns: float | None) -> None:
        """The pulse is elsewhere from now on, or gone."""
        self._offset_ns, self._offset_s = offset_ns, self._now_s()

    def note(self) -> None:
        """Latch what is wrong now; called before each command, and by a fault that passes."""
        self._latch_causes()

    def run(self, text: str) -> str:
        """The answer to one command, "" for none."""
        self._latch_causes()
        command = text.upper().replace(" ", "")
        answers: dict[str, Callable[[], str]] = {
            "ID?": lambda: f"PRS10_3.24_SN_{self._serial}",
            "SN?": lambda: self._serial,
            "LO?": lambda: str(int(self.locked)),
            "ST?": self._status,
            "PL?": lambda: str(int(self.follow)),
            "TT?": self._tag,
            "PT?": lambda: "8",
            "PF?": lambda: "2",
            "PI?": lambda: "-21",
            "FC?": lambda: "1596,2048",
            "DS?": lambda: "6,412",
            "SF?": lambda: "-22",
            "GA?": lambda: "7",
            "PH?": lambda: "24",
            "MO?": lambda: "2949",
            "MR?": lambda: "2944",
            "AD10?": lambda: f"{self._case_c() / 100:.3f}",
        }
        if command in answers:
            return answers[command]()
        if command in ("PL0", "PL1"):
            self.follow, self._follow_s = command == "PL1", self._now_s()
        elif command:
            self._latch(*_BAD_SYNTAX)
        return ""

    def _latch(self, byte: int, bit: int) -> None:
        self._latched[byte] |= 1 << bit

    def _latch_causes(self) -> None:
        cold = self._now_s() < self._on_s + self._warm_up_s
        causes = {
            (0, 4): self.lamp_failed,
            (2, 0): cold,
            (2, 4): cold,
            (3, 0): not self.locked,
            (4, 0): not self.follow,
            (4, 1): self.follow and not self.follows,
            (4, 2): self.follows,
            (4, 7): self._offset_ns is None,
        }
        for (byte, bit), holds in causes.items():
            if holds:
                self._latch(byte, bit)

    def _status(self) -> str:
        told, self._latched = self._latched, [0] * 6
        return ",".join(str(byte) for byte in told)

    def _tag(self) -> str:
        if self._offset_ns is None:
            return "-1"
        offset_ns = self._offset_ns
        if self.follows:
            gone_s = self._now_s() - (self._offset_s + _PULSES)
            offset_ns *= float(np.exp(-max(0.0, gone_s) / self._servo_s))
        tag_ns = round(offset_ns + 3.0 * float(self._rng.standard_normal()))
        return str(tag_ns % 10**9)

    def _case_c(self) -> float:
        warmth = min(1.0, (self._now_s() - self._on_s) / max(self._warm_up_s, 1e-9))
        return 25.0 + (_WARM_C - 25.0) * warmth


class _Session:
    """One client's commands."""

    def __init__(self, clock: Fs725, out: Paced) -> None:
        self._clock, self._out = clock, out
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, b"\r\n", limit=64):
            if answer := self._clock.run(line.decode("ascii", "replace").strip()):
                self._out.send(f"{answer}\r".encode())

    def closed(self) -> None:
        pass
