"""The requests of one link, in the order in which both ends will serve them."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from link_layer.messages import Create, ErrorCode


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


@dataclass(slots=True)
class Request:
    """One request as this end knows it; instants are seconds on the node's own clock."""

    create: Create
    origin: str
    created_s: float
    state: RequestState = RequestState.PROPOSED
    delivered: int = 0
    error: ErrorCode | None = None
    text: str = ""
    sequences: set[int] = field(default_factory=set)

    @property
    def id(self) -> int:
        """64-bit identity, chosen by the origin."""
        return self.create.request

    @property
    def expires_s(self) -> float:
        """When it ends unserved."""
        return self.created_s + self.create.max_time_s

    @property
    def missing(self) -> int:
        """Pairs still to be delivered."""
        return self.create.number - self.delivered


class QueueFull(Exception):
    """The bound of the queue is reached."""


class RequestQueue:
    """Requests by priority, then by age. Final ones leave it at once; ids are never used twice.

    How the last ones ended is remembered, so that a repeated message gets the same answer.
    """

    def __init__(self, limit: int = 256):
        self.limit = limit
        self._open: dict[int, Request] = {}
        self._ended: dict[int, tuple[ErrorCode | None, str]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._open.values()))

    def add(self, create: Create, *, origin: str, now_s: float) -> Request | None:
        """Add a proposal; None if this id is known already (a repeated message).

        Raises QueueFull.
        """
        if create.request in self._open or create.request in self._ended:
            return None
        if len(self._open) >= self.limit:
            raise QueueFull(f"{self.limit} requests are waiting already")
        request = Request(create, origin, now_s)
        self._open[request.id] = request
        return request

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

    def activate(self, request_id: int) -> Request | None:
        """Both ends have agreed; None if it is not waiting for that."""
        request = self._open.get(request_id)
        if request is None or request.state is not RequestState.PROPOSED:
            return None
        request.state = RequestState.ACTIVE
        return request

    def next(self) -> Request | None:
        """The active request to serve now: highest priority, then oldest."""
        active = (r for r in self._open.values() if r.state is RequestState.ACTIVE and r.missing)
        return min(active, key=lambda r: (-r.create.priority, r.created_s, r.id), default=None)

    def deliver(self, request_id: int, sequence: int) -> bool:
        """Count a pair towards a request; False if the request or the pair cannot take it."""
        request = self._open.get(request_id)
        if request is None or request.state is not RequestState.ACTIVE or not request.missing:
            return False
        if sequence in request.sequences:
            return False
        request.sequences.add(sequence)
        request.delivered += 1
        return True

    def end(
        self, request_id: int, error: ErrorCode | None = None, text: str = ""
    ) -> Request | None:
        """Take a request out: done without an error, else failed or refused; None if unknown."""
        request = self._open.pop(request_id, None)
        if request is None:
            return None
        if error is None:
            request.state = RequestState.DONE
        elif request.state is RequestState.PROPOSED:
            request.state = RequestState.REFUSED
        else:
            request.state = RequestState.FAILED
        request.error, request.text = error, text
        self._remember(request_id, error, text)
        return request

    def expired(self, now_s: float) -> list[Request]:
        """Requests whose time is over, still in the queue."""
        return [r for r in self._open.values() if now_s >= r.expires_s]

    def _remember(self, request_id: int, error: ErrorCode | None, text: str) -> None:
        self._ended[request_id] = (error, text)
        while len(self._ended) > 4 * self.limit:
            del self._ended[next(iter(self._ended))]
