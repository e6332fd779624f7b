"""The wire and the bus in memory do what sockets and a broker do, and what a bad network does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest

from qnodeos import UserError
from qnodeos.bus import Bus
from qnodeos.bus_memory import MemoryBroker
from qnodeos.config import WireTable
from qnodeos.wire import PeerStatus, Wire
from qnodeos.wire_memory import Exchange, straight
from timing.loop import run_virtual

NAMES = ("alice", "bob")


class Ping(msgspec.Struct, frozen=True, tag=True):
    number: int


class Net:
    def __init__(self) -> None:
        self.exchange = Exchange()
        self.told: list[tuple[str, PeerStatus]] = []

    def wire(self, name: str, listen: str | None = None) -> Wire[Ping]:
        table = WireTable(
            listen=listen or f"mem://{name}",
            secret_key=Path("none"),
            peers={
                other: {
                    "id": 1 + NAMES.index(other),
                    "address": f"mem://{other}",
                    "public_key": Path("none"),
                }
                for other in NAMES
                if other != name
            },
        )
        return Wire(
            table,
            name,
            Ping,
            on_peer=lambda status: self.told.append((name, status)),
            boot=len(self.told) + 1,
            carrier=self.exchange.carrier(table, name),
        )


def in_net(body: Callable[[Net, Wire[Ping], Wire[Ping]], Awaitable[None]]) -> None:
    async def scenario() -> None:
        net = Net()
        alice, bob = net.wire("alice"), net.wire("bob")
        await alice.start()
        await bob.start()
        await asyncio.sleep(0.1)
        assert alice.peers["bob"].state == bob.peers["alice"].state == "up"
        await body(net, alice, bob)
        await alice.close()
        await bob.close()

    run_virtual(scenario())


async def numbers(wire: Wire[Ping], wait_s: float = 0.5) -> list[int]:
    found = []
    try:
        async with asyncio.timeout(wait_s):
            while True:
                found.append((await wire.receive()).message.number)
    except TimeoutError:
        return found


def test_messages_of_one_instant_arrive_in_order() -> None:
    async def body(net: Net, alice: Wire[Ping], bob: Wire[Ping]) -> None:
        for number in range(200):
            assert alice.send("bob", Ping(number))
        assert await numbers(bob) == list(range(200))
        assert alice.send("bob", Ping(1))
        message = await bob.receive()
        assert (message.peer, message.boot) == ("alice", alice.boot)

    in_net(body)


def test_a_queue_that_is_full_refuses() -> None:
    async def body(net: Net, alice: Wire[Ping], bob: Wire[Ping]) -> None:
        sent = [alice.send("bob", Ping(number)) for number in range(1500)]
        assert sum(sent) == 1000
        assert alice.peers["bob"].counters.refused == 500

    in_net(body)


def test_a_closed_wire_is_missed_at_once_and_a_silent_one_after_a_while() -> None:
    async def body(net: Net, alice: Wire[Ping], bob: Wire[Ping]) -> None:
        await bob.close()
        await asyncio.sleep(0.01)
        assert alice.peers["bob"].reason == "its connection was closed"
        assert not alice.send("bob", Ping(1))
        again = net.wire("bob")
        await again.start()
        await asyncio.sleep(0.1)
        assert alice.peers["bob"].state == "up"
        assert alice.peers["bob"].boot == again.boot != bob.boot
        net.exchange.road = lambda *_: ()
        await asyncio.sleep(1.2)
        assert alice.peers["bob"].state == "up"
        await asyncio.sleep(0.6)
        assert alice.peers["bob"].reason.startswith("silent for 1.4 s")
        await again.close()

    in_net(body)


def test_who_was_lost_learns_it_and_what_it_said_before_is_not_listened_to() -> None:
    """Only bob loses alice, who hears him all the time, but late."""

    async def body(net: Net, alice: Wire[Ping], bob: Wire[Ping]) -> None:
        net.told.clear()
        net.exchange.road = lambda sender, to, data: ((0.3, data, True),) * (sender == "bob")
        for _ in range(200):
            await asyncio.sleep(0.01)
            if bob.peers["alice"].state == "lost":
                break
        net.exchange.road = lambda sender, to, data: (
            (0.3 if sender == "bob" else 0.001, data, True),
        )
        assert alice.send("bob", Ping(1))  # she does not know yet
        await asyncio.sleep(0.01)
        assert [state.state for name, state in net.told if name == "alice"] == []
        assert bob.peers["alice"].counters.outdated == 1
        await asyncio.sleep(1.0)
        told = [(name, found.state, found.reason) for name, found in net.told]
        assert [each for each in told if each[0] == "alice"] == [
            ("alice", "lost", "it had lost this node"),
            ("alice", "up", "it had lost this node"),
        ]
        assert [state for name, state, _ in told if name == "bob"] == ["lost", "up"]
        assert alice.send("bob", Ping(2))
        assert await numbers(bob) == [2]

    in_net(body)


def test_both_that_have_lost_each_other_come_together_again() -> None:
    async def body(net: Net, alice: Wire[Ping], bob: Wire[Ping]) -> None:
        net.exchange.road = lambda *_: ()
        await asyncio.sleep(2.0)
        assert alice.peers["bob"].state == bob.peers["alice"].state == "lost"
        net.exchange.road = straight
        await asyncio.sleep(0.5)
        assert alice.peers["bob"].state == bob.peers["alice"].state == "up"
        assert alice.send("bob", Ping(1))
        assert await numbers(bob) == [1]

    in_net(body)


@pytest.mark.parametrize(
    ("road", "received", "counters", "strangers"),
    [
        (lambda *m: ((0.1, m[2], True), (0.1, m[2], True)), [0, 1, 2], {"repeated": 3}, 0),
        (lambda *m: ((0.1, m[2], True), (0.1, m[2] + b"!", False)), [0, 1, 2], {}, 3),
        (lambda *m: ((0.1, m[2][:-1], True),), [], {"malformed": 3}, 0),
    ],
    ids=["duplicated", "forged", "truncated"],
)
def test_what_a_bad_network_does_is_counted(
    road: Callable[..., Sequence[tuple[float, bytes, bool]]],
    received: list[int],
    counters: dict[str, int],
    strangers: int,
) -> None:
    async def body(net: Net, alice: Wire[Ping], bob: Wire[Ping]) -> None:
        await asyncio.sleep(0.41 - asyncio.get_running_loop().time())  # just after heartbeats
        net.exchange.road = road
        for number in range(3):
            alice.send("bob", Ping(number))
        assert await numbers(bob, 0.3) == received
        found = bob.peers["alice"].counters
        for name in ("repeated", "malformed", "missed", "dropped"):
            assert getattr(found, name) == counters.get(name, 0), name
        assert bob.strangers == strangers

    in_net(body)


def test_late_messages_are_overtaken() -> None:
    async def body(net: Net, alice: Wire[Ping], bob: Wire[Ping]) -> None:
        delays = iter([0.1, 0.05, 0.2])
        await asyncio.sleep(0.41 - asyncio.get_running_loop().time())
        net.exchange.road = lambda *m: ((next(delays, 0.5), m[2], True),)
        for number in range(3):
            alice.send("bob", Ping(number))
        # The wire delivers in order: what was overtaken is told as missed, and never repeated.
        assert await numbers(bob, 0.3) == [1, 2]
        assert bob.peers["alice"].counters.missed == 1

    in_net(body)


def test_an_address_that_is_taken_is_named() -> None:
    async def body(net: Net, alice: Wire[Ping], bob: Wire[Ping]) -> None:
        with pytest.raises(UserError, match="mem://alice, where alice listens"):
            await net.wire("bob", "mem://alice").start()

    in_net(body)


async def heard(client: Any, count: int) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    async for message in client.messages:
        found.append((message.topic.value, message.payload))
        if len(found) == count:
            break
    return found


def test_a_broker_in_memory_retains_and_publishes_the_will_of_the_lost() -> None:
    async def scenario() -> None:
        broker = MemoryBroker()
        bus = Bus("mem://bus", "alice", broker=broker)
        life = asyncio.create_task(bus.run())
        bus.publish("group", "figure", 2.5)
        bus.set_state("ready")
        await asyncio.sleep(1.0)
        assert broker.retained["homie/5/alice/group/figure"] == b"2.5"
        async with broker.client("watcher") as watcher:
            await watcher.subscribe([("homie/5/alice/$state", 1)])
            assert await heard(watcher, 1) == [("homie/5/alice/$state", b"ready")]
            broker.road = lambda *_: ()
            await asyncio.sleep(12.0)
            assert not bus.connected
            assert broker.retained["homie/5/alice/$state"] == b"lost"
        broker.road = lambda *m: ((0.001, m[2], True),)
        await asyncio.sleep(12.0)
        assert bus.connected
        assert broker.retained["homie/5/alice/$state"] == b"ready"
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        await bus.close()
        assert broker.retained["homie/5/alice/$state"] == b"disconnected"

    run_virtual(scenario())


def test_a_broker_that_is_not_there_refuses() -> None:
    async def scenario() -> None:
        broker = MemoryBroker()
        broker.stop()
        with pytest.raises(aiomqtt.MqttError, match="refused"):
            async with broker.client("alice"):
                pass

    run_virtual(scenario())
