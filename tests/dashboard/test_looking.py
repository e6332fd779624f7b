"""How often nodes are asked: seldom while nobody looks, and at once when somebody does."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

from qnodeos.dashboard.places import find_places
from qnodeos.dashboard.view import IDLE_S, SILENT_S, UNWATCHED_S, NetworkView
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
EVERY_S = 0.25


def view() -> NetworkView:
    return NetworkView.of(find_places([EXAMPLE]), asyncio.get_running_loop().time, lambda: 1e9)


def test_turns_are_rare_while_nobody_looks_and_frequent_for_a_while_after() -> None:
    async def scenario() -> list[float]:
        network = view()
        turns: list[float] = []

        async def turn() -> None:
            while True:
                turns.append(network.clock())
                await network.pause(EVERY_S)

        turning = asyncio.create_task(turn())
        await asyncio.sleep(10.25)
        network.look()
        await asyncio.sleep(UNWATCHED_S + 10)
        turning.cancel()
        return turns

    turns = run_virtual(scenario(), limit_s=100.0)
    apart = [b - a for a, b in itertools.pairwise(turns)]
    looked = turns.index(10.25)  # at once, not when the turn was due
    assert apart[: looked - 1] == [IDLE_S] * 10
    frequent = round(UNWATCHED_S / EVERY_S)
    assert apart[looked : looked + frequent] == [EVERY_S] * frequent
    assert set(apart[looked + frequent :]) == {IDLE_S}


def test_a_node_that_is_asked_less_often_is_not_called_silent_for_that() -> None:
    async def scenario() -> list[bool]:
        network = view()
        alice = network.nodes["alice"]
        alice.socket.heard_s, alice.reachable = network.clock(), True
        await asyncio.sleep(SILENT_S + IDLE_S / 2)
        found = [alice.silent]
        alice.slack_s = IDLE_S
        found.append(alice.silent)
        await asyncio.sleep(IDLE_S)
        return [*found, alice.silent]

    assert run_virtual(scenario(), limit_s=100.0) == [True, False, True]
