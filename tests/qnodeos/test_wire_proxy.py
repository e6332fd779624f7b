"""The wire on real sockets through a network that goes wrong: nothing false gets in, it heals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from qnodeos.wire import Wire
from sim_backends.faults.network import NetworkFaults
from sim_backends.faults.proxy import NetworkProxy
from sim_backends.faults.script import FaultConfig
from tests.qnodeos.test_wire import Message, Net, Ping, received


@asynccontextmanager
async def through_proxy(
    folder: Path,
) -> AsyncIterator[tuple[Net, NetworkFaults, Wire[Message], Wire[Message]]]:
    """alice and bob; what alice sends to bob takes the way that can go wrong."""
    faults = NetworkFaults(np.random.default_rng(3))
    async with AsyncExitStack() as stack:
        net = Net(folder, ("alice", "bob"), stack)
        bob_at = net.address("bob").removeprefix("tcp://")
        proxy = NetworkProxy("way", "127.0.0.1", 0, bob_at, faults)
        await proxy.start()
        stack.push_async_callback(proxy.stop)
        table = net.table("alice")
        peer = table.peers["bob"].model_copy(update={"address": f"tcp://{proxy.address}"})
        table = table.model_copy(update={"peers": {"bob": peer}})
        alice = await net.start("alice", table=table)
        bob = await net.start("bob")
        await net.until(lambda: bob.peers["alice"].state == "up")
        await net.until(lambda: alice.peers["bob"].state == "up")
        yield net, faults, alice, bob


@pytest.mark.parametrize("kind", ["partition", "forgery"])
async def test_the_sender_is_missed_and_nothing_false_gets_in(tmp_path: Path, kind: str) -> None:
    fault = FaultConfig.model_validate({"kind": kind, "of": "network.way"})
    if kind == "forgery":
        fault = fault.model_copy(update={"size": 1.0})
    async with through_proxy(tmp_path) as (net, faults, alice, bob):
        assert alice.send("bob", Ping(1))
        assert (await received(bob)).message == Ping(1)
        faults.level(1, fault, 1.0)
        alice.send("bob", Ping(2))
        await net.until(lambda: bob.peers["alice"].state == "lost")
        assert bob.peers["alice"].counters.received == 1
        faults.level(1, fault, 0.0)
        await net.until(lambda: bob.peers["alice"].state == "up")
        await net.until(lambda: alice.peers["bob"].state == "up")
        assert bob.peers["alice"].counters.malformed == 0
        assert alice.send("bob", Ping(3))
        numbers = []
        while not numbers or numbers[-1] != 3:
            message = (await received(bob)).message
            assert isinstance(message, Ping)
            numbers.append(message.number)
        # A partition holds bytes back, and ends with them or with a new connection.
        assert numbers in ([3], [2, 3])


async def test_a_replayed_connection_is_refused(tmp_path: Path) -> None:
    fault = FaultConfig.model_validate({"kind": "replay", "of": "network.way", "size": 1.0})
    async with through_proxy(tmp_path) as (_, faults, alice, bob):
        faults.level(1, fault, 1.0)
        for number in range(20):
            assert alice.send("bob", Ping(number))
            assert (await received(bob)).message == Ping(number)
        found = bob.peers["alice"].counters
        assert (found.received, found.repeated, found.malformed) == (20, 0, 0)
        assert bob.peers["alice"].state == "up"
