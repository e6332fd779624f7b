"""The requests of one link at one end, and which of them is served next.

The leading end's queue decides: it gives each request a place when it enters, serves by its order,
and names the request in every attempt. The following end's queue holds the same requests with the
places it was told; whatever messages were lost, it serves the one that is named or says that it
does not know it. `link_layer.queue_agreement` keeps the two in step.

A request leaves at its end and is never served again: not when a message is repeated, nor when one
comes late. Nothing here waits or reads a clock; instants are seconds on the node's own clock.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from link_layer.messages import Create, ErrorCode, Purify, RequestKind
from link_layer.queue_load import Arrivals, Load, Loads, load_of
from link_layer.queue_order import Group, Open, Order, PriorityOrder, Rank, everybody

SEQUENCES_KEPT = 65_536
"""Pairs of one request whose repetition would be noticed."""


class RequestState(enum.Enum):
    """Where a request stands; the last three are final."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Nothing more will come of it."""
        return self in (RequestState.DONE, RequestState.REFUSED, RequestState.FAILED)


Wish = tuple[float, Purify, RequestKind, bool]
"""Fidelity, purification, kind, corrected or not: how good fresh pairs have to be."""


@dataclass(slots=True, eq=False)
class Request:
    """One request as this end knows it; instants are seconds on the node's own clock.

    `place` is its number in the leading end's queue, 0 until that is known; `raw_per_pair` the
    heralded pairs that one of its own is expected to take. `early`: it may be served before it is
    agreed on, and `tried`: that was done.
    """

    create: Create
    origin: str
    created_s: float
    state: RequestState = RequestState.PROPOSED
    delivered: int = 0
    error: ErrorCode | None = None
    text: str = ""
    place: int = 0
    raw_per_pair: float = 1.0
    early: bool = False
    tried: bool = False
    sequences: OrderedDict[int, None] = field(default_factory=OrderedDict)

    @property
    def id(self) -> int:
        """64-bit identity, chosen by the origin."""
        return self.create.request

    @property
    def purpose(self) -> str:
        """Whom its pairs are for."""
        return self.create.purpose

    @property
    def group(self) -> Group:
        """Its kind and origin."""
        return self.create.kind, self.origin

    @property
    def wish(self) -> Wish:
        """How good its pairs are to be, by the time they are what was asked for."""
        create = self.create
        return create.minimum_fidelity, create.purify, create.kind, create.corrected

    @property
    def rank(self) -> Rank:
        """Sorts requests of one queue; a place that is not known yet comes last."""
        return (-self.create.priority, self.place or 2**63, self.id)

    @property
    def expires_s(self) -> float:
        """When it ends unserved."""
        return self.created_s + self.create.max_time_s

    @property
    def missing(self) -> int:
        """Pairs still to be delivered."""
        return self.create.number - self.delivered

    @property
    def undivided(self) -> bool:
        """No other request comes between its first pair and its last.

        Asked for by `atomic`. Pairs that must be in memory together, or within a window, get the
        same: two such requests served in turns could each hold half the memory for ever, or each
        let the other's pairs grow too old.
        """
        create = self.create
        together = create.kind != "M" and not create.consecutive
        return create.atomic or together or create.window_s is not None


class QueueFull(Exception):
    """The bound of the queue is reached."""


