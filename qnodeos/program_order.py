"""In which order programs begin, the same at every node: `qnodeos.memory_shares` needs one.

A program begins when the program at the far end of its socket is there too. The following end says
that its own is there; the leading end of the link lets both begin, and until the far end has said
that this is done, nothing else begins at its node. Such a wait is always for a node with a higher
id, so it ends, and no two nodes can see two programs begin in different orders, not even by way of
a third (two-phase locking with ordered locks). A program with sockets to several nodes begins by
the first that meets; what such programs then do to each other ends by their requests' own times.

A far end that does not answer holds the others up for ANSWER_LIMIT_S. Words may be lost and come
twice.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from link_layer.messages import Message, ProgramBegins, ProgramBegun, ProgramHere
from qnodeos.memory_shares import Share, Shares

REPEAT_S = 0.1
REPEAT_LIMIT_S = 2.0
ANSWER_LIMIT_S = 2.0
ALONE_S = 10.0
THERE_KEPT = 4096
"""Sockets of the far end that wait for one of ours; it says so again."""

Key = tuple[str, str]
"""A link, and what the two sockets of programs have in common."""


@dataclass(slots=True)
class _Here:
    share: Share
    alone_s: float
    met: bool = False
    say_s: float = 0.0
    pause_s: float = REPEAT_S


@dataclass(slots=True)
class _Link:
    leads: bool
    send: Callable[[Message], object]
    there: OrderedDict[str, None] = field(default_factory=OrderedDict)


class ProgramOrder:
    """The beginnings of programs at one device; `begun` is called after each."""

    def __init__(self, shares: Shares, clock: Callable[[], float], begun: Callable[[], None]):
        self._shares, self._clock, self._begun = shares, clock, begun
        self._links: dict[str, _Link] = {}
        self._here: dict[Key, _Here] = {}
        """Our sockets that are open."""
        self._told: deque[Key] = deque()
        self._leading: Key | None = None
        self._repeat_s = self._until_s = 0.0

    def join(self, link: str, *, leads: bool, send: Callable[[Message], object]) -> None:
        """A link at this device."""
        self._links[link] = _Link(leads, send)

    def opened(self, link: str, program: str, share: Share) -> None:
        """A program has opened a socket."""
        self._here[link, program] = _Here(share, self._clock() + ALONE_S)
        self.tick()

    def closed(self, link: str, program: str) -> None:
        """It is closed again."""
        self._here.pop((link, program), None)

    def peer_lost(self, link: str) -> None:
        """The far end is gone, or a new process: what it has said counts no more."""
        self._links[link].there.clear()
        if self._leading is not None and self._leading[0] == link:
            self._leading = None
        self._told = deque(key for key in self._told if key[0] != link)
        self.tick()

    def handle(self, link: str, message: ProgramHere | ProgramBegins | ProgramBegun) -> None:
        """Take a word of the far end."""
        key = link, message.program
        match message:
            case ProgramHere() if self._links[link].leads:
                there = self._links[link].there
                there[message.program] = None
                if len(there) > THERE_KEPT:
                    there.popitem(last=False)
            case ProgramBegins() if not self._links[link].leads:
                if key not in self._told and len(self._told) < THERE_KEPT:
                    self._told.append(key)
            case ProgramBegun() if key == self._leading:
                self._leading = None
        self.tick()

    def tick(self) -> None:
        """Begin what can begin, say again what was not answered."""
        now_s = self._clock()
        if self._leading is not None:
            link, program = self._leading
            if now_s >= self._until_s:
                self._leading = None
            elif now_s >= self._repeat_s:
                self._repeat_s = now_s + REPEAT_S
                self._links[link].send(ProgramBegins(link, program))
        while self._leading is None and self._next(now_s):
            self._begun()
        for (link, program), here in self._here.items():
            if here.met:
                continue
            if not here.share.begun and now_s >= here.alone_s:
                self._shares.begin(here.share)
                self._begun()
            if not self._links[link].leads and now_s >= here.say_s:
                here.say_s = now_s + here.pause_s
                here.pause_s = min(2 * here.pause_s, REPEAT_LIMIT_S)
                self._links[link].send(ProgramHere(link, program))

    def _next(self, now_s: float) -> bool:
        """Let one program begin; False if there is none."""
        if self._told:
            link, program = self._told.popleft()
            self._begin((link, program))
            # Also when it is gone meanwhile: the far end waits for this word.
            self._links[link].send(ProgramBegun(link, program))
            return True
        for key in self._here:
            far = self._links[key[0]]
            if far.leads and key[1] in far.there:
                del far.there[key[1]]
                self._begin(key)
                self._leading = key
                self._repeat_s, self._until_s = now_s + REPEAT_S, now_s + ANSWER_LIMIT_S
                far.send(ProgramBegins(*key))
                return True
        return False

    def _begin(self, key: Key) -> None:
        here = self._here.get(key)
        if here is not None:
            here.met = True
            self._shares.begin(here.share)
