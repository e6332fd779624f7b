"""The application that takes measured pairs, end to end on a simulated lab."""

import asyncio
from pathlib import Path
from typing import Any

from qnodeos.apps.correlations import Asker, Taker
from timing.loop import run_virtual


def test_both_halves_count_the_same_pairs_and_survive_a_loss(network: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, photonic=True, test_fraction=0.4) as net:
            asker = Asker(
                net.photonic("alice"),
                net.node("alice").store,
                pairs_per_request=200,
                fidelity=0.9,
            )
            taker = Taker(net.photonic("bob"))
            net.node("alice").start(asker.run())
            net.node("bob").start(taker.run())
            await asyncio.sleep(5)
            net.plugs.unplug("alice-tagger")
            await asyncio.sleep(0.1)
            counted = asker.counters["pairs"]
            assert counted > 1000
            assert taker.counters["pairs"] == counted
            net.plugs.plug("alice-tagger")
            await net.wire.cut("alice", "bob")
            await asyncio.sleep(0.01)
            assert asker.counters["requests_ended_early"] == 1
            await asyncio.sleep(3)
            assert asker.counters["requests_ended_early"] == 1  # it waits for the far end
            net.wire.mend("alice", "bob")
            await asyncio.sleep(5)
            assert asker.counters["pairs"] > counted + 500
        ended = net.journal("alice").of_kind("request-ended")
        assert [event.data["reason"] for event in ended] == ["OTHER: bob was lost"]

    run_virtual(scenario(), limit_s=120)
