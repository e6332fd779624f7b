"""When programs begin: in one order at every node, as `qnodeos.memory_shares` needs.

A program begins when those at the far ends of all its sockets are there, and those at the ends of
theirs: `qnodeos.program_parts` says how they agree upon the order. Everybody tells the neighbours
of an application what it knows of it, whenever that is something new, and again as long as
something is missing; so words may be lost, and come late and twice.

Where somebody does not play along, waiting has an end, and with it the order: a program whose far
end does not come begins by itself after ALONE_S, and one whose far end does not answer holds up the
others for ANSWER_LIMIT_S.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from link_layer.messages import Message, ProgramHere, ProgramPart
from qnodeos.memory_shares import Share, Shares
from qnodeos.program_parts import Parts, Place, agreed, complete, identity, merged

SOCKETS_S = 0.1
"""A program that runs nothing so long after it has opened a socket opens no more at once."""

REPEAT_S = 0.1
REPEAT_LIMIT_S = 2.0
ANSWER_LIMIT_S = 2.0
ALONE_S = 10.0
THERE_KEPT = 256
"""Sockets of the far end that wait for one of ours; it says so again."""

OVER_KEPT = 32
"""Sockets of ours that are closed, for far ends that have missed the last word."""

MOST_AHEAD = 2**32
"""Nobody is honestly so many programs ahead; a lie must not use up the numbers there are."""

Socket = tuple[str, str]
"""A link, and what the two sockets of programs have in common."""


@dataclass(slots=True, eq=False)
class _Ours:
    """A program at this node; `own` is None until its sockets are known."""

    share: Share
    opened_s: float
    sockets: list[Socket] = field(default_factory=list)
    own: ProgramPart | None = None
    parts: Parts = field(default_factory=dict)
    open: int = 0
    begun: bool = False
    proposed_s: float = 0.0
    say_s: float = 0.0
    pause_s: float = REPEAT_S

    @property
    def place(self) -> Place:
        """Where it stands; of one that is not agreed upon, where it will not stand before."""
        assert self.own is not None
        return agreed(self.parts) or (self.own.proposed, self.own.node)


class ProgramOrder:
    """The beginnings of programs at one device; `begun` is called after each."""

    def __init__(self, shares: Shares, clock: Callable[[], float], begun: Callable[[], None]):
        self._shares, self._clock, self._begun = shares, clock, begun
        self._node = 0
        self._send: dict[str, Callable[[Message], object]] = {}
        self._time = self._births = 0
        self._at: dict[Socket, _Ours] = {}
        """By their sockets that are open."""
        self._over: OrderedDict[Socket, _Ours] = OrderedDict()
        self._there: OrderedDict[Socket, tuple[ProgramPart, ...]] = OrderedDict()

    def join(self, link: str, *, node: int, send: Callable[[Message], object]) -> None:
        """A link at this device of this node."""
        self._send[link], self._node = send, node

    def opened(self, link: str, program: str, share: Share) -> None:
        """A program has opened a socket."""
        now_s = self._clock()
        ours = next((each for each in self._at.values() if each.share is share), None)
        if ours is None or ours.own is not None:
            ours = _Ours(share, now_s)
        ours.opened_s = now_s
        ours.open += 1
        ours.sockets.append((link, program))
        self._at[link, program] = ours

    def all_open(self, share: Share) -> None:
        """The program runs: what it has opened by now is what it needs."""
        for ours in self._programs():
            if ours.share is share and ours.own is None:
                self._announce(ours)

    def closed(self, link: str, program: str) -> None:
        """A socket is closed again."""
        ours = self._at.pop((link, program), None)
        if ours is None:
            return
        ours.open -= 1
        if ours.own is not None:
            self._over[link, program] = ours
            self._over.move_to_end((link, program))
            if len(self._over) > OVER_KEPT:
                self._over.popitem(last=False)
        if not ours.open:
            self._advance()

    def peer_lost(self, link: str) -> None:
        """The far end is gone, or a new process: what it has said counts no more."""
        for socket in [each for each in self._there if each[0] == link]:
            del self._there[socket]
        for ours in self._programs():
            if ours.own is None or agreed(ours.parts):
                continue
            if any(socket[0] == link for socket in ours.sockets):
                ours.parts = merged(ours.own)
                ours.say_s, ours.pause_s = 0.0, REPEAT_S

    def handle(self, link: str, message: ProgramHere) -> None:
        """Take a word of the far end."""
        if any(part.proposed > self._time + MOST_AHEAD for part in message.parts):
            return
        socket = link, message.program
        ours = self._meant(socket, message.parts)
        if ours is not None:
            if self._learn(ours, message.parts):
                self._say(ours)
            elif message.asks and set(ours.parts.values()) - set(message.parts):
                self._say_at(ours, socket, asks=False)
        self._advance()

    def tick(self) -> None:
        """Begin what can begin, say again what was not answered."""
        now_s = self._clock()
        for ours in self._programs():
            if ours.own is None:
                if now_s >= ours.opened_s + SOCKETS_S:
                    self._announce(ours)
                continue
            if not ours.begun and now_s >= ours.opened_s + ALONE_S:
                self._begin(ours)
            if now_s >= ours.say_s and not agreed(ours.parts):
                self._say(ours)
        self._advance()

    def _programs(self) -> list[_Ours]:
        """Those that have sockets open, in the order in which they came."""
        return list(dict.fromkeys(self._at.values()))

    def _meant(self, socket: Socket, told: tuple[ProgramPart, ...]) -> _Ours | None:
        """Our program that this is about; what is for one that has yet to come is kept for it."""
        names, name = {identity(part) for part in told}, _name(socket)
        of_ours = any(part.node == self._node and name in part.sockets for part in told)
        at, over = self._at.get(socket), self._over.get(socket)
        for ours in (at, over):
            if ours is None or ours.own is None:
                continue
            if identity(ours.own) in names if of_ours else not names.isdisjoint(ours.parts):
                return ours
        if of_ours:
            return None  # one that is forgotten
        if at is not None and at.own is not None and not agreed(at.parts):
            return at
        self._there[socket] = told
        self._there.move_to_end(socket)
        if len(self._there) > THERE_KEPT:
            self._there.popitem(last=False)
        return None

    def _announce(self, ours: _Ours) -> None:
        self._births += 1
        names = tuple(_name(socket) for socket in ours.sockets)
        ours.own = ProgramPart(self._node, self._births, names)
        ours.parts = merged(ours.own)
        for socket in ours.sockets:
            self._learn(ours, self._there.pop(socket, ()))
        self._say(ours)
        self._advance()

    def _learn(self, ours: _Ours, told: tuple[ProgramPart, ...]) -> bool:
        """Whether that was something new."""
        assert ours.own is not None
        if agreed(ours.parts):
            return False
        before = ours.parts
        parts = merged(ours.own, before.values(), told)
        if not ours.own.proposed and complete(parts):
            self._time = max(self._time, *(part.proposed for part in parts.values())) + 1
            ours.own = replace(ours.own, proposed=self._time)
            ours.proposed_s = self._clock()
            parts[identity(ours.own)] = ours.own
        ours.parts = parts
        self._time = max(self._time, *(part.proposed for part in parts.values()))
        return parts != before

    def _say(self, ours: _Ours) -> None:
        """To all the far ends; and again after a pause."""
        for socket in ours.sockets:
            self._say_at(ours, socket)
        others_wait = ours.own is not None and ours.own.proposed and not ours.begun
        ours.say_s = self._clock() + (REPEAT_S if others_wait else ours.pause_s)
        ours.pause_s = min(2 * ours.pause_s, REPEAT_LIMIT_S)

    def _say_at(self, ours: _Ours, socket: Socket, *, asks: bool = True) -> None:
        link, program = socket
        self._send[link](ProgramHere(link, program, tuple(ours.parts.values()), asks))

    def _advance(self) -> None:
        """Begin what nothing stands before."""
        waiting = [
            ours
            for ours in self._programs()
            if ours.own is not None and ours.own.proposed and not ours.begun
        ]
        late_s = self._clock() - ANSWER_LIMIT_S
        for ours in sorted(waiting, key=lambda each: each.place):
            if not agreed(ours.parts) and ours.proposed_s > late_s:
                return
            self._begin(ours)

    def _begin(self, ours: _Ours) -> None:
        ours.begun = True
        self._shares.begin(ours.share)
        self._begun()


def _name(socket: Socket) -> str:
    return ":".join(socket)
