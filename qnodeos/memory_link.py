"""One end of a memory link: pairs heralded by a station, kept in memory until used (type K).

The end with the lower node id leads. A round goes
    Attempt -> both devices and the midpoint attempt -> herald at all three -> correction, store
    -> PairHeld both ways -> delivery
and at every step a contradiction, a silence or a fault drops the pair at both ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from drivers.devices import DeviceCapabilities, QuantumDevice
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from link_layer.fidelity import FidelityEstimate, TestRounds, estimate_fidelity
from link_layer.heralding import Mismatch, Round
from link_layer.messages import (
    Accept,
    Attempt,
    Basis,
    Create,
    EndRound,
    ErrorCode,
    Finish,
    Heralded,
    LinkHello,
    Message,
    NotReady,
    PairDropped,
    PairHeld,
    Refuse,
    TestOutcome,
)
from link_layer.queue import Request
from link_layer.states import BellState, Coherence, pauli_to_phi_plus, useful_lifetime_s
from qnodeos.config import MemoryLinkTable
from qnodeos.context import NodeContext
from qnodeos.feedforward import Latencies
from qnodeos.memory import (
    COMMUNICATION_QUBIT,
    MemoryFull,
    PairExpired,
    QuantumMemory,
    StoredPair,
)
from qnodeos.pair import Pair
from qnodeos.requests import Desk
from qnodeos.status import Status

Found = TypeVar("Found")

ROUND_LIMIT_S = 2.0
"""A round without a herald is opened anew after this time; it only bounds a loss of messages."""

AGREEMENT_LIMIT_S = 0.2
"""The other two witnesses of a herald must speak within this time."""

RETRY_S = 0.005
"""First pause of the leading end after a round that failed; doubled up to RETRY_LIMIT_S."""

RETRY_LIMIT_S = 0.5

TICK_S = 0.05
"""How often deadlines are looked at; an application never gets a late pair, whatever this is."""

ESTIMATE_EVERY_S = 0.5

EXPIRED = "its deadline has passed"

KEEP_FREE_QUBITS = 1
"""Storage qubits that the network leaves to applications, which need one to teleport from."""

TEST_BASES: tuple[Basis, ...] = ("Z", "X", "Y")


class RoundOver(Exception):
    """The current round ends without a pair."""


class MemoryLink:
    """The service of one memory link at one end. `desk` is where applications ask."""

    def __init__(
        self,
        name: str,
        config: MemoryLinkTable,
        context: NodeContext,
        *,
        peer_id: int,
        supervisor: Supervisor,
    ):
        self.name = name
        self.config = config
        self.leads = context.node_id < peer_id
        self.tests = TestRounds()
        self.corrections = Latencies()
        self.counters: Counter[str] = Counter()
        self.memory: QuantumMemory | None = None
        self.desk: Desk[Pair] = Desk(
            name,
            me=context.name,
            peer=config.peer,
            send=self._tell_peer,
            clock=context.clock,
            rng=context.rng,
            admit=self._admit,
            changed=self._request_changed,
        )
        self._context = context
        self._supervisor = supervisor
        self._capabilities: DeviceCapabilities | None = None
        self._far_end: LinkHello | None = None
        self._round: Round | None = None
        self._first_slot: int | None = None
        self._device_said: tuple[int, float] | None = None
        self._ended_round = 0
        # At most one entry a storage qubit, since a pair is freed once.
        self._to_free: asyncio.Queue[tuple[StoredPair, str]] = asyncio.Queue()
        self._news = asyncio.Event()
        self._work = asyncio.Event()
        self._interruption: str | None = None
        self._attempts: asyncio.Queue[Attempt] = asyncio.Queue(maxsize=16)
        self._herald_s = 0.0
        self._lifetime: tuple[tuple[float, ...], float] = ((), 0.0)
        self._estimate: FidelityEstimate | None = None
        self._rounds = context.rng.getrandbits(30) << 32
        self._test_turn = 0

    # What comes from outside.

    def handle(self, peer: str, message: Message) -> None:
        """Take a message of the far end or of the station."""
        if peer == self.config.station:
            self._from_station(message)
        elif peer == self.config.peer:
            self._from_peer(message)

    def peer_changed(self, peer: str, *, up: bool, restarted: bool) -> None:
        """The far end or the station appeared, vanished, or is a new process."""
        if peer not in (self.config.peer, self.config.station):
            return
        if not up or restarted:
            self._interrupt(f"{peer} {'was lost' if not up else 'has restarted'}")
            if peer == self.config.peer:
                self._far_end = None
                self.desk.end_all(ErrorCode.OTHER, f"{peer} was lost")
                self._drop_all(f"{peer} was lost")
        if up and peer == self.config.peer:
            self._say_hello()
        self._work.set()

    @property
    def ready(self) -> bool:
        """Everything a request needs is there: device, far end, station."""
        return (
            self._capabilities is not None
            and self._far_end is not None
            and self._context.peer_up(self.config.peer)
            and self._context.peer_up(self.config.station)
        )

    @property
    def fidelity(self) -> float:
        """The estimate for a fresh pair: from test rounds, before those the devices' own figure."""
        if self._estimate is not None:
            return self._estimate.value
        return self._capabilities.initial_fidelity if self._capabilities else 0.0

    @property
    def readout_error(self) -> float:
        """Probability of a wrong outcome at this end, by the device's own figure."""
        return self._capabilities.readout_error if self._capabilities else 0.0

    def status(self) -> Status:
        """How the link is, for bus and journal."""
        said: Status = {"ready": self.ready, **self.counters}
        estimate = self._estimate
        if estimate is not None:
            said |= {
                "fidelity": estimate.value,
                "fidelity_error": estimate.standard_error,
                "test_rounds": self.counters["test_rounds"],
            }
        p50_s, p99_s = self.corrections.percentile_s(50), self.corrections.percentile_s(99)
        if p50_s is not None and p99_s is not None:
            said |= {
                "correction_p50_ms": p50_s * 1e3,
                "correction_p99_ms": p99_s * 1e3,
                "corrections": self.corrections.count,
                "corrections_late": self.corrections.late,
            }
        return said

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_device())
            tasks.create_task(self._lead() if self.leads else self._follow())
            tasks.create_task(self._keep_time())
            tasks.create_task(self._free_dropped())
            tasks.create_task(self._keep_estimate())

    # The device.

    async def _keep_device(self) -> None:
        """Follow the device through its connections; read its heralds while it is there."""
        while True:
            try:
                device = await self._device_online()
                capabilities = await device.capabilities()
                if self.memory is None or self.memory.capacity != capabilities.qubits - 1:
                    self.memory = QuantumMemory(capabilities.qubits, self._context.clock)
                self._capabilities = capabilities
                self._say_hello()
                self._work.set()
                async for herald in device.heralds():
                    self._device_herald(herald.slot, herald.received_s)
            except InstrumentProblem as problem:
                self._capabilities = None
                self._interrupt(f"the device is away: {problem}")
                self._drop_all("the device was lost")
                self._supervisor.report(problem)

    async def _device_online(self) -> QuantumDevice:
        while True:
            try:
                await self._supervisor.wait_online(60.0)
                return self._device()
            except InstrumentProblem:
                continue

    def _device(self) -> QuantumDevice:
        device = self._supervisor.instrument
        if not isinstance(device, QuantumDevice):
            raise NotConnected(f"{type(device).__name__} is not a quantum device", owner=self.name)
        return device

    def _device_herald(self, slot: int, received_s: float) -> None:
        """A herald may be read before the reply to `start` that says which slots count."""
        self._device_said = (slot, received_s)
        if self._round is not None and self._first_slot is not None:
            self._hear_device()

    def _hear_device(self) -> None:
        if self._device_said is None or self._first_slot is None:
            return
        slot, received_s = self._device_said
        self._device_said = None
        if slot < self._first_slot:
            self.counters["stale_heralds"] += 1
            return
        self._herald_s = received_s
        self._witness(lambda current: current.device(slot))

    # Messages.

    def _from_station(self, message: Message) -> None:
        match message:
            case Heralded(round=number) if self._is_current(number):
                self._witness(lambda current: current.station(message))
            case EndRound(round=number, reason=reason) if self._is_current(number):
                self._interrupt(reason)
            case _:
                self.counters["stale_messages"] += 1

    def _from_peer(self, message: Message) -> None:
        match message:
            case LinkHello():
                if self._far_end is None:
                    self._far_end = message
                    self._say_hello()
                self._far_end = message
                self._work.set()
            case Create() | Accept() | Refuse() | Finish():
                self.desk.handle(message)
            case Attempt() if not self.leads:
                if self._attempts.full():
                    self._attempts.get_nowait()
                    self.counters["attempts_dropped"] += 1
                self._attempts.put_nowait(message)
            case PairHeld(round=number) if self._is_current(number):
                self._witness(lambda current: current.peer(message))
            case TestOutcome(round=number) if self._is_current(number):
                self._witness(lambda current: current.peer(message))
            case NotReady(round=n, reason=reason) | EndRound(round=n, reason=reason) if (
                self._is_current(n)
            ):
                self._interrupt(reason)
            case EndRound(round=number):
                self._ended_round = max(self._ended_round, number)
            case PairDropped(sequence=sequence, reason=reason):
                self._dropped_by_peer(sequence, reason)
            case _:
                self.counters["stale_messages"] += 1

    def _is_current(self, number: int) -> bool:
        return self._round is not None and self._round.number == number

    def _witness(self, tell: Callable[[Round], None]) -> None:
        """Let one of the three witnesses speak about the current round."""
        if self._round is None:
            return
        try:
            tell(self._round)
        except Mismatch as mismatch:
            self.counters["mismatches"] += 1
            self._interrupt(str(mismatch))
        self._news.set()

    def _interrupt(self, reason: str) -> None:
        """End the current round, if there is one."""
        if self._round is not None:
            self._interruption = reason
            self._news.set()

    def _tell_peer(self, message: Message) -> bool:
        return self._context.send(self.config.peer, message)

    def _say_hello(self) -> None:
        mine = self._capabilities
        if mine is not None:
            self._tell_peer(
                LinkHello(
                    self.name, mine.t1_s, mine.t2_s, mine.initial_fidelity, mine.readout_error
                )
            )

    # Requests.

    def _admit(self, create: Create) -> tuple[ErrorCode, str] | None:
        if create.kind != "K":
            return (
                ErrorCode.UNSUPPORTED,
                f"link {self.name} gives pairs of type K only",
            )
        if not self.ready:
            return (ErrorCode.NO_RESOURCES, f"link {self.name} is not ready: {self._missing()}")
        if create.minimum_fidelity > self.fidelity:
            return (
                ErrorCode.UNSUPPORTED,
                f"fidelity {create.minimum_fidelity:.3f} is asked, link {self.name} gives "
                f"{self.fidelity:.3f}",
            )
        return None

    def _missing(self) -> str:
        for there, what in (
            (self._capabilities is not None, "its device is away"),
            (self._context.peer_up(self.config.peer), f"{self.config.peer} is away"),
            (self._context.peer_up(self.config.station), f"{self.config.station} is away"),
        ):
            if not there:
                return what
        return f"{self.config.peer} has not told its device's numbers yet"

    def _request_changed(self, request: Request) -> None:
        self._context.store.request(self.name, request)
        self._work.set()

    # Rounds.

    async def _lead(self) -> None:
        failures = 0
        while True:
            request = self.desk.queue.next() if self.ready else None
            if request is None:
                await self._work.wait()
                self._work.clear()
                continue
            self._rounds += 1
            attempt = Attempt(self.name, self._rounds, request.id, self._choose_test())
            if await self._attempt(attempt):
                failures = 0
            else:
                await asyncio.sleep(min(RETRY_LIMIT_S, RETRY_S * 2**failures))
                failures = min(failures + 1, 10)

    async def _follow(self) -> None:
        while True:
            attempt = await self._attempts.get()
            if self._attempts.empty() and attempt.round > self._ended_round:
                await self._attempt(attempt)

    def _choose_test(self) -> Basis | None:
        if self._context.rng.random() >= self.config.test_fraction:
            return None
        self._test_turn += 1
        return TEST_BASES[self._test_turn % len(TEST_BASES)]

    async def _attempt(self, attempt: Attempt) -> bool:
        """One round, from opening it to a pair or none; True if there was a herald."""
        qubit: int | None = None
        try:
            qubit = self._prepare(attempt)
        except (MemoryFull, InstrumentProblem) as problem:
            self.counters["not_ready"] += 1
            if not self.leads:
                self._tell_peer(NotReady(self.name, attempt.round, str(problem)))
            return False
        self._round = Round(attempt.round, attempt.request)
        self._interruption = None
        self._news.clear()
        try:
            heralded = await self._until_held(attempt)
            if attempt.test_basis is not None:
                await self._test(heralded, attempt.test_basis)
            elif qubit is not None and await self._keep(heralded, attempt, qubit):
                qubit = None
        except RoundOver as over:
            await self._give_up(over)
            return False
        except InstrumentProblem as problem:
            self._supervisor.report(problem)
            await self._give_up(RoundOver(f"the device failed: {problem}"))
            return False
        finally:
            self._round = None
            if qubit is not None and self.memory is not None:
                self.memory.give_back(qubit)
        return True

    def _prepare(self, attempt: Attempt) -> int | None:
        """A storage qubit for the pair, or None for a test round."""
        if self.memory is None or self._capabilities is None:
            raise NotConnected("the device is away", owner=self.name)
        if attempt.test_basis is not None:
            return None
        if not self.leads and self.desk.queue.get(attempt.request) is None:
            raise MemoryFull(f"request {attempt.request} is over here")
        return self.memory.allocate(keep_free=KEEP_FREE_QUBITS)

    async def _until_held(self, attempt: Attempt) -> Heralded:
        """Attempt until this end's device and the station report the same success."""
        if self.leads:
            self._tell_peer(attempt)
            self._context.send(self.config.station, attempt)
        # Before the reply to `start` no herald counts: it would be one of an earlier round.
        self._first_slot = self._device_said = None
        self._first_slot = await self._device().start()
        self._hear_device()
        await self._wait(lambda current: current.device_slot is not None or None, ROUND_LIMIT_S)
        self.counters["heralds"] += 1
        return await self._wait(lambda current: current.held, AGREEMENT_LIMIT_S)

    async def _wait(self, until: Callable[[Round], Found | None], limit_s: float) -> Found:
        """Wait for the current round to show something; raises RoundOver."""
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    if self._interruption is not None or self._round is None:
                        raise RoundOver(self._interruption or "interrupted")
                    found = until(self._round)
                    if found is not None:
                        return found
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise RoundOver(f"no progress within {limit_s:g} s") from None

    async def _test(self, heralded: Heralded, basis: Basis) -> None:
        outcome = await self._device().measure(COMMUNICATION_QUBIT, basis)
        self._tell_peer(
            TestOutcome(
                self.name,
                heralded.round,
                heralded.sequence,
                heralded.slot,
                heralded.bell_state,
                basis,
                outcome,
            )
        )
        far_end = await self._wait(lambda current: current.agreed, AGREEMENT_LIMIT_S)
        if not isinstance(far_end, TestOutcome) or far_end.basis != basis:
            raise RoundOver("the far end did not take this for a test round in the same basis")
        self.tests.add(basis, heralded.bell_state, outcome, far_end.outcome)
        self.counters["test_rounds"] += 1
        self._context.store.event(
            "test-round",
            {
                "link": self.name,
                "sequence": heralded.sequence,
                "slot": heralded.slot,
                "bell_state": heralded.bell_state.name,
                "basis": basis,
                "outcomes": [outcome, far_end.outcome],
            },
        )

    async def _keep(self, heralded: Heralded, attempt: Attempt, qubit: int) -> bool:
        """Correct, store, agree, deliver; True if the qubit now holds a pair in the books."""
        request = self.desk.queue.get(attempt.request)
        memory = self.memory
        if request is None or memory is None:
            raise RoundOver("the request ended meanwhile")
        herald_s, device = self._herald_s, self._device()
        deadline_s = herald_s + self.lifetime_s()
        bell_state = heralded.bell_state
        if request.create.corrected:
            await self._correct(device, bell_state, herald_s, deadline_s)
            bell_state = BellState.PHI_PLUS
        await device.move(COMMUNICATION_QUBIT, qubit)
        self._tell_peer(
            PairHeld(
                self.name, attempt.round, heralded.sequence, heralded.slot, heralded.bell_state
            )
        )
        try:
            far_end = await self._wait(lambda current: current.agreed, AGREEMENT_LIMIT_S)
            if not isinstance(far_end, PairHeld):
                raise RoundOver("the far end took this pair for a test round")
        except RoundOver:
            await device.release(qubit)
            self._tell_peer(PairDropped(self.name, heralded.sequence, "no agreement"))
            raise
        stored = StoredPair(
            link=self.name,
            sequence=heralded.sequence,
            slot=heralded.slot,
            bell_state=bell_state,
            fidelity=self.fidelity,
            request=attempt.request,
            qubit=qubit,
            heralded_s=herald_s,
            deadline_s=deadline_s,
        )
        memory.store(stored)
        self._context.store.pair_held(stored)
        pair = Pair(stored, self)
        if not self.desk.deliver(attempt.request, heralded.sequence, pair):
            await pair.release()
        return True

    async def _correct(
        self, device: QuantumDevice, bell_state: BellState, herald_s: float, deadline_s: float
    ) -> None:
        """Apply the Pauli gate at the following end; note how long the herald took to get there."""
        gate = pauli_to_phi_plus(bell_state)
        if self.leads or gate == "I":
            return
        await device.gate(gate, COMMUNICATION_QUBIT)
        now_s = self._context.clock()
        late = now_s >= deadline_s
        self.corrections.add(now_s - herald_s, late=late)
        if late:
            raise RoundOver("the correction came after the deadline")

    def lifetime_s(self) -> float:
        """How long a fresh pair stays above the link's useful fidelity, in both memories.

        The root search takes milliseconds; it is made again only when one of its numbers changes.
        """
        mine, far_end = self._capabilities, self._far_end
        if mine is None or far_end is None:
            return 0.0
        given = (self.fidelity, mine.t1_s, mine.t2_s, far_end.t1_s, far_end.t2_s)
        if self._lifetime[0] != given:
            lifetime_s = useful_lifetime_s(
                self.fidelity,
                self.config.minimum_useful_fidelity,
                Coherence(mine.t1_s, mine.t2_s),
                Coherence(far_end.t1_s, far_end.t2_s),
            )
            self._lifetime = (given, lifetime_s)
        return self._lifetime[1]

    async def _give_up(self, over: RoundOver) -> None:
        """Leave the device idle and tell the others that the round is over."""
        current = self._round
        self.counters["rounds_failed"] += 1
        if current is not None:
            ended = EndRound(self.name, current.number, str(over))
            self._tell_peer(ended)
            if self.leads:
                self._context.send(self.config.station, ended)
        try:
            device = self._device()
            await device.abort()
            await device.release(COMMUNICATION_QUBIT)
        except InstrumentProblem as problem:
            self._supervisor.report(problem)

    # The life and end of pairs; what `Pair` needs of its keeper.

    def device(self) -> QuantumDevice:
        """The device; raises NotConnected."""
        return self._device()

    def use(self, stored: StoredPair) -> None:
        """The application takes its half; raises PairExpired when it is too late."""
        if self.memory is None:
            raise PairExpired(f"the device that held pair {stored.sequence} is gone")
        self.memory.take(self.name, stored.sequence)
        self.counters["delivered"] += 1
        self._context.store.pair_delivered(stored, self._context.name)

    async def give_up(self, stored: StoredPair, reason: str) -> None:
        """This end's half is lost, so the far end's is useless."""
        self._tell_peer(PairDropped(self.name, stored.sequence, reason))
        await self._free(stored, reason)

    def _dropped_by_peer(self, sequence: int, reason: str) -> None:
        for pair in self.memory.pairs if self.memory else []:
            if pair.sequence == sequence:
                self._to_free.put_nowait((pair, reason))

    def _drop_all(self, reason: str) -> None:
        for pair in self.memory.pairs if self.memory else []:
            self._to_free.put_nowait((pair, reason))

    async def _free_dropped(self) -> None:
        while True:
            await self._free(*await self._to_free.get())

    async def _keep_estimate(self) -> None:
        """Renew the estimate now and then: it takes too long to make for every pair."""
        rounds = 0
        while True:
            await asyncio.sleep(ESTIMATE_EVERY_S)
            mine, far_end = self._capabilities, self._far_end
            if self.counters["test_rounds"] == rounds or mine is None or far_end is None:
                continue
            rounds = self.counters["test_rounds"]
            self._estimate = estimate_fidelity(
                self.tests.counts,
                readout_error_a=mine.readout_error,
                readout_error_b=far_end.readout_error,
            )
            self.lifetime_s()  # not while a herald waits
            if self._estimate is not None:
                self._context.store.fidelity(
                    self.name, self._estimate.value, self._estimate.standard_error, rounds
                )

    async def _keep_time(self) -> None:
        """Free what is past its deadline; expire requests."""
        while True:
            await asyncio.sleep(TICK_S)
            self.desk.expire()
            for pair in self.memory.overdue() if self.memory else []:
                await self.give_up(pair, EXPIRED)

    async def _free(self, pair: StoredPair, reason: str) -> None:
        """Take a half out of the books, then out of the device."""
        if self.memory is None or self.memory.forget(pair.link, pair.sequence) is None:
            return
        state = "expired" if reason == EXPIRED else "discarded"
        self.counters[state] += 1
        self._context.store.pair_ended(pair, state, reason)
        try:
            await self._device().release(pair.qubit)
        except InstrumentProblem as problem:
            self._supervisor.report(problem)
