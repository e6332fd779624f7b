"""The alarm on the coherence of a memory link's stored pairs, in the simulated lab."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from qnodeos.requests import RequestEnded
from timing.loop import run_virtual


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs), limit_s=2000)

    return run


TABLE = {"coherence": {"held_s": 0.1, "share": 1.0, "rounds": 150, "false_alarms_per_year": 1000.0}}


async def windows(net: Any, number: int) -> None:
    """Until each end has seen so many windows, or their like."""
    until = number * 360 + net.link("bob").counters["stored_test_rounds"]
    while net.link("bob").counters["stored_test_rounds"] < until:  # noqa: ASYNC110
        await asyncio.sleep(1.0)


def alarms(net: Any) -> dict[str, str]:
    buses = {name: net.link(name)._context.bus for name in ("alice", "bob")}
    return {name: bus.alarms.get("coherence-memory", "") for name, bus in buses.items()}


@on_virtual_time
async def test_a_memory_that_loses_its_coherence_is_told_at_both_ends(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, link=TABLE, test_fraction=0.95) as net:
        net.link("bob").desk.accept("test")
        asked = net.ask("alice", number=10**5, kind="M", within_s=1e7)
        await windows(net, 1)
        assert alarms(net) == {"alice": "", "bob": ""}
        net.bench.change("memories.bob.t2_s", 0.05, by="test")
        await windows(net, 2)
        for text in alarms(net).values():
            assert text.startswith("stored pairs decay faster than the devices say")
            assert text.endswith("by their T2 1 /s")
        assert asked is not None
        for name in ("alice", "bob"):  # but for the round in progress
            assert net.link(name).memory.free >= net.link(name).memory.capacity - 1
    for name in ("alice", "bob"):
        events = [event for event in net.journal(name).events if event.kind == "coherence"]
        assert len(events) == 1


@on_virtual_time
async def test_without_the_table_no_test_round_is_stored(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path, test_fraction=0.9) as net:
        net.link("bob").desk.accept("test")
        asked = net.ask("alice", number=5, kind="M", within_s=20.0)
        async for _ in asked:
            pass
        assert net.link("alice").counters["stored_test_rounds"] == 0
        assert net.link("alice").counters["test_rounds"] > 0


@on_virtual_time
async def test_a_link_that_is_to_stop_stops_at_both_ends_until_acknowledged(
    network: Any, tmp_path: Path
) -> None:
    table = {"coherence": {**TABLE["coherence"], "on_alarm": "stop"}}
    async with network(tmp_path, link=table, test_fraction=0.95) as net:
        net.link("bob").desk.accept("test")
        asked = net.ask("alice", number=10**5, kind="M", within_s=1e7)
        await windows(net, 1)
        net.bench.change("memories.bob.t2_s", 0.05, by="test")
        with pytest.raises(RequestEnded, match=r"decay faster than the devices say.*withdrawn"):
            async for _ in asked:
                pass
        await asyncio.sleep(1.0)
        for name in ("alice", "bob"):
            assert net.link(name).status()["guard"] == "tripped"
            with pytest.raises(RequestEnded, match="not ready: stored pairs decay faster"):
                net.ask(name, number=1)
        attempts = net.link("alice").device.attempts
        await asyncio.sleep(5.0)
        assert net.link("alice").device.attempts == attempts
        net.bench.change("memories.bob.t2_s", 2.0, by="test")
        for name in ("alice", "bob"):
            net.link(name).guard.acknowledge()
        await asyncio.sleep(1.0)
        async for _ in net.ask("alice", number=5, kind="M", within_s=100.0):
            pass
    for name in ("alice", "bob"):
        assert any(event.kind == "withdrawn" for event in net.journal(name).events)
