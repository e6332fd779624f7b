"""The monitoring line of a simulated DLC pro (TCP port 1999): changes are told without asking.

Facts: the commands and the form of the lines are those that toptica-lasersdk sends and parses; the
tests drive it against this machine. Unverified: that a new subscription is told its value at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sim_backends.instruments.dlcpro import DlcPro
from sim_backends.mount import Channel, take_lines

__all__ = ["DlcProMonitor"]

_COMMAND: Final = re.compile(
    r"\((?P<verb>add|remove|change-ul)\s+'?(?P<name>[^\s()]+)"
    r"(?:\s+(?P<ms>\d+))?(?:\s+(?P<threshold>[-+.\deE]+))?.*\)"
)


@dataclass
class _Subscription:
    interval_s: float
    threshold: float
    told: str = ""
    told_s: float = float("-inf")


class DlcProMonitor:
    """The line beside a controller. `poll` has to be called often: changes are told by it."""

    def __init__(
        self, laser: DlcPro, *, now_s: Callable[[], float], unix_s: Callable[[], float]
    ) -> None:
        self._laser = laser
        self._now_s = now_s
        self._unix_s = unix_s
        self._sessions: list[_Session] = []

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the monitoring line."""
        session = _Session(self, channel)
        self._sessions.append(session)
        return session

    def leave(self, session: _Session) -> None:
        """A client has closed it."""
        self._sessions.remove(session)

    def poll(self) -> None:
        """Tell every client what has changed."""
        for session in tuple(self._sessions):
            for name, subscription in tuple(session.subscriptions.items()):
                self.tell(session, name, subscription)

    def tell(self, session: _Session, name: str, subscription: _Subscription) -> None:
        """Tell one client of one parameter, if there is news and it is time."""
        now_s = self._now_s()
        value = self._laser.told(name)
        if (
            not _is_news(subscription, value)
            or now_s < subscription.told_s + subscription.interval_s
        ):
            return
        subscription.told, subscription.told_s = value, now_s
        time = datetime.fromtimestamp(self._unix_s(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        session.say(f"({time} '{name} {value})")

    def add(self, session: _Session, found: re.Match[str]) -> None:
        """Subscribe, or say that there is no such parameter."""
        name = found["name"]
        value = self._laser.told(name)
        if value.startswith("Error: "):
            code, _, text = value.removeprefix("Error: ").partition(" ")
            time = datetime.fromtimestamp(self._unix_s(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            session.say(f"(Error: {code} ({time} '{name}) {text})")
            return
        interval_s = int(found["ms"] or 0) / 1000
        subscription = _Subscription(interval_s, float(found["threshold"] or 0.0))
        session.subscriptions[name] = subscription
        self.tell(session, name, subscription)


class _Session:
    """One client of the line."""

    def __init__(self, monitor: DlcProMonitor, channel: Channel) -> None:
        self._monitor = monitor
        self._channel = channel
        self._buffer = bytearray()
        self.subscriptions: dict[str, _Subscription] = {}

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer):
            found = _COMMAND.fullmatch(line.decode("utf-8", "replace").strip())
            if found is None:
                continue
            if found["verb"] == "add":
                self._monitor.add(self, found)
            elif found["verb"] == "remove":
                self.subscriptions.pop(found["name"], None)

    def closed(self) -> None:
        self._monitor.leave(self)

    def say(self, line: str) -> None:
        """Send one line."""
        self._channel.send(f"{line}\r\n".encode())


def _is_news(subscription: _Subscription, value: str) -> bool:
    if value == subscription.told:
        return False
    try:
        return abs(float(value) - float(subscription.told)) >= subscription.threshold
    except ValueError:
        return True
