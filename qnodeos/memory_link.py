"""One end of a memory link: pairs heralded by a station, kept, measured or prepared (K, M, R).

The rounds are those of `link_layer.egp_end`; here its machine meets the device, the desk, the
memory and the far end.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from drivers.devices import DeviceCapabilities, DeviceHerald
from drivers.supervisor import Supervisor
from link_layer.coherence_watch import CoherenceWatch
from link_layer.egp_end import Aged, LinkEnd
from link_layer.egp_plan import Half
from link_layer.feu import Goodness
from link_layer.feu_model import SingleClick
from link_layer.feu_policy import TestPolicy
from link_layer.messages import (
    Accept,
    Attempt,
    Create,
    Distil,
    Distilled,
    ErrorCode,
    Finish,
    FinishSeen,
    GuardSeen,
    GuardState,
    Heralded,
    LinkHello,
    Message,
    PairHeld,
    Place,
    ProgramHere,
    Recalibrated,
    Refuse,
    Tuned,
)
from link_layer.purify import Recipe
from link_layer.queue import Request
from link_layer.served_rate import ServedRate
from link_layer.states import pauli_to_phi_plus
from qnodeos.config import MemoryLinkTable
from qnodeos.context import NodeContext
from qnodeos.feedforward import Latencies
from qnodeos.keeping import PairKeeper
from qnodeos.link_admission import KEEP_FREE_QUBITS, Admission
from qnodeos.link_deliveries import Deliveries
from qnodeos.link_device import LinkDevice
from qnodeos.link_guard import LinkGuard
from qnodeos.link_slots import LinkSlots
from qnodeos.memory import QuantumMemory, StoredPair
from qnodeos.memory_map import MemoryMap
from qnodeos.memory_quality import MemoryQuality
from qnodeos.pair import Pair
from qnodeos.probing import Prober
from qnodeos.purifying import Purifier
from qnodeos.requests import Desk, order_of
from qnodeos.shared_device import Claim, SharedDevice
from qnodeos.station_tuning import StationTuning
from qnodeos.status import Status

BUSY_TICK_S = 0.01
TICK_S = 0.05
"""How often deadlines are looked at; an application never gets a late pair, whatever this is."""

GREETING_S = 0.2


class MemoryLink:
    """The service of one memory link at one end. `desk` is where applications ask.

    `network_s` is network time, seconds since its epoch, for the slots of the network schedule.
    """

    def __init__(
        self,
        name: str,
        config: MemoryLinkTable,
        context: NodeContext,
        *,
        peer_id: int,
        supervisor: Supervisor,
        shared: SharedDevice | None = None,
        network_s: Callable[[], float] | None = None,
        stops: Sequence[Supervisor] = (),
    ):
        self.name = name
        self.config = config
        self.leads = context.node_id < peer_id
        self.counters: Counter[str] = Counter()
        self.corrections = Latencies()
        """From a herald to its correction at this end."""
        self.agreements = Latencies()
        """From a herald until both ends have said that they hold the pair: its OK."""
        self.quality = MemoryQuality(
            config.minimum_useful_fidelity, context.clock, _bright_state(config)
        )
        self._shared = shared or SharedDevice(context.clock)
        self._shared.join(name, self._device_free, self._yield_device)
        self._shared.programs.join(name, node=context.node_id, send=self._tell_peer)
        self.device = LinkDevice(
            name,
            supervisor,
            clock=context.clock,
            heralded=self._device_heralded,
            came=self._device_came,
            went=self._device_went,
            failed=self._device_failed,
            port=config.port,
            shared=self._shared,
        )
        self.keeper = PairKeeper(
            name,
            context,
            self.device,
            self.counters,
            tell=self._dropped,
            gone=self._gone,
            shared=self._shared,
        )
        self.guard = LinkGuard(name, config.peer, context, changed=self._guard_changed, stops=stops)
        self.served = ServedRate()
        self.desk: Desk[Any] = Desk(  # K and R: Pair; M, and the origin of R: MeasuredPairs
            name,
            me=context.name,
            peer=config.peer,
            send=self._tell_peer,
            clock=context.clock,
            rng=context.rng,
            admit=lambda create: self.admission.refusal(create),
            raw_per_pair=lambda create: self.purifier.raw_per_pair(create),
            changed=self._request_changed,
            unused=_give_up,
            delivered=self.guard.delivered,
            early=lambda: self._machine.go(context.clock()),
            later=lambda do: asyncio.get_running_loop().call_soon(do),
            leads=self.leads,
            order=order_of(config.queue),
            limit=config.queue.limit,
        )
        self.unfit = ""
        """Why the link is not ready though all is there; "" when it is fit for use."""
        self.tuning = StationTuning(name, self.to_station, context.rng)
        self._context = context
        self._slots = LinkSlots(
            config.schedule,
            network_s or context.clock,
            begins=lambda: self._machine.go(context.clock()),
            ends=lambda: self._yield_device("its slot is over"),
        )
        self._deliveries = Deliveries(
            name,
            context,
            leads=self.leads,
            desk=self.desk,
            keeper=self.keeper,
            quality=self.quality,
            counters=self.counters,
            stored_tested=self._stored_tested,
        )
        self.purifier = Purifier(
            name,
            leads=self.leads,
            device=self.device,
            keeper=self.keeper,
            quality=self.quality,
            queue=self.desk.queue,
            send=self.to_peer,
            deliver=self._deliveries.hand_over,
            pace=lambda: self.served.pairs_per_s(context.clock()),
            counters=self.counters,
        )
        self.admission = Admission(
            name,
            clock=context.clock,
            queue=self.desk.queue,
            served=self.served,
            quality=self.quality,
            purifier=self.purifier,
            memory=lambda: self.memory,
            missing=lambda: self.missing() or self.unfit,
        )
        aged = config.coherence
        self._coherence = (
            CoherenceWatch(aged.rounds, aged.false_alarms_per_year, context.clock())
            if aged is not None
            else None
        )
        self._machine = LinkEnd(
            name,
            self,
            self.desk.queue,
            me=context.name,
            leads=self.leads,
            test_share=config.test_fraction,
            rng=context.rng,
            counters=self.counters,
            announce_period_s=config.announce_period_s,
            aged=Aged(aged.share, aged.held_s) if aged is not None else None,
        )
        self.prober = Prober(self._machine, context.clock, lambda: self.device.attempts)

    @property
    def memory(self) -> QuantumMemory | None:
        """The device's storage qubits, once the device has been seen."""
        return self.keeper.memory

    @property
    def shared(self) -> SharedDevice:
        """Its device, with what it shares with other links there."""
        return self._shared

    @property
    def ready(self) -> bool:
        """Everything a request needs is there, both devices, far end and station, and in spec."""
        return not self.missing() and not self.unfit

    @property
    def peer_there(self) -> bool:
        """Far end, station and devices are there, so that the link can be measured."""
        return not self.missing()

    @property
    def serving(self) -> bool:
        """A request has got some of its pairs, but not all, or a round is in progress."""
        begun = any(request.delivered for request in self.desk.queue)
        return begun or not self._machine.idle

    def status(self) -> Status:
        """How the link is, for bus and journal."""
        said: Status = {
            "ready": self.ready,
            "requests": len(self.desk.queue),
            "attempts": self.device.attempts,
            "stale_heralds": self.device.stale_heralds,
            "deliveries_dropped": self.desk.dropped,
            **self.counters,
            **self.guard.status(),
            **self.quality.status(),
            "test_share": self._machine.test_share,
        }
        return {**said, **self.corrections.status("correction"), **self.agreements.status("ok")}

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.device.run())
            tasks.create_task(self.quality.run(self._estimate_renewed))
            tasks.create_task(self._keep_time())

    def reconfigure(self, config: MemoryLinkTable) -> None:
        """Take over what may change while it runs: the share of test rounds, and the fidelity at
        which a stored pair is given up (of pairs from now on)."""
        self.config = config
        self._machine.test_share = config.test_fraction
        self.quality.minimum = config.minimum_useful_fidelity

    def abandon(self, reason: str) -> None:
        """What is in hand is in no known state: nobody is to use it, here or at the far end."""
        self._machine.give_all_up(reason, self._context.clock())
        self.purifier.rounds.clear()
        self.desk.end_all(ErrorCode.OTHER, reason)
        self.keeper.drop_all(reason, tell_peer=True)

    def pause(self, reason: str) -> None:
        """Begin with no more requests, for this reason, until `resume`; one begun goes on."""
        self._machine.paused = reason

    def resume(self) -> None:
        """Serve again."""
        self._machine.paused = ""
        self._machine.go(self._context.clock())

    def forget_tests(self) -> None:
        """The link was set otherwise: its fidelity is to be found anew, at both ends."""
        self.quality.forget()
        self._tell_peer(Recalibrated(self.name))

    # What comes from outside.

    def handle(self, peer: str, message: Message) -> None:
        """Take a message of the far end or of the station."""
        now_s = self._context.clock()
        if peer == self.config.station:
            attempt = self._machine.attempt
            if isinstance(message, Heralded) and attempt and attempt.round == message.round:
                self.device.keep(message.slot)
            if isinstance(message, Tuned):
                self.tuning.heard(message)
            else:
                self._machine.from_station(message, now_s)
        elif peer == self.config.peer:
            match message:
                case LinkHello():
                    if self.quality.far is None:
                        self._say_hello()
                    self.quality.far = message
                    self._machine.go(now_s)
                case Create() | Accept() | Refuse() | Finish() | FinishSeen():
                    self.desk.handle(message)
                case GuardState() | GuardSeen():
                    self.guard.handle(message)
                case Recalibrated():
                    self.quality.forget()
                case ProgramHere():
                    self._shared.programs.handle(self.name, message)
                case Distil() | Distilled():
                    self.purifier.rounds.from_peer(message, now_s)
                    self._machine.go(now_s)
                case _:
                    self._machine.from_peer(message, now_s)

    def peer_changed(self, peer: str, *, up: bool, restarted: bool) -> None:
        """The far end or the station appeared, vanished, or is a new process."""
        now_s = self._context.clock()
        if peer not in (self.config.peer, self.config.station):
            return
        if peer == self.config.peer:
            self.guard.peer_changed(up=up, restarted=restarted)
        if not up or restarted:
            reason = f"{peer} {'has restarted' if up else 'was lost'}"
            if peer == self.config.station:
                self._machine.interrupt(reason, now_s)
            else:
                self.quality.far = None
                self._shared.programs.peer_lost(self.name)
                self._machine.far_end_lost(reason, now_s)
                self.purifier.rounds.clear()
                self.desk.end_all(ErrorCode.OTHER, reason)
                self.keeper.drop_all(reason, tell_peer=False)
        if up and peer == self.config.peer:
            self._say_hello()
        if up and peer == self.config.station:
            self.tuning.station_came()
        self._machine.go(now_s)

    def _device_came(self, capabilities: DeviceCapabilities) -> None:
        self.quality.map = MemoryMap(capabilities)
        self._shared.fit(self.quality.map)
        self._say_hello()
        self._machine.go(self._context.clock())

    def _device_went(self, reason: str) -> None:
        self.quality.map = None
        self._machine.give_all_up(f"the device is away: {reason}", self._context.clock())
        self.purifier.rounds.clear()
        self.keeper.drop_all("the device was lost", tell_peer=True)

    def _device_heralded(self, herald: DeviceHerald) -> None:
        self._machine.device_heralded(herald.slot, herald.received_s)

    def _device_failed(self, reason: str) -> None:
        self._machine.device_failed(reason, self._context.clock())

    def _device_free(self) -> None:
        self._machine.free(self._context.clock())

    def _yield_device(self, reason: str) -> None:
        self._machine.yields(reason, self._context.clock())

    def _claim(self, request: Request | None) -> Claim:
        if request is None:
            return Claim(self._slots.on)
        held = self.memory.pairs if self.memory is not None else []
        deadlines_s = [pair.deadline_s for pair in held if pair.request == request.id]
        priority = request.create.priority
        return Claim(self._slots.on, priority, min(deadlines_s, default=math.inf))

    def _dropped(self, sequence: int, reason: str) -> None:
        self._machine.dropped(sequence, reason, self._context.clock())
        self._machine.go(self._context.clock())

    def _gone(self, pair: StoredPair) -> None:
        self.purifier.rounds.lost(pair.sequence)
        self.desk.withdraw(pair.request, pair.sequence)

    # What the machine asks for.

    def to_peer(self, message: Message) -> None:
        """Send to the far end."""
        self._context.send(self.config.peer, message)

    def to_station(self, message: Message) -> None:
        """Send to the station."""
        self._context.send(self.config.station, message)

    def busy(self, request: Request | None) -> str:
        """Why the device cannot be had for a round now."""
        if self.leads and (text := self._slots.wait()):
            return text
        return self._shared.busy(self.name, self._claim(request))

    def bright_population(self, request: Request) -> float | None:
        """The largest that gives the fidelity asked for; None where the link has no choice."""
        recipe = self.purifier.choice(request.create)
        if isinstance(recipe, Recipe):
            return self.purifier.bright_population(recipe)
        return self.quality.setting_for(self.quality.fresh_for(request.create))

    def raw(self, request: Request) -> bool:
        """Its pairs are made of two."""
        return isinstance(self.purifier.choice(request.create), Recipe)

    def in_work(self, request: Request) -> int:
        """Pairs of it that are being made of two."""
        return self.purifier.rounds.in_work[request.id]

    def storage(self) -> bool:
        """Some request may find a storage qubit."""
        kept = 0 if len(self._shared.shares) else KEEP_FREE_QUBITS
        return self.memory is not None and self.memory.free > kept

    def no_room(self, request: Request | None) -> str:
        """Why no storage qubit can be had for one more pair; "" if one can."""
        if self.memory is None:
            return "its device is away"
        taker = self.desk.taker(request) if request is not None else None
        if request is not None and taker is not None and self.memory.free > 0:
            share = taker.holding.share
            # One that is not to be interrupted begins when all of it has room.
            count = min(request.missing, share.claim) if request.undivided else 1
            return taker.no_use() or self._shared.shares.refusal(share, max(1, count))
        if self.memory.free > KEEP_FREE_QUBITS:
            return ""
        pairs = len(self.memory.pairs)
        return (
            f"no storage qubit is free: {pairs} of {self.memory.capacity} hold pairs, "
            f"{KEEP_FREE_QUBITS} is kept for applications"
        )

    def allocate(self, request: Request | None) -> int | None:
        """A storage qubit, or None."""
        if self.memory is None or self.no_room(request):
            return None
        taker = self.desk.taker(request) if request is not None else None
        return self.memory.allocate(holding=taker.holding if taker is not None else None)

    def place(self, half: Half) -> Place | None:
        """Where a half lies, and what the way there has cost."""
        plan = half.plan
        qubit = plan.ages_in if plan.qubit is None else plan.qubit
        if qubit is None or self.quality.map is None:
            return None
        corrected = plan.corrects and plan.qubit is not None
        correction = pauli_to_phi_plus(half.heralded.bell_state) if corrected else "I"
        return self.quality.map.place(qubit, correction)

    def free(self, qubit: int) -> None:
        """Give up what a storage qubit holds, and the qubit."""
        self.keeper.free(qubit)

    def corrected(self, herald_s: float, now_s: float) -> bool:
        """Note how long the herald took to get to its correction; False if that was too long."""
        attempt = self._machine.attempt
        setting = attempt.bright_population if attempt is not None else None
        late = now_s >= herald_s + self.quality.at(setting).lifetime_s
        self.corrections.add(now_s - herald_s, late=late)
        return not late

    def tested(self, half: Half, far: PairHeld) -> None:
        """Both outcomes of a test round are known."""
        if half.attempt.probe:
            self.prober.tested(half, far)
            return
        self._deliveries.tested(half, far)
        self.purifier.tested(half, far)

    def deliver(self, half: Half, request: Request, far: PairHeld) -> None:
        """Hand a pair to whoever asked for it."""
        now_s = self._context.clock()
        self.served.served(now_s)
        self.agreements.add(now_s - half.herald_s)
        if half.attempt.raw:
            raw = self._deliveries.keep_raw(half, request, far)
            self.purifier.rounds.hold(raw, now_s)
        else:
            self._deliveries.deliver(half, request, far)

    def _stored_tested(self, half: Half, far: PairHeld, right: bool) -> None:
        """A test round that was stored tells how stored pairs decay."""
        self.counters["stored_test_rounds"] += 1
        watch, now_s = self._coherence, self._context.clock()
        if watch is None or not self.quality.known:
            return
        stored = self.quality.coherences_of(half.place, far.place)
        stated_hz = sum(1 / each.t2_s for each in stored)
        before, old, since_s = watch.trouble, bool(half.attempt.held_s), watch.began_s
        if not watch.add(old=old, right=right, held_s=half.age_s, stated_hz=stated_hz, now_s=now_s):
            return
        alarm = f"coherence-{self.name}"
        if watch.trouble:
            self._context.bus.alarm(alarm, watch.trouble)
        else:
            self._context.bus.clear_alarm(alarm)
        if bool(watch.trouble) != bool(before):
            self._context.store.event("coherence", {"link": self.name, "trouble": watch.trouble})
        if self.config.coherence is not None and self.config.coherence.on_alarm == "stop":
            # Soon, not now: the machine is in the middle of a round.
            asyncio.get_running_loop().call_soon(self._coherence_judged, watch.trouble, since_s)

    def _coherence_judged(self, trouble: str, since_s: float) -> None:
        self.guard.judge(trouble, known=True, since_s=since_s)
        # A link that stands still stores nothing that could say that it is over: a person does.
        self.guard.judge("", known=True, since_s=since_s)

    def _guard_changed(self, reason: str, withdrawn: dict[int, str]) -> None:
        """Who has been at a memory may have been at every pair: none is used on."""
        now_s = self._context.clock()
        if reason:
            self._machine.give_all_up(reason, now_s)
            self.purifier.rounds.clear()
            self.desk.end_each(ErrorCode.OTHER, reason, withdrawn)
            self.keeper.drop_all(reason, tell_peer=False)  # its guard knows, and does the same
        else:
            self._machine.go(now_s)

    def told_and_lost(self, half: Half, reason: str) -> None:
        """A half is given up after the far end was told of it."""
        self._deliveries.told_and_lost(half, reason)

    def void(self, sequence: int, reason: str) -> None:
        """The far end has lost its half."""
        if not self.purifier.rounds.far_lost(sequence, reason):
            self._deliveries.void(sequence, reason)

    def refuse_attempt(self, attempt: Attempt) -> None:
        """The far end attempts for a request that is not open here: it may be over."""
        self.desk.remind(attempt.request)

    def _tell_peer(self, message: Message) -> bool:
        return self._context.send(self.config.peer, message)

    def _say_hello(self) -> None:
        mine = self.device.capabilities
        if mine is not None:
            self._tell_peer(
                LinkHello(
                    self.name,
                    mine.t1_s,
                    mine.t2_s,
                    mine.initial_fidelity,
                    mine.readout_error,
                    mine.gate_error,
                    mine.two_qubit_gate_error,
                    self.config.announce_period_s,
                    self.quality.map.kept if self.quality.map is not None else 1.0,
                )
            )

    # Requests.

    def waits(self, request: Request) -> list[str]:
        """What a request waits for now, for people."""
        said = [self._machine.paused] if self._machine.paused and not request.delivered else []
        if self.leads and self._slots.text:
            said.append(self._slots.text)
        attempt, holder = self._machine.attempt, self._shared.holder
        if attempt is not None and attempt.request == request.id:
            said.append("a round for it is in progress")
        elif attempt is not None:
            said.append(f"a round is in progress for request {attempt.request}")
        elif holder not in ("", self.name):
            said.append(f"its device works for link {holder}")
        if request.create.kind != "M" and (text := self.no_room(request)):
            said.append(text)
        if text := self._machine.full_there(request):
            said.append(f"{self.config.peer} has no room for a pair of it: {text}")
        recipe = self.purifier.choice(request.create)
        if isinstance(recipe, Recipe):
            said.append(
                f"each pair is made of two by {recipe.method}, which succeeds in "
                f"{100 * recipe.probability:.0f} % of the rounds"
            )
        return said

    def missing(self) -> str:
        """What a request would wait for in vain; "" when nothing."""
        for there, what in (
            (self.device.capabilities is not None, "its device is away"),
            (self._context.peer_up(self.config.peer), f"{self.config.peer} is away"),
            (self._context.peer_up(self.config.station), f"{self.config.station} is away"),
            (self.quality.known, f"{self.config.peer} has not told its device's numbers yet"),
        ):
            if not there:
                return what
        return self.guard.reason or self._announced_badly()

    def _announced_badly(self) -> str:
        """Why heralds cannot be told of as late as the two ends have it; "" if they can."""
        own_s, far = self.config.announce_period_s, self.quality.far
        far_s = far.announce_period_s if far is not None else own_s
        if own_s != far_s:
            return (
                f"announce_period_s is {own_s:g} here and {far_s:g} at {self.config.peer}: "
                "give both ends the same"
            )
        if own_s <= 0 or self.quality.near is None or far is None:
            return ""
        useful_s = self.quality.lifetime_s(self.quality.near.initial_fidelity)
        if 2 * own_s >= useful_s:
            return (
                f"heralds are told up to {2 * own_s:g} s late, twice announce_period_s, and its "
                f"pairs are of use for {useful_s:.3g} s: give less than {useful_s / 2:.3g} s"
            )
        return ""

    def _request_changed(self, request: Request) -> None:
        self._context.store.request(self.name, request)
        self.served.wanted(self._context.clock(), len(self.desk.queue) > 0)
        if request.state.final:
            self.purifier.rounds.over(request.id)
        self._machine.go(self._context.clock())

    async def _keep_time(self) -> None:
        """What time alone brings: repetitions, deadlines, expiry, a greeting not answered yet."""
        next_s = greeting_s = 0.0
        while True:
            busy = self._machine.busy or self.purifier.rounds.busy
            await asyncio.sleep(BUSY_TICK_S if busy else TICK_S)
            now_s = self._context.clock()
            self.guard.tick()
            self.purifier.rounds.tick(now_s)
            self._machine.tick(now_s)
            if now_s >= next_s:
                next_s = now_s + TICK_S
                self.keeper.tick()
                self.desk.expire()
                self._shared.programs.tick()
            if self.quality.far is None and now_s >= greeting_s:
                greeting_s = now_s + GREETING_S
                self._say_hello()

    def _estimate_renewed(self, goodness: Goodness) -> None:
        self._context.store.fidelity(
            self.name,
            goodness.fidelity,
            goodness.half_width / 1.96,
            self.counters["test_rounds"],
        )
        for alike in self.desk.queue.by_wish():
            text = self.admission.not_as_good(next(iter(alike.values())).create)
            for request in list(alike) if text else ():
                self.desk.end(request, ErrorCode.UNSUPPORTED, text)
        policy = TestPolicy(self.config.test_fraction, self.config.fidelity_precision)
        pairs_per_s = self.served.pairs_per_s(self._context.clock()) or 0.0
        self._machine.test_share = policy.share(self.quality.unit, goodness, pairs_per_s)


def _bright_state(config: MemoryLinkTable) -> SingleClick | None:
    asked = config.bright_state
    if asked is None:
        return None
    return SingleClick(asked.lowest, asked.highest, asked.dark_per_signal)


def _give_up(item: Any) -> None:
    """A pair that nobody will collect."""
    if isinstance(item, Pair):
        item.give_up("nobody is left to collect it")
