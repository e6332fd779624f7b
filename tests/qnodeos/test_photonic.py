"""A photonic link as a whole: both ends with their taggers and analyzers on one simulated lab."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from link_layer import messages
from link_layer.messages import (
    BasisTurned,
    ErrorCode,
    MatchReport,
    Message,
    TagReport,
    TurnBasis,
)
from qnodeos.measured import MeasuredPairs
from qnodeos.requests import RequestEnded
from timing.loop import run_virtual
from timing.packed import pack_times

FIDELITY = 0.965
SIGNS = {"X": 1, "Y": -1, "Z": 1}
"""Of the correlators of Phi+."""


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs), limit_s=600)

    return run


Seen = dict[int, tuple[str, int]]
"""Basis and outcome by the identity of a pair."""


class Taker:
    """Takes what is delivered at an end, for as long as the node lives."""

    def __init__(self, net: Any, end: str, purpose: str = "test"):
        self.got: list[MeasuredPairs] = []
        net.node(end).start(self._run(aiter(net.photonic(end).desk.accept(purpose))))

    async def _run(self, inbox: AsyncIterator[MeasuredPairs]) -> None:
        async for measured in inbox:
            self.got.append(measured)


def seen(deliveries: Iterable[MeasuredPairs]) -> Seen:
    """By identity; fails when an identity comes twice."""
    found: Seen = {}
    for measured in deliveries:
        for pair, outcome in zip(measured.pairs, measured.outcomes, strict=True):
            assert int(pair) not in found, "delivered twice"
            found[int(pair)] = (measured.basis, int(outcome))
    return found


def assert_correlated(mine: Seen, theirs: Seen, fidelity: float = FIDELITY) -> None:
    """Pairs of one identity were measured in one basis and agree as a Werner state of Phi+ does."""
    expected = (4 * fidelity - 1) / 3
    for basis, sign in SIGNS.items():
        both = [pair for pair in mine.keys() & theirs.keys() if mine[pair][0] == basis]
        assert all(theirs[pair][0] == basis for pair in both)
        assert len(both) > 100
        same = sum(mine[pair][1] == theirs[pair][1] for pair in both)
        correlator = sign * (2 * same / len(both) - 1)
        error = (1 - expected**2) ** 0.5 / len(both) ** 0.5
        assert abs(correlator - expected) < 4 * error + 0.004, (basis, correlator)


async def pairs_of(inbox: Any) -> list[MeasuredPairs]:
    return [measured async for measured in inbox]


async def until(condition: Callable[[], bool], limit_s: float) -> None:
    for _ in range(round(limit_s / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


@pytest.mark.parametrize("asker", ["alice", "bob"])
@on_virtual_time
async def test_both_ends_get_the_same_pairs_with_the_right_correlations(
    network: Any, tmp_path: Path, asker: str
) -> None:
    other = {"alice": "bob", "bob": "alice"}[asker]
    async with network(tmp_path, photonic=True, test_fraction=0.4) as net:
        taker = Taker(net, other)
        asked = await pairs_of(net.ask(asker, number=4000, minimum_fidelity=0.9, within_s=60))
        await asyncio.sleep(0.2)
        status = net.photonic("alice").status()
        assert status["clock"] == "tracking"
        assert status["clock_residual_ps"] < 3 * status["clock_bound_ps"]
        assert abs(status["fidelity"] - FIDELITY) < 4 * status["fidelity_error"] < 0.03
        assert net.photonic("bob").status()["fidelity"] == status["fidelity"]
        mine, theirs = seen(asked), seen(taker.got)
        assert len(mine) == len(theirs) == 4000
        assert mine.keys() == theirs.keys()
        assert_correlated(mine, theirs)
        assert {measured.link for measured in asked} == {"photonic"}
        assert all(abs(measured.fidelity - FIDELITY) < 0.1 for measured in asked)
    for end in ("alice", "bob"):
        (request,) = net.journal(end).requests
        assert (request.state, request.delivered) == ("done", 4000)


@on_virtual_time
async def test_what_is_disclosed_is_never_delivered(network: Any, tmp_path: Path) -> None:
    """Outcomes of test rounds and of delayed windows go over the wire: none of a delivered pair."""
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        Taker(net, "bob")
        await pairs_of(net.ask("alice", number=1500, within_s=60))
        use: dict[tuple[int, int, int], set[int]] = {}
        for *_, message in net.wire.sent:
            if isinstance(message, MatchReport):
                tags = np.frombuffer(message.tags, "<u4")
                for tag, kind in zip(tags, message.use, strict=True):
                    of = (message.stream, message.sequence, int(tag))
                    use.setdefault(of, set()).add(0 if kind == 0 else 1)
        assert {0} in use.values()
        assert {1} in use.values()
        assert {0, 1} not in use.values()


@on_virtual_time
async def test_the_link_rests_when_nobody_asks(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        Taker(net, "bob")
        for end in ("alice", "bob"):
            assert net.photonic(end).status()["resting"]
        await asyncio.sleep(2)
        assert net.photonic("alice").counters["tags"] == 0
        await pairs_of(net.ask("alice", number=100, within_s=30))
        await asyncio.sleep(8)
        counted = []
        for end in ("alice", "bob"):
            assert net.photonic(end).status()["resting"]
            assert net.node(end).supervisors["tagger"].status.state == "online"
            counted.append(net.photonic(end).counters["tags"])
        net.wire.sent.clear()
        await asyncio.sleep(3)
        assert counted == [net.photonic(end).counters["tags"] for end in ("alice", "bob")]
        assert not [m for *_, m in net.wire.sent if isinstance(m, TagReport | TurnBasis)]
        assert sum(map(len, await pairs_of(net.ask("alice", number=100, within_s=30)))) == 100


@on_virtual_time
async def test_a_request_for_more_than_the_link_gives_ends_with_what_was_measured(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5, fidelity=0.8) as net:
        taker = Taker(net, "bob")
        got, ended = await collect(net.ask("alice", minimum_fidelity=0.95, within_s=60))
        assert not got
        assert not taker.got
        assert ended.error is ErrorCode.UNSUPPORTED
        words = ended.text.split()
        assert ended.text.startswith("fidelity 0.950 is asked, link photonic gives 0.")
        assert float(words[7]) == pytest.approx(0.8, abs=0.08)
        assert net.node("alice").clock() < 20
        got, ended = await collect(net.ask("bob", minimum_fidelity=0.95, within_s=60))
        assert ended.error in (ErrorCode.UNSUPPORTED, ErrorCode.REJECTED)


@on_virtual_time
async def test_refusals_say_why(network: Any, collect: Any, tmp_path: Path) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        with pytest.raises(RequestEnded, match="pairs of type M only"):
            net.ask("alice", kind="K")
        _, ended = await collect(net.ask("alice", purpose="chess"))
        assert "no application takes purpose 'chess'" in str(ended)
        await net.die("bob")
        with pytest.raises(RequestEnded, match="NO_RESOURCES: bob is away"):
            net.ask("alice")


@pytest.mark.parametrize("which", ["alice", "bob"])
@on_virtual_time
async def test_an_interrupted_tagger_starts_a_new_timescale(
    network: Any, tmp_path: Path, which: str
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.3) as net:
        taker = Taker(net, "bob")
        asked = asyncio.create_task(
            pairs_of(net.ask("alice", number=6000, minimum_fidelity=0.9, within_s=90))
        )
        await until(lambda: net.photonic("alice").counters["delivered"] > 1500, 30)
        net.plugs.unplug(f"{which}-tagger")
        await asyncio.sleep(0.5)
        net.plugs.plug(f"{which}-tagger")
        mine, theirs = seen(await asked), seen(taker.got)
        assert net.photonic(which).counters["stream_problems"] > 0
        assert net.photonic("alice").status()["acquisitions"] == 2
        assert_correlated(mine, theirs)
        status = net.photonic("alice").status()
        assert abs(status["fidelity"] - FIDELITY) < 4 * status["fidelity_error"]


@pytest.mark.parametrize("which", ["alice", "bob"])
@on_virtual_time
async def test_without_tags_no_old_figure_is_told_as_new(
    network: Any, tmp_path: Path, which: str
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.3) as net:
        Taker(net, "bob")
        link = net.photonic("alice")
        asking = asyncio.create_task(
            pairs_of(net.ask("alice", number=10**6, minimum_fidelity=0.9, within_s=1e3))
        )
        await until(lambda: link.counters["delivered"] > 500, 30)
        assert link.status()["clock"] == "tracking"
        assert link.status()["coincidences_cps"] > 0
        net.plugs.unplug(f"{which}-tagger")
        await asyncio.sleep(3.0)
        assert link.status()["clock"] == "holdover"
        assert "coincidences_cps" not in link.status()
        net.plugs.plug(f"{which}-tagger")
        await until(lambda: link.status()["clock"] == "tracking", 30)
        assert link.status()["coincidences_cps"] > 0
        asking.cancel()


@pytest.mark.parametrize("which", ["alice", "bob"])
@on_virtual_time
async def test_an_analyzer_that_comes_back_and_homes_spoils_nothing(
    network: Any, collect: Any, tmp_path: Path, which: str
) -> None:
    """After a reconnection its driver homes it: the tags of that while belong to no basis."""
    async with network(tmp_path, photonic=True, test_fraction=0.3, basis_dwell_s=3.0) as net:
        taker = Taker(net, "bob")
        asked = asyncio.create_task(
            collect(net.ask("alice", number=10**6, minimum_fidelity=0.8, within_s=30))
        )
        await until(lambda: net.photonic("alice").counters["delivered"] > 500, 60)
        for _ in range(5):
            net.plugs.unplug(f"{which}-analyzer")
            net.plugs.plug(f"{which}-analyzer")
            await asyncio.sleep(1.7)
        got, _ = await asked
        mine, theirs = seen(got), seen(taker.got)
        assert_correlated(mine, theirs)
        assert net.node(which).supervisors["analyzer"].status.connects > 2


@pytest.mark.parametrize("which", ["alice", "bob"])
@on_virtual_time
async def test_an_absent_analyzer_is_counted_and_waited_for(
    network: Any, tmp_path: Path, which: str
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.4) as net:
        Taker(net, "bob")
        net.plugs.unplug(f"{which}-analyzer")
        await asyncio.sleep(3)
        asked = asyncio.create_task(pairs_of(net.ask("alice", number=500, within_s=60)))
        await asyncio.sleep(4)
        assert not asked.done()
        assert net.photonic("alice").counters["turns_failed"] > 0
        assert net.photonic("alice").counters["delivered"] == 0
        net.plugs.plug(f"{which}-analyzer")
        assert sum(map(len, await asked)) == 500
    failed = net.journal("alice").of_kind("turn-failed")
    assert failed
    assert all("analyzer" in event.data["reason"] for event in failed)


@pytest.mark.parametrize("which", ["alice", "bob"])
@on_virtual_time
async def test_a_restarted_end_is_synchronised_anew(
    network: Any, collect: Any, tmp_path: Path, which: str
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.4) as net:
        Taker(net, "bob")
        asked = asyncio.create_task(collect(net.ask("alice", number=10**6, within_s=90)))
        await until(lambda: net.photonic("alice").counters["delivered"] > 300, 30)
        await net.restart(which)
        if which == "bob":
            got, ended = await asked
            assert got
            assert str(ended) in ("OTHER: bob was lost", "OTHER: bob has restarted")
        else:
            asked.cancel()
            assert len(net.photonic("bob").desk.queue) == 0
        taker = Taker(net, "bob", "again")
        await until(lambda: net.node(which).supervisors["tagger"].status.state == "online", 10)
        got = await pairs_of(
            net.ask("alice", number=3000, minimum_fidelity=0.9, within_s=60, purpose="again")
        )
        await asyncio.sleep(0.2)
        mine, theirs = seen(got), seen(taker.got)
        assert mine.keys() == theirs.keys()
        assert_correlated(mine, theirs)


@on_virtual_time
async def test_peers_that_lose_each_other_find_their_clocks_again(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.4) as net:
        taker = Taker(net, "bob")
        asked = asyncio.create_task(collect(net.ask("alice", number=10**6, within_s=90)))
        await until(lambda: net.photonic("alice").counters["delivered"] > 300, 30)
        await net.wire.cut("alice", "bob")
        got, ended = await asked
        assert str(ended) == "OTHER: bob was lost"
        net.wire.mend("alice", "bob")
        got += await pairs_of(net.ask("alice", number=2500, minimum_fidelity=0.9, within_s=60))
        assert_correlated(seen(got), seen(taker.got))


@on_virtual_time
async def test_a_turn_that_the_lost_far_end_will_not_answer_holds_nothing_up(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.4) as net:
        Taker(net, "bob")
        net.wire.faults.lose = lambda sender, to, message: isinstance(message, TurnBasis)
        asked = asyncio.create_task(collect(net.ask("alice", within_s=90)))
        await asyncio.sleep(1)
        await net.wire.cut("alice", "bob")
        await asked
        net.wire.faults.lose = lambda *_: False
        net.wire.mend("alice", "bob")
        mended_s = net.node("alice").clock()
        assert sum(map(len, await pairs_of(net.ask("alice", within_s=90)))) == 5
        assert net.node("alice").clock() - mended_s < 7


@pytest.mark.parametrize("seed", range(3))
@on_virtual_time
async def test_a_bad_wire_costs_pairs_but_never_mixes_them(
    network: Any, collect: Any, tmp_path: Path, seed: int
) -> None:
    async with network(
        tmp_path, photonic=True, seed=seed, test_fraction=0.4, basis_dwell_s=1.0
    ) as net:
        taker = Taker(net, "bob")
        net.wire.faults.spared = (TurnBasis, BasisTurned)
        net.wire.faults.duplicate = 0.1
        net.wire.faults.loss = (0.0, 0.03, 0.02)[seed]
        net.wire.faults.reorder = (0.05, 0.0, 0.01)[seed]
        net.wire.faults.late_s = 0.02
        got, ended = await collect(net.ask("alice", number=10**6, within_s=16))
        assert ended.error is ErrorCode.TIMEOUT
        mine, theirs = seen(got), seen(taker.got)
        assert theirs.keys() <= mine.keys()
        assert len(theirs) > 0.7 * len(mine)
        assert_correlated(mine, theirs)
        net.wire.faults.loss = net.wire.faults.reorder = net.wire.faults.duplicate = 0.0
        got = await pairs_of(net.ask("alice", number=500, minimum_fidelity=0.9, within_s=30))
        assert sum(map(len, got)) == 500


@on_virtual_time
async def test_malformed_reports_are_counted_and_change_nothing(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.4) as net:
        taker = Taker(net, "bob")
        await pairs_of(net.ask("alice", number=500, within_s=60))
        await asyncio.sleep(0.2)
        report = next(m for *_, m in reversed(net.wire.sent) if isinstance(m, MatchReport))
        outcomes = next(
            m for *_, m in reversed(net.wire.sent) if isinstance(m, messages.TestOutcomes)
        )
        tags = next(m for *_, m in reversed(net.wire.sent) if isinstance(m, TagReport))
        bob, alice = net.photonic("bob"), net.photonic("alice")
        delivered = sum(map(len, taker.got))
        change = msgspec.structs.replace
        for wrong in (
            change(report, tags=report.tags[:-1]),
            change(report, use=report.use[:-1]),
            change(report, tags=b"\xff" * len(report.tags)),
        ):
            bob.handle("alice", wrong)
        assert bob.counters["matches_malformed"] == 3
        bob.handle("alice", change(report, sequence=10**9))
        assert bob.counters["matches_too_late"] == 1
        bob.handle("alice", report)  # once more: delivered already, or the request is over
        for odd in (change(outcomes, outcomes=b"\x02"), change(outcomes, outcomes=b"")):
            alice.handle("bob", odd)
        assert alice.counters["tests_malformed"] == 2
        later = tags.stop_ps + 1
        alice.handle("bob", change(tags, sequence=tags.sequence + 1, tags=b"123"))
        backwards = pack_times(np.array([later + 5, later + 1]))
        alice.handle(
            "bob",
            change(
                tags,
                sequence=tags.sequence + 1,
                start_ps=later,
                sent_until_ps=later + 9,
                stop_ps=later + 9,
                tags=backwards,
            ),
        )
        assert alice.status()["reports_malformed"] == 2
        alice.handle("mallory", tags)
        assert sum(map(len, taker.got)) == delivered
        got = await pairs_of(net.ask("alice", number=300, minimum_fidelity=0.9, within_s=60))
        assert sum(map(len, got)) == 300


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "tag-report", "start_ps": -(2**62)},
        {"type": "tag-report", "epoch": 2**63},
        {"type": "match-report", "first_pair": 2**63},
        {"type": "link-quality", "fidelity": 1.5},
        {"type": "link-quality", "fidelity": float("nan")},
    ],
)
def test_numbers_that_no_array_can_hold_are_refused_at_the_border(fields: dict[str, Any]) -> None:
    whole: dict[str, dict[str, Any]] = {
        "tag-report": dict.fromkeys(
            ("stream", "sequence", "start_ps", "sent_until_ps", "stop_ps", "epoch"), 1
        ),
        "match-report": dict.fromkeys(("stream", "sequence", "first_pair"), 1),
        "link-quality": dict.fromkeys(("fidelity", "low", "high", "time_s"), 0.5),
    }
    body = {"link": "p", "tags": b"", "use": b"", **whole[fields["type"]]}
    msgspec.convert(body | {"type": fields["type"]}, Message)
    with pytest.raises(msgspec.ValidationError, match="Expected"):
        msgspec.msgpack.decode(msgspec.msgpack.encode(body | fields), type=Message)
