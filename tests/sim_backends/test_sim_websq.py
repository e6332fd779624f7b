"""The simulated WebSQ by its two ports."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backends.lab import LabConfig
from sim_backends.mount_memory import MemoryPort
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from timing.loop import run_virtual


def make_bench() -> Bench:
    config = LabConfig.model_validate(
        {
            "lab": {"seed": 3},
            "detectors": {
                "d": {
                    "channels": 2,
                    "efficiency": 0.8,
                    "full_bias_ua": 20.0,
                    "dark_cps": 1000.0,
                    "jitter_ps": 80.0,
                    "dead_time_ns": 60.0,
                }
            },
            "instruments": {
                "box": {"type": "websq", "of": "detectors.d", "port": 1, "counts_port": 2}
            },
        }
    )
    return Bench(config, TruthLog(None), unix_s=lambda: 1_800_000_000.25)


def command(name: str, value: object, label: str = "") -> bytes:
    return json.dumps({"command": name, "label": label, "value": value}).encode()


async def messages(port: MemoryPort, data: bytes = b"", wait_s: float = 0.01) -> list[Any]:
    """The messages that come within `wait_s`; each ends with ETB."""
    if data:
        await port.write(data)
    received = b""
    try:
        async with asyncio.timeout(wait_s):
            while more := await port.read():
                received += more
    except TimeoutError:
        pass
    parts = received.split(b"\x17")
    assert parts.pop() == b""
    return [json.loads(part) for part in parts]


async def label(port: MemoryPort, name: str) -> Any:
    answers = await messages(port, b'{"request":"labelProps","value":"None"}')
    return next(answer["value"]["value"] for answer in answers if answer["label"] == name)


def test_all_labels_are_told_on_request() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box")
        answers = await messages(port, b'{"request": "labelProps", "value": "None"}')
        labels = {answer["label"]: answer["value"] for answer in answers}
        assert {
            "NumberOfDetectors",
            "InptMeasurementPeriod",
            "BiasCurrent",
            "TriggerLevel",
            "BiasVoltage",
            "DetectorEnable",
            "StartAutoIV",
            "BiasCurrentAutoIV",
            "ic_scan_history",
            "iv_scan_history",
        } <= set(labels)
        assert labels["NumberOfDetectors"]["value"] == 2
        assert labels["BiasCurrent"]["value"] == [0.0, 0.0]
        assert labels["DetectorEnable"]["value"] is False
        assert labels["BiasCurrent"]["min"] < 20.0 < labels["BiasCurrent"]["max"]

    run_virtual(scenario())


def test_settings_reach_the_detectors_and_all_clients() -> None:
    async def scenario() -> None:
        bench = make_bench()
        first, second = bench.memory("box"), bench.memory("box")
        pushed = await messages(
            first,
            command("SetAllBiasCurrents", [20, 19.5])
            + command("SetAllTriggerLevels", [120, 130])
            + command("DetectorEnable", True)
            + command("SetMeasurementPeriod", 50),
        )
        assert pushed == [
            {"label": "BiasCurrent", "value": [20.0, 19.5]},
            {"label": "TriggerLevel", "value": [120.0, 130.0]},
            {"label": "DetectorEnable", "value": True},
            {"label": "InptMeasurementPeriod", "value": 50},
        ]
        assert await messages(second) == pushed
        bank = bench.world.detectors["d"]
        assert (bank.enabled, bank.bias_ua, bank.trigger_mv) == (True, [20.0, 19.5], [120.0, 130.0])

    run_virtual(scenario())


@pytest.mark.parametrize(
    "message",
    [
        command("SetAllBiasCurrents", [20.0]),
        command("SetAllBiasCurrents", [20.0, 1e6]),
        command("SetAllBiasCurrents", [20.0, "a lot"]),
        command("SetAllBiasCurrents", 20.0),
        command("SetAllTriggerLevels", [True, 1]),
        command("SetMeasurementPeriod", 1),
        command("DetectorEnable", "yes"),
        command("MakeCoffee", 1),
        b'{"request": "Coffee"}',
        b'{"value": 1}',
        b'{"command": "SetAllBiasCurrents", "value": [NaN, 1]}',
        b'{"command": }',
    ],
)
def test_what_is_wrong_is_told_to_the_sender_and_changes_nothing(message: bytes) -> None:
    async def scenario() -> None:
        bench = make_bench()
        sender, other = bench.memory("box"), bench.memory("box")
        answers = await messages(sender, message)
        assert [answer["label"] for answer in answers] == ["Error"]
        assert await messages(other) == []
        bank = bench.world.detectors["d"]
        assert (bank.enabled, bank.bias_ua) == (False, [0.0, 0.0])

    run_virtual(scenario())


def test_counts_come_once_a_period_and_follow_the_bias() -> None:
    async def scenario() -> None:
        bench = make_bench()
        life = asyncio.create_task(bench.run())
        control, counts = bench.memory("box"), bench.memory("box", "counts_port")

        async def lines(seconds: float) -> list[list[float]]:
            received = b""
            try:
                async with asyncio.timeout(seconds):
                    while data := await counts.read():
                        received += data
            except TimeoutError:
                pass
            return [[float(item) for item in row.split(",")] for row in received.decode().split()]

        dark = await lines(0.55)
        assert dark == [[1_800_000_000.25, 0.0, 0.0]] * 5
        on = command("SetAllBiasCurrents", [20, 18]) + command("DetectorEnable", True)
        await control.write(on)
        lit = (await lines(10.0))[1:]
        rates = [sum(row[n] for row in lit) / (0.1 * len(lit)) for n in (1, 2)]
        assert rates[0] == pytest.approx(1000.0, rel=0.05)
        assert rates[1] < 0.6 * rates[0]
        await control.write(command("SetMeasurementPeriod", 1000))
        await lines(1.5)
        long = [row[1] for row in await lines(3.0)]
        assert long == pytest.approx([1000.0] * 3, abs=200.0)
        life.cancel()

    run_virtual(scenario())


def test_automatic_bias_finds_the_wanted_dark_counts() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box")
        await messages(port, command("DetectorEnable", True))
        start = command("DarkCountsAutoIV", [100, 1000]) + command("AutoCaliBiasCurrents", True)
        assert {"label": "StartAutoIV", "value": True} in await messages(port, start)
        assert await label(port, "StartAutoIV") is True
        told = {answer["label"]: answer["value"] for answer in await messages(port, b"", 2.0)}
        assert told["StartAutoIV"] is False
        low, high = told["BiasCurrentAutoIV"]
        assert 10.0 < low < high <= 20.0
        assert await label(port, "BiasCurrent") == [low, high]
        history = await messages(port, b'{"request": "IVHistory"}')
        scan = history[0]["value"]["value"]
        assert {"biasCurrent", "y1", "y2"} == set(scan[0])

    run_virtual(scenario())


def test_temperature_and_voltage_are_told() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box")
        answers = await messages(
            port, b'{"request": "TemperatureHistory"}{"request": "BiasVoltage"}'
        )
        assert {"T", "T2", "x"} <= set(answers[0]["value"]["value"][0])
        assert answers[1] == {"label": "BiasVoltage", "value": [0.0, 0.0]}

    run_virtual(scenario())


@settings(max_examples=40)
@given(st.data())
def test_messages_do_not_depend_on_how_the_bytes_are_cut(data: st.DataObject) -> None:
    stream = (
        b'{"command": "X}{\\"", "value": {"a": [1, "}"]}}  junk '
        + command("SetMeasurementPeriod", 70)
        + b'{"request": "BiasVoltage"}'
    )

    async def scenario() -> None:
        port = make_bench().memory("box")
        position = 0
        while position < len(stream):
            size = data.draw(st.integers(1, len(stream) - position))
            await port.write(stream[position : position + size])
            position += size
        labels = [answer["label"] for answer in await messages(port)]
        assert labels == ["Error", "InptMeasurementPeriod", "BiasVoltage"]

    run_virtual(scenario())


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_of_one_client_does_not_touch_another(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        bench = make_bench()
        bad, good = bench.memory("box"), bench.memory("box")
        for piece in pieces:
            await bad.write(piece)
        assert await label(good, "NumberOfDetectors") == 2
        bad.close()
        assert len(await messages(good, command("SetMeasurementPeriod", 70))) == 1

    run_virtual(scenario())


def test_a_message_without_end_is_dropped_and_told() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box")
        answers = await messages(port, b"{" * 70_000)
        assert answers == [{"label": "Error", "value": "message too long"}]
        assert await label(port, "NumberOfDetectors") == 2

    run_virtual(scenario())
