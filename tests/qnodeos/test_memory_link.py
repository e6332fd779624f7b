"""A memory link as a whole: both ends and the station on real drivers, with no fault anywhere."""

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from link_layer.messages import (
    Accept,
    Attempt,
    Create,
    ErrorCode,
    Finish,
    Measuring,
    Message,
    PairDropped,
    PairHeld,
)
from link_layer.states import BellState
from qnodeos.memory import PairExpired
from qnodeos.requests import RequestEnded
from timing.loop import run_virtual


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs), limit_s=600)

    return run


def truths(folder: Path, kind: str) -> dict[int, dict[str, Any]]:
    """What really happened, by slot."""
    lines = map(json.loads, (folder / "truth.jsonl").read_text().splitlines())
    return {line["slot"]: line for line in lines if line["kind"] == kind}


@on_virtual_time
async def test_both_ends_get_the_same_pairs(network: Any, collect: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        far = aiter(net.link("bob").desk.accept("test"))
        identities = []
        async for pair in net.ask("alice", number=30):
            other = await anext(far)
            identities.append((pair.sequence, pair.slot, pair.bell_state))
            assert identities[-1] == (other.sequence, other.slot, other.bell_state)
            await pair.measure()
            await other.measure()
        assert len(set(identities)) == 30
        assert {state for _, _, state in identities} == {BellState.PHI_PLUS}
        for end in ("alice", "bob"):
            assert net.link(end).memory.free == net.link(end).memory.capacity
            assert net.link(end).counters["delivered"] == 30
    for end in ("alice", "bob"):
        journal = net.journal(end)
        assert [request.state for request in journal.requests] == ["done"]
        assert [(p.sequence, p.slot) for p in journal.pairs] == [i[:2] for i in identities]
        assert all(p.delivered_s is not None and p.owner == end for p in journal.pairs)


@pytest.mark.parametrize("asker", ["alice", "bob"])
@on_virtual_time
async def test_pairs_are_what_they_are_delivered_as(
    network: Any, tmp_path: Path, asker: str
) -> None:
    """Corrected ones are Phi+ whoever asks; outcomes agree as Phi+ has them: an ideal lab."""
    taker = {"alice": "bob", "bob": "alice"}[asker]
    same = {"X": 0, "Y": 0, "Z": 0}
    async with network(tmp_path, visibility=1.0, t1_s=1e4, t2_s=1e4) as net:
        far = aiter(net.link(taker).desk.accept("test"))
        turn = 0
        async for pair in net.ask(asker, number=30):
            basis = "XYZ"[turn % 3]
            turn += 1
            same[basis] += await pair.measure(basis) == await (await anext(far)).measure(basis)
        # Half of the heralds are Psi+, which a bit flip corrects, half Psi-.
        heralds = {
            message.bell_state
            for _, to, message in net.wire.sent
            if to == "alice" and isinstance(message, PairHeld)
        }
        assert heralds == {BellState.PSI_PLUS, BellState.PSI_MINUS}
        assert net.link("alice").corrections.count == 0
        assert net.link("bob").corrections.count == 30
    assert same == {"X": 10, "Y": 0, "Z": 10}


@on_virtual_time
async def test_uncorrected_pairs_are_told_with_their_bell_state(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, visibility=1.0, t1_s=1e4, t2_s=1e4) as net:
        far = aiter(net.link("bob").desk.accept("test"))
        seen = set()
        async for pair in net.ask("alice", number=20, corrected=False):
            other = await anext(far)
            assert other.bell_state is pair.bell_state
            seen.add(pair.bell_state)
            same = await pair.measure("X") == await other.measure("X")
            assert same is (pair.bell_state is BellState.PSI_PLUS)
        assert seen == {BellState.PSI_PLUS, BellState.PSI_MINUS}
        assert net.link("bob").corrections.count == 0


@on_virtual_time
async def test_the_leading_end_attempts_while_its_proposal_is_on_the_way(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path) as net:
        far = aiter(net.link("bob").desk.accept("test"))
        async for pair in net.ask("alice", number=1):
            await pair.measure()
            await (await anext(far)).measure()
        said = [
            type(message)
            for sender, to, message in net.wire.sent
            if (sender, to) == ("alice", "bob") and isinstance(message, Create | Attempt)
        ]
        assert said == [Create, Attempt]
        begun = [
            m for _, to, m in net.wire.sent if to != "station" and isinstance(m, Accept | Attempt)
        ]
        assert [type(message) for message in begun] == [Attempt, Accept]


@on_virtual_time
async def test_who_is_refused_has_cost_one_round_and_others_are_served(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path) as net:
        far = aiter(net.link("bob").desk.accept("test"))
        with pytest.raises(RequestEnded, match="no application takes purpose 'nobody'"):
            async for _ in net.ask("alice", number=5, purpose="nobody"):
                pass
        attempts = [m for _, to, m in net.wire.sent if to == "bob" and isinstance(m, Attempt)]
        assert len(attempts) == 1
        async for pair in net.ask("alice", number=3):
            await pair.measure()
            await (await anext(far)).measure()
        for end in ("alice", "bob"):
            assert net.link(end).memory.free == net.link(end).memory.capacity
    for end in ("alice", "bob"):
        assert net.journal(end).requests[-1].state == "done"


@on_virtual_time
async def test_the_estimate_from_test_rounds_agrees_with_the_truth(
    network: Any, tmp_path: Path
) -> None:
    async with network(
        tmp_path,
        truth=True,
        test_fraction=0.5,
        visibility=0.8,
        dark=1e-3,
        readout_error=0.02,
        t2_s=0.5,
    ) as net:
        taker = net.link("bob").desk.accept("test")
        used = 0
        async for pair in net.ask("alice", number=400, within_s=60):
            other = await anext(aiter(taker))
            await pair.measure()
            await other.measure()
            used += 1
        await asyncio.sleep(1)
        told = [net.link(end).status() for end in ("alice", "bob")]
    assert used == 400
    heralds = truths(tmp_path, "herald").values()
    true = sum(herald["fidelity_to_heralded"] for herald in heralds) / len(heralds)
    for status in told:
        assert status["test_rounds"] > 200
        assert abs(status["fidelity"] - true) < 4 * status["fidelity_error"] < 0.2
    assert told[0]["fidelity"] == pytest.approx(told[1]["fidelity"])


@on_virtual_time
async def test_delivered_pairs_are_as_good_as_told(network: Any, tmp_path: Path) -> None:
    """Truth at the first use against the device's own figure, used before there are test rounds."""
    async with network(tmp_path, truth=True, visibility=0.9, dark=5e-4) as net:
        taker = net.link("bob").desk.accept("test")
        told, slots = [], []
        async for pair in net.ask("alice", number=200):
            other = await anext(aiter(taker))
            told.append(pair.fidelity)
            slots.append(pair.slot)
            await pair.measure()
            await other.measure()
    # Correction and storage leave the Psi state behind: what is compared is the fresh pair.
    heralds = truths(tmp_path, "herald")
    true = [heralds[slot]["fidelity_to_heralded"] for slot in slots]
    assert sum(told) / 200 == pytest.approx(sum(true) / 200, abs=4 * 0.1 / 200**0.5)


@on_virtual_time
async def test_a_dawdling_application_gets_nothing_late_and_both_ends_free_their_qubits(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, t2_s=0.3) as net:
        taker = net.link("bob").desk.accept("test")
        pairs, ended = await collect(net.ask("alice", number=2))
        others = [await anext(aiter(taker)) for _ in range(2)]
        assert ended is None
        assert [net.link(end).memory.free for end in ("alice", "bob")] == [2, 2]
        deadline_s = max(pair.deadline_s for pair in pairs)
        assert deadline_s > net.node("alice").clock()
        await asyncio.sleep(deadline_s - net.node("alice").clock() + 0.2)
        for half in (*pairs, *others):
            with pytest.raises(PairExpired):
                await half.measure()
            with pytest.raises(PairExpired):
                await half.gate("X")
        for end in ("alice", "bob"):
            link = net.link(end)
            assert link.memory.free == link.memory.capacity
            assert link.counters["expired"] + link.counters["discarded"] == 2
            assert link.counters["delivered"] == 0
        told = [m for *_, m in net.wire.sent if isinstance(m, PairDropped)]
        assert {message.sequence for message in told} == {pair.sequence for pair in pairs}
    for end in ("alice", "bob"):
        assert {pair.state for pair in net.journal(end).pairs} <= {"expired", "discarded"}
        assert all(pair.delivered_s is None for pair in net.journal(end).pairs)


@on_virtual_time
async def test_an_owner_that_keeps_its_half_too_long_loses_it(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, t2_s=0.3) as net:
        taker = net.link("bob").desk.accept("test")
        (pair,), _ = await collect(net.ask("alice", number=1))
        other = await anext(aiter(taker))
        await pair.gate("X")
        await asyncio.sleep(pair.deadline_s - net.node("alice").clock())
        with pytest.raises(PairExpired):
            await pair.measure()
        await asyncio.sleep(0.1)
        with pytest.raises(PairExpired):
            await other.measure()
        assert net.link("alice").memory.free == net.link("bob").memory.free == 4


@on_virtual_time
async def test_a_pair_is_measured_once(network: Any, collect: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        net.link("bob").desk.accept("test")
        (pair,), _ = await collect(net.ask("alice", number=1))
        await pair.measure()
        with pytest.raises(PairExpired):
            await pair.measure()
        await pair.release()  # harmless


@on_virtual_time
async def test_a_pair_given_up_is_free_at_both_ends(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path) as net:
        taker = net.link("bob").desk.accept("test")
        (pair,), _ = await collect(net.ask("alice", number=1))
        other = await anext(aiter(taker))
        await other.release()
        await asyncio.sleep(0.01)
        with pytest.raises(PairExpired):
            await pair.measure()
        assert net.link("alice").memory.free == net.link("bob").memory.free == 4


@pytest.mark.parametrize("holder", ["alice", "bob"])
@on_virtual_time
async def test_a_full_memory_holds_the_link_up_until_there_is_room(
    network: Any, collect: Any, tmp_path: Path, holder: str
) -> None:
    """One of four storage qubits is the applications' own; here one end does not empty its own."""
    async with network(tmp_path, t2_s=100.0) as net:
        memory = net.link(holder).memory
        taken = [memory.allocate() for _ in range(3)]
        taker = aiter(net.link("bob").desk.accept("test"))
        asked = asyncio.create_task(collect(net.ask("alice", number=2, within_s=20)))
        await asyncio.sleep(2)
        assert not asked.done()
        if holder == "bob":  # alice, who leads, only opens rounds that she has room for
            assert net.link(holder).counters["not_ready"] > 0
        attempts = sum(isinstance(message, Attempt) for *_, message in net.wire.sent)
        assert attempts < 40  # it does not hammer
        for qubit in taken:
            memory.give_back(qubit)
        pairs, ended = await asked
        assert ended is None
        for pair in pairs:
            assert (await anext(taker)).sequence == pair.sequence


@pytest.mark.parametrize("holder", ["alice", "bob"])
@on_virtual_time
async def test_measured_pairs_are_made_while_kept_ones_wait_for_room(
    network: Any, collect: Any, tmp_path: Path, holder: str
) -> None:
    async with network(tmp_path, t2_s=100.0) as net:
        taken = [net.link(holder).memory.allocate() for _ in range(3)]
        kept, measured = (aiter(net.link("bob").desk.accept(name)) for name in ("kept", "measured"))
        waits = asyncio.create_task(
            collect(net.ask("alice", number=1, within_s=20, purpose="kept"))
        )
        await asyncio.sleep(1)
        got, ended = await collect(
            net.ask("alice", kind="M", number=50, within_s=2, purpose="measured")
        )
        assert (len(got), ended) == (50, None)
        assert not waits.done()
        if holder == "bob":
            request = next(iter(net.link("alice").desk.queue))
            assert any("bob has no room" in text for text in net.link("alice").waits(request))
        for qubit in taken:
            net.link(holder).memory.give_back(qubit)
        _, ended = await waits
        assert ended is None
        await anext(kept)
        await anext(measured)


@pytest.mark.parametrize(
    ("wishes", "error", "reason"),
    [
        (
            {"kind": "M", "near": Measuring(("Z+45", "Z-45"), (0.5, 0.5))},
            ErrorCode.UNSUPPORTED,
            "measures in Z, X and Y",
        ),
        ({"number": 4, "consecutive": False}, ErrorCode.NO_RESOURCES, "it has room for 3"),
        ({"window_s": -1.0}, ErrorCode.CREATE, r"> 0.0 - at `\$.window_s`"),
        ({"window_s": float("inf")}, ErrorCode.CREATE, "a window of inf s"),
        ({"minimum_fidelity": 0.99}, ErrorCode.UNSUPPORTED, "0.990 is asked, link memory gives"),
        ({"number": 0}, ErrorCode.CREATE, "number 0"),
        ({"within_s": -1.0}, ErrorCode.CREATE, "within -1 s"),
        ({"within_s": float("nan")}, ErrorCode.CREATE, "within nan s"),
        ({"minimum_fidelity": 1.5}, ErrorCode.CREATE, "fidelity 1.5"),
    ],
)
@on_virtual_time
async def test_a_request_that_cannot_be_served_is_refused_at_once(
    network: Any, tmp_path: Path, wishes: dict[str, Any], error: ErrorCode, reason: str
) -> None:
    async with network(tmp_path) as net:
        net.link("bob").desk.accept("test")
        with pytest.raises(RequestEnded, match=reason) as refused:
            net.ask("alice", **wishes)
        assert refused.value.error is error
        assert not any(isinstance(message, Create) for *_, message in net.wire.sent)


@on_virtual_time
async def test_the_far_end_says_why_it_refuses(network: Any, collect: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        _, ended = await collect(net.ask("alice", purpose="chess"))
        assert ended.error is ErrorCode.REJECTED
        assert str(ended) == "REJECTED: bob refuses: no application takes purpose 'chess'"
        assert len(net.link("alice").desk.queue) == len(net.link("bob").desk.queue) == 0


@on_virtual_time
async def test_a_request_ends_in_time_with_what_was_delivered(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, efficiency=0.02) as net:
        taker = net.link("bob").desk.accept("test")
        asked_s = net.node("alice").clock()
        pairs, ended = await collect(net.ask("alice", number=100, within_s=1.0))
        assert net.node("alice").clock() - asked_s == pytest.approx(1.0, abs=0.15)
        assert ended.error is ErrorCode.TIMEOUT
        assert str(ended) == f"TIMEOUT: {len(pairs)} of 100 pairs were delivered in 1 s"
        assert 0 < len(pairs) <= 3  # three qubits, and nobody empties them
        await asyncio.sleep(0.3)
        assert len(net.link("bob").desk.queue) == 0
        for pair in pairs:
            assert (await anext(aiter(taker))).sequence == pair.sequence
    assert [request.state for request in net.journal("bob").requests] == ["failed"]


@on_virtual_time
async def test_requests_are_served_by_priority_then_age(
    network: Any, tmp_path: Path, collect: Any
) -> None:
    served = []

    async def take(net: Any, name: str, inbox: Any, far: Any) -> None:
        async for pair in inbox:
            served.append(name)
            await pair.release()

    async with network(tmp_path, efficiency=0.05) as net:
        for purpose in ("first", "second", "urgent"):
            net.link("bob").desk.accept(purpose)
        async with asyncio.TaskGroup() as tasks:
            for purpose, priority in (("first", 0), ("second", 0), ("urgent", 5)):
                inbox = net.ask("alice", number=3, purpose=purpose, priority=priority)
                tasks.create_task(take(net, purpose, inbox, None))
                await asyncio.sleep(0.001)
    assert served[-9:][:1] != ["second"]
    assert served.index("urgent") < 3
    assert served[-3:] == ["second"] * 3


@on_virtual_time
async def test_requests_of_both_ends_are_served_side_by_side(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async def use_up(inbox: Any) -> list[tuple[int, int]]:
        seen = []
        async for pair in inbox:
            seen.append((pair.sequence, pair.slot))
            await pair.measure()
        return seen

    async def use_for_ever(inbox: Any, seen: list[tuple[int, int]]) -> None:
        async for pair in inbox:
            seen.append((pair.sequence, pair.slot))
            await pair.measure()

    async with network(tmp_path, test_fraction=0.2) as net:
        takers = {}
        for end in ("alice", "bob"):
            takers[end] = []
            net.node(end).start(use_for_ever(net.link(end).desk.accept(f"to {end}"), takers[end]))
        from_alice, from_bob = await asyncio.gather(
            use_up(net.ask("alice", number=20, purpose="to bob")),
            use_up(net.ask("bob", number=20, purpose="to alice")),
        )
        await asyncio.sleep(0.1)
        assert from_alice == takers["bob"]
        assert from_bob == takers["alice"]
        assert not set(from_alice) & set(from_bob)
        assert len(from_alice) == len(from_bob) == 20


@on_virtual_time
async def test_the_last_pair_still_comes_when_finish_overtakes_it(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    """The far end's Finish may arrive before our own half is stored: the request lingers."""
    async with network(tmp_path) as net:
        taker = net.link("bob").desk.accept("test")
        held: list[PairHeld] = []
        seen = asyncio.Event()

        def hold_back(sender: str, to: str, message: Message) -> bool:
            if not isinstance(message, PairHeld) or sender != "alice" or held:
                return False
            held.append(message)
            seen.set()
            return True

        net.wire.faults.lose = hold_back

        async def deliver_late() -> None:
            await seen.wait()
            await asyncio.sleep(0.1)
            net.node("bob").receive("alice", held[0])

        late = asyncio.create_task(deliver_late())
        pairs, ended = await collect(net.ask("alice", number=1))
        assert ended is None
        await asyncio.sleep(0)  # the application has its pair before the far end is told
        finishes = [m for *_, m in net.wire.sent if isinstance(m, Finish)]
        assert finishes
        await late
        assert (await anext(aiter(taker))).sequence == pairs[0].sequence
    assert [request.state for request in net.journal("bob").requests] == ["done"]


@pytest.mark.parametrize("corrected", [True, False])
@on_virtual_time
async def test_pairs_measured_at_once_agree_as_their_bell_state_says(
    network: Any, tmp_path: Path, corrected: bool
) -> None:
    """Type M: each end draws its basis; where both drew the same, outcomes tell of the state."""
    drawn = Measuring(("X", "Y", "Z"), (0.4, 0.3, 0.3))
    async with network(tmp_path, visibility=1.0, t1_s=1e4, t2_s=1e4) as net:
        far = aiter(net.link("bob").desk.accept("test"))
        same: dict[tuple[str, str], set[bool]] = {}
        states = set()
        async for own in net.ask(
            "alice", kind="M", number=200, near=drawn, far=drawn, corrected=corrected
        ):
            other = await anext(far)
            assert (own.pairs == other.pairs).all()
            assert own.bell_state is other.bell_state
            states.add(own.bell_state)
            if own.basis == other.basis:
                agree = bool(own.outcomes[0] == other.outcomes[0])
                same.setdefault((own.bell_state.name, own.basis), set()).add(agree)
        assert net.link("alice").memory.free == 4
    signs = {
        "PHI_PLUS": {"X": True, "Y": False, "Z": True},
        "PSI_PLUS": {"X": True, "Y": True, "Z": False},
        "PSI_MINUS": {"X": False, "Y": False, "Z": False},
    }
    assert states == {BellState[name] for name, _ in same}
    assert len(states) == (1 if corrected else 2)
    assert same == {(name, basis): {signs[name][basis]} for name, basis in same}
    assert len(same) == 3 * len(states)


@pytest.mark.parametrize("asker", ["alice", "bob"])
@on_virtual_time
async def test_a_state_is_prepared_at_the_far_end(network: Any, tmp_path: Path, asker: str) -> None:
    """Type R: the origin measures, the far end keeps what that leaves and is told the outcome."""
    taker = {"alice": "bob", "bob": "alice"}[asker]
    async with network(tmp_path, visibility=1.0, t1_s=1e4, t2_s=1e4) as net:
        far = aiter(net.link(taker).desk.accept("test"))
        measuring = Measuring(("X", "Y", "Z"), (0.4, 0.3, 0.3))
        seen = set()
        async for own in net.ask(asker, kind="R", number=40, near=measuring):
            pair = await anext(far)
            assert pair.prepared == (own.basis, own.outcomes[0])
            basis, outcome = pair.prepared
            seen.add(pair.prepared)
            # Phi+ leaves the same state in X and Z, its complex conjugate in Y.
            assert await pair.measure(basis) == outcome ^ (basis == "Y")
        assert len(seen) == 6


@pytest.mark.parametrize("asker", ["alice", "bob"])
@on_virtual_time
async def test_pairs_asked_for_together_come_together(
    network: Any, tmp_path: Path, asker: str
) -> None:
    taker = {"alice": "bob", "bob": "alice"}[asker]
    async with network(tmp_path, efficiency=0.03) as net:
        far = aiter(net.link(taker).desk.accept("test"))
        inbox = net.ask(asker, number=3, consecutive=False)
        pairs = [pair async for pair in inbox]
        others = [await anext(far) for _ in pairs]
        assert [pair.sequence for pair in pairs] == [other.sequence for other in others]
        assert net.link(asker).memory.free == 1
        for pair, other in zip(pairs, others, strict=True):
            await pair.measure()
            await other.measure()


@pytest.mark.parametrize("asker", ["alice", "bob"])
@on_virtual_time
async def test_the_pairs_of_a_packet_lie_within_its_window(
    network: Any, tmp_path: Path, asker: str
) -> None:
    taker = {"alice": "bob", "bob": "alice"}[asker]
    async with network(tmp_path, efficiency=0.04) as net:  # a pair every 25 ms
        far = aiter(net.link(taker).desk.accept("test"))
        for _ in range(5):
            pairs = [pair async for pair in net.ask(asker, number=3, window_s=0.03)]
            others = [await anext(far) for _ in pairs]
            born_s = [pair.heralded_s for pair in pairs]
            assert max(born_s) - min(born_s) <= 0.03
            assert [pair.sequence for pair in pairs] == [other.sequence for other in others]
            for pair, other in zip(pairs, others, strict=True):
                await pair.measure()
                await other.measure()
        assert net.link("alice").counters["discarded"] > 5  # what was too old
        await asyncio.sleep(0.2)
        assert net.link("alice").memory.free == net.link("bob").memory.free == 4


@on_virtual_time
async def test_an_atomic_request_is_not_divided(network: Any, collect: Any, tmp_path: Path) -> None:
    async with network(tmp_path, efficiency=0.1, t2_s=100.0) as net:
        order: list[str] = []
        begun = asyncio.Event()

        async def use(purpose: str, inbox: Any) -> None:
            async for pair in inbox:
                order.append(purpose)
                begun.set()
                await pair.release()

        for purpose in ("atomic", "urgent"):
            net.node("bob").start(use(f"far {purpose}", net.link("bob").desk.accept(purpose)))
        atomic = asyncio.create_task(
            use("atomic", net.ask("alice", number=6, purpose="atomic", atomic=True))
        )
        await begun.wait()
        await use("urgent", net.ask("alice", number=2, purpose="urgent", priority=5))
        await atomic
        asked = [purpose for purpose in order if not purpose.startswith("far")]
        assert asked == ["atomic"] * 6 + ["urgent"] * 2


@on_virtual_time
async def test_a_request_is_cancelled_at_both_ends(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path, efficiency=0.05) as net:
        far = aiter(net.link("bob").desk.accept("test"))
        inbox = net.ask("alice", number=100)
        pair = await anext(aiter(inbox))
        net.link("alice").desk.cancel(inbox)
        with pytest.raises(RequestEnded, match="CANCELLED: cancelled by alice"):
            await anext(aiter(inbox))
        await asyncio.sleep(0.01)
        assert len(net.link("bob").desk.queue) == 0
        assert await pair.measure("Z") == await (await anext(far)).measure("Z")


@on_virtual_time
async def test_what_cannot_be_served_in_time_is_refused_with_the_sum(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, efficiency=0.05, t2_s=100.0) as net:
        net.link("bob").desk.accept("test")
        pairs, _ = await collect(net.ask("alice", number=3))
        for _ in range(4):
            for pair in pairs:
                await pair.release()
            pairs, _ = await collect(net.ask("alice", number=3))
        with pytest.raises(RequestEnded, match=r"1000 pairs at .* a second take .* are allowed"):
            net.ask("alice", number=1000, within_s=1.0)
