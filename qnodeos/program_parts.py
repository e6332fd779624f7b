"""Which programs at several nodes belong together, and in which order they begin.

The programs of an application are joined by the sockets that they have in common. Each node tells
the others what it knows of an application; what two of them know is merged, in any order and any
number of times, with the same result. A part that knows of both ends of every socket proposes a
time: one more than the highest that its node has heard of. The application begins at the highest of
its parts' times, at every node after all that have lower ones. This is Skeen's total order of
messages to several groups (Birman and Joseph 1987, ACM TOCS 5, 47): two nodes that have two
applications in common begin them in the same order, and no circle goes over more of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from link_layer.messages import MOST_PARTS, ProgramPart

Parts = dict[tuple[int, int, tuple[str, ...]], ProgramPart]
"""Programs of one application, by who they are."""

Place = tuple[int, int]
"""Where something stands among all that begins: a proposed time, and the node that proposed it."""


def identity(part: ProgramPart) -> tuple[int, int, tuple[str, ...]]:
    """What does not change of a part."""
    return part.node, part.born, part.sockets


def merged(own: ProgramPart, *many: Iterable[ProgramPart]) -> Parts:
    """What is known of the application of `own`, of all that was told.

    A node has one program at a socket: of two, the one born later counts, except that `own` stands.
    """
    known: Parts = {}
    for parts in many:
        for part in parts:
            before = known.get(identity(part))
            if before is None or part.proposed > before.proposed:
                known[identity(part)] = part
    known[identity(own)] = own
    youngest: dict[tuple[int, str], int] = {}
    for part in known.values():
        for socket in part.sockets:
            place = part.node, socket
            youngest[place] = max(youngest.get(place, 0), part.born)
    youngest |= {(own.node, socket): own.born for socket in own.sockets}
    return _joined(
        own,
        [
            part
            for part in known.values()
            if all(youngest[part.node, socket] == part.born for socket in part.sockets)
        ],
    )


def _joined(own: ProgramPart, parts: list[ProgramPart]) -> Parts:
    """Those that sockets join to `own`, by way of others too."""
    found, sockets = {identity(own): own}, set(own.sockets)
    more = True
    while more and len(found) < MOST_PARTS:
        more = False
        for part in parts:
            if identity(part) not in found and not sockets.isdisjoint(part.sockets):
                found[identity(part)] = part
                sockets.update(part.sockets)
                more = True
    return found


def complete(parts: Parts) -> bool:
    """Whether both ends of every socket are known."""
    ends = Counter(socket for part in parts.values() for socket in part.sockets)
    return all(count >= 2 for count in ends.values())


def agreed(parts: Parts) -> Place | None:
    """Where the application stands; None until all its parts have proposed."""
    if not complete(parts) or not all(part.proposed for part in parts.values()):
        return None
    return max((part.proposed, part.node) for part in parts.values())
