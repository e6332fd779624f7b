"""What is known of each node right now, and how old that is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from qnodeos.dashboard.places import LinkPlace, NodePlace, Places
from qnodeos.homie import NO_VALUE, text_of, topic_part

SILENT_S = 1.5
"""A node speaks twice a second; after this long its figures are old."""

UNWATCHED_S = 3.0
"""A page looks at each turn; after this long without one, nobody does."""

IDLE_S = 1.0
"""How often nodes are asked, and troubles looked for, while nobody looks."""

SETTLED_S = 2.0
"""By then a dashboard has heard of who is there."""


@dataclass(slots=True)
class Told:
    """What came one way, over the local socket or the broker."""

    values: dict[str, dict[str, str]] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)
    state: str = ""
    draining: str = ""
    heard_s: float | None = None

    def take(self, topic: str, text: str) -> None:
        """One value, named GROUP/PROPERTY, $state or $alert/KEY; hyphens become `_` again."""
        group, _, name = topic.partition("/")
        if topic == "$state":
            self.state = text
        elif group == "$alert":
            if text:
                self.alarms[name] = text
            else:
                self.alarms.pop(name, None)
        elif not group.startswith("$") and name:
            values, name = self.values.setdefault(group, {}), name.replace("-", "_")
            if text == NO_VALUE:
                values.pop(name, None)
            else:
                values[name] = text_of(text)


@dataclass(slots=True)
class NodeView:
    """One node: the word that came last counts, whichever way it came."""

    place: NodePlace
    clock: Callable[[], float]
    socket: Told = field(default_factory=Told)
    broker: Told = field(default_factory=Told)
    reachable: bool = False
    """The local socket answers: histograms, memory and control can be had."""
    slack_s: float = 0.0
    """How much longer it may be silent because it is asked less often."""

    @property
    def told(self) -> Told:
        """The newest that is known."""
        if self.reachable:
            return self.socket
        socket_s, broker_s = self.socket.heard_s, self.broker.heard_s
        if broker_s is not None and (socket_s is None or broker_s > socket_s):
            return self.broker
        return self.broker if socket_s is None and self.broker.state else self.socket

    @property
    def silent_s(self) -> float | None:
        """How long nothing was heard; None: never heard."""
        heard_s = self.told.heard_s
        return None if heard_s is None else max(0.0, self.clock() - heard_s)

    @property
    def silent(self) -> bool:
        """Its figures are old, or there are none."""
        silent_s = self.silent_s
        return silent_s is None or silent_s > SILENT_S + self.slack_s

    def group(self, name: str) -> dict[str, str]:
        """Figures of one part, as text."""
        return self.told.values.get(topic_part(name), {})

    def instrument(self, name: str) -> dict[str, str]:
        """State, reason and readings of an instrument."""
        return self.group(f"instrument-{name}")

    def peer(self, name: str) -> str:
        """How the wire to a peer is: up, lost or never; "" if not told."""
        return self.told.values.get("peers", {}).get(topic_part(name).replace("-", "_"), "")


@dataclass(slots=True)
class NetworkView:
    """All nodes and links."""

    places: Places
    nodes: dict[str, NodeView]
    clock: Callable[[], float]
    wall: Callable[[], float]
    """Seconds since 1970, for what people read."""
    since_s: float
    looked_s: float | None = None
    _looked: asyncio.Event = field(default_factory=asyncio.Event)

    def look(self) -> None:
        """Somebody looks at a page: what is shown is to be fresh, for a while."""
        self.looked_s = self.clock()
        self._looked.set()

    @property
    def watched(self) -> bool:
        """Somebody looks at a page."""
        return self.looked_s is not None and self.clock() < self.looked_s + UNWATCHED_S

    async def pause(self, every_s: float) -> None:
        """Wait until the next turn: so long while somebody looks, `IDLE_S` or until somebody does
        while nobody does."""
        if self.watched:
            await asyncio.sleep(every_s)
            return
        self._looked.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                await self._looked.wait()

    @classmethod
    def of(
        cls, places: Places, clock: Callable[[], float], wall: Callable[[], float]
    ) -> NetworkView:
        """Nothing heard yet."""
        nodes = {name: NodeView(place, clock) for name, place in places.nodes.items()}
        return cls(places, nodes, clock, wall, clock())

    @property
    def settled(self) -> bool:
        """There was time to hear of every node that is there."""
        return self.clock() >= self.since_s + SETTLED_S

    def calibration(self, link: LinkPlace) -> dict[str, str]:
        """What the end that calibrates a link says of it; nothing where none does."""
        for name in link.ends:
            node = self.nodes.get(name)
            if node is not None and not node.silent:
                told = node.group(f"calibration-{link.name}")
                if told:
                    return told
        return {}

    def station(self, link: LinkPlace) -> dict[str, str]:
        """What the station of a link says of it; nothing where none does."""
        node = self.nodes.get(link.station)
        return {} if node is None or node.silent else node.group(f"link-{link.name}")

    def figures(self, link: LinkPlace) -> dict[str, str]:
        """What the ends say of a link; the leading end's word counts, silent nodes have none."""
        found: dict[str, str] = {}
        for name in link.ends:
            node = self.nodes.get(name)
            if node is None or node.silent:
                continue
            told = node.group(f"link-{link.name}")
            leads = "acquisitions" in told  # it finds the clocks and the pairs
            found = {**found, **told} if leads else {**told, **found}
        return found


def number(figures: dict[str, str], name: str) -> float | None:
    """A figure as a number; None if it is not there or no number."""
    try:
        return float(figures[name])
    except (KeyError, ValueError):
        return None
