"""The desk of one link: where applications ask for pairs, and where both ends agree to serve.

A request is proposed to the far end, accepted or refused there, served in the order of the queue,
and always ends: done, refused, or failed with a reason. How pairs are made is not its business.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from link_layer.messages import (
    Accept,
    Create,
    ErrorCode,
    Finish,
    FinishSeen,
    Measuring,
    Message,
    Purify,
    Refuse,
    RequestKind,
)
from link_layer.queue import QueueFull, Request, RequestQueue, RequestState
from link_layer.queue_order import FairOrder, Order, PriorityOrder
from qnodeos.config import QueueTable
from qnodeos.memory_shares import Taker

Item = TypeVar("Item")

INBOX_LIMIT = 4096
"""Deliveries an application may leave uncollected before new ones are dropped and counted."""

LINGER_S = 0.3
"""How long a request that the far end calls finished may still wait for a delivery on its way."""

REPEAT_S = 0.5
"""A proposal that was not answered is made again after this time: it, or the answer, was lost."""

FINISH_TIMES = 6
"""Times that the end of a request is told; the far end's own clock ends it too."""

FINISHES_KEPT = 1024


class RequestEnded(Exception):
    """A request ended before all its pairs were delivered."""

    def __init__(self, error: ErrorCode, text: str):
        self.error = error
        self.text = text
        super().__init__(f"{error.name}: {text}")


