"""A blinded detector in the simulated lab stops the link at either end; an honest one never."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from qnodeos.config import GuardTable
from qnodeos.requests import RequestEnded
from sim_backends.faults.director import direct
from sim_backends.faults.script import FaultConfig
from tests.qnodeos.test_photonic import Taker, on_virtual_time, pairs_of, until

GUARD = {"guard": {"dark_cps": (100.0, 100.0)}}


@pytest.mark.parametrize("victim", ["alice", "bob"])
@on_virtual_time
async def test_blinding_ends_requests_until_it_is_over(
    network: Any, tmp_path: Path, victim: str
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.4, link=GUARD) as net:
        director = direct(net.bench, [])
        director.start()
        link = net.photonic(victim)
        Taker(net, "bob")
        asking = asyncio.create_task(
            pairs_of(net.ask("alice", number=10_000_000, minimum_fidelity=0.9, within_s=300))
        )
        await until(lambda: link.serving, 60)
        await asyncio.sleep(20)
        assert link.ready  # twenty seconds of honest light
        number = director.begin(FaultConfig(kind="blinded", of=f"detectors.{victim}"))
        await until(lambda: not link.ready, 5)
        with pytest.raises(RequestEnded, match="fewer than its dark counts"):
            await asking
        with pytest.raises(RequestEnded, match="fewer than its dark counts"):
            link.desk.ask(kind="M", number=1, minimum_fidelity=0.5, within_s=1.0, purpose="x")
        await asyncio.sleep(20)  # long enough for a link that nobody uses to rest
        director.end(number)
        await until(lambda: link.ready, 10)
        director.close()
    told = [row.data["trouble"] for row in net.journal(victim).events if row.kind == "guard"]
    assert len(told) == 2
    assert "fewer than its dark counts" in told[0]
    assert told[1] == ""


def test_dark_counts_too_few_to_miss_are_refused() -> None:
    with pytest.raises(ValidationError, match="expected more: 5 dark counts"):
        GuardTable(dark_cps=(5.0, 100.0))
