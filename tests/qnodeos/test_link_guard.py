"""A tripped guard stops a link and its light at both ends, and takes back what it has delivered."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from link_layer.messages import GuardState
from qnodeos.acknowledging import ACKNOWLEDGE_EVERY_S
from qnodeos.api_session import Session
from qnodeos.cli.rehearse import load
from qnodeos.cli.why import stopped
from qnodeos.memory import PairExpired
from qnodeos.photonic import PhotonicLink
from qnodeos.rehearsal import rehearsal
from qnodeos.requests import RequestEnded
from qnodeos.watching import watch_methods
from qnodeos.withdrawing import NONE_YET, RecentPairs
from sim_backends.faults.director import direct
from sim_backends.faults.script import FaultConfig
from tests.qnodeos.test_photonic import Taker, on_virtual_time, pairs_of, seen, until
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
GUARD = {"guard": {"dark_cps": (100.0, 100.0)}}


class Asked:
    """What `RecentPairs` reads of a request."""

    def __init__(self, number: int):
        self.id, self.origin, self.create = number, "alice", self
        self.purpose = "test"


def test_withdrawn_is_what_came_since_and_what_lies_above_it() -> None:
    now = iter((1.0, 2.0, 3.0))
    here, there = RecentPairs(lambda: next(now)), RecentPairs(lambda: 0.0)
    assert here.before(0.0) == NONE_YET
    for first, pairs, request in ((10, 5, 1), (15, 2, 1), (17, 3, 2)):
        here.add(Asked(request), first, pairs)  # type: ignore[arg-type]
    there.add(Asked(2), 10, 12)  # type: ignore[arg-type]  # in another cut
    assert here.before(3.5) == 19
    above = here.before(1.5)
    assert above == 14
    assert [(e.request, e.first, e.last, e.pairs) for e in here.take(above)] == [
        (1, 15, 16, 2),
        (2, 17, 19, 3),
    ]
    assert [(e.first, e.last, e.pairs) for e in there.take(above)] == [(15, 21, 7)]
    assert here.take(above) == there.take(above) == []
    assert [(e.first, e.pairs) for e in there.take(NONE_YET)] == [(10, 5)]


def withdrawn(net: Any, end: str) -> list[Any]:
    """What an end has withdrawn so far."""
    return [event.data for event in net.journal(end).events if event.kind == "withdrawn"]


@pytest.mark.parametrize("victim", ["alice", "bob"])
@on_virtual_time
async def test_what_was_delivered_in_the_window_is_withdrawn_at_both_ends(
    network: Any, tmp_path: Path, victim: str
) -> None:
    """Requests that had long got all their pairs, too; those from before the window stay."""
    got = []
    async with network(tmp_path, photonic=True, test_fraction=0.4, link=GUARD) as net:
        director = direct(net.bench, [])
        director.start()
        taker = Taker(net, "bob")
        asked_for = {"minimum_fidelity": 0.9, "within_s": 60}
        good = await pairs_of(net.ask("alice", number=1000, **asked_for))
        await asyncio.sleep(5)
        got += good
        got += await pairs_of(net.ask("alice", number=20, **asked_for))
        number = director.begin(FaultConfig(kind="blinded", of=f"detectors.{victim}"))
        open_ = asyncio.create_task(pairs_of(net.ask("alice", number=10**6, **asked_for)))
        link = net.photonic(victim)
        await until(lambda: not link.ready, 5)
        with pytest.raises(RequestEnded, match="fewer than its dark counts"):
            await open_
        await asyncio.sleep(1.0)
        for end in ("alice", "bob"):
            assert not net.photonic(end).ready
            assert "fewer than its dark counts" in net.photonic(end).missing()
        other = net.photonic({"alice": "bob", "bob": "alice"}[victim])
        assert other.status()["guard"] == "tripped-there"
        assert other.guard.acknowledge().startswith(f"{victim}: ")
        director.end(number)
        await asyncio.sleep(3.0)
        assert not link.ready  # nobody has acknowledged it
        assert link.missing().endswith("; to be acknowledged as photonic.guard")
        assert link.guard.acknowledge() == ""
        await until(lambda: link.ready and other.ready, 5)
        again = await pairs_of(net.ask("alice", number=100, **asked_for))
        director.close()
    theirs, early = seen(taker.got), seen(good)
    lists = {end: withdrawn(net, end) for end in ("alice", "bob")}
    for end, mine in (("alice", seen(got)), ("bob", theirs)):
        taken_back = {
            pair for each in lists[end] for pair in mine if each["first"] <= pair <= each["last"]
        }
        assert taken_back.isdisjoint(early)
        assert taken_back.isdisjoint(seen(again))
        if end == "bob":
            assert taken_back == theirs.keys() - early.keys() - seen(again).keys()
        assert sum(each["pairs"] for each in lists[end]) >= 20
    last = {end: {(each["request"], each["last"]) for each in lists[end]} for end in lists}
    assert last["alice"] & last["bob"]


@on_virtual_time
async def test_the_far_end_hears_of_a_trip_over_a_wire_that_loses(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.4, link=GUARD) as net:
        net.wire.faults.lose = lambda *of: (
            (isinstance(of[2], GuardState) and lost.append(1))
            or (isinstance(of[2], GuardState) and len(lost) < 4)
        )
        lost: list[int] = []
        bob = net.photonic("bob")
        bob.guard.judge("signs", known=True, since_s=0.0)
        await until(lambda: not net.photonic("alice").ready, 5)
        assert net.photonic("alice").missing() == "bob: signs"
        bob.guard.judge("", known=True, since_s=0.0)
        assert bob.guard.acknowledge() == ""
        await until(lambda: net.photonic("alice").ready, 5)
        told = len([1 for *_, message in net.wire.sent if isinstance(message, GuardState)])
        await asyncio.sleep(3.0)
        again = len([1 for *_, message in net.wire.sent if isinstance(message, GuardState)])
        assert told == again  # it was seen


@on_virtual_time
async def test_kept_pairs_are_discarded_at_both_ends(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        inboxes = [net.link("bob").desk.accept("test"), net.ask("alice", number=2)]
        halves = [[await anext(aiter(inbox)) for _ in range(2)] for inbox in inboxes]
        for pair in (each[0] for each in halves):
            await pair.gate("X")  # taken by its owner
        net.link("alice").guard.judge("somebody was here", known=True, since_s=0.0)
        await asyncio.sleep(0.2)
        for name in ("alice", "bob"):
            link = net.link(name)
            assert link.memory.free == link.memory.capacity
            assert not link.ready
            assert link.counters["voided_after_use"] == 0
        for pair in (pair for each in halves for pair in each):
            with pytest.raises(PairExpired):
                await pair.measure("Z")
        with pytest.raises(RequestEnded, match="alice: somebody was here"):
            net.ask("bob", number=1)
    for name in ("alice", "bob"):
        (told,) = withdrawn(net, name)
        assert told["pairs"] == 2
        assert all("somebody was here" in pair.reason for pair in net.journal(name).pairs)


def many(link: PhotonicLink) -> Any:
    return link.desk.ask(
        kind="M", number=10**6, minimum_fidelity=0.9, within_s=60.0, purpose="test"
    )


MORE = """
[links.photonic.guard]
dark_cps = [100, 100]
"""


def test_the_light_goes_out_at_the_other_end_until_acknowledged(tmp_path: Path) -> None:
    """The detectors are bob's, the pump is alice's."""
    folder = tmp_path / "net"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("run", "data", "keys"))
    for name, more in (("alice", MORE + 'stops = ["pump"]\n'), ("bob", MORE)):
        node = folder / f"{name}.toml"
        node.write_text(node.read_text().partition("[links.memory]")[0] + more)

    async def scenario() -> None:
        lab, nodes, _ = load(folder, tmp_path / "out")
        async with rehearsal(lab, list(nodes)) as network:
            links = [network.nodes[name].links["photonic"] for name in ("alice", "bob")]
            alice, bob = links
            assert isinstance(alice, PhotonicLink)
            assert isinstance(bob, PhotonicLink)
            bob.desk.accept("test")
            pump = network.nodes["alice"].rack.supervisors["pump"]
            await network.lasts(5.0)
            assert pump.status.state == "online"
            assert network.bench.world.lasers["pump"].power_mw > 1
            asking = asyncio.create_task(pairs_of(many(alice)))
            await network.lasts(15.0)
            assert alice.serving
            number = network.director.begin(FaultConfig(kind="blinded", of="detectors.bob"))
            await network.lasts(5.0)
            with pytest.raises(RequestEnded, match="are withdrawn, from"):
                await asking
            assert bob.status()["guard"] == "tripped"
            assert stopped({"photonic": bob.status()}) == [
                f"link photonic is stopped by its guard (tripped): {bob.missing()}"
            ]
            for node in (network.nodes[name] for name in ("alice", "bob")):
                ask = watch_methods(node.parts)["withdrawn"]
                (told,) = await ask(Session(node.parts), lambda *of: None, after=0)
                assert (told["link"], told["purpose"], told["origin"]) == (
                    "photonic",
                    "test",
                    "alice",
                )
                assert told["pairs"] > 0
                assert "fewer than its dark counts" in told["reason"]
            assert network.bench.world.lasers["pump"].power_mw == 0
            assert "guard of link 'photonic': bob:" in pump.status.reason
            assert set(network.nodes["alice"].bus.alarms) >= {"guard-photonic"}
            network.director.end(number)
            await network.lasts(5.0)
            assert network.bench.world.lasers["pump"].power_mw == 0
            desk = network.configs["bob"].node.data_dir / "interlocks"
            desk.mkdir(exist_ok=True)
            (desk / "photonic.guard.ask").touch()
            await network.lasts(2 * ACKNOWLEDGE_EVERY_S + 3.0)
            assert (desk / "photonic.guard.answer").read_text() == ""
            assert alice.ready
            assert bob.ready
            assert network.bench.world.lasers["pump"].power_mw > 1
            assert network.nodes["alice"].bus.alarms == {}

    run_virtual(scenario(), limit_s=200)
