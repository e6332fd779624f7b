"""An OZ Optics EPC-04 polarization controller on its serial line.

Facts: QMI's driver, which is run against this machine, and its tests; pyLabLib's driver.
Unverified: that `Error!` comes without `Done`, and the answers to `VH`, `VL`, `VZ` and the modes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sim_backends.mount import Channel, take_lines
from sim_backends.replies import Paced
from sim_backends.squeezers import Squeezers

__all__ = ["OzEpc"]

_CHANNELS: Final = 4
_LIMIT_MV: Final = 5000
_COMMAND: Final = re.compile(
    r"(?P<name>VF\?|V\?|M\?|F\?|WF\?|MAC|MDC|WF[12]|ENVF[01]|SAVE)"
    r"|(?P<fixed>V[HLZF])(?P<fixed_channel>[1-4])"
    r"|(?P<set>[VF])(?P<channel>[1-4]),(?P<value>[+-]?\d{1,5})"
)


class OzEpc:
    """The controller; with `echo` it repeats what it is sent before it answers.

    `voltages_mv` is what is on the squeezers in DC mode. `advance` brings the world up to now
    before anything is changed in it.
    """

    def __init__(
        self,
        squeezers: Squeezers | None = None,
        *,
        advance: Callable[[], None] = lambda: None,
        echo: bool = False,
        latency_s: float = 0.03,
    ) -> None:
        self.voltages_mv = [0] * _CHANNELS if squeezers is None else squeezers.drives_mv
        self.echo = echo
        self._advance = advance
        self._latency_s = latency_s
        self._mode = "DC"
        self._frequencies_hz = [7, 17, 37, 71]
        self._sine = True
        self._mixed = False
        self._alternating = [False] * _CHANNELS

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        return _Session(self, Paced(channel, self._latency_s))

    def run(self, text: str) -> str:
        """The answer to one command, ended by `Done`; `Error!` to what is none."""
        found = _COMMAND.fullmatch(text.upper())
        answer = None if found is None else self._answer(found)
        return "Error!\r\n" if answer is None else f"{answer}\r\nDone\r\n"

    def _answer(self, found: re.Match[str]) -> str | None:
        if found["set"] == "V":
            channel, value = int(found["channel"]), int(found["value"])
            if abs(value) > _LIMIT_MV:
                return None
            self._advance()
            self.voltages_mv[channel - 1] = value
            return f"Set CH{channel} DC Voltage at: {value}mV"
        if found["set"] == "F":
            channel, value = int(found["channel"]), int(found["value"])
            if not 0 <= value <= 100:
                return None
            self._frequencies_hz[channel - 1] = value
            return f"Set CH{channel} Frequency at: {value}Hz"
        if found["fixed"] == "VF":
            channel = int(found["fixed_channel"])
            self._alternating[channel - 1] ^= True
            return f"CH{channel}-{'F' if self._alternating[channel - 1] else 'V'}"
        if found["fixed"]:
            channel = int(found["fixed_channel"])
            value = {"H": _LIMIT_MV, "L": -_LIMIT_MV, "Z": 0}[found["fixed"][1]]
            self._advance()
            self.voltages_mv[channel - 1] = value
            return f"Set CH{channel} DC Voltage at: {value}mV"
        return self._named(found["name"])

    def _named(self, name: str) -> str:
        wave = "Sine" if self._sine else "Triangle"
        match name:
            case "V?":
                shown = " ".join(f"CH{n} {v:+05d}" for n, v in enumerate(self.voltages_mv, 1))
                return f"Voltage(mV): {shown}"
            case "F?":
                shown = "  ".join(f"CH{n} {f:03d}" for n, f in enumerate(self._frequencies_hz, 1))
                return f"Frequency(Hz): {shown}"
            case "M?":
                return "Work Mode: DC" if self._mode == "DC" else f"Work Mode: AC({wave})"
            case "VF?":
                kinds = " ".join(
                    f"CH{n}-{'F' if on else 'V'}" for n, on in enumerate(self._alternating, 1)
                )
                return f"DC in AC {'enabled' if self._mixed else 'disabled'}: {kinds}"
            case "WF?":
                return f"AC Waveform: {wave}"
            case "MAC" | "MDC":
                self._mode = name[1:]
                return f"Set To {self._mode} Mode"
            case "WF1" | "WF2":
                self._sine = name == "WF1"
                return f"Set Waveform: {'Sine' if self._sine else 'Triangle'}"
            case "ENVF0" | "ENVF1":
                self._mixed = name == "ENVF1"
                return f"DC in AC {'enabled' if self._mixed else 'disabled'}"
        return "Saved"


class _Session:
    """One client's commands."""

    def __init__(self, box: OzEpc, out: Paced) -> None:
        self._box, self._out = box, out
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, b"\r\n", limit=64):
            text = line.decode("ascii", "replace").strip()
            if text:
                echo = f"{text}\r\n" if self._box.echo else ""
                self._out.send((echo + self._box.run(text)).encode())

    def closed(self) -> None:
        pass
