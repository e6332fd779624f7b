"""What is looked at closely: asked of the nodes only while a page shows it, once for all pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from qnodeos.client import connect
from qnodeos.dashboard.places import LinkPlace
from qnodeos.dashboard.view import NetworkView, NodeView
from qnodeos.errors import QnodeosError

LOOK_EVERY_S = 0.1
NODE_EVERY_S = 0.5
UNWATCHED_S = 3.0
"""A page asks at each turn; after this long without one, the node is left alone."""

ANSWER_LIMIT_S = 2.0
RETRY_S = 0.5
SAMPLES = 1200
"""Two minutes of a link."""

RATE_OVER_S = 3.0
GAP_S = 2.0
"""Samples farther apart than this are not joined by a line."""

Answer = dict[str, Any]
Sample = tuple[float, Answer]


class Sight:
    """One thing of one node; `answer` is the last word, None while there is none."""

    def __init__(self, node: NodeView, every_s: float, method: str, **arguments: Any):
        self.answer: Answer | None = None
        self._node, self._every_s = node, every_s
        self._method, self._arguments = method, arguments
        self._wanted_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self.heard: Callable[[Answer], None] = lambda answer: None

    def look(self) -> Answer | None:
        """The last word; asks for more of them for a while."""
        self._wanted_s = self._node.clock()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask())
        return self.answer

    async def _ask(self) -> None:
        while self._wanted:
            try:
                async with connect(self._node.place.data_dir) as there:
                    while self._wanted:
                        async with asyncio.timeout(ANSWER_LIMIT_S):
                            self.answer = await there.call(self._method, **self._arguments)
                        self.heard(self.answer)
                        await asyncio.sleep(self._every_s)
            except (QnodeosError, OSError, TimeoutError):
                self.answer = None
                await asyncio.sleep(RETRY_S)
        self.answer = None

    @property
    def _wanted(self) -> bool:
        return self._node.clock() < self._wanted_s + UNWATCHED_S


class LinkSight:
    """A link seen from all its ends on this computer, with its last two minutes."""

    def __init__(self, link: LinkPlace, network: NetworkView):
        self.link = link
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._wall = network.wall
        self._from = ""
        self.taken = 0
        """Samples so far, those included that are gone."""
        self.drawn: tuple[Answer, Answer] | None = None
        """The last histogram and what a plot makes of it, once for all who look."""
        self.dip: tuple[Answer, Answer] | None = None
        """The same of the station's."""
        self.ends = {
            name: Sight(network.nodes[name], LOOK_EVERY_S, "look.link", link=link.name)
            for name in link.ends
            if name in network.nodes
        }
        for sight in self.ends.values():
            sight.heard = self._heard
        self._station = (
            Sight(network.nodes[link.station], NODE_EVERY_S, "look.link", link=link.name)
            if link.station in network.nodes
            else None
        )

    def look(self) -> None:
        """Ask the ends and the station, for a while."""
        for sight in self.ends.values():
            sight.look()
        if self._station is not None:
            self._station.look()

    @property
    def hom(self) -> Answer | None:
        """The station's histogram of coincidences; None where no tagger makes one."""
        answer = None if self._station is None else self._station.answer
        return None if answer is None else answer["histogram"]

    @property
    def answers(self) -> dict[str, Answer]:
        """The last word of each end that answers."""
        return {n: sight.answer for n, sight in self.ends.items() if sight.answer is not None}

    @property
    def leading(self) -> tuple[str, Answer] | None:
        """The end that finds clocks and pairs; of a memory link the first one that answers."""
        for name, answer in self.answers.items():
            if self.link.kind == "memory" or "acquisitions" in answer["status"]:
                return name, answer
        return None

    def since(self, taken: int) -> list[Sample]:
        """Samples after the first so many."""
        fresh = min(self.taken - taken, len(self.samples))
        return [self.samples[k] for k in range(len(self.samples) - fresh, len(self.samples))]

    def _heard(self, answer: Answer) -> None:
        if self.leading is None or self.leading[1] is not answer:
            return
        if self.leading[0] != self._from:
            self._from = self.leading[0]
            self.samples.clear()  # counters of another end would jump
        status: Answer = {}
        for each in self.answers.values():
            status = each["status"] | status
        status |= answer["status"]
        now_s = self._wall()
        if self.samples and now_s > self.samples[-1][0] + GAP_S:
            self._add((now_s - GAP_S / 2, {}))
        self._add((now_s, self._with_rates(status)))

    def _add(self, sample: Sample) -> None:
        self.samples.append(sample)
        self.taken += 1

    def _with_rates(self, status: Answer) -> Answer:
        """Counters of a memory link as rates over the last seconds."""
        now_s = self._wall()
        recent = (each for each in self.samples if each[0] >= now_s - RATE_OVER_S and each[1])
        then = next(recent, None)
        if then is None or now_s - then[0] < RATE_OVER_S / 2:
            return status
        rates = {
            f"{name}_cps": max(0.0, (status.get(name, 0) - then[1].get(name, 0)))
            / (now_s - then[0])
            for name in ("heralds", "delivered", "test_rounds")
        }
        return status | rates


class Sights:
    """All that pages look at closely."""

    def __init__(self, network: NetworkView):
        self._network = network
        self._links: dict[str, LinkSight] = {}
        self._nodes: dict[str, Sight] = {}

    def link(self, link: LinkPlace) -> LinkSight:
        """One link."""
        if link.key not in self._links:
            self._links[link.key] = LinkSight(link, self._network)
        return self._links[link.key]

    def node(self, name: str) -> Sight:
        """One node's instruments, memory and services."""
        if name not in self._nodes:
            self._nodes[name] = Sight(self._network.nodes[name], NODE_EVERY_S, "look.node")
        return self._nodes[name]
