"""The station of a memory link, with real ends on a wire."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from link_layer.messages import Attempt, EndRound, Heralded, PairHeld
from timing.loop import run_virtual


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs), limit_s=600)

    return run


@on_virtual_time
async def test_both_ends_hear_the_same_of_every_herald(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path) as net:
        net.link("bob").desk.accept("test")
        await collect(net.ask("alice", number=3))
        said = [(to, message) for _, to, message in net.wire.sent if isinstance(message, Heralded)]
        told = {end: [message for to, message in said if to == end] for end in ("alice", "bob")}
        assert told["alice"] == told["bob"]
        sequences = [message.sequence for message in told["alice"]]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


@on_virtual_time
async def test_it_attempts_only_while_a_round_is_open(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        station = net.station()
        device = net.node("station").supervisors["device"].instrument
        assert not station.status()["attempting"]
        station.handle("alice", Attempt("memory", 5, 1))
        await asyncio.sleep(0.01)
        assert (await device.readings())["attempting"]
        station.handle("alice", EndRound("memory", 4, "an old one"))
        await asyncio.sleep(0.01)
        assert (await device.readings())["attempting"]
        station.handle("bob", EndRound("memory", 5, "over"))
        await asyncio.sleep(0.01)
        assert not (await device.readings())["attempting"]
        assert not station.status()["attempting"]


@on_virtual_time
async def test_the_round_of_a_lost_end_is_over(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        net.station().handle("alice", Attempt("memory", 5, 1))
        await asyncio.sleep(0.01)
        await net.die("alice")
        await asyncio.sleep(0.01)
        assert not net.station().status()["attempting"]
        ends = [m for _, to, m in net.wire.sent if to == "bob" and isinstance(m, EndRound)]
        assert ends[-1].reason == "alice was lost"


@on_virtual_time
async def test_a_midpoint_that_is_away_ends_the_round_and_says_so(
    network: Any, collect: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, efficiency=0.001) as net:
        net.link("bob").desk.accept("test")
        asked = asyncio.create_task(collect(net.ask("alice", number=1, within_s=3)))
        await asyncio.sleep(0.1)
        net.plugs.unplug("station")
        await asyncio.sleep(0.1)
        reasons = {m.reason for a, _, m in net.wire.sent if a == "station"}
        assert any(reason.startswith("the midpoint is away") for reason in reasons)
        await asked
        assert not any(isinstance(m, PairHeld) for *_, m in net.wire.sent)


@on_virtual_time
async def test_a_flood_of_orders_is_bounded_and_counted(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        for number in range(1000):
            net.station().handle("alice", Attempt("memory", number, 1))
        assert net.station().counters["orders_dropped"] > 900
        await asyncio.sleep(0.5)
        assert net.station().status()["attempting"]
