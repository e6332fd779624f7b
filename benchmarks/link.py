"""The link layer between processes: what becomes of the heralds, and how long an OK takes.

Two nodes, a station and the lab are processes of their own on the loopback; the devices are ideal,
so that what is lost is lost by the software. QNODEOS_LINK_S (20) is how long the queue is kept
full.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.frame import Row, benchmark
from benchmarks.real_time import in_real_time_if_allowed
from qnodeos.client import Node, Pair

LINK = "alice-bob"
TEST_FRACTION = 0.2


HEARD_S = 0.2
"""A node that has not heard who takes the pairs refuses them."""

QUIET_EFFICIENCY = 0.03
"""Some 40 heralds a second: one then does not wait for others."""


@benchmark("link", "what becomes of a station's heralds, and the time from herald to OK")
def run() -> list[Row]:
    """A saturated K queue with a share of test rounds, with many heralds and with few."""
    seconds = float(os.environ.get("QNODEOS_LINK_S", "20"))
    busy = asyncio.run(measured(seconds, 1.0))
    quiet = asyncio.run(measured(seconds, QUIET_EFFICIENCY))
    with in_real_time_if_allowed() as how:
        busy_so = asyncio.run(measured(seconds, 1.0))
        quiet_so = asyncio.run(measured(seconds, QUIET_EFFICIENCY))
    return [
        *_use(busy, seconds),
        *_times(busy, "busy, as any program"),
        *_times(quiet, "quiet, as any program"),
        how,
        *_times(busy_so, "busy, so", at_most=1.5),
        *_times(quiet_so, "quiet, so", at_most=1.5),
    ]


Told = dict[str, dict[str, Any]]
"""The status of the link at each node."""


@asynccontextmanager
async def _nothing(net: Path) -> AsyncIterator[None]:
    yield


async def measured(
    seconds: float,
    efficiency: float,
    beside: Callable[[Path], AbstractAsyncContextManager[None]] = _nothing,
) -> Told:
    """What each node says of the link after so long; `beside` runs on the network's folder."""
    from qnodeos.client import connect
    from qnodeos.launch.ideal import IDEAL, write_ideal
    from qnodeos.launch.network import network

    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        example = Path(folder) / "ideal"
        write_ideal(example, 2, replace(IDEAL, efficiency=efficiency))
        for name in ("alice", "bob"):
            _change(
                example / f"{name}.toml", "test_fraction = 0.0", f"test_fraction = {TEST_FRACTION}"
            )
        async with network(example, Path(folder) / "net"), beside(Path(folder) / "net"):
            data = Path(folder) / "net" / "data"
            async with (
                connect(data / "alice") as alice,
                connect(data / "bob") as bob,
                connect(data / "station") as station,
            ):
                taking = [asyncio.create_task(_measure_all(bob.accept("link", peer="alice")))]
                await asyncio.sleep(HEARD_S)
                asked = alice.pairs("bob", number=10**6, purpose="link", within=seconds * 10)
                taking.append(asyncio.create_task(_measure_all(asked)))
                await asyncio.sleep(seconds)
                told = {node.name: await _link(node) for node in (alice, bob, station)}
                for task in taking:
                    task.cancel()
                await asyncio.gather(*taking, return_exceptions=True)
    return told


def _change(file: Path, old: str, new: str) -> None:
    said = file.read_text(encoding="utf-8")
    assert old in said
    file.write_text(said.replace(old, new), encoding="utf-8")


async def _measure_all(items: AsyncIterator[Any]) -> None:
    async for item in items:
        assert isinstance(item, Pair)
        await item.measure()


async def _link(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = (await node.status())["links"][LINK]
    return found


def _use(told: Told, seconds: float) -> list[Row]:
    heralds = told["station"]["heralds"]
    used = min(told[name]["oks"] + told[name]["test_rounds"] for name in ("alice", "bob"))
    return [
        Row("heralds of the station", heralds / seconds, "1/s"),
        Row(
            "of these delivered as pairs or spent as declared test rounds",
            100 * used / heralds,
            "%",
            at_least=95.0,
        ),
        Row("test rounds among them", 100 * told["alice"]["test_rounds"] / heralds, "%"),
    ]


def _times(told: Told, how: str, *, at_most: float | None = None) -> list[Row]:
    rows = []
    for name, end in (("alice", "leading"), ("bob", "following")):
        each = told[name]
        rows += [
            Row(f"{how}: herald to OK at the {end} end, p50", each["ok_p50_ms"], "ms"),
            Row(
                f"{how}: herald to OK at the {end} end, p99",
                each["ok_p99_ms"],
                "ms",
                at_most=at_most,
            ),
        ]
    return rows
