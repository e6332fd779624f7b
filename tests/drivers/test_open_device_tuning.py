"""How a midpoint detects, set through the open device driver: requests, answers, refusals."""

import asyncio
from typing import Any

import msgspec
import pytest

from drivers.devices import DeviceTuning
from drivers.errors import ProtocolError, Refused
from tests.drivers.test_open_device_modes import CAPABILITIES, FRAMES, HELLO, connected
from timing.loop import run_virtual

HELLO_5 = {**HELLO, "minor": 5, "role": "midpoint"}
ABLE = {**CAPABILITIES, "tunes": ["delay_ps", "phase_deg"]}


def frame(fields: dict[str, Any]) -> bytes:
    return FRAMES.wrap(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("answered", [-720.5, "off"])
def test_what_is_wanted_is_asked_and_what_is_so_is_given(answered: object) -> None:
    async def scenario() -> DeviceTuning:
        async with connected(HELLO_5, ABLE) as (driver, script):
            driver._last_id = 8
            calling = asyncio.ensure_future(driver.tune(DeviceTuning(phase_deg=-720.5)))
            await script.far.expect(frame({"id": 9, "do": "tune", "phase_deg": -720.5}))
            reply = {"id": 9, "ok": True, "delay_ps": 100, "phase_deg": answered}
            await script.far.write(frame(reply))
            return await calling

    if answered == "off":
        with pytest.raises(ProtocolError):
            run_virtual(scenario())
    else:
        assert run_virtual(scenario()) == DeviceTuning(delay_ps=100, phase_deg=-720.5)


@pytest.mark.parametrize(
    ("hello", "wanted", "why"),
    [
        (HELLO_5, DeviceTuning(window_ps=10.0), "accepted: none, it sets delay_ps phase_deg"),
        (HELLO_5, DeviceTuning(phase_deg=1e9), "phase_deg = 1000000000.0, accepted"),
        ({**HELLO_5, "minor": 4}, DeviceTuning(phase_deg=1.0), "begins with 1.5"),
    ],
)
def test_what_cannot_be_set_is_refused(
    hello: dict[str, Any], wanted: DeviceTuning, why: str
) -> None:
    async def scenario() -> None:
        async with connected(hello, ABLE) as (driver, _):
            with pytest.raises(Refused, match=why):
                await driver.tune(wanted)

    run_virtual(scenario())
