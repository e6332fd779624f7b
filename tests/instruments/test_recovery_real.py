"""The same recoveries on real sockets and pseudo-terminals, for one instrument of each kind."""

import asyncio
from pathlib import Path

from tests.instruments.bench import on_its_mount
from tests.instruments.case import collect
from tests.instruments.test_recovery import (
    BACK_WITHIN_S,
    SHOWN_WITHIN_S,
    Fault,
    check,
    flood,
    half_open,
)
from tests.instruments.watching import Watch, inf, learn, watched

CASES = collect()


async def short_power_cycle(watch: Watch) -> None:
    watch.plugged.power_off()
    await asyncio.sleep(1.5)
    watch.plugged.power_on()


async def test_it_comes_back(tmp_path: Path) -> None:
    async def one(name: str, fault: Fault) -> None:
        case = CASES[name]
        known = await learn(case)
        async with (
            on_its_mount(case, tmp_path / name / fault.__name__) as plugged,
            watched(plugged, known, "reapply") as watch,
        ):
            clock = asyncio.get_running_loop().time
            emits, injured_s = plugged.emits(), clock()
            await fault(watch)
            healed_s = clock()
            if fault is not flood:
                # A second of grace for a machine that is busy with other things.
                assert await watch.shown(injured_s, 10.0) <= SHOWN_WITHIN_S + 1.0
            assert await watch.recovered(known.settled, emits, 20.0) < inf
            assert clock() - healed_s <= BACK_WITHIN_S + 1.0
            check(watch)

    # Side by side: what they do most is wait.
    async with asyncio.TaskGroup() as tasks:
        for name in ("pm100d", "dlcpro", "tdc1", "websq"):
            for fault in (short_power_cycle, half_open, flood):
                tasks.create_task(one(name, fault), name=f"{name} {fault.__name__}")
