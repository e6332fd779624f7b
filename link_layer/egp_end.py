"""One end of a memory link as a machine: it is told what happens, and says what is to be done.

The leading end (the one with the lower node id) opens the rounds; its queue decides for which
request. A round ends with a half that is stored or measured, and the next one begins at once, while
the two ends still agree about the last. docs/link-machine.md has the states and messages.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from link_layer.egp_agreement import Agreement
from link_layer.egp_plan import EndPort, Half, Plan
from link_layer.egp_round import Rounds
from link_layer.messages import (
    Attempt,
    Basis,
    EndRound,
    Heralded,
    MeasuredBasis,
    Measuring,
    Message,
    NotReady,
    PairDropped,
    PairDroppedSeen,
    PairHeld,
    ReadyAgain,
)
from link_layer.queue import Request, RequestQueue
from link_layer.queue_order import Group

RETRY_S = 0.005
"""First pause of the leading end after a round that failed; doubled up to RETRY_LIMIT_S."""

RETRY_LIMIT_S = 0.5
"""So long a request also waits for room at the far end before it is tried without being told."""

COHERENT: tuple[Basis, ...] = ("X", "Y")
"""In which coherence shows."""

TEST_BASES: tuple[Basis, ...] = ("Z", "X", "Y")


@dataclass(frozen=True, slots=True)
class Aged:
    """A share of the test rounds is stored before it is measured, half of them for `held_s`."""

    share: float
    held_s: float


class Full(str):
    """Why there is no storage qubit for a half."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """Test rounds of a calibration in these bases in turn, instead of rounds for requests."""

    bases: tuple[Basis, ...]
    bright_population: float | None = None


class LinkEnd:
    """The machine of one end. `me` is its node's name, as in the origin of requests.

    `test_share` of the rounds only test the link; `first_round` sets a new process apart from the
    one before it. For `announce_period_s` see `Attempt`; `aged` are the test rounds that show how
    stored halves decay.
    """

    def __init__(
        self,
        link: str,
        port: EndPort,
        queue: RequestQueue,
        *,
        me: str,
        leads: bool,
        test_share: float,
        rng: random.Random,
        counters: Counter[str],
        announce_period_s: float = 0.0,
        aged: Aged | None = None,
    ):
        self.link, self.leads, self.test_share = link, leads, test_share
        self._announce_period_s, self._aged = announce_period_s, aged
        self.paused = ""
        """Why no request is to be begun, one that has pairs goes on; "" lets all."""
        self.probe: Probe | None = None
        self._refused = False
        self._port, self._queue, self._me = port, queue, me
        self._rng, self._counters = rng, counters
        self._rounds = Rounds(port, counters, ready=self._half_ready, over=self._round_over)
        self._agreement = Agreement(link, port, counters, agreed=self._agreed, lost=self._lost)
        self._next: Attempt | None = None
        self._number = rng.getrandbits(30) << 32
        self._last_round = -(2**63)
        self._failures = 0
        self._not_before_s = 0.0
        self._full: dict[int, tuple[str, float]] = {}
        """Requests for whose pairs the far end has no room, why, and when they are tried again."""
        self._test_turn = 0

    @property
    def busy(self) -> bool:
        """Time matters to it: it wants to be told every few milliseconds."""
        return self._rounds.attempt is not None or self._agreement.busy or self._failures > 0

    @property
    def attempt(self) -> Attempt | None:
        """What opened the round in progress."""
        return self._rounds.attempt

    @property
    def idle(self) -> bool:
        """No round is in progress."""
        return self._rounds.attempt is None

    @property
    def round(self) -> int:
        """The number of the last round that this end has opened."""
        return self._number

    # What happens.

    def go(self, now_s: float) -> None:
        """Begin a round if this end leads, none is in progress, and there is something to do."""
        if not self.leads or self._rounds.attempt is not None or now_s < self._not_before_s:
            return
        if self._port.missing():
            self._failures = 0
            return
        if self.probe is not None:
            if not self._port.busy(None):
                self._open(self._probing(self.probe), now_s)
            return
        if self._full:
            self._full = {each: full for each, full in self._full.items() if now_s < full[1]}
        waiting = self._agreement.waiting

        def fits(request: Request) -> bool:
            # Dear questions last: they are asked of each request that is passed over.
            return (
                not self._held_back(request)
                and request.missing > waiting[request.id] + self._port.in_work(request)
                and request.id not in self._full
                and not (self._keeps(*request.group) and self._port.no_room(request))
            )

        def open_(group: Group) -> bool:
            return self._port.storage() or not self._keeps(*group)

        request = self._queue.next(now_s, fit=fits, open_=open_)
        if request is None:
            self._failures = 0
            return
        if self._port.busy(request):
            return  # it calls when it is free
        self._number += 1
        test = self._draw_test()
        held_s = self._draw_age() if test is not None and not self._full else None
        if held_s is not None:
            test = COHERENT[self._number % 2]
        attempt = Attempt(
            self.link,
            self._number,
            request.id,
            test,
            self._port.bright_population(request),
            raw=test is None and self._port.raw(request),
            announce_period_s=self._announce_period_s,
            held_s=held_s,
        )
        request.tried = True
        self._open(attempt, now_s)

    def _probing(self, probe: Probe) -> Attempt:
        self._number += 1
        return Attempt(
            self.link,
            self._number,
            0,
            probe.bases[self._number % len(probe.bases)],
            probe.bright_population,
            announce_period_s=self._announce_period_s,
            probe=True,
        )

    def _held_back(self, request: Request | None) -> str:
        """Why a request is not to be begun; "" if it may, or has begun."""
        return self.paused if request is not None and not request.delivered else ""

    def _open(self, attempt: Attempt, now_s: float) -> None:
        plan = self._plan(attempt)
        if isinstance(plan, str):
            self._counters["not_ready"] += 1
            self._later(now_s)
            return
        self._port.to_peer(attempt)
        self._port.to_station(attempt)
        self._rounds.begin(attempt, plan, now_s)

    def free(self, now_s: float) -> None:
        """The device, or a storage qubit, may be free for a round of this link."""
        if self.leads:
            self.go(now_s)
        elif self._refused:
            self._refused = False
            self._port.to_peer(ReadyAgain(self.link))

    def device_heralded(self, slot: int, now_s: float) -> None:
        """This end's device has stopped with a success in a slot."""
        self._rounds.device_heralded(slot, now_s)

    def device_failed(self, reason: str, now_s: float) -> None:
        """An order was not carried out."""
        self._rounds.end(f"the device failed: {reason}", now_s)

    def from_station(self, message: Message, now_s: float) -> None:
        """Take a word of the station."""
        match message:
            case Heralded(round=number) if self._rounds.goes_on(number):
                self._rounds.station_heralded(message, now_s)
            case EndRound(round=number, reason=reason) if self._rounds.goes_on(number):
                self._rounds.end(reason, now_s)
            case _:
                self._counters["stale_messages"] += 1

    def from_peer(self, message: Message, now_s: float) -> None:
        """Take a word of the far end about rounds and pairs."""
        match message:
            case Attempt() if not self.leads:
                self._opened(message, now_s)
            case PairHeld(round=number):
                # The leading end is in no round that it has not begun itself.
                later = self._rounds.goes_on(number) or (
                    not self.leads and number > self._last_round
                )
                self._agreement.heard(message, later=later, now_s=now_s)
            case NotReady(full=True):
                self._no_room_there(message, now_s)
            case NotReady(round=number, reason=reason) | EndRound(round=number, reason=reason):
                self._ended_there(number, reason, now_s)
            case ReadyAgain():
                self._not_before_s = now_s
                self._full.clear()
                self.go(now_s)
            case PairDropped(sequence=sequence, reason=reason):
                if not self._agreement.far_dropped(message, now_s):
                    self._port.void(sequence, reason)
            case PairDroppedSeen(sequence=sequence):
                self._agreement.drop_seen(sequence)
            case _:
                self._counters["stale_messages"] += 1

    def dropped(self, sequence: int, reason: str, now_s: float) -> None:
        """A pair that was delivered here is given up: the far end has to know."""
        self._agreement.drop(sequence, reason, now_s)

    def interrupt(self, reason: str, now_s: float) -> None:
        """Give the round in progress up."""
        self._rounds.end(reason, now_s)

    def yields(self, reason: str, now_s: float) -> None:
        """End the round in progress unless there was a herald: the device is wanted elsewhere. That
        is no failure, after which one would wait."""
        if self._rounds.attempt is None or self._rounds.working:
            return
        self._counters["rounds_yielded"] += 1
        self._rounds.end(reason, now_s)
        self._failures, self._not_before_s = 0, now_s
        self.go(now_s)

    def full_there(self, request: Request) -> str:
        """Why the far end has no room for a pair of this request; "" as far as is known."""
        return self._full.get(request.id, ("", 0.0))[0]

    def far_end_lost(self, reason: str, now_s: float) -> None:
        """The far end is gone, or a new process: nothing of the old one counts."""
        self._next = None
        self._full.clear()
        self._rounds.end(reason, now_s)
        self._agreement.drop_all(reason, now_s, tell=False)
        self._last_round = -(2**63)

    def give_all_up(self, reason: str, now_s: float) -> None:
        """The device with all it held is gone."""
        self._rounds.end(reason, now_s)
        self._agreement.drop_all(reason, now_s, tell=True)

    def tick(self, now_s: float) -> None:
        """Time has passed."""
        self._rounds.tick(now_s)
        self._agreement.tick(now_s)
        self.go(now_s)

    # Rounds.

    def _opened(self, attempt: Attempt, now_s: float) -> None:
        """The leading end has begun a round."""
        if attempt.round <= self._last_round:
            self._counters["stale_messages"] += 1
            return
        self._last_round = attempt.round
        if self._rounds.attempt is None:
            self._follow(attempt, now_s)
            return
        if self._next is not None:
            self._counters["attempts_dropped"] += 1
        self._next = attempt
        self._rounds.overtaken(now_s)

    def _follow(self, attempt: Attempt, now_s: float) -> None:
        request = self._queue.get(attempt.request)
        plan = (
            self._held_back(request)
            or self._port.missing()
            or self._port.busy(request)
            or self._plan(attempt)
        )
        if isinstance(plan, str):
            self._counters["not_ready"] += 1
            self._refused = True
            self._agreement.round_over(attempt, now_s)
            full = isinstance(plan, Full)
            self._port.to_peer(NotReady(self.link, attempt.round, str(plan), full=full))
        else:
            self._rounds.begin(attempt, plan, now_s)

    def _no_room_there(self, message: NotReady, now_s: float) -> None:
        """The far end cannot store a pair of this request: what needs no room there goes on."""
        attempt = self._rounds.attempt
        mine = attempt if attempt is not None and attempt.round == message.round else None
        self._ended_there(message.round, message.reason, now_s)
        if mine is None or not self.leads or mine.held_s is not None:
            return
        self._full[mine.request] = message.reason, now_s + RETRY_LIMIT_S
        self._failures, self._not_before_s = 0, now_s
        self.go(now_s)

    def _ended_there(self, number: int, reason: str, now_s: float) -> None:
        """The far end has no half of this round, and will have none."""
        if self._next is not None and self._next.round == number:
            self._next = None
        if self._rounds.goes_on(number):
            self._rounds.end(reason, now_s)
        else:
            self._agreement.far_round_over(number, reason, now_s)
        if not self.leads:
            self._last_round = max(self._last_round, number)

    def _round_over(self, attempt: Attempt, reason: str, now_s: float) -> None:
        """A round has ended here without a half."""
        self._agreement.round_over(attempt, now_s)
        ended = EndRound(self.link, attempt.round, reason)
        self._port.to_peer(ended)
        if self.leads:
            self._port.to_station(ended)
            self._later(now_s)
        self._go_on(now_s)

    def _half_ready(self, half: Half, now_s: float) -> None:
        self._failures = 0
        self._agreement.hold(half, now_s)
        self._go_on(now_s)

    def _go_on(self, now_s: float) -> None:
        attempt, self._next = self._next, None
        if attempt is not None:
            self._follow(attempt, now_s)
        else:
            self.go(now_s)

    def _later(self, now_s: float) -> None:
        self._not_before_s = now_s + min(RETRY_LIMIT_S, RETRY_S * 2**self._failures)
        self._failures = min(self._failures + 1, 10)

    # Plans.

    def _draw_test(self) -> Basis | None:
        if self._rng.random() >= self.test_share:
            return None
        self._test_turn += 1
        return TEST_BASES[self._test_turn % len(TEST_BASES)]

    def _draw_age(self) -> float | None:
        """How long the halves of a test round are stored: as many not at all as long."""
        if self._aged is None or self._rng.random() >= self._aged.share:
            return None
        return self._rng.choice((0.0, self._aged.held_s))

    def _keeps(self, kind: str, origin: str) -> bool:
        """This end stores its halves of such requests."""
        return kind == "K" or (kind == "R" and origin != self._me)

    def _plan(self, attempt: Attempt) -> Plan | str:
        """What becomes of the half; a text: why there can be none."""
        if attempt.test_basis is not None and attempt.held_s is not None:
            qubit = self._port.allocate(None)
            if qubit is None:
                return Full(self._port.no_room(None))
            return Plan(basis=attempt.test_basis, discloses=True, test=True, ages_in=qubit)
        if attempt.test_basis is not None:
            return Plan(basis=attempt.test_basis, discloses=True, test=True)
        request = self._queue.get(attempt.request)
        if request is None:
            self._port.refuse_attempt(attempt)
            return f"request {attempt.request} is not open here"
        if not self.leads:
            self._queue.activate(attempt.request)
        create, ours = request.create, request.origin == self._me
        if not self._keeps(*request.group):
            basis = self._drawn(create.near if ours else create.far)
            return Plan(basis=basis, as_phi_plus=create.corrected, discloses=create.kind == "R")
        qubit = self._port.allocate(request)
        if qubit is None:
            return Full(self._port.no_room(request))
        # Either half may be corrected: of two that are kept, that of the following end.
        corrects = create.corrected and (create.kind == "R" or not self.leads)
        return Plan(qubit, corrects=corrects, as_phi_plus=create.corrected)

    def _drawn(self, measuring: Measuring | None) -> MeasuredBasis:
        measuring = measuring or Measuring()
        return self._rng.choices(measuring.bases, measuring.shares)[0]

    # Agreement.

    def _agreed(self, half: Half, far: PairHeld, now_s: float) -> None:
        if half.plan.test:
            self._port.tested(half, far)
            return
        # Who holds a half for a request has agreed to it, though that word may have been lost.
        self._queue.activate(half.attempt.request)
        request = self._queue.get(half.attempt.request)
        if request is None:
            self._lost(half, "its request is over", now_s)
            self._agreement.drop(half.heralded.sequence, "its request is over", now_s)
        else:
            self._port.deliver(half, request, far)
        self.go(now_s)

    def _lost(self, half: Half, reason: str, now_s: float) -> None:
        if not half.plan.test:
            self._counters["discarded"] += 1
            if half.said is not None:
                self._port.told_and_lost(half, reason)
        if half.plan.qubit is not None:
            self._port.free(half.plan.qubit)
