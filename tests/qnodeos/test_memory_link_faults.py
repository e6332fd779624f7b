"""A memory link while things break: devices, peers, the station, single messages."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from link_layer.messages import (
    Accept,
    Attempt,
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
)
from link_layer.served_rate import MEMORY_S
from link_layer.states import BellState
from qnodeos.memory import PairExpired
from qnodeos.requests import RequestEnded
from timing.loop import run_virtual


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs), limit_s=600)

    return run


class Lose:
    """Loses the first messages of a type, from one node or any; the lost ones are kept."""

    def __init__(self, kind: type, count: int = 1, sender: str = ""):
        self.kind, self.count, self.sender = kind, count, sender
        self.lost: list[Message] = []

    def __call__(self, sender: str, to: str, message: Message) -> bool:
        hit = isinstance(message, self.kind) and self.sender in ("", sender)
        if not hit or len(self.lost) >= self.count:
            return False
        self.lost.append(message)
        return True


async def settled(net: Any) -> None:
    """Every qubit is free again, at the device too, and no request is open."""
    for _ in range(100):
        memories = [net.link(end).memory for end in ("alice", "bob")]
        if all(memory.free == memory.capacity for memory in memories):
            break
        await asyncio.sleep(0.05)
    assert [memory.free for memory in memories] == [memory.capacity for memory in memories]
    for end in ("alice", "bob"):
        assert len(net.link(end).desk.queue) == 0
        readings = await net.link(end).device.device.readings()
        assert readings["held_qubits"] == 0


async def works(net: Any, collect: Any, *, within_s: float = 5.0) -> None:
    """Five more pairs, the same at both ends."""
    purpose = f"again at {net.node('bob').clock()}"
    taker = aiter(net.link("bob").desk.accept(purpose))
    count = 0
    async for pair in net.ask("alice", within_s=within_s, purpose=purpose):
        other = await anext(taker)
        assert (other.sequence, other.slot) == (pair.sequence, pair.slot)
        await pair.measure()
        await other.measure()
        count += 1
    assert count == 5
    await settled(net)


@pytest.mark.parametrize("which", ["alice", "bob"])
@on_virtual_time
async def test_pairs_go_with_the_device_that_held_them(
    network: Any, collect: Any, tmp_path: Path, which: str
) -> None:
    async with network(tmp_path) as net:
        taker = net.link("bob").desk.accept("test")
        pairs, _ = await collect(net.ask("alice", number=2))
        others = [await anext(aiter(taker)) for _ in range(2)]
        net.plugs.unplug(which)
        await asyncio.sleep(0.5)
        assert not net.link(which).ready
        for half in (*pairs, *others):
            with pytest.raises(PairExpired):
                await half.measure()
        refused, ended = await collect(net.ask("bob" if which == "alice" else "alice"))
        assert not refused
        assert "its device is away" in str(ended) or which == "bob"
        net.plugs.plug(which)
        await asyncio.sleep(7)
        await works(net, collect)


@on_virtual_time
async def test_a_power_cycle_in_the_middle_of_a_request_costs_only_time(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, test_fraction=0.2, efficiency=0.06) as net:
        taker = net.link("bob").desk.accept("test")

        async def use(inbox: Any) -> int:
            count = 0
            async for pair in inbox:
                try:
                    await pair.measure()
                    count += 1
                except PairExpired:
                    continue
            return count

        net.node("bob").start(use(taker))
        asked = asyncio.create_task(use(net.ask("alice", number=300, within_s=60)))
        for which in ("alice", "bob", "station", "bob", "alice"):
            await asyncio.sleep(0.4)
            net.plugs.unplug(which)
            await asyncio.sleep(0.05)
            net.plugs.plug(which)
            await asyncio.sleep(0.5)
        assert await asked > 280
        await asyncio.sleep(0.2)
        await settled(net)


@on_virtual_time
async def test_the_far_end_is_lost_and_comes_back(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, t2_s=100.0) as net:
        net.link("bob").desk.accept("test")
        pairs, _ = await collect(net.ask("alice", number=2))
        waiting = asyncio.create_task(collect(net.ask("alice", number=50, within_s=30)))
        await net.wire.cut("alice", "bob")
        _, ended = await waiting
        assert str(ended) == "OTHER: bob was lost"
        await asyncio.sleep(0.1)
        with pytest.raises(PairExpired):
            await pairs[0].measure()
        await settled(net)
        assert not net.link("alice").ready
        net.wire.mend("alice", "bob")
        await asyncio.sleep(0.1)
        await works(net, collect)


@on_virtual_time
async def test_a_station_that_is_cut_off_holds_requests_up(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, test_fraction=0.2) as net:
        net.link("bob").desk.accept("test")
        for end in ("alice", "bob"):
            await net.wire.cut(end, "station")
        assert "station is away" in net.link("alice").missing()
        for end in ("alice", "bob"):
            net.wire.mend(end, "station")
        await works(net, collect)


@on_virtual_time
async def test_a_restarted_station_goes_on_with_new_numbers(
    network: Any, tmp_path: Path, collect: Any
) -> None:
    async with network(tmp_path) as net:
        net.link("bob").desk.accept("test")
        first, _ = await collect(net.ask("alice", number=1))
        waiting = asyncio.create_task(collect(net.ask("alice", number=2, within_s=20)))
        await asyncio.sleep(0.0005)
        await net.restart("station")
        pairs, ended = await waiting
        assert ended is None
        assert len({pair.sequence for pair in first + pairs}) == 3
        for pair in first + pairs:
            await pair.release()
        await works(net, collect)


@on_virtual_time
async def test_a_link_that_was_dark_takes_requests_again(network: Any, tmp_path: Path) -> None:
    """It had become too slow for them, and would never have seen that this is over."""
    async with network(tmp_path) as net:
        clock = net.node("alice").clock

        async def use(pairs: Any) -> None:
            async for pair in pairs:
                await pair.measure()

        async def asks(for_s: float) -> list[str]:
            until_s, ends = clock() + for_s, []
            while clock() < until_s:
                try:
                    await use(net.ask("alice", number=1, within_s=0.5))
                    ends.append("done")
                except RequestEnded as ended:
                    ends.append(ended.error.name)
                await asyncio.sleep(0.05)
            return ends

        taking = asyncio.create_task(use(net.link("bob").desk.accept("test")))
        assert set(await asks(2.0)) == {"done"}
        net.wire.faults.lose = lambda _from, _to, message: isinstance(message, Heralded)
        assert (await asks(5.0))[-1] == "NO_TIME"
        net.wire.faults.lose = lambda *_: False
        await asks(2 * MEMORY_S)  # either end refuses for so long
        assert set(await asks(2.0)) == {"done"}
        taking.cancel()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "which",
    [
        pytest.param("alice"),
        "bob",
    ],
)
@on_virtual_time
async def test_a_restarted_end_is_served_again(
    network: Any, tmp_path: Path, collect: Any, which: str, seed: int
) -> None:
    """Whatever numbers the new process begins to count its rounds at."""
    async with network(tmp_path, seed=7, test_fraction=0.3, efficiency=0.05) as net:
        net.link("bob").desk.accept("test")
        waiting = asyncio.create_task(collect(net.ask("alice", number=200, within_s=30)))
        await asyncio.sleep(0.2)
        if which == "alice":
            # As if a round had ended that bob never began, with the highest number it can have.
            net.node("bob").receive("alice", EndRound("memory", 2**62 - 1, "over"))
        await net.restart(which, seed=seed)
        if which == "bob":
            _, ended = await waiting
            assert str(ended) in ("OTHER: bob was lost", "OTHER: bob has restarted")
        else:
            waiting.cancel()
        await asyncio.sleep(7)
        await works(net, collect)


@pytest.mark.parametrize("kind", [Create, Accept, Refuse])
@on_virtual_time
async def test_a_lost_proposal_or_answer_is_made_up_for(
    network: Any, collect: Any, tmp_path: Path, kind: type
) -> None:
    async with network(tmp_path) as net:
        taker = aiter(net.link("bob").desk.accept("test"))
        net.wire.faults.lose = Lose(kind)
        purpose = "chess" if kind is Refuse else "test"
        began_s = net.node("alice").clock()
        pairs, ended = await collect(net.ask("alice", number=2, purpose=purpose))
        assert net.node("alice").clock() - began_s < 1.5
        if kind is Refuse:
            assert ended.error is ErrorCode.REJECTED
            assert "no application takes" in ended.text
        else:
            assert ended is None
            assert [(await anext(taker)).sequence for _ in pairs] == [p.sequence for p in pairs]


@on_virtual_time
async def test_a_lost_finish_does_not_hold_up_what_comes_after(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    """bob has ended his request, alice (who leads) has not heard: hers may not block others."""
    async with network(tmp_path) as net:
        net.link("alice").desk.accept("test")
        held, finish = Lose(PairHeld, sender="bob"), Lose(Finish, sender="bob")
        net.wire.faults.lose = lambda *said: held(*said) or finish(*said)
        _, ended = await collect(net.ask("bob", number=1, within_s=30))
        assert ended is None
        await asyncio.sleep(0)  # the application has its pair before the far end is told
        assert finish.lost
        await works(net, collect, within_s=5.0)


@on_virtual_time
async def test_repeated_and_late_messages_change_nothing(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path) as net:
        taker = net.link("bob").desk.accept("test")
        pairs, _ = await collect(net.ask("alice", number=3))
        others = [await anext(aiter(taker)) for _ in range(3)]
        said = list(net.wire.sent)
        for sender, to, message in said:
            if not isinstance(message, PairDropped):
                net.node(to).receive(sender, message)
        await asyncio.sleep(0.5)
        assert net.link("bob").counters["delivered"] == 0
        for pair, other in zip(pairs, others, strict=True):
            assert pair.sequence == other.sequence
            await pair.measure()
            await other.measure()
        await works(net, collect)


@on_virtual_time
async def test_a_round_ended_before_it_is_heard_of_is_not_begun(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path) as net:
        number = 1 << 62
        net.node("bob").receive("alice", EndRound("memory", number, "over"))
        net.node("bob").receive("alice", Attempt("memory", number, 1, "Z"))
        await asyncio.sleep(0.1)
        assert not (await net.link("bob").device.device.readings())["attempting"]


@on_virtual_time
async def test_a_lost_word_of_the_far_end_is_said_again(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, t1_s=1e4, t2_s=1e4, visibility=1.0) as net:
        taker = aiter(net.link("bob").desk.accept("test"))
        net.wire.faults.lose = lose = Lose(PairHeld, 3)
        pairs, ended = await collect(net.ask("alice", number=3, within_s=2))
        assert ended is None
        assert len(lose.lost) == 3
        others = {half.sequence: half for half in [await anext(taker) for _ in pairs]}
        for pair in pairs:
            assert await pair.measure() == await others[pair.sequence].measure()


@on_virtual_time
async def test_a_pair_that_the_far_end_cannot_confirm_is_dropped_at_both_ends(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    """Nothing that bob says of pairs is heard, not even that he gives one up, for a while."""
    async with network(tmp_path, t2_s=100.0) as net:
        taker = aiter(net.link("bob").desk.accept("test"))
        silent = True

        def deaf(sender: str, to: str, message: Message) -> bool:
            return silent and sender == "bob" and isinstance(message, PairHeld | PairDropped)

        net.wire.faults.lose = deaf
        asked = asyncio.create_task(collect(net.ask("alice", number=1, within_s=3)))
        half = await anext(taker)  # alice's word was heard, so bob has delivered
        await asyncio.sleep(0.7)
        silent = False
        pairs, ended = await asked
        assert not pairs
        assert str(ended) == "OTHER: bob had finished"
        with pytest.raises(PairExpired):
            await half.measure()


@on_virtual_time
async def test_ends_that_disagree_on_a_pair_drop_it(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    """A wrong Bell state from the far end: neither end delivers, and it is counted."""
    async with network(tmp_path) as net:
        net.link("bob").desk.accept("test")
        wrong: list[PairHeld] = []

        def falsify(sender: str, to: str, message: Message) -> bool:
            if not isinstance(message, PairHeld) or sender != "bob" or wrong:
                return False
            wrong.append(message)
            other = {
                BellState.PSI_PLUS: BellState.PSI_MINUS,
                BellState.PSI_MINUS: BellState.PSI_PLUS,
            }[message.bell_state]
            net.node("alice").receive("bob", msgspec.structs.replace(message, bell_state=other))
            return True

        net.wire.faults.lose = falsify
        pairs, _ = await collect(net.ask("alice", number=2))
        assert all(pair.sequence != wrong[0].sequence for pair in pairs)
        assert net.link("alice").counters["mismatches"] == 1
        await asyncio.sleep(0.3)
        kept = {pair.sequence for pair in pairs}
        assert {p.sequence for p in net.link("bob").memory.pairs} == kept


@on_virtual_time
async def test_words_of_strangers_are_ignored(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        create = Create("memory", 5, "K", 1, 0.6, 10.0, "test")
        net.link("bob").desk.accept("test")
        net.link("bob").handle("mallory", create)
        net.link("bob").handle("station", create)
        net.station().handle("mallory", Attempt("memory", 1, 1))
        await asyncio.sleep(0.1)
        assert len(net.link("bob").desk.queue) == 0
        assert net.station().counters["not_ours"] == 1


@pytest.mark.parametrize(
    "message",
    [
        LinkHello("memory", 0.0, 0.0, 0.9, 0.0),
        LinkHello("memory", 1.0, 1.0, 0.9, 0.5),
        LinkHello("memory", float("nan"), 1.0, 0.9, 0.0),
        PairHeld("memory", 1, 1, 1, BellState.PSI_PLUS, basis="Z", outcome=7),
        Attempt("memory", 2**63, 1),
        EndRound("memory", 2**64 - 1, ""),
        NotReady("memory", 2**64 - 1, ""),
    ],
)
def test_what_no_sender_may_say_is_refused_at_the_border(message: Message) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Message)


def test_a_coherence_time_that_no_qubit_has_is_refused_at_the_border() -> None:
    hello = {"type": "link-hello", "link": "m", "t1_s": 1.0, "t2_s": 2.1}
    hello |= {"initial_fidelity": 0.9, "readout_error": 0.0}
    with pytest.raises(msgspec.ValidationError, match=r"T2 2.1 s exceeds 2 T1"):
        msgspec.msgpack.decode(msgspec.msgpack.encode(hello), type=Message)


@on_virtual_time
async def test_a_lost_greeting_is_repeated(network: Any, collect: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        net.wire.faults.lose = Lose(LinkHello, 2)
        await net.restart("bob")
        await asyncio.sleep(7)
        await works(net, collect)


@on_virtual_time
async def test_giving_up_a_pair_that_is_used_up_leaves_the_far_half_alone(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    """`release` is harmless if the pair is gone already, so it may stand in a `finally`."""
    async with network(tmp_path) as net:
        taker = net.link("bob").desk.accept("test")
        (pair,), _ = await collect(net.ask("alice", number=1))
        other = await anext(aiter(taker))
        await pair.measure()
        await pair.release()
        await asyncio.sleep(0.01)
        await other.measure()


@on_virtual_time
async def test_a_pair_that_is_lost_while_it_is_measured_gives_no_outcome(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path) as net:
        taker = net.link("bob").desk.accept("test")
        (pair,), _ = await collect(net.ask("alice", number=1))
        other = await anext(aiter(taker))
        measuring = asyncio.create_task(pair.measure())
        await asyncio.sleep(0)  # the order is on its way
        net.link("alice").abandon("its service has failed")
        with pytest.raises(PairExpired, match="while it was measured"):
            await measuring
        await asyncio.sleep(0.01)
        with pytest.raises(PairExpired):
            await other.measure()
        await settled(net)
