"""The simulated Pulse Streamer by its requests."""

import asyncio
import base64
import json
import struct
from typing import Any

import pytest

from sim_backends.instruments.pulse_streamer import PulseStreamer
from timing.loop import run_virtual


def ask(box: PulseStreamer, method: str, *params: Any) -> Any:
    request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
    answer = json.loads(box.call(json.dumps(request).encode()))
    assert answer["id"] == 7
    return answer.get("result", answer.get("error"))


def sequence(*steps: tuple[int, int]) -> str:
    raw = b"".join(struct.pack("<IBhh", *step, 0, 0) for step in steps)
    return base64.b64encode(raw).decode()


def test_the_outputs_follow_the_sequence() -> None:
    async def scenario() -> None:
        box = PulseStreamer("s", now_s=asyncio.get_running_loop().time)
        assert ask(box, "stream", sequence((10**9, 1), (10**9, 2)), 2, [0, 4, 0, 0]) == 0
        masks = []
        for _ in range(5):
            await asyncio.sleep(0.9)
            masks.append(box.state[1])
        assert masks == [1, 2, 1, 2, 4]
        assert (ask(box, "isStreaming"), ask(box, "hasFinished")) == (0, 1)
        ask(box, "constant", [0, 8, 0, 0])
        assert box.state[1] == 8
        assert ask(box, "hasSequence") == 0

    run_virtual(scenario())


def test_a_trigger_starts_each_run() -> None:
    async def scenario() -> None:
        box = PulseStreamer("s", now_s=asyncio.get_running_loop().time)
        ask(box, "setTrigger", 2, 0)
        ask(box, "stream", sequence((10**9, 1)), 1, [0, 0, 0, 0])
        assert (ask(box, "isStreaming"), ask(box, "hasSequence")) == (0, 1)
        for _ in range(2):
            box.trigger()
            assert (box.state[1], ask(box, "isStreaming")) == (1, 1)
            await asyncio.sleep(1.5)
            assert (box.state[1], ask(box, "hasFinished")) == (0, 0)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("makeCoffee", [], -32601),
        ("stream", ["no base64", 1, [0, 0, 0, 0]], -32602),
        ("stream", [base64.b64encode(b"12345678").decode(), 1, [0, 0, 0, 0]], -32602),
        ("stream", [sequence((0, 1)), 1, [0, 0, 0, 0]], -32602),
        ("stream", [sequence((8, 1)), 0, [0, 0, 0, 0]], -32602),
        ("constant", [[0, 256, 0, 0]], -32602),
        ("setTrigger", [5, 0], -32602),
        ("selectClock", [3], -32602),
        ("getSerial", [1, 2, 3], -32602),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(
    method: str, params: list[Any], code: int
) -> None:
    box = PulseStreamer("s", now_s=lambda: 0.0)
    assert ask(box, method, *params)["code"] == code
    assert box.sequence == []
    assert box.state == (0, 0, 0, 0)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"id": 1, "method": "reset"}'])
def test_what_is_no_request(raw: bytes) -> None:
    box = PulseStreamer("s", now_s=lambda: 0.0)
    assert json.loads(box.call(raw))["error"]["code"] in (-32700, -32600)
