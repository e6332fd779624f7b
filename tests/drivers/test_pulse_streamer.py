"""The Pulse Streamer driver: sequences to the bit, and what is refused before anything is sent."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.devices import Pulse
from drivers.electronics.pulse_streamer import OUTPUTS, PulseStreamer, steps
from drivers.errors import InstrumentError, Refused
from drivers.framing import PACKET
from drivers.testing import expected_exchange
from timing.loop import run_virtual

Pair = tuple[bytes, bytes | None]


class Script:
    """Calls and results in order, as they go over the link."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []

    def call(self, method: str, params: list[Any] | None = None, result: Any = 0) -> "Script":
        number = len(self.pairs) + 1
        request: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
        if params:
            request["params"] = params
        answer = {"jsonrpc": "2.0", "id": number, "result": result}
        asked = json.dumps(request, separators=(",", ":")).encode()
        self.pairs.append((PACKET.wrap(asked), PACKET.wrap(json.dumps(answer).encode())))
        return self

    def connect(self, streaming: int = 0) -> "Script":
        self.call("getSerial", result="00:26:32:f0:3b:1c").call(
            "getFirmwareVersion", result="1.7.2"
        )
        self.call("getHardwareVersion", result="2.1").call("isStreaming", result=streaming)
        return self if streaming else self.call("hasSequence", result=0)


def packed(*sequence: tuple[int, int]) -> str:
    return base64.b64encode(b"".join(struct.pack("<IBhh", *s, 0, 0) for s in sequence)).decode()


def test_a_periodic_pulse_is_one_sequence_for_ever() -> None:
    script = Script().connect()
    script.call("setTrigger", [0, 0])
    script.call("stream", [packed((100, 0), (20, 5), (10, 4), (870, 0)), -1, [0, 0, 0, 0]])
    script.call("isStreaming", result=1)
    script.call("constant", [[0, 0, 0, 0]]).call("isStreaming", result=0)

    async def scenario() -> None:
        async with expected_exchange(PulseStreamer, script.pairs) as box:
            who = await box.connect()
            assert who.serial == "00:26:32:f0:3b:1c"
            await box.set_trigger_rate_hz(1e6)
            await box.set_pulses({"0": Pulse(100_000, 20_000), "2": Pulse(100_000, 30_000)})
            await box.set_running(True)
            assert (await box.pulses())["2"] == Pulse(100_000, 30_000)
            await box.enter_safe_state()

    run_virtual(scenario())


def test_an_external_trigger_gives_one_run_each_and_waiting_is_running() -> None:
    script = Script().connect()
    script.call("setTrigger", [3, 0])
    script.call("stream", [packed((5, 128), (3, 0)), 1, [0, 0, 0, 0]])
    script.call("isStreaming", result=0).call("hasSequence", result=1)
    script.call("hasFinished", result=0)

    async def scenario() -> None:
        async with expected_exchange(PulseStreamer, script.pairs) as box:
            await box.connect()
            await box.set_trigger("falling")
            await box.set_pulses({"7": Pulse(0, 5000)})
            await box.set_running(True)

    run_virtual(scenario())


def test_what_was_left_running_is_unknown_until_it_is_replaced() -> None:
    script = Script().connect(streaming=1)
    script.call("setTrigger", [2, 0])
    script.call("stream", [packed((8, 1)), 1, [0, 0, 0, 0]]).call("isStreaming", result=1)

    async def scenario() -> None:
        async with expected_exchange(PulseStreamer, script.pairs) as box:
            await box.connect()
            with pytest.raises(InstrumentError, match="left running"):
                await box.pulses()
            with pytest.raises(Refused, match="set all outputs"):
                await box.set_pulses({"0": Pulse(0, 8000)})
            await box.apply({"pulses": {"0": {"delay_ps": 0, "width_ps": 8000}}})
            assert (await box.pulses())["1"] == Pulse(0, 0)

    run_virtual(scenario())


def test_what_is_refused() -> None:
    async def scenario() -> None:
        async with expected_exchange(PulseStreamer, Script().connect().pairs) as box:
            await box.connect()
            await box.set_pulses({"0": Pulse(100_000, 20_000)})
            with pytest.raises(Refused, match=r"ends 120000 ps.*next trigger comes after 80000 ps"):
                await box.set_trigger_rate_hz(12.5e6)
            await box.set_trigger_rate_hz(1e6)
            with pytest.raises(Refused, match="next trigger"):
                await box.set_pulses({"1": Pulse(999_000, 2000)})
            with pytest.raises(Refused, match=r"near are 3048780\.4878 and 2976190\.47619 Hz"):
                await box.set_trigger_rate_hz(3e6)
            for bad in (Pulse(-1000, 0), Pulse(0, 500), Pulse(1000.0, 0)):  # type: ignore[arg-type]
                with pytest.raises(Refused, match="steps of 1000 ps"):
                    await box.set_pulses({"0": bad})
            with pytest.raises(Refused, match="exclude"):
                await box.apply({"trigger": "rising", "trigger_rate_hz": 1e6})
            with pytest.raises(Refused, match="expected delay_ps and width_ps"):
                await box.apply({"pulses": {"0": {"delay_ps": 0}}})

    run_virtual(scenario())


@given(
    st.dictionaries(
        st.sampled_from(OUTPUTS),
        st.builds(lambda d, w: Pulse(d * 1000, w * 1000), st.integers(0, 300), st.integers(0, 300)),
    ),
    st.sampled_from([None, 75, 100]),
)
def test_every_nanosecond_of_a_sequence_is_as_asked(
    pulses: dict[str, Pulse], blocks: int | None
) -> None:
    period_ns = None if blocks is None else 8 * blocks
    sequence = steps(pulses, period_ns)
    masks = [mask for length, mask in sequence for _ in range(length)]
    assert len(masks) % 8 == 0
    assert period_ns is None or len(masks) == period_ns
    for at, mask in enumerate(masks):
        for name, pulse in pulses.items():
            high = pulse.delay_ps <= at * 1000 < pulse.delay_ps + pulse.width_ps
            assert bool(mask >> int(name) & 1) == high


def test_a_step_longer_than_32_bits_is_split() -> None:
    sequence = steps({"0": Pulse(9_000_000_000_000, 8000)}, None)
    assert sequence == [(0xFFFF_FFFF, 0), (0xFFFF_FFFF, 0), (410_065_410, 0), (8, 1)]