class Inbox(Generic[Item]):
    """Deliveries waiting for one application, in order; bounded, drops are counted.

    `request` is the identity of the request that it belongs to, None where it takes those of a
    purpose.
    """

    def __init__(self, request: int | None = None) -> None:
        self.request = request
        self._items: asyncio.Queue[Item | RequestEnded | None] = asyncio.Queue()
        self.dropped = 0
        self.taker: Taker | None = None
        """The program that it belongs to."""

    def put(self, item: Item) -> bool:
        """Add a delivery; False if the application has left too many lying."""
        if self._items.qsize() >= INBOX_LIMIT:
            self.dropped += 1
            return False
        self._items.put_nowait(item)
        return True

    def close(self, problem: RequestEnded | None) -> None:
        """No more will come."""
        self._items.put_nowait(problem)

    def left(self) -> list[Item]:
        """Take out what nobody has collected; the end stays."""
        items: list[Item] = []
        for _ in range(self._items.qsize()):
            item = self._items.get_nowait()
            if item is None or isinstance(item, RequestEnded):
                self._items.put_nowait(item)
            else:
                items.append(item)
        return items

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Deliveries until the end; raises RequestEnded if that came early."""
        while True:
            item = await self._items.get()
            if item is None:
                return
            if isinstance(item, RequestEnded):
                raise item
            yield item


class Desk(Generic[Item]):
    """Requests of one link at one end.

    `admit` looks at a proposal at either end and returns None, or the reason to refuse it, and
    `raw_per_pair` says how many heralded pairs each of its own is expected to take.
    `order` is that of service at the leading end, by default strict priority, and `limit` how many
    requests may wait. `changed` is called whenever a request became active or ended, `unused` with
    each item that nobody will collect: held back for a request that ended, or left in an inbox that
    was given up. `delivered` hears the request, the identity of the first and the number of pairs.
    `early` is called at the leading end when a request of its own may be served before it is
    answered; without it, none is. `later` does what need not come before the application has its
    pair.
    """

    def __init__(
        self,
        link: str,
        *,
        me: str,
        peer: str,
        send: Callable[[Message], bool],
        clock: Callable[[], float],
        rng: random.Random,
        admit: Callable[[Create], tuple[ErrorCode, str] | None],
        changed: Callable[[Request], None],
        raw_per_pair: Callable[[Create], float] = lambda _: 1.0,
        unused: Callable[[Item], None] | None = None,
        delivered: Callable[[Request, int, int], None] = lambda request, first, pairs: None,
        early: Callable[[], None] | None = None,
        later: Callable[[Callable[[], object]], object] = lambda do: do(),
        leads: bool = True,
        order: Order | None = None,
        limit: int = 1024,
    ):
        self.link = link
        self._leads = leads
        self.queue = RequestQueue(limit, order=order)
        self.dropped = 0
        """Deliveries that an application has left lying until there was no room."""
        self._me, self._peer = me, peer
        self._send, self._clock, self._rng = send, clock, rng
        self._admit, self._changed = admit, changed
        self._raw_per_pair = raw_per_pair
        self._early, self._later = early, later
        self._handles: dict[int, Inbox[Item]] = {}
        self._purposes: dict[str, Inbox[Item]] = {}
        self.closed = ""
        """Why no new request is taken, from here or from the far end; "" while they are."""
        self._unused, self._delivered = unused, delivered
        self._held: dict[int, dict[int, Item]] = {}
        self._lingering: dict[int, float] = {}
        self._proposed_s: OrderedDict[int, float] = OrderedDict()
        """When a proposal is made again, unless it has been answered."""
        self._unseen: dict[int, tuple[Finish, int, float]] = {}

    def accept(self, purpose: str) -> Inbox[Item]:
        """Take part in the far end's requests of this purpose; deliveries come to the inbox."""
        if purpose in self._purposes:
            raise ValueError(f"purpose '{purpose}' of link {self.link} has a taker already")
        inbox: Inbox[Item] = Inbox()
        self._purposes[purpose] = inbox
        return inbox

    def ask(
        self,
        *,
        kind: RequestKind,
        number: int,
        minimum_fidelity: float,
        within_s: float,
        purpose: str,
        priority: int = 0,
        corrected: bool = True,
        atomic: bool = False,
        consecutive: bool = True,
        window_s: float | None = None,
        near: Measuring | None = None,
        far: Measuring | None = None,
        purify: Purify = "no",
        taker: Taker | None = None,
    ) -> Inbox[Item]:
        """Ask for pairs; iterate over the result. Raises RequestEnded if refused at this end.

        The words are those of `link_layer.messages.Create`. `taker` is the program that the pairs
        are for: what is kept for them counts as its own.
        """
        create = Create(
            link=self.link,
            request=self._rng.getrandbits(63),
            kind=kind,
            number=number,
            minimum_fidelity=minimum_fidelity,
            max_time_s=within_s,
            purpose=purpose,
            priority=priority,
            corrected=corrected,
            atomic=atomic,
            consecutive=consecutive,
            window_s=window_s,
            near=near,
            far=far,
            purify=purify,
        )
        problem = self._closed() or _malformed(create) or _impossible(create) or self._admit(create)
        if problem is not None:
            raise RequestEnded(*problem)
        try:
            request = self._enter(create, self._me)
        except QueueFull as full:
            raise RequestEnded(ErrorCode.NO_RESOURCES, str(full)) from full
        if request is None:
            raise RequestEnded(ErrorCode.CREATE, f"request id {create.request} is in use")
        inbox: Inbox[Item] = Inbox(request.id)
        inbox.taker = taker  # before the first round, which may begin at once
        self._handles[request.id] = inbox
        self._proposed_s[request.id] = self._clock() + REPEAT_S
        if not self._send(create):
            self.end(request.id, ErrorCode.OTHER, f"{self._peer} cannot be reached")
        elif self._leads and self._early is not None:
            self.queue.hurry(request.id)
            self._early()
        return inbox

    def leave(self, purpose: str) -> None:
        """Take part in requests of this purpose no longer; those that are open there end."""
        inbox = self._purposes.pop(purpose, None)
        if inbox is None:
            return
        for request in self.queue:
            if request.origin == self._peer and request.create.purpose == purpose:
                self.end(request.id, ErrorCode.CANCELLED, f"{self._me} takes part no longer")
        self._give_up(inbox.left())

    def cancel(self, inbox: Inbox[Item]) -> None:
        """Give a request up at the end that asked; its pairs that were collected stay."""
        if inbox.request is not None:
            self.end(inbox.request, ErrorCode.CANCELLED, f"cancelled by {self._me}")
            self._give_up(inbox.left())

    def handle(self, message: Create | Accept | Refuse | Finish | FinishSeen) -> None:
        """Take a message of the far end."""
        match message:
            case Create():
                self._proposed(message)
            case Accept(request=request_id):
                request = self.queue.activate(request_id)
                if request is not None:
                    self._changed(request)
                elif self.queue.get(request_id) is None:
                    self.remind(request_id)
            case Refuse(request=request_id, error=error, text=text):
                request = self.queue.get(request_id)
                if request is not None and request.state is RequestState.ACTIVE:
                    # It was served there, and a repeated proposal found it over.
                    self._linger(request_id)
                else:
                    self.end(request_id, error, f"{self._peer} refuses: {text}", tell=False)
            case Finish(request=request_id, error=None):
                self._finish_seen(request_id)
                self._linger(request_id)
            case Finish(request=request_id, error=error, text=text):
                self._finish_seen(request_id)
                self.end(request_id, error, f"{self._peer}: {text}", tell=False)
            case FinishSeen(request=request_id):
                self._unseen.pop(request_id, None)

    def taker(self, request: Request) -> Taker | None:
        """The program that takes the pairs of a request at this end; None if it is none."""
        inbox = self._inbox_of(request)
        return inbox.taker if inbox is not None else None

    def deliver(self, request_id: int, sequence: int, item: Item, *, count: int = 1) -> bool:
        """Hand a delivery (of `count` pairs) to whoever asked; False if nobody can take it."""
        request = self.queue.get(request_id)
        if request is None:
            return False
        inbox = self._inbox_of(request)
        if inbox is None or not self.queue.deliver(request_id, sequence, count=count):
            return False
        self._delivered(request, sequence, count)
        create = request.create
        if create.consecutive and create.window_s is None:
            taken = inbox.put(item)
            self.dropped += not taken
        else:
            taken = True
            self._held.setdefault(request_id, {})[sequence] = item
        # Of a packet the leading end says when it is whole: it drops what is too old for it.
        says = self._leads or create.window_s is None or request_id in self._lingering
        if request.missing <= 0 and says:
            self._complete(request, inbox)
        return taken

    def _complete(self, request: Request, inbox: Inbox[Item]) -> None:
        for item in self._held.pop(request.id, {}).values():
            self.dropped += not inbox.put(item)
        self.end(request.id, None)

    def held_back(self, request_id: int) -> list[Item]:
        """What waits for the rest of its request, oldest first."""
        return list(self._held.get(request_id, {}).values())

    def withdraw(self, request_id: int, sequence: int) -> None:
        """A pair that is held back until all are there has been lost: it is made anew."""
        held = self._held.get(request_id, {})
        request = self.queue.get(request_id)
        if held.pop(sequence, None) is not None and request is not None:
            self.queue.withdraw(request_id, sequence)
            self._changed(request)

    def end(
        self, request_id: int, error: ErrorCode | None, text: str = "", *, tell: bool = True
    ) -> None:
        """End a request at this end and tell the far end; harmless if it is over already."""
        self._lingering.pop(request_id, None)
        self._proposed_s.pop(request_id, None)
        request = self.queue.end(request_id, error, text)
        if request is None:
            return
        self._give_up(list(self._held.pop(request_id, {}).values()))
        if tell:
            self._tell_finish(Finish(self.link, request_id, error, text))
        inbox = self._handles.pop(request_id, None)
        if inbox is not None:
            inbox.close(RequestEnded(error, text) if error is not None else None)
        elif error is not None and (taker := self.taker(request)) is not None:
            taker.failed(RequestEnded(error, text))
        self._changed(request)

    def _give_up(self, items: list[Item]) -> None:
        for item in items:
            if self._unused is not None:
                self._unused(item)

    def _tell_finish(self, finish: Finish) -> None:
        """Say that a request is over until that is seen, or until that has been tried enough."""
        self._unseen[finish.request] = finish, 1, self._clock() + REPEAT_S
        if len(self._unseen) > FINISHES_KEPT:
            del self._unseen[next(iter(self._unseen))]
        self._later(lambda: self._send(finish))

    def _finish_seen(self, request_id: int) -> None:
        # Ours is on its way, and says it as well; if that is lost, theirs will be repeated.
        if self._unseen.pop(request_id, None) is None:
            self._send(FinishSeen(self.link, request_id))

    def remind(self, request_id: int) -> None:
        """The far end still works on a request: tell it again that it is over, if it is."""
        verdict = self.queue.verdict(request_id)
        if verdict is not None:
            self._send(Finish(self.link, request_id, *verdict))

    def end_all(self, error: ErrorCode, text: str) -> None:
        """End every open request, as when the far end is lost: it is told once, if at all."""
        for request in self.queue:
            self.end(request.id, error, text)
        self._unseen.clear()

    def end_each(self, error: ErrorCode, text: str, more: Mapping[int, str]) -> None:
        """End every open request while the far end is there; `more` is added to some reasons."""
        for request in list(self.queue):
            added = more.get(request.id)
            self.end(request.id, error, f"{text}; {added}" if added else text)

    def expire(self) -> None:
        """End what has run out of time, propose again what was not answered.

        To be called a few times a second.
        """
        now_s = self._clock()
        for request in self.queue.expired(now_s):
            done = f"{request.delivered} of {request.create.number} pairs were delivered"
            self.end(request.id, ErrorCode.TIMEOUT, f"{done} in {request.create.max_time_s:g} s")
        for request_id, until_s in list(self._lingering.items()):
            if now_s >= until_s:
                self.end(request_id, ErrorCode.OTHER, f"{self._peer} had finished", tell=False)
        while self._proposed_s and now_s >= (first := next(iter(self._proposed_s.items())))[1]:
            # They are in the order of their times, as each waits equally long.
            request_id = first[0]
            del self._proposed_s[request_id]
            proposal = self.queue.get(request_id)
            if proposal is not None and proposal.state is RequestState.PROPOSED:
                self._proposed_s[request_id] = now_s + REPEAT_S
                self._send(proposal.create)
        for request_id, (finish, times, at_s) in list(self._unseen.items()):
            if now_s < at_s:
                continue
            if times >= FINISH_TIMES:
                del self._unseen[request_id]
            else:
                self._unseen[request_id] = finish, times + 1, now_s + REPEAT_S * 2**times
                self._send(finish)

    def _enter(self, create: Create, origin: str) -> Request | None:
        raw_per_pair = self._raw_per_pair(create)
        return self.queue.add(create, origin=origin, now_s=self._clock(), raw_per_pair=raw_per_pair)

    def _closed(self) -> tuple[ErrorCode, str] | None:
        return (ErrorCode.REJECTED, self.closed) if self.closed else None

    def _linger(self, request_id: int) -> None:
        request = self.queue.get(request_id)
        if request is None:
            return
        self._lingering.setdefault(request_id, self._clock() + LINGER_S)
        inbox = self._inbox_of(request)
        if request.missing <= 0 and inbox is not None:
            self._complete(request, inbox)

    def _inbox_of(self, request: Request) -> Inbox[Item] | None:
        return self._handles.get(request.id) or self._purposes.get(request.create.purpose)

    def _proposed(self, create: Create) -> None:
        if self.queue.get(create.request) is not None:
            self._send(Accept(self.link, create.request))  # our first answer was lost
            return
        verdict = self.queue.verdict(create.request)
        if verdict is not None:
            error, text = verdict
            self._send(
                Refuse(self.link, create.request, error or ErrorCode.OTHER, text or "it is over")
            )
            return
        problem = self._closed() or _impossible(create) or self._admit(create)
        if problem is None and create.purpose not in self._purposes:
            problem = (ErrorCode.REJECTED, f"no application takes purpose '{create.purpose}'")
        if problem is None:
            try:
                self._enter(create, self._peer)
            except QueueFull as full:
                problem = (ErrorCode.NO_RESOURCES, str(full))
        if problem is not None:
            self.queue.refuse(create, *problem)
            self._send(Refuse(self.link, create.request, *problem))
            return
        self._send(Accept(self.link, create.request))
        request = self.queue.activate(create.request)
        if request is not None:
            self._changed(request)


