"""What a node does in the background gives the loop back after a fraction of a millisecond, as a
herald may have come meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.devices import DeviceCapabilities
from link_layer.feu import FidelityUnit
from link_layer.messages import LinkHello
from qnodeos.bus import Bus
from qnodeos.memory_map import MemoryMap
from qnodeos.memory_quality import MemoryQuality
from qnodeos.status import Status, publish_status
from qnodeos.store import Store
from timing.loop import run_virtual


class Heralds:
    """Events that each step leaves behind; the next has to find them heard."""

    def __init__(self) -> None:
        self.sent = self.heard = 0

    def step(self) -> None:
        assert self.heard == self.sent
        self.sent += 1
        asyncio.get_running_loop().call_soon(self._hear)

    def _hear(self) -> None:
        self.heard += 1


async def for_s(seconds: float, work: Callable[[], object]) -> None:
    task = asyncio.ensure_future(work())  # type: ignore[arg-type]
    await asyncio.sleep(seconds)
    if task.done():
        task.result()
    task.cancel()


def test_the_fidelity_is_estimated_in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    heralds = Heralds()

    def renewing(unit: FidelityUnit) -> Iterator[None]:
        for _ in range(6):
            heralds.step()
            yield

    monkeypatch.setattr(FidelityUnit, "renewing", renewing)

    async def scenario() -> None:
        quality = MemoryQuality(0.5, asyncio.get_running_loop().time)
        told = DeviceCapabilities(
            role="node",
            qubits=2,
            attempt_period_s=1e-5,
            herald_mode="hardware",
            gates=(),
            t1_s=1.0,
            t2_s=1.0,
            initial_fidelity=0.9,
            gate_error=0.0,
            two_qubit_gate_error=0.0,
            readout_error=0.0,
        )
        quality.map = MemoryMap(told)
        quality.far = LinkHello("link", 1.0, 1.0, 0.9, 0.0)
        await for_s(1.1, lambda: quality.run(lambda goodness: None))

    run_virtual(scenario())
    assert heralds.sent == 12


def test_the_parts_of_a_node_tell_their_status_one_by_one(tmp_path: Path) -> None:
    heralds = Heralds()

    def part() -> Status:
        heralds.step()
        return {"figure": heralds.sent}

    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        store = Store(tmp_path / "journal.sqlite", clock=clock, wall=clock)
        parts = {"one": part, "two": part, "three": part}
        bus = Bus("mqtt://127.0.0.1", "node")
        await for_s(0.7, lambda: publish_status(bus, store, parts, clock))
        await store.close()

    run_virtual(scenario())
    assert heralds.sent == 6
