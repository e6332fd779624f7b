"""In which order the requests of one link are served: strict priority, or fair shares of the link.

An order holds the requests that may be served and says which comes first. Both kinds are heaps,
so a step costs log n however many wait.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

Rank = tuple[float, int, int]
"""Sorts requests: higher priority, then earlier place, then request id."""


class Waiting(Protocol):
    """What an order looks at in a request."""

    @property
    def id(self) -> int: ...  # noqa: D102
    @property
    def rank(self) -> Rank: ...  # noqa: D102
    @property
    def created_s(self) -> float: ...  # noqa: D102
    @property
    def purpose(self) -> str: ...  # noqa: D102
    @property
    def raw_per_pair(self) -> float: ...  # noqa: D102
    @property
    def group(self) -> Group: ...  # noqa: D102


Group = tuple[str, str]
"""Requests of one kind and origin, of which an end either keeps all pairs or none."""

Fit = Callable[[int], bool]
"""Whether the request of this id can be served now."""

Open = Callable[[Group], bool]
"""Whether any request of a group can; those of a group that cannot are not looked at one by one."""


def everybody(_: Group) -> bool:
    """No group is shut out."""
    return True


class Order(Protocol):
    """An order of service. Each request is entered once; a pair served is charged to it."""

    def enter(self, request: Waiting) -> None:
        """It may be served from now on."""
        ...

    def leave(self, request_id: int) -> None:
        """It is not served any more; harmless if it is not there."""
        ...

    def first(self, fit: Fit, open_: Open = everybody) -> int | None:
        """The first request that is fit, of the groups that are open."""
        ...

    def charge(self, request_id: int, pairs: float, raw: float | None) -> None:
        """Pairs were made for a request, of so many heralded ones, or as many as were expected."""
        ...

    def ahead(self, request_id: int) -> list[int]:
        """Those that would be served before it as things stand, in no order; to explain, not to
        serve by."""
        ...


class RankHeap:
    """Requests by rank, a heap for each group; those that left are skipped when they come to the
    top."""

    def __init__(self) -> None:
        self._heaps: dict[Group, list[tuple[Rank, int]]] = {}
        self._here: dict[int, Rank] = {}

    def __len__(self) -> int:
        return len(self._here)

    def enter(self, request: Waiting) -> None:
        """Add a request, once."""
        rank = self._here[request.id] = self._rank(request)
        heapq.heappush(self._heaps.setdefault(request.group, []), (rank, request.id))

    def _rank(self, request: Waiting) -> Rank:
        return request.rank

    def ahead(self, request_id: int) -> list[int]:
        """Those of a better rank."""
        own = self._here.get(request_id)
        return [] if own is None else [each for each, rank in self._here.items() if rank < own]

    def leave(self, request_id: int) -> None:
        """Take it out; the heaps are rebuilt when most of them is of those that left."""
        if self._here.pop(request_id, None) is None:
            return
        if sum(map(len, self._heaps.values())) > 2 * len(self) + 16:
            for group, heap in list(self._heaps.items()):
                left = [entry for entry in heap if self._here.get(entry[1]) == entry[0]]
                heapq.heapify(left)
                self._heaps[group] = left
                if not left:
                    del self._heaps[group]

    def first(self, fit: Fit, open_: Open = everybody) -> int | None:
        """The first that is fit; those before it keep their places."""
        found = [
            best
            for group, heap in self._heaps.items()
            if open_(group) and (best := self._best(heap, fit)) is not None
        ]
        return min(found)[1] if found else None

    def _best(self, heap: list[tuple[Rank, int]], fit: Fit) -> tuple[Rank, int] | None:
        unfit: list[tuple[Rank, int]] = []
        found = None
        while heap:
            entry = heap[0]
            if self._here.get(entry[1]) != entry[0]:
                heapq.heappop(heap)
            elif fit(entry[1]):
                found = entry
                break
            else:
                unfit.append(heapq.heappop(heap))
        for entry in unfit:
            heapq.heappush(heap, entry)
        return found


class PriorityOrder(RankHeap):
    """The highest priority first, then the earliest place.

    Without `ageing_s` lower ones wait as long as it takes. With it, waiting for so long counts as
    one step of priority: a request of priority p is passed over only by those of priority q that
    come within (q - p) ageing_s of it, so that nobody starves. As all age alike, the order of two
    requests never changes.
    """

    def __init__(self, ageing_s: float | None = None):
        super().__init__()
        if ageing_s is not None and not 0 < ageing_s < math.inf:
            raise ValueError(f"ageing_s: found {ageing_s}, expected a time above 0")
        self._ageing_s = ageing_s

    def _rank(self, request: Waiting) -> Rank:
        first, place, request_id = request.rank
        if self._ageing_s is not None:
            first += request.created_s / self._ageing_s
        return first, place, request_id

    def charge(self, request_id: int, pairs: float, raw: float | None) -> None:
        """Nothing is owed: rank alone decides."""


DEBTS_KEPT = 1024
"""Purposes that wait for nothing but have had more than their share; the largest are kept."""


@dataclass(slots=True)
class _Flow:
    """One purpose. `finish` is the virtual finish time of its last pair, `tag` of its next."""

    weight: float
    waiting: RankHeap = field(default_factory=RankHeap)
    finish: float = 0.0
    tag: float = 0.0
    version: int = 0


class FairOrder:
    """Each purpose gets its weighted share of the attempts while it wants them.

    Self-clocked fair queueing (Golestani 1994, INFOCOM, "A self-clocked fair queueing scheme for
    broadband applications"), with a pair as the packet and the heralded pairs it takes as its
    length. The next pair of purpose p has the virtual finish time S_p + raw/w_p, where S_p is that
    of its last pair, or the present virtual time V if p did not wait and that is later; V is the
    finish time of the last pair chosen. The smallest goes first. Of two purposes that both always
    wait, work/weight never differs by more than the largest pair/weight of the one plus that of the
    other. Priority orders the requests of one purpose. A purpose without a weight has weight 1.

    Who could not be served when it was its turn (no memory) has lost the turn, not saved it. What
    an undivided request had beyond its share is a debt of its purpose.
    """

    def __init__(self, weights: Mapping[str, float] | None = None):
        self._weights = dict(weights or {})
        if any(not 0 < weight < math.inf for weight in self._weights.values()):
            raise ValueError(f"weights of purposes: found {self._weights}, expected all above 0")
        self._flows: dict[str, _Flow] = {}
        self._requests: dict[int, Waiting] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._versions = itertools.count()
        self._now = 0.0

    def enter(self, request: Waiting) -> None:
        """It may be served; a purpose that did not wait starts at the present virtual time."""
        flow = self._flows.get(request.purpose)
        if flow is None:
            flow = _Flow(self._weights.get(request.purpose, 1.0))
            self._flows[request.purpose] = flow
        if not len(flow.waiting):
            flow.finish = max(flow.finish, self._now)
        self._requests[request.id] = request
        flow.waiting.enter(request)
        self._entered(request.purpose, flow)

    def leave(self, request_id: int) -> None:
        """It is not served any more; its purpose keeps its debts, or leaving would pay."""
        request = self._requests.pop(request_id, None)
        if request is not None:
            flow = self._flows[request.purpose]
            flow.waiting.leave(request_id)
            self._entered(request.purpose, flow)
            self._forget_idle()

    def first(self, fit: Fit, open_: Open = everybody) -> int | None:
        """Of the purposes' first fit requests the one whose next pair would finish first."""
        unfit: list[tuple[float, int, str]] = []
        found = None
        while self._heap:
            entry = self._heap[0]
            flow = self._flows.get(entry[2])
            if flow is None or flow.version != entry[1]:
                heapq.heappop(self._heap)
                continue
            found = flow.waiting.first(fit, open_)
            if found is not None:
                self._now = max(self._now, flow.tag)
                # Behind V only if it was passed over; at V it is as if it had not been waiting.
                flow.finish += self._now - flow.tag
                break
            unfit.append(heapq.heappop(self._heap))
        for entry in unfit:
            heapq.heappush(self._heap, entry)
        return found

    def charge(self, request_id: int, pairs: float, raw: float | None) -> None:
        """The purpose has had this much of the link."""
        request = self._requests.get(request_id)
        if request is None:
            return
        flow = self._flows[request.purpose]
        spent = pairs * request.raw_per_pair if raw is None else raw
        flow.finish += spent / flow.weight
        self._entered(request.purpose, flow)

    def ahead(self, request_id: int) -> list[int]:
        """Those of its purpose that come before it, and the first of each purpose whose turn is
        earlier."""
        request = self._requests.get(request_id)
        if request is None:
            return []
        own = self._flows[request.purpose]
        heads = [
            flow.waiting.first(lambda _: True)
            for flow in self._flows.values()
            if flow is not own and len(flow.waiting) and flow.tag < own.tag
        ]
        return [*own.waiting.ahead(request_id), *(head for head in heads if head is not None)]

    def _entered(self, purpose: str, flow: _Flow) -> None:
        """Its first request or its finish changed: older entries of the heap are void."""
        flow.version = next(self._versions)
        head = flow.waiting.first(lambda _: True)
        if head is not None:
            flow.tag = flow.finish + self._requests[head].raw_per_pair / flow.weight
            heapq.heappush(self._heap, (flow.tag, flow.version, purpose))
            if len(self._heap) > 4 * len(self._flows) + 16:
                self._heap = [
                    entry
                    for entry in self._heap
                    if entry[2] in self._flows and self._flows[entry[2]].version == entry[1]
                ]
                heapq.heapify(self._heap)

    def _forget_idle(self) -> None:
        """Purposes that owe nothing any more; if no purpose waits at all, nobody owes anything."""
        if not self._requests:
            self._flows.clear()
            self._heap.clear()
            self._now = 0.0
        elif len(self._flows) > 2 * len(self._requests) + DEBTS_KEPT:
            idle = [p for p, flow in self._flows.items() if not len(flow.waiting)]
            idle.sort(key=lambda purpose: self._flows[purpose].finish)
            for purpose in idle[: -DEBTS_KEPT // 2]:
                del self._flows[purpose]