class RequestQueue:
    """Open requests in an order (by default strict priority, then place). Ids are never used twice.

    `leads`: this end gives the places. How the last requests ended is remembered, so that a
    repeated message gets the same answer. A step costs log n of the number of requests.
    """

    def __init__(self, limit: int = 256, *, order: Order | None = None, leads: bool = True):
        self.limit = limit
        self.leads = leads
        self._order: Order = order if order is not None else PriorityOrder()
        self._open: dict[int, Request] = {}
        # Not a dict, which looks for its oldest entry among the places of all that were deleted.
        self._ended: OrderedDict[int, tuple[ErrorCode | None, str]] = OrderedDict()
        self._alike: dict[Wish, dict[int, Request]] = {}
        self._expiring: list[tuple[float, int]] = []
        self._loads, self._arrivals = Loads(), Arrivals()
        self._places = 0
        self._begun: int | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._open.values()))

    def add(
        self, create: Create, *, origin: str, now_s: float, raw_per_pair: float = 1.0
    ) -> Request | None:
        """Add a proposal; None if this id is known already (a repeated message).

        Raises QueueFull.
        """
        if create.request in self._open or create.request in self._ended:
            return None
        if len(self._open) >= self.limit:
            raise QueueFull(f"{self.limit} requests are waiting already")
        request = Request(create, origin, now_s, place=create.place, raw_per_pair=raw_per_pair)
        if self.leads:
            self._places += 1
            request.place = self._places
        self._open[request.id] = request
        self._alike.setdefault(request.wish, {})[request.id] = request
        heapq.heappush(self._expiring, (request.expires_s, request.id))
        self._loads.add(create.priority, load_of(request.missing, raw_per_pair))
        return request

    def by_wish(self) -> list[Mapping[int, Request]]:
        """The open requests by id, those together that ask for the same fidelity in one way."""
        return list(self._alike.values())

    def get(self, request_id: int) -> Request | None:
        """The open request of this id."""
        return self._open.get(request_id)

    def verdict(self, request_id: int) -> tuple[ErrorCode | None, str] | None:
        """How a request ended, as error and text; None if it is open, unknown, or long gone."""
        return self._ended.get(request_id)

    def refuse(self, create: Create, error: ErrorCode, text: str) -> None:
        """Remember that a proposal was refused: a repetition of it must not be accepted."""
        if create.request not in self._open:
            self._remember(create.request, error, text)

    def activate(self, request_id: int, place: int = 0) -> Request | None:
        """Both ends have agreed; None if it is not waiting for that.

        To be called at the following end also when the leading end begins an attempt for it: that
        is an acceptance whose message was lost.
        """
        request = self._open.get(request_id)
        if request is None or request.state is not RequestState.PROPOSED:
            return None
        request.state = RequestState.ACTIVE
        request.place = request.place or place
        if not request.early:
            self._order.enter(request)
        asked = load_of(request.create.number, request.raw_per_pair)
        self._arrivals.add(request.create.priority, asked, request.created_s)
        return request

    def hurry(self, request_id: int) -> None:
        """Serve a proposal of the leading end before the answer: what is sent to the far end after
        it is read there after it. That is tried once, as it may be refused."""
        request = self._open[request_id]
        if request.state is RequestState.PROPOSED and not request.early:
            request.early = True
            self._order.enter(request)

    def next(
        self,
        now_s: float | None = None,
        *,
        fit: Callable[[Request], bool] | None = None,
        open_: Open = everybody,
    ) -> Request | None:
        """The request to serve now, agreed on or early; one begun and undivided before all others.

        Skips those without missing pairs, those whose time is over at `now_s`, and those that are
        not `fit` or of a group that is not `open_` (no memory for them); an undivided one that was
        begun is waited for instead. Meanwhile those that need no memory are served, unless it is
        atomic.
        """

        def serves(request_id: int) -> bool:
            request = self._open[request_id]
            if request.tried and request.state is RequestState.PROPOSED:
                return False
            in_time = now_s is None or now_s < request.expires_s
            return request.missing > 0 and in_time and (fit is None or fit(request))

        begun = self._open.get(self._begun) if self._begun is not None else None
        if begun is not None and begun.missing > 0:
            if open_(begun.group) and serves(begun.id):
                return begun
            if begun.create.atomic:
                return None
            found = self._order.first(serves, lambda group: group[0] == "M" and open_(group))
        else:
            found = self._order.first(serves, open_)
        return self._open[found] if found is not None else None

    def ahead(self, request_id: int) -> list[Request]:
        """Those that would be served before a request as things stand here."""
        if self._begun is not None and self._begun in self._open and self._begun != request_id:
            first = {self._begun, *self._order.ahead(request_id)}
        else:
            first = set() if self._begun == request_id else set(self._order.ahead(request_id))
        return sorted((self._open[each] for each in first), key=lambda request: request.rank)

    def load(self, priority: int) -> Load:
        """The work that waits of this priority or a higher one."""
        return self._loads.of(priority)

    def taken(self, priority: int, now_s: float) -> tuple[float, float]:
        """Heralded pairs a second that requests of a higher priority have asked for of late, and
        how many at a time."""
        return self._arrivals.above(priority, now_s)

    def deliver(
        self, request_id: int, sequence: int, *, count: int = 1, raw: float | None = None
    ) -> bool:
        """Count a pair, or `count` of them, towards a request; False if it cannot take them.

        `raw`: the heralded pairs they took, if that is known better than from the expectation.
        """
        request = self._open.get(request_id)
        if request is None or request.state is not RequestState.ACTIVE or request.missing <= 0:
            return False
        if sequence in request.sequences:
            return False
        request.sequences[sequence] = None
        if len(request.sequences) > SEQUENCES_KEPT:
            request.sequences.popitem(last=False)
        self._count(request, count)
        if request.undivided:
            self._begun = request_id
        self._order.charge(request_id, count, raw)
        return True

    def withdraw(self, request_id: int, sequence: int) -> bool:
        """A pair that was counted is void, and to be made anew; False if it was not counted."""
        request = self._open.get(request_id)
        if request is None or sequence not in request.sequences or not request.delivered:
            return False
        # The number stays among those seen: the void pair must not come back by a late message.
        self._count(request, -1)
        return True

    def _count(self, request: Request, pairs: int) -> None:
        """So many more were delivered, perhaps more than were asked."""
        before = max(0, request.missing)
        request.delivered += pairs
        change = load_of(max(0, request.missing) - before, request.raw_per_pair, requests=0)
        self._loads.add(request.create.priority, change)

    def end(
        self, request_id: int, error: ErrorCode | None = None, text: str = ""
    ) -> Request | None:
        """Take a request out: done without an error, else failed or refused; None if unknown."""
        request = self._open.pop(request_id, None)
        if request is None:
            return None
        self._order.leave(request_id)
        alike = self._alike[request.wish]
        del alike[request_id]
        if not alike:
            del self._alike[request.wish]
        gone = load_of(-max(0, request.missing), request.raw_per_pair, requests=-1)
        self._loads.add(request.create.priority, gone)
        if len(self._expiring) > 2 * len(self._open) + 16:
            self._expiring = [entry for entry in self._expiring if entry[1] in self._open]
            heapq.heapify(self._expiring)
        if self._begun == request_id:
            self._begun = None
        if error is None:
            request.state = RequestState.DONE
        elif request.state is RequestState.PROPOSED:
            request.state = RequestState.REFUSED
        else:
            request.state = RequestState.FAILED
        request.error, request.text = error, text
        self._remember(request_id, error, text)
        return request

    def cancel(self, request_id: int, who: str) -> Request | None:
        """End a request that its owner at either end gave up; None if unknown."""
        return self.end(request_id, ErrorCode.CANCELLED, f"cancelled by {who}")

    def expired(self, now_s: float) -> list[Request]:
        """Requests whose time is over, still in the queue, oldest end first."""
        gone: list[tuple[float, int]] = []
        while self._expiring and self._expiring[0][0] <= now_s:
            entry = heapq.heappop(self._expiring)
            if entry[1] in self._open:
                gone.append(entry)
        for entry in gone:
            # Until `end` is called they are told again.
            heapq.heappush(self._expiring, entry)
        return [self._open[request_id] for _, request_id in gone]

    def _remember(self, request_id: int, error: ErrorCode | None, text: str) -> None:
        self._ended[request_id] = (error, text)
        while len(self._ended) > 4 * self.limit:
            self._ended.popitem(last=False)
