"""One end of a photonic link: pairs measured at both ends at once (type M), found by their tags.

Both ends measure in the same basis for a while, then turn to the next. The following end reports
its time stamps without outcomes; the leading end synchronises the clocks from them, finds the
coincidences, and says which tags are halves of pairs: some for test rounds, whose outcomes both
ends disclose, the others delivered. The link rests while nobody asks for pairs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from drivers.supervisor import Supervisor
from link_layer.fidelity import CorrelatorCounts
from link_layer.messages import (
    Accept,
    BasisTurned,
    ClockReport,
    Create,
    ErrorCode,
    Finish,
    FinishSeen,
    GuardSeen,
    GuardState,
    KeepTime,
    LinkQuality,
    MatchReport,
    Message,
    Refuse,
    TagReport,
    TestOutcomes,
    TurnBasis,
)
from link_layer.queue import Request
from qnodeos.analysis import TurningAnalyzer
from qnodeos.config import PhotonicLinkTable
from qnodeos.context import NodeContext
from qnodeos.detector_guard import DetectorGuard
from qnodeos.link_guard import LinkGuard
from qnodeos.measured import MeasuredPairs
from qnodeos.photonic_follower import Follower
from qnodeos.photonic_leader import Leader
from qnodeos.rates import SILENT_S
from qnodeos.requests import Desk, order_of
from qnodeos.self_test import SelfTest
from qnodeos.status import Status
from qnodeos.tagging import TagSource
from qnodeos.tally import Tally
from timing.tags import TagBatch

REST_AFTER_S = 5.0
"""The link rests when no request has been open for this long."""

TICK_S = 0.1


class PhotonicLink:
    """The service of one photonic link at one end. `desk` is where applications ask."""

    def __init__(
        self,
        name: str,
        config: PhotonicLinkTable,
        context: NodeContext,
        *,
        peer_id: int,
        tagger: Supervisor,
        analyzer: Supervisor,
        reference: Supervisor | None = None,
        power_meter: Supervisor | None = None,
        stops: Sequence[Supervisor] = (),
        flash: Supervisor | None = None,
        executor: Executor | None = None,
    ):
        self.name = name
        self.config = config
        self.leads = context.node_id < peer_id
        self.counters: Counter[str] = Counter()
        guard = config.guard
        self.guard = LinkGuard(
            name,
            config.peer,
            context,
            changed=self._guard_changed,
            stops=stops,
            latch=guard is None or guard.after_trip == "latch",
        )
        self.desk: Desk[MeasuredPairs] = Desk(
            name,
            me=context.name,
            peer=config.peer,
            send=self._tell_peer,
            clock=context.clock,
            rng=context.rng,
            admit=self._admit,
            changed=self._request_changed,
            delivered=self.guard.delivered,
            order=order_of(config.queue),
            limit=config.queue.limit,
        )
        self.unfit = ""
        """Why the link is not ready though the far end is there; "" when it is fit for use."""
        self._context = context
        self._paused = ""
        self._detectors = (
            DetectorGuard(
                guard, config.outcome_channels, context.clock, self._detectors_changed, power_meter
            )
            if guard
            else None
        )
        self._self_test: SelfTest | None = None
        if guard and guard.self_test and flash and self._detectors:
            self._self_test = SelfTest(
                guard.self_test,
                config.outcome_channels,
                false_alarms_per_year=guard.false_alarms_per_year,
                light=flash,
                idle=lambda: not len(self.desk.queue) and not self._paused,
                clock=context.clock,
                rng=context.rng,
                counters=self.counters,
                told=self._detectors.flashed,
            )
        self._tally: Tally | None = None
        self._wanted = asyncio.Event()
        self._wanted_s = self._woken_s = 0.0
        self._kept_until_s = 0.0
        self._analyzer = TurningAnalyzer(analyzer, context.clock)
        self._role = (
            Leader(
                name,
                config,
                context,
                self._analyzer,
                self.desk,
                self.counters,
                executor,
                reference=reference,
            )
            if self.leads
            else Follower(name, config, context, self._analyzer, self.desk, self.counters)
        )
        self._source = TagSource(
            tagger,
            self._analyzer,
            self._wanted,
            context,
            self.counters,
            delay_ps=dict(zip(config.outcome_channels, config.outcome_delays_ps, strict=True)),
            dead_time_ps=config.dead_time_ps,
        )

    def handle(self, peer: str, message: Message) -> None:
        """Take a message of the far end."""
        if peer != self.config.peer:
            return
        match message:
            case Create() | Accept() | Refuse() | Finish() | FinishSeen():
                self.desk.handle(message)
            case (
                TagReport()
                | MatchReport()
                | TurnBasis()
                | BasisTurned()
                | TestOutcomes()
                | LinkQuality()
                | ClockReport()
            ):
                self._role.handle(message)
            case KeepTime():
                self._keep_in_step(message)
            case GuardState() | GuardSeen():
                self.guard.handle(message)
            case _:
                self.counters["stale_messages"] += 1

    def peer_changed(self, peer: str, *, up: bool, restarted: bool) -> None:
        """The far end appeared, vanished, or is a new process."""
        if peer != self.config.peer:
            return
        self.guard.peer_changed(up=up, restarted=restarted)
        if not up or restarted:
            reason = f"{peer} {'has restarted' if up else 'was lost'}"
            self._kept_until_s = 0.0
            self._role.reset(reason)
            self.desk.end_all(ErrorCode.OTHER, reason)

    @property
    def ready(self) -> bool:
        """A request can be made: the far end is there, and guard and calibration do not object."""
        return self.peer_there and not self.unfit and not self.guard.reason

    @property
    def peer_there(self) -> bool:
        """The far end is there."""
        return self._context.peer_up(self.config.peer)

    @property
    def serving(self) -> bool:
        """A request has got some of its pairs, but not all."""
        return any(request.delivered for request in self.desk.queue)

    def pause(self, reason: str) -> None:
        """Begin with no more requests, for this reason, until `resume`; one begun goes on."""
        self._paused = reason
        if isinstance(self._role, Leader):
            self._role.paused = True

    def resume(self) -> None:
        """Serve again."""
        self._paused = ""
        if isinstance(self._role, Leader):
            self._role.paused = False

    def keep_time(self, for_s: float, *, afresh: bool = False) -> bool:
        """Keep the clocks of both ends in step for so long, though nobody asks for pairs.

        Either end may ask; `afresh` to find the clocks anew. False: the far end is away. Raises
        ValueError beyond a day.
        """
        if not 0 < for_s <= 86400:
            raise ValueError(f"keep_time: found {for_s} s, expected more than 0, at most a day")
        ask = KeepTime(self.name, for_s, afresh)
        if not self._tell_peer(ask):
            return False
        self._keep_in_step(ask)
        return True

    async def fresh_tests(self, rounds: int, within_s: float) -> dict[str, CorrelatorCounts]:
        """See `Leader.fresh_tests`; of the end that leads."""
        if not isinstance(self._role, Leader):
            raise TypeError(f"link {self.name} is led by {self.config.peer}")
        return await self._role.fresh_tests(rounds, within_s)

    async def singles_cps(self, seconds: float) -> tuple[float, float]:
        """What this end's detectors count from now on, by outcome channel; batches with a gap are
        left out. It takes as long as there are no tags: set a limit."""
        tally = self._tally = Tally(self.config.outcome_channels, seconds)
        try:
            return await tally.rates_cps()
        finally:
            self._tally = None

    def forget_tests(self) -> None:
        """The light is another than it was: the fidelity is to be found anew."""
        if isinstance(self._role, Leader):
            self._role.tests.forget()

    def light_changed(self) -> None:
        """It is brighter or darker than it was, and the pairs are as good as before."""
        if isinstance(self._role, Leader):
            self._role.tests.forget_chance()

    def missing(self) -> str:
        """What a request would wait for in vain; "" when nothing is known to be missing."""
        if not self.peer_there:
            return f"{self.config.peer} is away"
        return self.guard.reason or self.unfit

    def waits(self, request: Request) -> list[str]:
        """What a request waits for now, for people."""
        clock = self._role.status().get("clock")
        waits = [self._paused] if self._paused and not request.delivered else []
        return waits + ([f"the clocks are {clock}"] if clock not in (None, "tracking") else [])

    def _keep_in_step(self, ask: KeepTime) -> None:
        self._kept_until_s = max(self._kept_until_s, self._context.clock() + ask.for_s)
        self._wanted_s = self._context.clock()
        self._wake()
        self.counters["clocks_asked_for"] += 1
        if ask.afresh:
            self._role.find_clock_afresh()

    def _look_at_tags(self) -> None:
        self._wanted_s = self._context.clock()
        self._wake()

    def _wake(self) -> None:
        """Somebody wants tags."""
        if not self._wanted.is_set():
            self._woken_s = self._context.clock()
            self._wanted.set()

    def status(self) -> Status:
        """How the link is, for bus and journal."""
        resting = not self._wanted.is_set()
        said: Status = {
            "ready": self.ready,
            "resting": resting,
            "deliveries_dropped": self.desk.dropped,
            **self.guard.status(),
            **self._role.status(),
        }
        if isinstance(self._role, Leader) and not resting and said.get("clock") == "tracking":
            # No tags come from here or from there: nothing has told the clock so.
            since_s = max(self._role.matched_s, self._woken_s)
            if self._context.clock() > since_s + SILENT_S:
                said["clock"] = "holdover"
                said.pop("coincidence_rate_cps", None)
        return said

    def histogram(self) -> dict[str, Any] | None:
        """Coincidences by delay, of the end that leads; see `WatchedDelays.look`."""
        return self._role.watched.look() if isinstance(self._role, Leader) else None

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._source.run(self._tags))
            tasks.create_task(self._role.run(self._wanted))
            tasks.create_task(self._keep_time())
            if self._self_test is not None:
                tasks.create_task(self._self_test.run(self._look_at_tags))

    async def _keep_time(self) -> None:
        """Expire requests; let the link rest."""
        while True:
            await asyncio.sleep(TICK_S)
            self.desk.expire()
            self.guard.tick()
            if self._detectors is not None:
                self._detectors.look()
            # A blinded detector has to be watched on to see when that ends.
            watched = self.guard.state in ("unknown", "tripped") or (
                self._self_test is not None and self._self_test.active
            )
            if len(self.desk.queue) or watched or self._context.clock() < self._kept_until_s:
                self._wanted_s = self._context.clock()
            elif self._context.clock() > self._wanted_s + REST_AFTER_S:
                self._wanted.clear()

    def _tags(self, stream: int, batch: TagBatch, epoch: int) -> None:
        if self._self_test is not None and self._self_test.take(batch):
            return  # of no light that a pair is made of
        if self._detectors is not None:
            self._detectors.add(batch)
        if self._tally is not None:
            self._tally.add(batch)
        self._role.tags(stream, batch, epoch)

    def _detectors_changed(self, trouble: str, known: bool, since_s: float) -> None:
        self.guard.judge(trouble, known=known, since_s=since_s)

    def _guard_changed(self, reason: str, withdrawn: dict[int, str]) -> None:
        """What a blinded detector counts is the intruder's: no pair is made of it."""
        if reason:
            self.desk.end_each(ErrorCode.OTHER, reason, withdrawn)
        else:
            self.forget_tests()

    def _tell_peer(self, message: Message) -> bool:
        return self._context.send(self.config.peer, message)

    def _admit(self, create: Create) -> tuple[ErrorCode, str] | None:
        if create.kind != "M":
            return (
                ErrorCode.UNSUPPORTED,
                f"link {self.name} gives pairs of type M only",
            )
        if not self.ready:
            return (ErrorCode.NO_RESOURCES, self.missing())
        return None

    def _request_changed(self, request: Request) -> None:
        self._context.store.request(self.name, request)
        if not request.state.final:
            self._wanted_s = self._context.clock()
            self._wake()
