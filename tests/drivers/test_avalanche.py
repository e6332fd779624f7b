"""The S-Fifteen SPD and the ID120: what is sent to the byte, and what is refused or told."""

import asyncio
from typing import Any

import numpy as np
import pytest

from drivers.detectors.id120 import Id120
from drivers.detectors.sfifteen_spd import SFifteenSpd
from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.links import make_link
from drivers.links.base import Link
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange
from sim_backends.avalanche import AvalancheDiode
from sim_backends.detectors import DetectorBank
from sim_backends.instruments.id120 import Id120 as Id120Twin
from sim_backends.instruments.sfifteen_spd import SFifteenSpd as SpdTwin
from sim_backends.lab import DetectorConfig
from sim_backends.mount_hislip import HislipPlace
from tests.twins import on_twin
from timing.loop import run_virtual

Pair = tuple[bytes, bytes | None]

SPD_CONNECT: list[Pair] = [
    (b"\r\n", None),
    (b"*idn?\r\n", b"SPD-0231\r\n"),
    (b"hvolt?\r\n", b"0.00\r\n"),
]
ID120_CONNECT: list[Pair] = [
    (b"\n", None),
    (b"*IDN?\n", b"ID Quantique,ID120\n"),
    (b"INFO:PRODUCT_SERIAL_NUMBER?\n", b"2019004\n"),
    (b"INFO:FIRMWARE_VERSION?\n", b"1.2.0\n"),
    (b"BIAS:VOLTAGE?\n", b"0\n"),
]


def spd(script: list[Pair], use: Any, *, armed: bool = True) -> None:
    async def scenario() -> None:
        pairs = [*SPD_CONNECT, *script]
        options = {"max_bias_v": 160.0}
        async with expected_exchange(SFifteenSpd, pairs, options=options, armed=armed) as box:
            who = await box.connect()
            assert (who.text, who.serial) == ("SPD-0231", "SPD-0231")
            await use(box)

    run_virtual(scenario())


def id120(script: list[Pair], use: Any, *, armed: bool = True) -> None:
    async def scenario() -> None:
        async with expected_exchange(Id120, [*ID120_CONNECT, *script], armed=armed) as box:
            who = await box.connect()
            assert (who.serial, who.firmware) == ("2019004", "1.2.0")
            assert not wrong_box(Id120.manifest, who, "2019004")
            await use(box)

    run_virtual(scenario())


def test_spd_counts_after_the_gate_and_settings_are_read_back() -> None:
    script: list[Pair] = [
        (b"time 50\r\n", None),
        (b"time?\r\n", b"50\r\n"),
        (b"settemp -25\r\n", None),
        (b"settemp?\r\n", b"-25.0\r\n"),
        (b"loop 1\r\n", None),
        (b"loop?\r\n", b"0\r\n"),
        (b"time?\r\n", b"50\r\n"),
        (b"counts?\r\n", b"123\r\n"),
    ]

    async def use(box: SFifteenSpd) -> None:
        await box.apply({"gate_ms": 50.0, "temperature_c": -25.0})
        with pytest.raises(InstrumentError, match="loop: 1 was set, but it tells 0"):
            await box.set_regulating(True)
        assert await box.count_rates_cps() == (2460.0,)

    spd(script, use)


def test_spd_bias_is_sent_when_switched_on_and_waited_for() -> None:
    script: list[Pair] = [
        (b"hvolt?\r\n", b"0.00\r\n"),
        (b"hvolt 148.5\r\n", None),
        (b"hvolt?\r\n", b"20.00\r\n"),
        (b"hvolt?\r\n", b"148.2\r\n"),
        (b"hvolt 0\r\n", None),
        (b"hvolt?\r\n", b"0.1\r\n"),
    ]

    async def use(box: SFifteenSpd) -> None:
        await box.set_bias_v((148.5,))
        await box.set_enabled(True)
        await box.enter_safe_state()

    spd(script, use)


def test_spd_bias_that_stays_is_told() -> None:
    stuck: Pair = (b"hvolt?\r\n", b"148.0\r\n")

    async def use(box: SFifteenSpd) -> None:
        with pytest.raises(InstrumentError, match="0 V was set, but it tells 148 V"):
            await box.enter_safe_state()

    spd([(b"hvolt 0\r\n", None), *([stuck] * 17)], use)


def test_spd_needs_its_bound_and_a_lease() -> None:
    link = make_link("serial:///dev/ttyACM0", owner="x")
    with pytest.raises(ValueError, match="max_bias_v is missing; give the highest bias"):
        SFifteenSpd(link)
    with pytest.raises(ValueError, match="max_bias_v = -1, expected 0 to 500 V"):
        SFifteenSpd(link, {"max_bias_v": -1})

    async def use(box: SFifteenSpd) -> None:
        with pytest.raises(Refused, match="arm"):
            await box.set_enabled(True)
        for bad in ((161.0,), (1.0, 2.0), (), ("148",), (True,)):
            with pytest.raises(Refused, match="one value of 0 to 160 V"):
                await box.set_bias_v(bad)

    spd([], use, armed=False)

    async def empty(box: SFifteenSpd) -> None:
        with pytest.raises(Refused, match="set bias_v first"):
            await box.set_enabled(True)

    spd([], empty)


@pytest.mark.parametrize("reply", [b"12.5\r\n", b"-3\r\n", b"many\r\n", b"\xff\r\n"])
def test_spd_counts_that_cannot_be(reply: bytes) -> None:
    async def use(box: SFifteenSpd) -> None:
        with pytest.raises(ProtocolError) as caught:
            await box.count_rates_cps()
        assert caught.value.raw == reply.strip()
        assert not box.link.usable

    spd([(b"time?\r\n", b"100\r\n"), (b"counts?\r\n", reply)], use)


