"""The WebSQ driver against a scripted box: JSON labels ended by ETB, and lines of counts."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from drivers.detectors.websq import WebSq
from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.links.base import Link
from drivers.links.memory import pipe_pair
from drivers.links.open import make_link
from drivers.plugin import wrong_box
from drivers.testing import FarEnd, ScriptedTransport
from timing.loop import run_virtual

ETB = b"\x17"


class Box:
    """A box with two detectors that obeys; `deaf` makes it ignore commands."""

    def __init__(self) -> None:
        self.labels: dict[str, Any] = {
            "NumberOfDetectors": 2,
            "InptMeasurementPeriod": 100,
            "BiasCurrent": [0.0, 0.0],
            "TriggerLevel": [20.0, 20.0],
            "DetectorEnable": False,
        }
        self.deaf = False
        self.commands: list[dict[str, Any]] = []
        self.control: FarEnd
        self.counts: FarEnd

    async def push(self, *messages: dict[str, Any], cut: int | None = None) -> None:
        """Send each in a message of its own; with `cut` in two segments."""
        data = b"".join(json.dumps(message).encode() + ETB for message in messages)
        await self.control.write(data[:cut])
        if cut is not None:
            await asyncio.sleep(0.01)
            await self.control.write(data[cut:])

    async def tell_labels(self) -> None:
        await self.push(
            *({"label": k, "value": {"value": v, "unit": "?"}} for k, v in self.labels.items())
        )

    async def serve(self) -> None:
        decoder, text = json.JSONDecoder(), ""
        while data := await self.control.read():
            text += data.decode()
            while text:
                try:
                    message, end = decoder.raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                if message.get("request") == "labelProps":
                    await self.tell_labels()
                elif not self.deaf:
                    self.commands.append(message)
                    self.labels[message["label"]] = message["value"]
                else:
                    self.commands.append(message)


@asynccontextmanager
async def connected(*, armed: bool = True) -> AsyncIterator[tuple[WebSq, Box]]:
    box = Box()
    (near, far), (near_counts, far_counts) = pipe_pair(), pipe_pair()
    box.control, box.counts = FarEnd(*far), FarEnd(*far_counts)
    memory = {"box": lambda: near, "box-counts": lambda: near_counts}
    link = make_link("mem://box", owner="alice/detectors", memory=memory)
    await link.open()
    serving = asyncio.create_task(box.serve())
    driver = WebSq(link)
    driver.armed = lambda: armed
    who = await driver.connect()
    assert wrong_box(WebSq.manifest, who, None) == ""
    try:
        yield driver, box
    finally:
        await driver.disconnect()
        serving.cancel()
        await link.close()


def test_settings_are_sent_in_a_safe_order_and_confirmed() -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            await driver.apply(
                {
                    "enabled": True,
                    "bias_ua": [20, 19.5],
                    "trigger_mv": [-30.0, 25.0],
                    "measurement_period_ms": 50,
                }
            )
            assert box.commands == [
                {"command": "SetMeasurementPeriod", "label": "InptMeasurementPeriod", "value": 50},
                {"command": "SetAllTriggerLevels", "label": "TriggerLevel", "value": [-30.0, 25.0]},
                {"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [20.0, 19.5]},
                {"command": "DetectorEnable", "label": "DetectorEnable", "value": True},
            ]
            assert await driver.bias_ua() == (20.0, 19.5)
            assert await driver.trigger_mv() == (-30.0, 25.0)
            assert await driver.enabled()

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"bias_ua": [20.0]}, "2 values of 0 to 50 ua"),
        ({"bias_ua": [20.0, 51.0]}, "2 values of 0 to 50 ua"),
        ({"bias_ua": [20.0, -1.0]}, "2 values of 0 to 50 ua"),
        ({"trigger_mv": [0.0, float("nan")]}, "2 values of -1000 to 1000 mv"),
        ({"measurement_period_ms": 0}, "1 to 60000 ms"),
        ({"enabled": 1}, "true or false"),
        ({"bias": [1.0, 1.0]}, "unknown settings bias"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(settings: dict[str, Any], match: str) -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            with pytest.raises(Refused, match=match):
                await driver.apply(settings)
            assert box.commands == []

    run_virtual(scenario())


def test_bias_needs_the_lease_and_the_safe_state_does_not() -> None:
    async def scenario() -> None:
        async with connected(armed=False) as (driver, box):
            with pytest.raises(Refused, match="arming lease"):
                await driver.set_enabled(True)
            box.labels["DetectorEnable"] = True
            await driver.enter_safe_state()
            assert box.labels["DetectorEnable"] is False
            assert not await driver.enabled()

    run_virtual(scenario())


def test_a_safe_state_that_is_not_confirmed_is_told() -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            box.labels["DetectorEnable"] = True
            box.deaf = True
            with pytest.raises(Timeout, match=r"alice/detectors.*DetectorEnable.*within 3 s"):
                await driver.enter_safe_state()
            assert asyncio.get_running_loop().time() < 4

    run_virtual(scenario())


def test_objects_may_share_a_segment_or_a_message_or_be_split() -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            await box.push(
                {"label": "BiasCurrent", "value": [1.0, 2.0]},
                {"label": "DetectorEnable", "value": True},
            )
            await box.push({"label": "TriggerLevel", "value": [3.0, 4.0]}, cut=17)
            both = b'{"label":"InptMeasurementPeriod","value":20}{"label":"Extra","value":"}{"}'
            await box.control.write(both + ETB)
            await asyncio.sleep(0.1)
            assert await driver.bias_ua() == (1.0, 2.0)
            assert await driver.trigger_mv() == (3.0, 4.0)
            assert await driver.enabled()
            rates = asyncio.create_task(driver.count_rates_cps())
            await box.counts.write(b"0.0,0,0\n1.0,10,20\n")
            assert await rates == (500.0, 1000.0)

    run_virtual(scenario())


def test_a_pushed_error_ends_the_command_it_follows_and_an_old_one_is_only_shown() -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            box.labels["ErrorMessage"] = "an old one"
            await driver.set_bias_ua((1.0, 1.0))
            box.deaf = True
            setting = asyncio.create_task(driver.set_bias_ua((2.0, 2.0)))
            await asyncio.sleep(0.1)
            await box.push({"label": "ErrorMessage", "value": "bias board 1 is hot"})
            with pytest.raises(InstrumentError, match="ErrorMessage: bias board 1 is hot"):
                await setting
            await box.counts.write(b"0.0,0,0\n1.0,10,20\n")
            assert (await driver.readings())["last_error"] == "ErrorMessage: bias board 1 is hot"
            await driver.ping()

    run_virtual(scenario())


def test_count_lines_may_be_split_and_begin_in_the_middle() -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            await box.counts.write(b"83,12,13\n1763700000.1,100")
            asking = asyncio.create_task(driver.count_rates_cps())
            await asyncio.sleep(0.05)
            assert not asking.done()
            await box.counts.write(b"0,25\n")
            assert await asking == (10_000.0, 250.0)
            shown = await driver.readings()
            assert shown["rate_2_cps"] == 250.0
            assert shown["bias_1_ua"] == 0.0

    run_virtual(scenario())


def test_old_counts_are_not_given_for_new_ones() -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            await box.counts.write(b"0.0,0,0\n1.0,10,20\n")
            assert await driver.count_rates_cps() == (100.0, 200.0)
            await asyncio.sleep(60)
            with pytest.raises(Timeout, match="a line of counts"):
                await driver.count_rates_cps()
            await driver.set_measurement_period_ms(1000)
            await box.counts.write(b"2.0,10,20\n3.0,4000,5000\n")  # the first: the old period
            assert await driver.count_rates_cps() == (4000.0, 5000.0)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("port", "garbage"),
    [
        ("control", b'{"label": "Bias\x17'),
        ("control", b"[1]\x17"),
        ("control", b"\xff\xfe\x17"),
        ("counts", b"1.0,2,3\n1.0,x,3\n"),
        ("counts", b"1.0,2,3\n1.0,2\n"),
    ],
)
def test_garbage_is_shown_and_ends_the_connection(port: str, garbage: bytes) -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            await getattr(box, port).write(garbage)
            await asyncio.sleep(0.1)
            with pytest.raises(NotConnected) as caught:
                await driver.ping()
            cause = caught.value.__cause__
            assert isinstance(cause, ProtocolError)
            assert cause.raw
            assert cause.raw in garbage

    run_virtual(scenario())


@pytest.mark.parametrize("port", ["control", "counts"])
def test_a_lost_port_is_noticed_and_connect_starts_anew(port: str) -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            getattr(box, port).close()
            await asyncio.sleep(0.1)
            with pytest.raises(NotConnected):
                await driver.ping()
            with pytest.raises(NotConnected):
                await driver.count_rates_cps()

    run_virtual(scenario())


def test_a_silent_box_is_a_timeout() -> None:
    async def scenario() -> None:
        async with connected() as (driver, box):
            box.labels.clear()
            with pytest.raises(Timeout, match="labelProps"):
                await driver.ping()
            await driver.disconnect()
            with pytest.raises(NotConnected):
                await driver.bias_ua()

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"counts": 1}, "unknown options counts"),
        ({"counts_port": 0}, "1 to 65535"),
        ({"counts_port": "7113"}, "1 to 65535"),
        ({"max_bias_ua": -1}, "positive"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        WebSq(Link(ScriptedTransport([]), owner="test"), options)


@pytest.mark.parametrize(
    ("resource", "counts"),
    [
        ("tcp://10.0.0.5:12000", "tcp://10.0.0.5:7113"),
        ("tcp://[fe80::1]:12000", "tcp://[fe80::1]:7113"),
        ("TCPIP0::10.0.0.5::12000::SOCKET", "tcp://10.0.0.5:7113"),
    ],
)
def test_the_counts_port_is_on_the_same_host(resource: str, counts: str) -> None:
    asked = []

    def beside(other: str) -> Link:
        asked.append(other)
        return Link(ScriptedTransport([]), owner="test")

    async def scenario() -> None:
        transport = ScriptedTransport([])
        transport.resource = resource
        driver = WebSq(Link(transport, owner="test", beside=beside), {"counts_port": 7113})
        with pytest.raises(NotConnected):
            await driver.connect()
        await driver.disconnect()

    run_virtual(scenario())
    assert asked == [counts]


def test_the_bias_is_taken_away_also_where_no_counts_can_be_had() -> None:
    async def scenario() -> None:
        box = Box()
        box.labels["DetectorEnable"] = True
        near, far = pipe_pair()
        box.control = FarEnd(*far)
        link = make_link("mem://box", owner="guard/detectors", memory={"box": lambda: near})
        await link.open()
        serving = asyncio.create_task(box.serve())
        driver = WebSq(link)
        await driver.connect()
        await driver.enter_safe_state()
        assert box.labels["DetectorEnable"] is False
        with pytest.raises(NotConnected, match="no longer listened to, because: nobody serves"):
            await driver.ping()
        await driver.disconnect()
        serving.cancel()
        await link.close()

    run_virtual(scenario())
