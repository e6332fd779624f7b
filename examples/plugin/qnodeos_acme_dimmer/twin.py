"""The simulated attenuator, written from the manual: it shares nothing with the driver."""

from __future__ import annotations

from qnodeos.plugin import Channel

HIGHEST_DB = 60.0


class Twin:
    """One instrument; all its clients see the same attenuation."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.attenuation_db = 0.0

    def connect(self, channel: Channel) -> Session:
        """A client has connected."""
        return Session(self, channel)

    def answer(self, line: str) -> str:
        """What it says to one line; "" for nothing."""
        word, _, argument = line.strip().upper().partition(" ")
        if word == "*IDN?":
            return f"ACME,Dimmer,{self.serial},1.0"
        if word == "ATT?":
            return f"{HIGHEST_DB if argument == 'MAX' else self.attenuation_db:.2f}"
        if word == "ATT":
            return self._set(argument)
        return "ERR unknown command" if word else ""

    def _set(self, argument: str) -> str:
        try:
            value = float(argument)
        except ValueError:
            return "ERR not a number"
        if not 0.0 <= value <= HIGHEST_DB:
            return "ERR out of range"
        self.attenuation_db = value
        return "OK"


class Session:
    """What one client has said."""

    def __init__(self, twin: Twin, channel: Channel) -> None:
        self._twin = twin
        self._channel = channel
        self._heard = b""

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            answer = self._twin.answer(line.decode("latin-1"))
            if answer:
                self._channel.send(answer.encode() + b"\n")

    def closed(self) -> None:
        """The client is gone."""