def test_id120_units_and_steps() -> None:
    script: list[Pair] = [
        (b"THRESHOLD:VOLTAGE 120500\n", None),
        (b"THRESHOLD:VOLTAGE?\n", b"120500\n"),
        (b"REG:TEMP_SET_POINT -40000\n", None),
        (b"REG:TEMP_SET_POINT?\n", b"-40000\n"),
        (b"REG:RUN TRUE\n", None),
        (b"REG:RUN?\n", b"TRUE\n"),
        (b"COUNTERS:INTEGRATION_TIME 600\n", None),
        (b"COUNTERS:INTEGRATION_TIME?\n", b"400\n"),
        (b"COUNTERS:DETECTION_FREQ?\n", b"2460\n"),
    ]

    async def use(box: Id120) -> None:
        await box.apply({"threshold_mv": 120.5, "temperature_c": -40.0, "regulating": True})
        with pytest.raises(InstrumentError, match="600 was set, but it tells 400"):
            await box.set_gate_ms(600)
        assert await box.count_rates_cps() == (2460.0,)
        for call, value, says in (
            (box.set_threshold_mv, 0.3, r"its step is 0\.5 mV"),
            (box.set_threshold_mv, 1100.0, "0 to 1047 mV"),
            (box.set_temperature_c, -20.5, "its step is 1 C"),
            (box.set_gate_ms, 100.0, "200 to 100000 ms"),
        ):
            with pytest.raises(Refused, match=says):
                await call(value)

    id120(script, use)


def test_id120_bias_goes_in_steps_of_80_mv_and_an_error_takes_it_away_again() -> None:
    script: list[Pair] = [
        (b"BIAS:VOLTAGE?\n", b"0\n"),
        (b"BIAS:VOLTAGE 160000000\n", None),
        (b"BIAS:VOLTAGE?\n", b"160000000\n"),
        (b"BIAS:ERROR_STATUS?\n", b"TRUE\n"),
        (b"BIAS:VOLTAGE 0\n", None),
        (b"BIAS:VOLTAGE?\n", b"0\n"),
    ]

    async def use(box: Id120) -> None:
        await box.set_bias_v((160.03,))
        with pytest.raises(InstrumentError, match="the bias is in error, and was switched off"):
            await box.set_enabled(True)
        with pytest.raises(Refused, match="0 to 250 V"):
            await box.set_bias_v((251.0,))

    id120(script, use)


def test_id120_late_answer_answers_nothing() -> None:
    async def use(box: Id120) -> None:
        with pytest.raises(Timeout):
            await box.ping()
        with pytest.raises(NotConnected):
            await box.count_rates_cps()

    id120([(b"BIAS:VOLTAGE?\n", None)], use)


def diode(dark_cps: float = 4000.0) -> tuple[AvalancheDiode, DetectorBank]:
    config = DetectorConfig(
        channels=1,
        efficiency=0.5,
        full_bias_ua=20.0,
        dark_cps=dark_cps,
        jitter_ps=80.0,
        dead_time_ns=60.0,
    )
    bank = DetectorBank(config, np.random.default_rng(1))
    done_ps = 0

    def advance() -> None:
        nonlocal done_ps
        now_ps = round(asyncio.get_running_loop().time() * 1e12)
        if now_ps > done_ps:
            bank.step(done_ps, now_ps, [[]])
            done_ps = now_ps

    return AvalancheDiode(bank, advance=advance, breakdown_v=140.0, excess_v=10.0), bank


def test_on_the_twins_dark_counts_come_above_the_breakdown() -> None:
    async def scenario() -> None:
        first, bank = diode()
        twin = SpdTwin(first, "SPD-0231")
        async with on_twin(SFifteenSpd, twin.connect, options={"max_bias_v": 160.0}) as box:
            await box.apply({"bias_v": [139.0], "gate_ms": 500.0, "enabled": True})
            assert await box.count_rates_cps() == (0.0,)
            await box.set_bias_v((150.0,))
            assert (await box.count_rates_cps())[0] == pytest.approx(4000.0, rel=0.2)
            await box.enter_safe_state()
            assert not bank.enabled
        second, bank = diode()
        other = Id120Twin(second, "2019004")
        async with on_twin(Id120, other.connect, poll=other.poll) as detector:
            await detector.apply({"bias_v": [150.0], "enabled": True})
            await asyncio.sleep(0.5)
            assert (await detector.count_rates_cps())[0] == pytest.approx(4000.0, rel=0.2)
            other.bias_error = True
            with pytest.raises(InstrumentError, match="switched off again"):
                await detector.set_enabled(True)
            assert not bank.enabled

    run_virtual(scenario())


async def test_id120_through_a_visa_library() -> None:
    config_diode, bank = diode()
    twin = Id120Twin(config_diode, "2019004")
    place = HislipPlace("127.0.0.1", 0)
    await place.start(twin.connect)
    link: Link = make_link(place.resource, owner="lab/spad")
    box = Id120(link)
    box.armed = lambda: True
    await link.open(timeout_s=5.0)
    assert (await box.connect()).serial == "2019004"
    await box.apply({"bias_v": [150.0], "enabled": True})
    assert bank.enabled
    await box.enter_safe_state()
    assert not bank.enabled
    await link.close()
    await place.stop()
