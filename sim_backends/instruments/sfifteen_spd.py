"""An S-Fifteen single photon detector as its USB serial port shows it.

Facts: the commands are those of the vendor's client S15lib, which can be run against this machine.
Unverified: the words of `*idn?`, ranges, and the answer to what is no command.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sim_backends.avalanche import AvalancheDiode
from sim_backends.mount import Channel, take_lines

__all__ = ["SFifteenSpd"]

_VALUES: Final = {
    "hvolt": (0.0, 300.0),
    "threshvolt": (0.0, 5.0),
    "settemp": (-60.0, 30.0),
    "loop": (0.0, 1.0),
    "constp": (0.0, 100.0),
    "consti": (0.0, 100.0),
    "pvolt": (0.0, 5.0),
    "time": (1.0, 65_535.0),
    "delay": (0.0, 100.0),
}
_COOLING_C_PER_S: Final = 2.0
_ROOM_C: Final = 24.0


class SFifteenSpd:
    """The detector; every client sees the same answers, as on one serial line."""

    def __init__(self, diode: AvalancheDiode, serial: str) -> None:
        self._diode = diode
        self._serial = serial
        self._channels: list[Channel] = []
        self._gate: asyncio.TimerHandle | None = None
        self._cooled_s = asyncio.get_running_loop().time()
        self._temperature_c = _ROOM_C
        self.values = dict.fromkeys(_VALUES, 0.0) | {"time": 100.0, "settemp": -20.0}

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        self._channels.append(channel)
        return _Session(self, channel)

    def leave(self, channel: Channel) -> None:
        """A client has closed the port."""
        self._channels.remove(channel)

    def run(self, command: str) -> None:
        """Do what one command says; while a gate is open nothing else is heard."""
        if self._gate is not None:
            return
        name, _, argument = command.strip().lower().partition(" ")
        match name:
            case "*idn?":
                self._say(f"S-Fifteen SPD, S/N {self._serial}")
            case "counts?":
                self._open_gate()
            case "temp?":
                self._say(f"{self._temperature():.3f}")
            case "hvolt?":
                self._say(f"{self._diode.bias_v:.2f}")
            case "help" | "save":
                self._say("ok")
            case _ if name.endswith("?") and name[:-1] in _VALUES:
                self._say(f"{self.values[name[:-1]]:g}")
            case _ if name in _VALUES:
                self._set(name, argument)

    def _set(self, name: str, argument: str) -> None:
        try:
            value = float(argument)
        except ValueError:
            return
        low, high = _VALUES[name]
        if not low <= value <= high:
            return
        self._temperature()
        self.values[name] = value
        if name == "hvolt":
            self._diode.set_bias_v(value)

    def _open_gate(self) -> None:
        before = self._diode.clicks()
        loop = asyncio.get_running_loop()
        self._gate = loop.call_later(self.values["time"] / 1000, self._close_gate, before)

    def _close_gate(self, before: int) -> None:
        self._gate = None
        self._say(str(self._diode.clicks() - before))

    def _temperature(self) -> float:
        """It goes to its set point, or to the room's, at a steady rate."""
        now_s = asyncio.get_running_loop().time()
        goal = self.values["settemp"] if self.values["loop"] else _ROOM_C
        most = _COOLING_C_PER_S * (now_s - self._cooled_s)
        self._temperature_c += min(most, max(-most, goal - self._temperature_c))
        self._cooled_s = now_s
        return self._temperature_c

    def _say(self, text: str) -> None:
        for channel in self._channels:
            channel.send(f"{text}\r\n".encode())


class _Session:
    """What one client has written: commands end with `;` or at the end of a line."""

    def __init__(self, box: SFifteenSpd, channel: Channel) -> None:
        self._box = box
        self._channel = channel
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, b";\r\n", limit=256):
            if text := line.decode("ascii", "replace").strip():
                self._box.run(text)

    def closed(self) -> None:
        self._box.leave(self._channel)
