"""Programs begin in one order at every node, whatever the network does to the words."""

from __future__ import annotations

import graphlib
import heapq
import itertools
import random
from collections.abc import Callable

import pytest

from link_layer.messages import Message, ProgramBegins, ProgramBegun, ProgramHere
from qnodeos.memory_shares import Share, Shares
from qnodeos.program_order import ALONE_S, ANSWER_LIMIT_S, ProgramOrder

NODES = ("1", "2", "3", "4")
LINKS = [f"{one}-{other}" for one, other in itertools.combinations(NODES, 2)]


class World:
    """Nodes of which every two have a link; words take time, and may get lost or come twice."""

    def __init__(self, seed: int, *, loss: float = 0.0, twice: float = 0.0):
        self.rng, self.loss, self.twice = random.Random(seed), loss, twice
        self.now_s, self._heap = 0.0, []
        self._count = itertools.count()
        self.cut: list[str] = []
        self.shares: dict[str, Shares] = {}
        self.orders: dict[str, ProgramOrder] = {}
        self.begun: dict[str, list[str]] = {name: [] for name in NODES}
        self.open: dict[str, dict[str, Share]] = {name: {} for name in NODES}
        for name in NODES:
            books = self.shares[name] = Shares()
            books.capacity = 8
            order = self.orders[name] = ProgramOrder(
                books, lambda: self.now_s, lambda name=name: self._look(name)
            )
            for link in LINKS:
                one, other = link.split("-")
                if name in (one, other):
                    far = other if name == one else one
                    order.join(link, leads=name == one, send=self._sender(name, far, link))
            self._tick(order)

    def _sender(self, name: str, far: str, link: str) -> Callable[[Message], object]:
        def send(message: Message) -> None:
            assert isinstance(message, ProgramHere | ProgramBegins | ProgramBegun)
            for _ in range(1 + (self.rng.random() < self.twice)):
                if self.rng.random() >= self.loss and link not in self.cut:
                    wait_s = self.rng.choice((0.001, 0.01, 0.3)) * self.rng.random()
                    self.after(wait_s, lambda: self.orders[far].handle(link, message))

        return send

    def after(self, wait_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now_s + wait_s, next(self._count), do))

    def run(self, until_s: float) -> None:
        while self._heap[0][0] <= until_s:
            self.now_s, _, do = heapq.heappop(self._heap)
            do()

    def program(self, name: str, link: str) -> None:
        """A program of two ends, which come at different times."""
        for node in link.split("-"):
            self.after(self.rng.random() * 0.5, lambda node=node: self._comes(node, name, link))

    def _comes(self, node: str, name: str, link: str) -> None:
        share = self.open[node][name] = Share(5)
        self.orders[node].opened(link, name, share)

    def _look(self, node: str) -> None:
        for name, share in self.open[node].items():
            if share.begun and name not in self.begun[node]:
                self.begun[node].append(name)

    def _tick(self, order: ProgramOrder) -> None:
        order.tick()
        self.after(0.05, lambda: self._tick(order))


@pytest.mark.parametrize("seed", range(60))
def test_one_order_at_every_node(seed: int) -> None:
    world = World(seed, loss=(0.0, 0.1, 0.3)[seed % 3], twice=0.2)
    rng = random.Random(-seed)
    asked = [(f"p{k}", rng.choice(LINKS)) for k in range(30)]
    for name, link in asked:
        world.after(rng.random(), lambda name=name, link=link: world.program(name, link))
    world.run(60.0)
    before: dict[str, list[str]] = {}
    for names in world.begun.values():
        for one, other in itertools.pairwise(names):
            before.setdefault(other, []).append(one)
    graphlib.TopologicalSorter(before).prepare()  # raises if there is a circle
    for name, link in asked:
        assert all(name in world.begun[node] for node in link.split("-"))


def test_a_far_end_that_does_not_answer_holds_up_the_others_for_a_while_only() -> None:
    world = World(1)
    world.program("silent", "1-2")
    world.run(0.6)
    world.begun["1"].clear()
    world.cut.append("1-2")
    world._comes("1", "waits", "1-2")
    world.orders["1"].handle("1-2", ProgramHere("1-2", "waits"))  # its last word
    world.program("other", "1-3")
    world.run(world.now_s + ANSWER_LIMIT_S - 0.1)
    assert world.begun["1"] == ["silent", "waits"] or world.begun["1"] == ["waits"]
    world.run(world.now_s + 3.0)
    assert world.begun["1"][-1] == "other"
    assert world.begun["3"] == ["other"]


def test_a_program_whose_far_end_does_not_come_begins_by_itself_and_holds_up_nobody() -> None:
    world = World(1)
    world._comes("2", "alone", "1-2")
    world.program("both", "1-2")
    world.run(2.0)
    assert world.begun["2"] == world.begun["1"] == ["both"]
    world.run(ALONE_S + 0.1)
    assert world.begun["2"] == ["both", "alone"]
