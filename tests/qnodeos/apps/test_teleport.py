"""Teleportation end to end: sender and receiver on a memory link over the simulated lab."""

import asyncio
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from link_layer.messages import AppMessage, Message
from qnodeos.apps.teleport import PURPOSE, STATES, Receiver, Sender
from timing.loop import run_virtual

IDEAL = {"visibility": 1.0, "t1_s": 1e6, "t2_s": 1e6}


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs), limit_s=600)

    return run


@asynccontextmanager
async def teleporting(
    network: Any, folder: Path, **numbers: Any
) -> AsyncIterator[tuple[Any, Sender, Receiver]]:
    """The network with both halves of the application running on it."""
    async with network(folder, **{"efficiency": 0.1, **numbers}) as net:
        sender = Sender(
            net.link("alice"),
            net.node("alice").channel(PURPOSE, "bob"),
            net.node("alice").store,
            pairs_per_request=10,
            fidelity=0.6,
        )
        receiver = Receiver(
            net.link("bob"),
            net.node("bob").channel(PURPOSE, "alice"),
            net.node("bob").store,
            net.node("bob").clock,
        )
        net.node("alice").start(sender.run())
        net.node("bob").start(receiver.run())
        yield net, sender, receiver


async def received(receiver: Receiver, count: int, limit_s: float = 30.0) -> None:
    for _ in range(round(limit_s / 0.02)):
        if receiver.counters["received"] >= count:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(f"{receiver.counters}")


def results(net: Any) -> list[dict[str, Any]]:
    return [row.data for row in net.journal("bob").results if row.app == PURPOSE]


@on_virtual_time
async def test_an_ideal_lab_teleports_without_error(network: Any, tmp_path: Path) -> None:
    async with teleporting(network, tmp_path, **IDEAL) as (net, sender, receiver):
        await received(receiver, 60)
        assert receiver.counters["as_sent"] == receiver.counters["received"]
        assert sender.counters.keys() <= {"sent"}
        bits = Counter(
            (message.body["x"], message.body["z"])
            for *_, message in net.wire.sent
            if isinstance(message, AppMessage)
        )
        assert set(bits) == {(0, 0), (0, 1), (1, 0), (1, 1)}  # so every correction was needed
    rows = results(net)
    assert {row["state"] for row in rows} == set(STATES)
    assert all((row["basis"], row["expected"]) == STATES[row["state"]] for row in rows)
    assert len({row["sequence"] for row in rows}) == len(rows)
    delivered = {p.sequence: p.slot for p in net.journal("bob").pairs if p.delivered_s is not None}
    assert all(delivered[row["sequence"]] == row["slot"] for row in rows)


@pytest.mark.parametrize("visibility", [0.9, 0.6])
@on_virtual_time
async def test_noise_costs_what_theory_says(
    network: Any, tmp_path: Path, visibility: float
) -> None:
    """Averaged over the six states (2F + 1)/3 of the pairs' true fidelity (Horodecki 1999)."""
    noise = IDEAL | {"visibility": visibility, "dark": 2e-4, "truth": True}
    async with teleporting(network, tmp_path, **noise) as (net, _, receiver):
        await received(receiver, 300)
        await asyncio.sleep(0.1)
    true = {
        line["slot"]: line["fidelity_to_heralded"]
        for line in map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines())
        if line["kind"] == "herald"
    }
    rows = results(net)
    pair = sum(true[row["slot"]] for row in rows) / len(rows)
    expected = (2 * pair + 1) / 3
    found = sum(row["outcome"] == row["expected"] for row in rows) / len(rows)
    error = (expected * (1 - expected) / len(rows)) ** 0.5
    assert abs(found - expected) < 4 * error
    assert found < 1


@on_virtual_time
async def test_lost_bits_cost_their_pair_and_no_other(network: Any, tmp_path: Path) -> None:
    async with teleporting(network, tmp_path, **(IDEAL | {"t2_s": 4.0, "efficiency": 0.05})) as (
        net,
        _,
        receiver,
    ):
        count = 0

        def every_fifth(sender: str, to: str, message: Message) -> bool:
            nonlocal count
            if not isinstance(message, AppMessage):
                return False
            count += 1
            return count % 5 == 0

        net.wire.faults.lose = every_fifth
        await received(receiver, 30)
        net.wire.faults.lose = lambda *_: False
        await received(receiver, 60)
        assert receiver.counters["as_sent"] > 0.8 * receiver.counters["received"]
        assert receiver.counters["malformed"] == 0
        await asyncio.sleep(5)
        assert net.link("bob").counters["expired"] + net.link("bob").counters["discarded"] > 0


@on_virtual_time
async def test_bits_without_a_pair_are_counted_and_forgotten(network: Any, tmp_path: Path) -> None:
    async with teleporting(network, tmp_path, **IDEAL) as (net, _, receiver):
        await received(receiver, 5)
        for number in range(5):
            net.node("bob").channels[PURPOSE].deliver(
                AppMessage(PURPOSE, {"pair": number, "x": 0, "z": 0, "state": "0"})
            )
        await asyncio.sleep(4)
        assert receiver.counters["expired"] >= 5
        before = receiver.counters["received"]
        await received(receiver, before + 10)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pair": 1, "x": 0, "z": 0},
        {"pair": 1, "x": 0, "z": 0, "state": "T"},
        {"pair": "one", "x": 0, "z": 0, "state": "0"},
        {"pair": 1, "x": 10**12, "z": 0, "state": "0"},
    ],
)
@on_virtual_time
async def test_malformed_words_are_counted(
    network: Any, tmp_path: Path, body: dict[str, Any]
) -> None:
    async with teleporting(network, tmp_path, **IDEAL) as (net, _, receiver):
        net.node("bob").channels[PURPOSE].deliver(AppMessage(PURPOSE, body))
        await received(receiver, 5)
        assert receiver.counters["malformed"] == 1
        assert receiver.counters["as_sent"] == receiver.counters["received"]
    assert len(net.journal("bob").of_kind("teleport-malformed")) == 1


@pytest.mark.parametrize("which", ["alice", "bob"])
@on_virtual_time
async def test_a_device_that_vanishes_costs_no_qubit_for_good(
    network: Any, tmp_path: Path, which: str
) -> None:
    """Gates are so slow that many times it happens in the middle of a teleportation."""
    async with teleporting(network, tmp_path, **IDEAL, gate_time_us=900.0) as (net, _, receiver):
        await received(receiver, 5)
        for number in range(12):
            net.plugs.unplug(which)
            await asyncio.sleep(0.01)
            net.plugs.plug(which)
            await asyncio.sleep(0.6 + 0.0017 * number)
        before = receiver.counters["received"]
        await received(receiver, before + 20)
        for end in ("alice", "bob"):
            # What is allocated lies in the books, but for those of this moment's round and state.
            memory = net.link(end).memory
            assert memory.capacity - memory.free - len(memory.pairs) <= 2
        assert receiver.counters["as_sent"] >= receiver.counters["received"] - 12


@on_virtual_time
async def test_the_receiver_starts_anew_and_is_served(network: Any, tmp_path: Path) -> None:
    async with teleporting(network, tmp_path, **IDEAL) as (net, sender, receiver):
        await received(receiver, 10)
        bob = await net.restart("bob")
        again = Receiver(net.link("bob"), bob.channel(PURPOSE, "alice"), bob.store, bob.clock)
        bob.start(again.run())
        await received(again, 20)
        assert again.counters["as_sent"] == again.counters["received"]
        assert sender.counters["requests_ended_early"] >= 1
    ended = net.journal("alice").of_kind("request-ended")
    assert "bob" in ended[0].data["reason"]