def order_of(table: QueueTable) -> Order:
    """The order of service that a link's table asks for."""
    return FairOrder(table.weights) if table.order == "fair" else PriorityOrder(table.ageing_s)


def _malformed(create: Create) -> tuple[ErrorCode, str] | None:
    """What the far end could not read: words and types come from an application."""
    try:
        msgspec.convert(msgspec.to_builtins(create), Create)
    except msgspec.ValidationError as error:
        return (ErrorCode.CREATE, str(error))
    return None


def _impossible(create: Create) -> tuple[ErrorCode, str] | None:
    """Why nobody could serve this, whatever the link."""
    if create.number < 1:
        return (ErrorCode.CREATE, f"number {create.number} is asked, expected 1 or more")
    if not 0 < create.max_time_s < math.inf:
        return (
            ErrorCode.CREATE,
            f"pairs within {create.max_time_s:g} s are asked, expected a time above 0 s",
        )
    if create.window_s == math.inf:
        return (ErrorCode.CREATE, "a window of inf s is asked, expected a time that ends")
    if create.purify != "no" and not (create.kind == "K" and create.corrected):
        return (
            ErrorCode.CREATE,
            "only pairs that are kept (K) and corrected to Phi+ can be purified",
        )
    if not 0 <= create.minimum_fidelity <= 1:
        return (
            ErrorCode.CREATE,
            f"fidelity {create.minimum_fidelity:g} is asked, expected 0 to 1",
        )
    return None
