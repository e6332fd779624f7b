"""The services of a node under supervision: one that fails is started again, and it is told.

A fault in one service is its own affair: it is logged once with its traceback, counted, alarmed,
and the service begins anew after a pause that doubles. One that fails again and again is in a crash
loop: that is told as such, and ends the node only where the service is vital.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from qnodeos.errors import QnodeosError, UserError, first_of
from qnodeos.status import Status

log = logging.getLogger("qnodeos.services")

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A service that has run so long has recovered: its next failure is a first one again."""

LOOP_FAILURES = 5
LOOP_WITHIN_S = 120.0
"""So many failures within this time are a crash loop."""

ServiceState = Literal["waiting", "running", "restarting", "crash-loop", "ended"]


@dataclass(frozen=True, slots=True)
class Service:
    """A part of a node that runs for as long as the node does.

    `run` is called at each start and ends by being cancelled; `ends`: it may also be done. `vital`:
    its crash loop ends the node. `status` gives figures for bus and journal. `drain` is called when
    the node is to go down and returns once nothing is open. `failed` cleans up after a failure,
    before the next start; it gets the reason.
    """

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    ends: bool = False
    vital: bool = False
    status: Callable[[], Status] | None = None
    drain: Callable[[], Awaitable[None]] | None = None
    failed: Callable[[str], None] | None = None


@dataclass(slots=True)
class Watched:
    """What is known of a service; instants are those of the loop's clock."""

    service: Service
    state: ServiceState = "waiting"
    failures: int = 0
    reason: str = ""
    since_s: float = 0.0
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=LOOP_FAILURES))
    task: asyncio.Task[None] | None = None
    condemned: BaseException | None = None
    error: BaseException | None = None


class ServiceLost(QnodeosError):
    """A vital service is in a crash loop; the node ends, and whoever started it starts it anew."""


class EndedByItself(QnodeosError):
    """A service returned that should have run on."""


class Supervision:
    """Runs services and knows how they are. `on_change` is told of every change of a state."""

    def __init__(
        self, clock: Callable[[], float], on_change: Callable[[Watched], None] = lambda _: None
    ):
        self.watched: dict[str, Watched] = {}
        self._clock, self._on_change = clock, on_change

    @property
    def failures(self) -> int:
        """Failures of all services so far."""
        return sum(each.failures for each in self.watched.values())

    async def run(self, services: Iterable[Service]) -> None:
        """Keep these services running until cancelled; raises ServiceLost, UserError.

        A UserError of a service's first start is a mistake that the operator should see at once.
        """
        async with asyncio.TaskGroup() as tasks:
            for service in services:
                watched = self.watched[service.name] = Watched(service)
                watched.task = tasks.create_task(self._keep(watched), name=service.name)

    def fail(self, name: str, error: Exception) -> None:
        """Somebody who called a service saw it fail: it is treated as if `run` had raised."""
        watched = self.watched.get(name)
        if watched is None or watched.task is None or watched.task.done():
            return
        if watched.state == "running" and watched.condemned is None:
            watched.condemned = error
            watched.task.cancel()

    async def _keep(self, watched: Watched) -> None:
        service = watched.service
        while True:
            began_s = self._clock()
            self._become(watched, "running", "")
            try:
                await service.run()
                if service.ends:
                    self._become(watched, "ended", "")
                    return
                error: BaseException = EndedByItself("it ended by itself")
            except asyncio.CancelledError:
                task = watched.task
                if watched.condemned is None or task is None or task.uncancel() > 0:
                    raise
                error = watched.condemned
            except Exception as raised:
                if watched.condemned is not None and watched.task is not None:
                    watched.task.uncancel()
                told = first_of(raised)
                if isinstance(told, UserError) and watched.failures == 0:
                    raise
                error = raised
            watched.condemned = None
            if watched.task is not None and watched.task.cancelling() > 0:
                # It was told to end and has failed, or just returned, on its way out: were it
                # started anew, nobody would ever tell it again, and the node would not end.
                raise asyncio.CancelledError from error
            await asyncio.sleep(self._failed(watched, error, self._clock() - began_s))

    def _failed(self, watched: Watched, error: BaseException, lasted_s: float) -> float:
        """Count, tell and clean up; returns the pause before the next start, seconds."""
        now_s, service = self._clock(), watched.service
        if lasted_s >= STEADY_S:
            watched.recent_s.clear()
        watched.failures += 1
        watched.error = error
        watched.recent_s.append(now_s)
        first = first_of(error)
        text = f"{type(first).__name__}: {first}"
        looping = (
            len(watched.recent_s) == LOOP_FAILURES and now_s - watched.recent_s[0] <= LOOP_WITHIN_S
        )
        if text != watched.reason:
            # What is meant for people says all by itself.
            shown = None if isinstance(first, UserError) else error
            log.error("service %s has failed: %s", service.name, text, exc_info=shown)
        self._clean_up(watched, text)
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (len(watched.recent_s) - 1))
        if looping and service.vital:
            self._become(watched, "crash-loop", text)
            raise ServiceLost(
                f"service {service.name} has failed {LOOP_FAILURES} times in "
                f"{now_s - watched.recent_s[0]:.1f} s, and the node cannot do without: {text}"
            )
        if looping:
            pause_s = LONGEST_PAUSE_S
        self._become(watched, "crash-loop" if looping else "restarting", text)
        return pause_s

    def _clean_up(self, watched: Watched, reason: str) -> None:
        if watched.service.failed is None:
            return
        try:
            watched.service.failed(reason)
        except Exception:
            log.exception("service %s could not clean up after itself", watched.service.name)

    def _become(self, watched: Watched, state: ServiceState, reason: str) -> None:
        if reason:
            watched.reason = reason
        watched.state, watched.since_s = state, self._clock()
        self._on_change(watched)
