"""Two ends and a station of the link machine in a world of chance: everything can get lost.

There is no event loop: one heap of instants. The world knows what is true (which halves belong to
which herald) and compares; the machines do not.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from link_layer.distil import Distiller, RawPair
from link_layer.egp_end import Aged, LinkEnd
from link_layer.egp_plan import Half
from link_layer.egp_station import LinkStation
from link_layer.messages import (
    Attempt,
    Create,
    Distil,
    Distilled,
    EndRound,
    ErrorCode,
    Message,
    PairHeld,
    Place,
)
from link_layer.purify import Recipe
from link_layer.queue import Request, RequestQueue
from link_layer.states import BellState

NODES = ("alice", "bob", "station")
QUBITS = 3
TICK_S = 0.01


class Clock:
    """The one heap of what will happen."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def after(self, delay_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now_s + delay_s, next(self._count), do))

    def run_until(self, end_s: float) -> None:
        while self._heap and self._heap[0][0] <= end_s:
            self.now_s, _, do = heapq.heappop(self._heap)
            do()
        self.now_s = end_s


@dataclass
class Faults:
    """What the network does to messages, as probabilities and a delay in seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_s: tuple[float, float] = (1e-4, 3e-4)


class Photons:
    """The trigger line: a herald comes when all three take part, and is told to those there."""

    def __init__(self, world: World):
        self.world = world
        self.taking: dict[str, tuple[int, Callable[[int, BellState], None]]] = {}
        self.slot = 0
        self.drawn = 0
        self.truth: dict[int, BellState] = {}

    def take_part(self, who: str, heard: Callable[[int, BellState], None]) -> None:
        self.taking[who] = self.slot, heard
        self.drawn += 1
        drawn = self.drawn
        if len(self.taking) == len(NODES):
            wait_s = self.world.rng.expovariate(1 / 2e-3)
            self.world.clock.after(wait_s, lambda: self._herald(drawn))

    def leave(self, who: str) -> None:
        self.taking.pop(who, None)
        self.drawn += 1

    def _herald(self, drawn: int) -> None:
        if drawn != self.drawn or len(self.taking) < len(NODES):
            return
        self.slot += 1
        state = self.world.rng.choice((BellState.PSI_PLUS, BellState.PSI_MINUS))
        self.truth[self.slot] = state
        heard = [each for _, each in self.taking.values()]
        self.taking.clear()
        self.world.rng.shuffle(heard)
        for each in heard:
            each(self.slot, state)


class Device:
    """Orders in their order, each some microseconds; `life` ends what is on its way."""

    def __init__(self, end: End):
        self.end = end
        self.run = 0
        self.at_s = 0.0
        self.qubits: dict[int, int] = {}
        """Qubit to the slot whose half it holds."""

    def start(self, bright_population: float | None) -> None:
        self.run += 1
        run = self.run
        self._order(lambda: self._begin(run))

    def _begin(self, run: int) -> None:
        if run == self.run:
            self.end.world.photons.take_part(self.end.name, lambda s, _: self._heard(run, s))

    def _heard(self, run: int, slot: int) -> None:
        self.qubits[0] = slot
        life = self.end.life

        def tell() -> None:
            if run == self.run and self.end.life == life:
                self.end.machine.device_heralded(slot, self.end.now_s)

        self.end.world.clock.after(self.end.rng.uniform(1e-6, 1e-3), tell)

    def joint_from(self, slot: int) -> None:
        """Nobody counts attempts here."""

    def stop(self) -> None:
        self.run += 1

        def do() -> None:
            self.end.world.photons.leave(self.end.name)
            self.qubits.pop(0, None)

        self._order(do)

    def gate(self, gate: str, done: Callable[[float], None]) -> None:
        self._order(lambda: done(self.end.now_s))

    def move(self, qubit: int, done: Callable[[float], None]) -> None:
        def do() -> None:
            assert qubit not in self.qubits, "a storage qubit is given out twice"
            if 0 in self.qubits:
                self.qubits[qubit] = self.qubits.pop(0)
            done(self.end.now_s)

        self._order(do)

    def measure(self, basis: str, done: Callable[[int, float], None]) -> None:
        def do() -> None:
            slot = self.qubits.pop(0, None)
            self.end.measured_slot = slot
            done(0 if slot is None else slot % 2, self.end.now_s)

        self._order(do)

    def apply(self, gate: str, qubits: tuple[int, ...]) -> None:
        self._order(lambda: None)

    def read(self, qubit: int, done: Callable[[int, float], None], basis: str = "Z") -> None:
        """Outcomes of the two halves of a pair agree, or contradict, as its slot says."""

        def do() -> None:
            slot = self.qubits.pop(qubit, None) or 0
            wrong = basis == "Z" and self.end.name == "bob" and slot % 3 == 0
            done(slot % 2 ^ wrong, self.end.now_s)

        self._order(do)

    def release(self, qubit: int) -> None:
        self._order(lambda: self.qubits.pop(qubit, None))

    def _order(self, do: Callable[[], Any]) -> None:
        """Carried out after those before it; now and then an order fails instead."""
        end, life = self.end, self.end.life
        self.at_s = max(self.at_s, end.now_s) + end.rng.uniform(1e-6, 2e-4)

        def act() -> None:
            if end.life != life:
                return
            if end.rng.random() < end.world.failing:
                end.device_lost("a fault")
            else:
                do()

        end.world.clock.after(self.at_s - end.now_s, act)


@dataclass
class Given:
    """A pair as an application got it."""

    sequence: int
    slot: int
    bell_state: BellState
    request: int
    boot: int
    qubit: int | None
    far: PairHeld
    void: bool = False
    spent_slot: int | None = None
    """Of a purified pair: that of the other it was made of."""


class End:
    """One end: the machine, its queue and books; stands in for desk and keeper."""

    def __init__(self, world: World, name: str):
        self.world, self.name = world, name
        self.rng = random.Random(world.rng.getrandbits(64))
        self.peer = "bob" if name == "alice" else "alice"
        self.life = 0
        self.given: list[Given] = []
        self.journal: dict[int, None] = {}
        """Pairs that are in its journal, whatever became of them."""
        self.tests: list[tuple[int, int, int]] = []
        self.measured_slot: int | None = None
        self.ended: dict[int, str] = {}
        self.born()

    @property
    def now_s(self) -> float:
        return self.world.clock.now_s

    @property
    def device(self) -> Device:
        return self._device

    def born(self) -> None:
        """A new process, whose device has been put into its safe state."""
        self.life += 1
        self.world.photons.leave(self.name)
        self.counters: Counter[str] = Counter()
        self.queue = RequestQueue(leads=self.name == "alice")
        self._device = Device(self)
        self.free_qubits = list(range(1, QUBITS + 1))
        self.raws: dict[int, Given] = {}
        self.rounds = Distiller("link", self, leads=self.name == "alice", counters=self.counters)
        self.up = {self.peer: True, "station": True}
        self.machine = LinkEnd(
            "link",
            self,
            self.queue,
            me=self.name,
            leads=self.name == "alice",
            test_share=0.2,
            rng=self.rng,
            counters=self.counters,
            announce_period_s=self.world.announce_period_s,
            aged=self.world.aged,
        )
        life = self.life

        def tick() -> None:
            if self.life == life:
                for request in self.queue.expired(self.now_s):
                    self.end_request(request.id, "expired")
                self.rounds.tick(self.now_s)
                self.machine.tick(self.now_s)
                self.world.clock.after(TICK_S, tick)

        self.world.clock.after(TICK_S, tick)

    def device_lost(self, reason: str) -> None:
        """All that was held is gone, and the device does nothing until it is told to."""
        self.machine.give_all_up(reason, self.now_s)
        if self.machine.idle:
            self.world.photons.leave(self.name)
        self._device.qubits.clear()
        self.rounds.clear()
        self.lose_raws(reason, tell=True)
        for given in self.given:
            if given.boot == self.life and given.qubit is not None:
                self.drop(given, reason)

    # The port of the machine.

    def to_peer(self, message: Message) -> None:
        self.world.send(self.name, self.peer, message)

    def to_station(self, message: Message) -> None:
        self.world.send(self.name, "station", message)

    def missing(self) -> str:
        return "" if all(self.up.values()) else "somebody is away"

    def busy(self, request: Request | None) -> str:
        return ""

    def bright_population(self, request: Request) -> float | None:
        return None

    def raw(self, request: Request) -> bool:
        return request.create.purify != "no"

    def in_work(self, request: Request) -> int:
        return self.rounds.in_work[request.id]

    def storage(self) -> bool:
        return bool(self.free_qubits)

    def no_room(self, request: Request | None) -> str:
        # Some find room where others do not.
        spare = 0 if request is None else self.world.spare * (request.id % 2)
        return "" if len(self.free_qubits) > spare else "full"

    def allocate(self, request: Request | None) -> int | None:
        return None if self.no_room(request) else self.free_qubits.pop()

    def place(self, half: Half) -> Place | None:
        return None

    def free(self, qubit: int) -> None:
        assert qubit not in self.free_qubits, "a qubit is freed twice"
        self._device.release(qubit)
        self.free_qubits.append(qubit)
        machine = self.machine

        def tell() -> None:
            if machine is self.machine:  # else a new process
                machine.free(self.now_s)

        self.world.clock.after(0.0, tell)

    def corrected(self, herald_s: float, now_s: float) -> bool:
        return self.rng.random() > 0.01

    def tested(self, half: Half, far: PairHeld) -> None:
        assert half.outcome is not None
        assert far.outcome is not None
        self.tests.append((half.heralded.slot, half.outcome, far.outcome))

    def deliver(self, half: Half, request: Request, far: PairHeld) -> None:
        heralded = half.heralded
        given = Given(
            heralded.sequence,
            heralded.slot,
            heralded.bell_state,
            request.id,
            self.life,
            half.plan.qubit,
            far,
        )
        if half.plan.qubit is not None:
            held = self._device.qubits.get(half.plan.qubit)
            assert held == heralded.slot, "the qubit holds another half than is delivered"
        self.journal[given.sequence] = None
        if half.attempt.raw:
            assert half.plan.qubit is not None
            self.raws[given.sequence] = given
            raw = RawPair(given.sequence, request.id, half.plan.qubit, self.now_s)
            self.rounds.hold(raw, self.now_s)
            return
        self._hand_over(given, request)

    def _hand_over(self, given: Given, request: Request) -> None:
        if not self.queue.deliver(request.id, given.sequence):
            if given.qubit is not None:
                self.free(given.qubit)
            self.machine.dropped(given.sequence, "nobody takes it", self.now_s)
            return
        self.given.append(given)
        self.world.clock.after(self.rng.uniform(0, 0.05), lambda: self._use(given))
        if request.missing <= 0:
            self.end_request(request.id, "done")

    def _use(self, given: Given) -> None:
        """The application measures, or gives up."""
        if given.boot != self.life or given.qubit is None:
            return
        if self.rng.random() < 0.1:
            self.drop(given, "its owner gave it up")
        else:
            self.free(given.qubit)
            given.qubit = None

    def drop(self, given: Given, reason: str) -> None:
        assert given.qubit is not None
        self.free(given.qubit)
        given.qubit, given.void = None, True
        self.machine.dropped(given.sequence, reason, self.now_s)

    # The port of purification.

    def recipe(self, keep: RawPair, spend: RawPair, now_s: float) -> Recipe | None:
        return Recipe("dejmps", "Y", 1.0, 1.0) if self.rng.random() > 0.1 else None

    def apply(self, gate: str, *qubits: int) -> None:
        self._device.apply(gate, qubits)

    def spend(self, pair: RawPair, into: int, done: Callable[[int, float], None]) -> None:
        gone = self.raws.pop(pair.sequence)
        assert gone.qubit is not None
        self.raws[into].spent_slot = gone.slot
        self._device.read(gone.qubit, done)
        self.free_qubits.append(gone.qubit)

    def give_up(self, pair: RawPair, reason: str, *, tell: bool) -> None:
        self.lose(pair.sequence, reason, tell=tell)

    def lose(self, sequence: int, reason: str, *, tell: bool) -> bool:
        given = self.raws.pop(sequence, None)
        if given is None or given.qubit is None:
            return False
        self.free(given.qubit)
        self.rounds.lost(sequence)
        if tell:
            self.machine.dropped(sequence, reason, self.now_s)
        return True

    def lose_raws(self, reason: str, *, tell: bool) -> None:
        for sequence in list(self.raws):
            self.lose(sequence, reason, tell=tell)

    def won(self, keep: RawPair, spend: RawPair, order: Distil, now_s: float) -> None:
        given, request = self.raws.pop(keep.sequence), self.queue.get(keep.request)
        assert given.qubit is not None
        assert self._device.qubits.get(given.qubit) == given.slot
        if request is None:
            self.free(given.qubit)
            self.machine.dropped(given.sequence, "its request is over", self.now_s)
        else:
            self._hand_over(given, request)

    def told_and_lost(self, half: Half, reason: str) -> None:
        assert half.said is not None
        self.journal[half.heralded.sequence] = None

    def void(self, sequence: int, reason: str) -> None:
        if self.rounds.far_lost(sequence, reason) or self.lose(sequence, reason, tell=False):
            return
        for given in self.given:
            if given.sequence == sequence:
                given.void = True
                if given.qubit is not None and given.boot == self.life:
                    self.free(given.qubit)
                    given.qubit = None

    def refuse_attempt(self, attempt: Attempt) -> None:
        if attempt.request in self.ended:  # else its proposal may still be on the way
            self.world.ends[self.peer].far_has_ended(attempt.request, self.rng)

    # Requests: agreed outside of the machine, by the desk; here by word of mouth.

    def ask(self, create: Create, origin: str) -> None:
        self.queue.add(create, origin=origin, now_s=self.now_s)
        self.queue.activate(create.request, 1)
        self.machine.go(self.now_s)

    def propose(self, create: Create, rng: random.Random) -> None:
        """Of the leading end: it serves at once, while proposal and answer are on their way, may
        be lost and are then repeated."""
        life, far = self.life, self.world.ends[self.peer]
        lives = (life, far.life)
        if self.queue.add(create, origin=self.name, now_s=self.now_s) is None:
            return
        self.queue.hurry(create.request)
        self.machine.go(self.now_s)
        delay_s = rng.uniform(*self.world.faults.delay_s)
        if rng.random() < self.world.faults.loss:
            delay_s += 0.05

        def arrives() -> None:
            if lives != (self.life, far.life):
                return
            if rng.random() < 0.2 or create.request in far.ended:
                far.queue.refuse(create, ErrorCode.REJECTED, "")
                far.ended.setdefault(create.request, "refused")
                self.far_has_ended(create.request, rng)
            else:
                far.ask(create, self.name)
                self.world.clock.after(delay_s, accepted)

        def accepted() -> None:
            if life == self.life and self.queue.activate(create.request):
                self.machine.go(self.now_s)

        self.world.clock.after(delay_s, arrives)

    def far_has_ended(self, request_id: int, rng: random.Random, *, done: bool = False) -> None:
        # As the desk does it: what is done there may still have a delivery on its way to here.
        wait_s = 1.0 if done else rng.uniform(1e-4, 1e-2)
        self.world.clock.after(wait_s, lambda: self.end_request(request_id, "ended at the far end"))

    def end_request(self, request_id: int, how: str) -> None:
        if self.queue.end(request_id) is None:
            return
        self.ended[request_id] = how
        self.rounds.over(request_id)
        self.world.ends[self.peer].far_has_ended(request_id, self.rng, done=how == "done")
        self.machine.go(self.now_s)


class Station:
    """The station with its device."""

    def __init__(self, world: World):
        self.world = world
        self.life = 0
        self.run = 0
        self.born()

    def born(self) -> None:
        self.life += 1
        self.run += 1
        self.counters: Counter[str] = Counter()
        self.world.photons.leave("station")
        self.machine = LinkStation("link", self, self.world.rng, self.counters)

    def start(self) -> None:
        self.run += 1
        run, life = self.run, self.life

        def heard(slot: int, state: BellState) -> None:
            if run == self.run and life == self.life:
                self.machine.heralded(slot, state, self.world.clock.now_s)

        def begin() -> None:
            if run == self.run and life == self.life:
                self.world.photons.take_part("station", heard)

        self.world.clock.after(self.world.rng.uniform(1e-6, 2e-4), begin)

    def stop(self) -> None:
        self.run += 1
        self.world.photons.leave("station")

    def announce(self, message: Message, after_s: float = 0.0) -> None:
        life = self.life

        def tell() -> None:
            if life == self.life:
                for end in ("alice", "bob"):
                    self.world.send("station", end, message)

        if after_s > 0:
            self.world.clock.after(after_s, tell)
        else:
            tell()


@dataclass
class World:
    """All of it. `failing`: the probability that an order to a device fails."""

    seed: int
    faults: Faults = field(default_factory=Faults)
    failing: float = 0.0
    announce_period_s: float = 0.0
    aged: Aged | None = None
    spare: int = 0
    """Storage qubits that every second request leaves free."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.clock = Clock()
        self.photons = Photons(self)
        self.ends = {name: End(self, name) for name in ("alice", "bob")}
        self.station = Station(self)
        self._last_s: dict[tuple[str, str], float] = {}
        self._losses: Counter[str] = Counter()
        """How often each end has lost the other, and what each has heard of that."""
        self._heard: Counter[str] = Counter()

    def send(self, sender: str, to: str, message: Message | None) -> None:
        """None: a heartbeat."""
        faults, rng = self.faults, self.rng
        if rng.random() < faults.loss:
            return
        lives, losses = (self._life(sender), self._life(to)), self._losses[sender]
        knows = self._heard[sender]
        for _ in range(1 + (rng.random() < faults.duplicate)):
            due_s = self.clock.now_s + rng.uniform(*faults.delay_s)
            if rng.random() >= faults.reorder:
                due_s = max(due_s, self._last_s.get((sender, to), 0.0) + 1e-9)
                self._last_s[sender, to] = due_s

            def arrive() -> None:
                # The wire knows boots and losses.
                if lives != (self._life(sender), self._life(to)):
                    return
                if to in self.ends and sender in self.ends:
                    if losses < self._heard[to]:
                        return
                    if losses > self._heard[to]:
                        self._heard[to] = losses
                        self._lost_by(to, f"{sender} has begun anew")
                    if knows != self._losses[to]:
                        return  # it did not know yet that it had been lost
                if message is not None:
                    self._arrive(sender, to, message)

            self.clock.after(due_s - self.clock.now_s, arrive)

    def restart(self, name: str) -> None:
        """A node dies and comes back; the others hear of it as the wire lets them."""
        reason = f"{name} has restarted"
        if name == "station":
            self.station.born()
            for end in self.ends.values():
                end.machine.interrupt(reason, end.now_s)
            return
        end = self.ends[name]
        for request in end.queue:
            end.ended[request.id] = "the node ended"
        for given in end.given:
            given.void = True  # nobody is left to use it
        end.born()
        self._losses[name] = self._heard[name] = 0
        self._losses[end.peer] = self._heard[end.peer] = 0
        self._lost_by(end.peer, reason)
        self.station.machine.end_lost(reason)

    def lose(self, name: str) -> None:
        """An end finds its connection to the other closed; the other learns it by its next word."""
        end = self.ends[name]
        self._losses[name] += 1
        self._lost_by(name, f"{end.peer} was lost")
        for number in range(10):
            self.clock.after(0.1 * number, lambda: self.send(name, end.peer, None))

    def _lost_by(self, name: str, reason: str) -> None:
        """Nothing that it had in common with the other end counts any more."""
        peer = self.ends[name]
        peer.machine.far_end_lost(reason, peer.now_s)
        peer.rounds.clear()
        peer.lose_raws(reason, tell=False)
        for given in peer.given:
            given.void = True
            if given.qubit is not None and given.boot == peer.life:
                peer.free(given.qubit)
                given.qubit = None
        for request in peer.queue:
            peer.end_request(request.id, reason)

    def _life(self, name: str) -> int:
        return self.station.life if name == "station" else self.ends[name].life

    def _arrive(self, sender: str, to: str, message: Message) -> None:
        if to == "station":
            if isinstance(message, Attempt | EndRound):
                self.station.machine.ordered(message)
        elif sender == "station":
            self.ends[to].machine.from_station(message, self.clock.now_s)
        elif isinstance(message, Distil | Distilled):
            self.ends[to].rounds.from_peer(message, self.clock.now_s)
            self.ends[to].machine.go(self.clock.now_s)
        else:
            self.ends[to].machine.from_peer(message, self.clock.now_s)
