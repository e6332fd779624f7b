"""The guard within the process: it acts when it is not reassured, and only then."""

import asyncio
from pathlib import Path

import pytest

from drivers.guard_inside import guard_inside
from drivers.safety import ArmingLease, GuardEntry, GuardLost, keep_armed
from sim_backends.instruments.dlcpro import DlcPro
from sim_backends.mount_memory import MemoryPort, open_memory
from tests.twins import make_laser
from timing.loop import run_virtual

ENTRY = GuardEntry("pump", "toptica.dlcpro", "mem://pump", {}, "DLC")


def lit() -> tuple[DlcPro, dict[str, object]]:
    laser = make_laser()
    box = DlcPro(laser, "DLC", advance=lambda: None)
    box.write("laser1:dl:cc:current-set", 20.0)
    box.write("laser1:dl:cc:enabled", True)

    def dial() -> tuple[MemoryPort, MemoryPort]:
        port = open_memory(box.connect)
        return port, port

    return box, {"pump": dial}


@pytest.mark.parametrize("safe", [True, False])
def test_a_node_that_ends_lets_it_act_only_if_not_all_is_safe(tmp_path: Path, safe: bool) -> None:
    async def scenario() -> None:
        box, memory = lit()
        lease = ArmingLease(asyncio.get_running_loop().time)
        keeping = asyncio.create_task(
            keep_armed(
                lease,
                [ENTRY],
                data_dir=tmp_path,
                all_safe=lambda: safe,
                start=guard_inside(memory),  # type: ignore[arg-type]
            )
        )
        await asyncio.sleep(10.0)
        assert lease.live
        assert box.read("emission") is True
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        assert not lease.live
        assert box.read("emission") is safe, "with all safe it leaves things alone"

    run_virtual(scenario())


def test_without_renewal_it_acts_and_cannot_be_called_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        box, memory = lit()
        start = guard_inside(memory)  # type: ignore[arg-type]
        guard = await start([ENTRY], data_dir=tmp_path, lease_s=2.0)
        await asyncio.sleep(1.9)
        guard.renew()
        await asyncio.sleep(1.9)
        assert box.read("emission") is True
        await asyncio.sleep(0.5)
        assert box.read("emission") is False
        assert await guard.wait(timeout_s=5.0) == 0
        with pytest.raises(GuardLost):
            guard.renew()

    run_virtual(scenario())


def test_an_order_that_cannot_be_carried_out_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        entry = GuardEntry("pump", "no.such", "mem://pump")
        with pytest.raises(GuardLost, match=r"no\.such"):
            await guard_inside({})([entry], data_dir=tmp_path, lease_s=2.0)

    run_virtual(scenario())
