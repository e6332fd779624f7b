"""Third parties' clients against the simulated instruments, over real TCP and serial ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from toptica.lasersdk.asyncio.client import Client, NetworkConnection, UserLevel
from toptica.lasersdk.client import DecopError
from toptica.lasersdk.client import NetworkConnection as BlockingConnection
from toptica.lasersdk.dlcpro.v3_2_0 import DLCpro

from sim_backends.instruments.dlcpro import DlcPro
from sim_backends.lab import LaserConfig
from sim_backends.lasers import LaserModel
from sim_backends.mount import listen_on
from sim_backends.mount_tcp import TcpMount


@asynccontextmanager
async def dlc_pro() -> AsyncIterator[tuple[int, LaserModel]]:
    model = LaserModel(
        LaserConfig(threshold_ma=40, slope_mw_per_ma=0.2, max_current_ma=120, wavelength_nm=405)
    )
    mount = TcpMount(DlcPro(model, "DLC PRO_024817", advance=lambda: None).connect)
    listener = listen_on("127.0.0.1", 0)
    port = listener.getsockname()[1]
    await mount.start(listener)
    try:
        yield port, model
    finally:
        await mount.stop()


async def test_toptica_lasersdk_drives_the_dlc_pro() -> None:
    def session(port: int) -> dict[str, Any]:
        with DLCpro(BlockingConnection("127.0.0.1", port, 0)) as dlc:
            current = dlc.laser1.dl.cc
            seen: dict[str, Any] = {
                "serial": dlc.serial_number.get(),
                "firmware": dlc.fw_ver.get(),
                "health": (dlc.system_health.get(), dlc.system_health_txt.get()),
                "dark": (dlc.emission.get(), current.enabled.get(), current.current_act.get()),
                "panel": (
                    dlc.interlock_open.get(),
                    dlc.frontkey_locked.get(),
                    dlc.emission_button_enabled.get(),
                ),
            }
            current.current_set.set(90.0)
            current.enabled.set(True)
            seen["light"] = (dlc.emission.get(), current.current_act.get())
            seen["wavelength"] = dlc.laser1.ctl.wavelength_act.get()
            dlc.system_label.set("rack 3")
            seen["label"] = dlc.system_label.get()
            with pytest.raises(DecopError, match="out of range"):
                current.current_set.set(900.0)
            with pytest.raises(DecopError, match="Unknown parameter"):
                dlc.laser1.dl.tc.temp_act.get()
            seen["after errors"] = current.current_set.get()
            return seen

    async with dlc_pro() as (port, model):
        seen = await asyncio.to_thread(session, port)
        assert model.power_mw == pytest.approx(10.0)
    assert seen == {
        "serial": "DLC PRO_024817",
        "firmware": "3.2.0",
        "health": (0, "OK"),
        "dark": (False, False, 0.0),
        "panel": (False, False, True),
        "light": (True, 90.0),
        "wavelength": 405.0,
        "label": "rack 3",
        "after errors": 90.0,
    }


async def test_toptica_asyncio_clients_share_the_dlc_pro() -> None:
    async with (
        dlc_pro() as (port, _),
        Client(NetworkConnection("127.0.0.1", port, 0)) as first,
        Client(NetworkConnection("127.0.0.1", port, 0)) as second,
    ):
        assert await first.set("laser1:dl:cc:current-set", 80.0) == 0
        both = await asyncio.gather(
            first.get("laser1:dl:cc:current-set", float),
            second.get_set_value("laser1:dl:cc:current-set"),
        )
        assert both == [80.0, 80.0]
        level = await first.change_ul(UserLevel.MAINTENANCE, "CAUTION")
        assert level == UserLevel.MAINTENANCE
        assert await second.get("ul", int) == int(UserLevel.NORMAL)
