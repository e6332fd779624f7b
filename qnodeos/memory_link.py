"""One end of a memory link: pairs heralded by a station, kept in memory until used (type K).

The end with the lower node id leads. A round goes
    Attempt -> both devices and the midpoint attempt -> herald at all three -> correction, store
    -> PairHeld both ways -> delivery
and at every step a contradiction, a silence or a fault drops the pair at both ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from drivers.devices import DeviceCapabilities, DeviceHerald
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from link_layer.fidelity import FidelityEstimate
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
from link_layer.states import BellState, pauli_to_phi_plus
from qnodeos.config import MemoryLinkTable
from qnodeos.context import NodeContext
from qnodeos.feedforward import Latencies
from qnodeos.keeping import PairKeeper
from qnodeos.link_device import LinkDevice
from qnodeos.memory import COMMUNICATION_QUBIT, MemoryFull, QuantumMemory, StoredPair
from qnodeos.memory_quality import MemoryQuality
from qnodeos.pair import Pair
from qnodeos.requests import Desk
from qnodeos.rounds import CurrentRound, RoundOver
from qnodeos.status import Status

ROUND_LIMIT_S = 2.0
"""A round without a herald is opened anew after this time; it only bounds a loss of messages."""

LEAST_ROUND_S = 0.1

AGREEMENT_LIMIT_S = 0.2
"""The other two witnesses of a herald must speak within this time."""

RETRY_S = 0.005
"""First pause of the leading end after a round that failed; doubled up to RETRY_LIMIT_S."""

RETRY_LIMIT_S = 0.5
TICK_S = 0.2

KEEP_FREE_QUBITS = 1
"""Storage qubits that the network leaves to applications, which need one to teleport from."""

TEST_BASES: tuple[Basis, ...] = ("Z", "X", "Y")


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
        self.counters: Counter[str] = Counter()
        self.corrections = Latencies()
        self.quality = MemoryQuality(config.minimum_useful_fidelity, context.clock)
        self.device = LinkDevice(
            name,
            supervisor,
            heralded=self._device_heralded,
            came=self._device_came,
            went=self._device_went,
            port=config.port,
        )
        self.keeper = PairKeeper(name, context, self.device, self._tell_peer, self.counters)
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
        self._round = CurrentRound(self.counters)
        self._rounds = context.rng.getrandbits(30) << 32
        self._last_round = 0
        self._wait_s: float | None = None
        self._herald_s = 0.0
        self._test_turn = 0
        self._attempts: asyncio.Queue[Attempt] = asyncio.Queue(maxsize=16)
        self._work = asyncio.Event()

    @property
    def memory(self) -> QuantumMemory | None:
        """The device's storage qubits, once the device has been seen."""
        return self.keeper.memory

    @property
    def ready(self) -> bool:
        """Everything a request needs is there: both devices, far end, station."""
        return not self._missing()

    def status(self) -> Status:
        """How the link is, for bus and journal."""
        said: Status = {
            "ready": self.ready,
            "stale_heralds": self.device.stale_heralds,
            "deliveries_dropped": self.desk.dropped,
            **self.counters,
            **self.quality.status(),
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
            tasks.create_task(self.device.run())
            tasks.create_task(self.keeper.run())
            tasks.create_task(self.quality.run(self._estimate_renewed))
            tasks.create_task(self._keep_time())
            tasks.create_task(self._lead() if self.leads else self._follow())

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
            reason = f"{peer} {'has restarted' if up else 'was lost'}"
            self._round.interrupt(reason)
            if peer == self.config.peer:
                self.quality.far = None
                # A new process of the leading end counts its rounds from anywhere.
                self._last_round = 0
                while not self._attempts.empty():
                    self._attempts.get_nowait()
                self.desk.end_all(ErrorCode.OTHER, reason)
                self.keeper.drop_all(reason, tell_peer=False)
        if up and peer == self.config.peer:
            self._say_hello()
        self._work.set()

    def _from_station(self, message: Message) -> None:
        match message:
            case Heralded(round=number) if self._round.goes_on(number):
                self._round.tell(lambda current: current.station(message))
            case EndRound(round=number, reason=reason) if self._round.goes_on(number):
                self._round.interrupt(reason)
            case _:
                self.counters["stale_messages"] += 1

    def _from_peer(self, message: Message) -> None:
        match message:
            case LinkHello():
                if self.quality.far is None:
                    self._say_hello()
                self.quality.far = message
                self._work.set()
            case Create() | Accept() | Refuse() | Finish():
                self.desk.handle(message)
            case Attempt(round=n) if not self.leads:
                self._round.overtaken(n)
                if self._attempts.full():
                    self._attempts.get_nowait()
                    self.counters["attempts_dropped"] += 1
                self._attempts.put_nowait(message)
            case PairHeld(round=n) | TestOutcome(round=n) if self._round.goes_on(n):
                self._round.tell(lambda current: current.peer(message))
            case NotReady(round=n, reason=why) | EndRound(round=n, reason=why) if (
                self._round.goes_on(n)
            ):
                self._round.interrupt(why)
            case EndRound(round=n):
                self._last_round = max(self._last_round, n)
            case PairDropped(sequence=sequence, reason=why):
                self.keeper.dropped_by_peer(sequence, why)
            case _:
                self.counters["stale_messages"] += 1

    def _device_came(self, capabilities: DeviceCapabilities) -> None:
        self.quality.near = capabilities
        self.keeper.fit(capabilities.qubits)
        self._say_hello()
        self._work.set()

    def _device_went(self, reason: str) -> None:
        self.quality.near = None
        self._round.interrupt(f"the device is away: {reason}")
        self.keeper.drop_all("the device was lost", tell_peer=True)

    def _device_heralded(self, herald: DeviceHerald) -> None:
        self._herald_s = herald.received_s
        self._round.tell(lambda current: current.device(herald.slot))

    def _tell_peer(self, message: Message) -> bool:
        return self._context.send(self.config.peer, message)

    def _say_hello(self) -> None:
        mine = self.device.capabilities
        if mine is not None:
            self._tell_peer(
                LinkHello(
                    self.name, mine.t1_s, mine.t2_s, mine.initial_fidelity, mine.readout_error
                )
            )

    # Requests.

    def _admit(self, create: Create) -> tuple[ErrorCode, str] | None:
        if create.kind != "K":
            return (ErrorCode.UNSUPPORTED, f"link {self.name} gives pairs of type K only")
        if not self.ready:
            return (ErrorCode.NO_RESOURCES, f"link {self.name} is not ready: {self._missing()}")
        if create.minimum_fidelity > self.quality.highest:
            return (
                ErrorCode.UNSUPPORTED,
                f"fidelity {create.minimum_fidelity:.3f} is asked, link {self.name} gives "
                f"{self.quality.fidelity:.3f}, at most {self.quality.highest:.3f}",
            )
        return None

    def _missing(self) -> str:
        """What a request would wait for in vain; "" when nothing."""
        for there, what in (
            (self.device.capabilities is not None, "its device is away"),
            (self._context.peer_up(self.config.peer), f"{self.config.peer} is away"),
            (self._context.peer_up(self.config.station), f"{self.config.station} is away"),
            (self.quality.known, f"{self.config.peer} has not told its device's numbers yet"),
        ):
            if not there:
                return what
        return ""

    def _request_changed(self, request: Request) -> None:
        self._context.store.request(self.name, request)
        self._work.set()

    async def _keep_time(self) -> None:
        """Expire requests; greet until the far end has answered, as a message may be lost."""
        while True:
            await asyncio.sleep(TICK_S)
            self.desk.expire()
            if self.quality.far is None:
                self._say_hello()

    def _estimate_renewed(self, estimate: FidelityEstimate) -> None:
        self._context.store.fidelity(
            self.name, estimate.value, estimate.standard_error, self.counters["test_rounds"]
        )

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
            if self._attempts.empty() and attempt.round > self._last_round:
                self._last_round = attempt.round
                await self._attempt(attempt)

    def _choose_test(self) -> Basis | None:
        if self._context.rng.random() >= self.config.test_fraction:
            return None
        self._test_turn += 1
        return TEST_BASES[self._test_turn % len(TEST_BASES)]

    async def _attempt(self, attempt: Attempt) -> bool:
        """One round, from opening it to a pair or none; True if there was a herald."""
        try:
            qubit = self._prepare(attempt)
        except (MemoryFull, InstrumentProblem) as problem:
            self.counters["not_ready"] += 1
            if not self.leads:
                self._tell_peer(NotReady(self.name, attempt.round, str(problem)))
            return False
        self._round.begin(attempt)
        try:
            heralded = await self._until_held(attempt)
            if attempt.test_basis is not None:
                await self._test(heralded, attempt.test_basis)
            elif qubit is not None:
                await self._keep(heralded, attempt, qubit)
                qubit = None  # it is the pair's now
        except RoundOver as over:
            await self._give_up(attempt, str(over))
            return False
        except InstrumentProblem as problem:
            self.device.failed(problem)
            await self._give_up(attempt, f"the device failed: {problem}")
            return False
        finally:
            self._round.end()
            if qubit is not None and self.memory is not None:
                self.memory.give_back(qubit)
        return True

    def _prepare(self, attempt: Attempt) -> int | None:
        """A storage qubit for the pair, or None for a test round."""
        if self.memory is None or self.device.capabilities is None:
            raise NotConnected("the device is away", owner=self.name)
        if attempt.test_basis is not None:
            return None
        if not self.leads and self.desk.queue.get(attempt.request) is None:
            self.desk.remind(attempt.request)
            raise MemoryFull(f"request {attempt.request} is over here")
        return self.memory.allocate(keep_free=KEEP_FREE_QUBITS)

    async def _until_held(self, attempt: Attempt) -> Heralded:
        """Attempt until this end's device and the station report the same success."""
        if self.leads:
            self._tell_peer(attempt)
            self._context.send(self.config.station, attempt)
        began_s = self._context.clock()
        await self.device.start()
        await self._round.wait(
            lambda current: current.device_slot is not None or None, self._round_limit_s()
        )
        self.counters["heralds"] += 1
        waited_s = self._context.clock() - began_s
        self._wait_s = waited_s if self._wait_s is None else 0.9 * self._wait_s + 0.1 * waited_s
        return await self._round.wait(lambda current: current.held, AGREEMENT_LIMIT_S)

    def _round_limit_s(self) -> float:
        """Twenty times the usual wait: chance makes a herald later than that once in 10^8."""
        if self._wait_s is None:
            return ROUND_LIMIT_S
        return min(ROUND_LIMIT_S, max(LEAST_ROUND_S, 20 * self._wait_s))

    async def _test(self, heralded: Heralded, basis: Basis) -> None:
        outcome = await self.device.device.measure(COMMUNICATION_QUBIT, basis)
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
        far_end = await self._round.wait(lambda current: current.agreed, AGREEMENT_LIMIT_S)
        if not isinstance(far_end, TestOutcome) or far_end.basis != basis:
            raise RoundOver("the far end did not take this for a test round in the same basis")
        self.quality.tests.add(basis, heralded.bell_state, outcome, far_end.outcome)
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

    async def _keep(self, heralded: Heralded, attempt: Attempt, qubit: int) -> None:
        """Correct, store, agree, deliver; on return the qubit is entered in the books."""
        request = self.desk.queue.get(attempt.request)
        if request is None:
            raise RoundOver("the request ended meanwhile")
        herald_s = self._herald_s
        deadline_s = herald_s + self.quality.lifetime_s
        bell_state = heralded.bell_state
        if request.create.corrected:
            await self._correct(bell_state, herald_s, deadline_s)
            bell_state = BellState.PHI_PLUS
        await self.device.device.move(COMMUNICATION_QUBIT, qubit)
        await self._agree(heralded, qubit)
        stored = StoredPair(
            link=self.name,
            sequence=heralded.sequence,
            slot=heralded.slot,
            bell_state=bell_state,
            fidelity=self.quality.fidelity,
            request=attempt.request,
            qubit=qubit,
            heralded_s=herald_s,
            deadline_s=deadline_s,
        )
        self.keeper.store(stored)
        if not self.desk.deliver(attempt.request, heralded.sequence, Pair(stored, self.keeper)):
            await self.keeper.give_up(stored, "nobody takes it")

    async def _correct(self, bell_state: BellState, herald_s: float, deadline_s: float) -> None:
        """Apply the Pauli gate at the following end; note how long the herald took to get there."""
        gate = pauli_to_phi_plus(bell_state)
        if self.leads or gate == "I":
            return
        await self.device.device.gate(gate, COMMUNICATION_QUBIT)
        now_s = self._context.clock()
        late = now_s >= deadline_s
        self.corrections.add(now_s - herald_s, late=late)
        if late:
            raise RoundOver("the correction came after the deadline")

    async def _agree(self, heralded: Heralded, qubit: int) -> None:
        """Both ends hold the same pair; else its halves are given up. Raises RoundOver."""
        self._tell_peer(
            PairHeld(
                self.name, heralded.round, heralded.sequence, heralded.slot, heralded.bell_state
            )
        )
        try:
            far_end = await self._round.wait(lambda current: current.agreed, AGREEMENT_LIMIT_S)
            if not isinstance(far_end, PairHeld):
                raise RoundOver("the far end took this pair for a test round")
        except RoundOver:
            self._tell_peer(PairDropped(self.name, heralded.sequence, "no agreement"))
            await self.device.device.release(qubit)
            raise

    async def _give_up(self, attempt: Attempt, reason: str) -> None:
        """Leave the device idle and tell the others that the round is over."""
        self.counters["rounds_failed"] += 1
        ended = EndRound(self.name, attempt.round, reason)
        self._tell_peer(ended)
        if self.leads:
            self._context.send(self.config.station, ended)
        try:
            await self.device.device.abort()
            await self.device.device.release(COMMUNICATION_QUBIT)
        except InstrumentProblem as problem:
            self.device.failed(problem)
