"""A cable that can be pulled, cut, slowed and disturbed, between a mount and a byte machine.

It wraps what connects a client, so it works the same on every mount and in memory. What the fault
does is decided by the attributes, at any time; nothing happens by itself.
"""

from __future__ import annotations

import asyncio

import numpy as np

from sim_backends.mount import Channel, Connect, Session

__all__ = ["FaultyLine"]

_FLOOD_EVERY_S = 0.01
_NEXT_S = 1e-9
_LONG_AGO_S = float("-inf")


class FaultyLine:
    """The line of one socket. `machine` may be exchanged: that is another box, or a restarted one.

    `pulled`: nothing gets through either way; with `keeps` it does once the cable is in again, as
    TCP sends again what was lost. `refuses`: a new connection is ended at once. `greeting` comes
    first on the next connection, once. `delay_s` holds back all that the instrument says from now
    on; where the line does not keep, as a serial one, that may reach the next client. `cut_next`
    loses the end of the next thing it says, and `cut_share` that of each with this probability,
    drawn from `rng`.
    """

    def __init__(self, machine: Connect, *, keeps: bool = True) -> None:
        self.machine = machine
        self.keeps = keeps
        self.pulled = False
        self.refuses = False
        self.greeting = b""
        self.delay_s = 0.0
        self.cut_next = False
        self.cut_share = 0.0
        self.rng: np.random.Generator | None = None
        self.connections = 0
        self._wires: list[_Wire] = []

    def connect(self, channel: Channel) -> Session:
        """A client has connected."""
        self.connections += 1
        wire = _Wire(self, channel)
        if self.refuses:
            channel.close()
            return wire
        self._wires.append(wire)
        wire.start()
        return wire

    def say_late(self, data: bytes) -> None:
        """What was held back reaches whoever has the line now."""
        for wire in tuple(self._wires):
            wire.channel.send(data)

    def spill(self, data: bytes) -> None:
        """Something that the instrument has not said reaches every client."""
        for wire in tuple(self._wires):
            wire.channel.send(data)

    def cuts(self) -> bool:
        """Whether what is said now loses its end."""
        if self.cut_next:
            self.cut_next = False
            return True
        chance = self.rng if self.cut_share > 0.0 else None
        return chance is not None and bool(chance.random() < self.cut_share)

    def plug_in(self) -> None:
        """Put the cable in again: what was kept of both directions goes on its way."""
        self.pulled = False
        for wire in tuple(self._wires):
            wire.deliver()

    def hang_up(self) -> None:
        """The instrument ends every connection, as when its power goes."""
        for wire in tuple(self._wires):
            wire.end(tell_client=True)

    def go_half_open(self) -> None:
        """The instrument forgets every connection, and no client is told."""
        for wire in tuple(self._wires):
            wire.end(tell_client=False)

    async def flood(self, rng: np.random.Generator, *, seconds: float, bytes_per_s: int) -> None:
        """Send noise to every client."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        while loop.time() < end_s:
            for wire in tuple(self._wires):
                wire.channel.send(rng.bytes(round(bytes_per_s * _FLOOD_EVERY_S)))
            await asyncio.sleep(_FLOOD_EVERY_S)

    def forget(self, wire: _Wire) -> None:
        """A connection has ended."""
        if wire in self._wires:
            self._wires.remove(wire)


class _Wire:
    """One connection: the session that the mount feeds, and the channel of the machine."""

    def __init__(self, line: FaultyLine, channel: Channel) -> None:
        self.channel = channel
        self._line = line
        self._session: Session | None = None
        self._there: list[bytes] = []
        self._back: list[bytes] = []
        self._ended = False
        self._last_s = _LONG_AGO_S  # when the last that was held back arrives

    def start(self) -> None:
        """Connect to the machine; what it says first may already be disturbed."""
        greeting, self._line.greeting = self._line.greeting, b""
        if greeting:
            self.channel.send(greeting)
        self._session = self._line.machine(self)

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._line.pulled:
            self._keep(self._there, data)
        elif self._session is not None:
            self._session.feed(data)

    def closed(self) -> None:
        """The client has gone."""
        self._line.forget(self)
        session, self._session = self._session, None
        self._ended = True
        if session is not None:
            session.closed()

    def send(self, data: bytes) -> bool:
        """Bytes from the machine."""
        if self._ended:
            return False
        if self._line.cuts():
            data = data[: len(data) // 2]
        if self._line.pulled:
            self._keep(self._back, data)
            return True
        if self._line.delay_s <= 0.0 and self._last_s == _LONG_AGO_S:
            return self.channel.send(data)
        loop = asyncio.get_running_loop()
        if self._line.delay_s > 0.0 or self._last_s > loop.time():
            # In order: a line has no overtaking, and the loop fires timers of one instant in any.
            self._last_s = max(loop.time() + self._line.delay_s, self._last_s + _NEXT_S)
            loop.call_at(self._last_s, self._send_late, data)
            return True
        self._last_s = _LONG_AGO_S
        return self.channel.send(data)

    def close(self) -> None:
        """The machine ends the connection."""
        if not self._ended:
            self.channel.close()

    def deliver(self) -> None:
        """The cable is in again."""
        there, self._there = self._there, []
        back, self._back = self._back, []
        for data in back:
            self.channel.send(data)
        for data in there:
            self.feed(data)

    def end(self, *, tell_client: bool) -> None:
        """The machine is gone for this client, who may not notice."""
        session, self._session = self._session, None
        self._ended = True
        if session is not None:
            session.closed()
        if tell_client:
            self._line.forget(self)
            self.channel.close()

    def _keep(self, queue: list[bytes], data: bytes) -> None:
        if self._line.keeps:
            queue.append(data)

    def _send_late(self, data: bytes) -> None:
        if not self._line.keeps:
            self._line.say_late(data)
        elif not self._ended:
            self.channel.send(data)
