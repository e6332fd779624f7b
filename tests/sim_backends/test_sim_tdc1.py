"""The simulated TDC1 by its bytes, against a decoder of its own."""

from __future__ import annotations

import asyncio
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.instruments.tdc1 import LSB_PS, WRAP_TICKS, Tdc1, words
from sim_backends.lab import LabConfig
from sim_backends.mount_memory import MemoryPort
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from timing.loop import run_virtual


def make_bench(dark_cps: float = 5000.0) -> Bench:
    config = LabConfig.model_validate(
        {
            "lab": {"seed": 7},
            "detectors": {
                "d": {
                    "channels": 2,
                    "efficiency": 0.8,
                    "full_bias_ua": 20.0,
                    "dark_cps": dark_cps,
                    "jitter_ps": 80.0,
                    "dead_time_ns": 60.0,
                }
            },
            "taggers": {"t": {"skew_ppm": 3.0, "inputs": {1: "d.1", 3: "d.2"}}},
            "instruments": {
                "box": {"type": "tdc1", "of": "taggers.t", "pty": "box", "serial": "TDC1-0117"}
            },
        }
    )
    bench = Bench(config, TruthLog(None))
    bank = bench.world.detectors["d"]
    bank.enabled, bank.bias_ua = True, [20.0, 20.0]
    return bench


def decode(data: bytes) -> tuple[list[int], list[int], int]:
    """Unwrapped steps of 2 ns and patterns of the clicks, and the number of all words."""
    assert len(data) % 4 == 0
    steps, patterns, wraps, before = [], [], 0, None
    for (word,) in struct.iter_unpack("<I", data):
        time = word >> 5
        if before is not None and time < before:
            wraps += 1
        before = time
        if not word & 0x10:
            steps.append(time + wraps * WRAP_TICKS)
            patterns.append(word & 0xF)
    return steps, patterns, len(data) // 4


async def ask(port: MemoryPort, command: bytes, wait_s: float = 0.05) -> bytes:
    """What comes within `wait_s` of a command."""
    await port.write(command)
    received = b""
    try:
        async with asyncio.timeout(wait_s):
            while data := await port.read():
                received += data
    except TimeoutError:
        pass
    return received


ticks = st.lists(st.tuples(st.integers(0, 4 * WRAP_TICKS), st.integers(1, 4)), max_size=50)


@given(ticks, st.lists(st.integers(0, 4 * WRAP_TICKS), max_size=4))
def test_no_wrap_is_lost_however_few_clicks_there_are(
    clicks: list[tuple[int, int]], cuts: list[int]
) -> None:
    start = 1000
    clicks = sorted((start + step, channel) for step, channel in clicks)
    until = start + 4 * WRAP_TICKS + 1
    stream, after = b"", start - 1
    for cut in [*sorted(start + cut for cut in cuts), until]:
        part = [(step, channel) for step, channel in clicks if after < step <= cut]
        stream += words(
            np.array([step for step, _ in part], np.int64),
            np.array([channel for _, channel in part], np.uint8),
            after,
            cut,
        ).tobytes()
        after = max(after, cut)
    # A first word at the start, so that the decoder's own zero is known.
    steps, patterns, count = decode(struct.pack("<I", (start << 5) | 0x10) + stream)
    expected: dict[int, int] = {}
    for step, channel in clicks:
        expected[step] = expected.get(step, 0) | 1 << (channel - 1)
    assert dict(zip(steps, patterns, strict=True)) == expected
    assert count - 1 - len(steps) >= 16


def test_clicks_of_one_step_share_a_word() -> None:
    out = words(np.array([10, 10, 11]), np.array([1, 4, 2], np.uint8), 0, 100)
    assert [hex(word) for word in out] == [hex(10 << 5 | 0b1001), hex(11 << 5 | 0b0010)]


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"mode?\r\n", b"0\r\n"),
        (b"PAIRS;Mode?;", b"1\r\n"),
        (b"timestamp\r\nmode?\r\n", b"3\r\n"),
        (b"time 1000;time?;", b"1000\r\n"),
        (b"time 60000;time?;", b"-5536\r\n"),
        (b"time 70000;time?;", b"Unknown command\r\n1000\r\n"),
        (b"NIM;level?;TTL;level?\r\n", b"-0.5 V\r\n1 V\r\n"),
        (b"neg -0.3;level?;POS 0.7;level?;", b"-0.3 V\r\n0.7 V\r\n"),
        (b"REFCLK 2;REFCLK?;ECLOCK?;", b"2\r\n0\r\n"),
        (b"neg nan;pos;\xff\xfe;\r\n;;", b"Unknown command\r\n" * 3),
        (b"time 5;*RST;time?;", b"1000\r\n"),
    ],
)
def test_settings(command: bytes, reply: bytes) -> None:
    async def scenario() -> None:
        assert await ask(make_bench().memory("box", "pty"), command) == reply

    run_virtual(scenario())


def test_identity_comes_whole_from_half_commands() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box", "pty")
        for piece in (b"*I", b"D", b"N?"):
            assert await ask(port, piece) == b""
        reply = await ask(port, b"\r")
        assert b"TDC1" in reply
        assert b"TDC1-0117" in reply
        assert reply.endswith(b"\r\n")

    run_virtual(scenario())


def test_counts_come_after_the_gate_and_what_was_asked_meanwhile_after_them() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box", "pty")
        assert await ask(port, b"time 500;counts?;mode?;", 0.499) == b""
        counts, mode = (await ask(port, b"", 0.01)).decode().split("\r\n")[:2]
        singles = [int(n) for n in counts.split()]
        assert singles[1] == singles[3] == 0
        assert all(abs(n - 2500) < 250 for n in (singles[0], singles[2]))
        assert mode == "0"

    run_virtual(scenario())


def test_pairs_are_told_for_four_combinations() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box", "pty")
        reply = await ask(port, b"pairs;time 100;counts?;", 0.2)
        assert len(reply.split()) == 8

    run_virtual(scenario())


def test_an_aborted_count_tells_nothing() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box", "pty")
        assert await ask(port, b"time 0;counts?;", 2.0) == b""
        assert await ask(port, b"abort;mode?;") == b"0\r\n"

    run_virtual(scenario())


@pytest.mark.parametrize("dark_cps", [5000.0, 2.0])
def test_a_stream_gives_the_detectors_clicks_and_ends_in_time(dark_cps: float) -> None:
    async def scenario() -> None:
        bench = make_bench(dark_cps)
        life = asyncio.create_task(bench.run())
        port = bench.memory("box", "pty")
        before = bench.world.detectors["d"].count_totals()
        data = await ask(port, b"INPKT;time 3000;timestamp;counts?;\r\n", 3.1)
        after = bench.world.detectors["d"].count_totals()
        assert await ask(port, b"", 1.0) == b""
        steps, patterns, _ = decode(data)
        assert steps == sorted(steps)
        clicks = sum(pattern.bit_count() for pattern in patterns)
        # The stream is 3 s of the 3.1 s between the readings.
        assert abs(clicks - (sum(after) - sum(before)) * 3.0 / 3.1) < 12 + 6 * np.sqrt(2 * dark_cps)
        assert set(patterns) <= {1, 4, 5}
        if dark_cps > 1000.0:
            assert (steps[-1] - steps[0]) * LSB_PS * 1e-12 == pytest.approx(3.0, abs=0.01)
        life.cancel()

    run_virtual(scenario())


def test_a_stream_goes_on_without_clients_and_greets_the_next_one() -> None:
    async def scenario() -> None:
        bench = make_bench()
        life = asyncio.create_task(bench.run())
        first = bench.memory("box", "pty")
        assert len(await ask(first, b"time 0;timestamp;counts?;", 0.2)) > 1000
        first.close()
        await asyncio.sleep(1.0)
        second = bench.memory("box", "pty")
        stream = await ask(second, b"mode?;time 5;", 0.2)
        assert len(stream) > 1000
        assert len(stream) % 4 == 0
        assert await ask(second, b"abort;mode?;", 0.2) == b"3\r\n"
        life.cancel()

    run_virtual(scenario())


def test_nobody_reading_loses_words_but_whole_ones_and_they_are_counted() -> None:
    class Deaf:
        taken = b""

        def send(self, data: bytes) -> bool:
            if len(self.taken) > 2000:
                return False
            self.taken += data
            return True

        def close(self) -> None:
            pass

    async def scenario() -> None:
        bench = make_bench()
        box = Tdc1(bench.world.taggers["t"], "TDC1-1")
        deaf = Deaf()
        session = box.connect(deaf)
        session.feed(b"time 0;timestamp;counts?;")
        for _ in range(50):
            await asyncio.sleep(0.02)
            box.poll()
        assert box.lost_words > 1000
        assert len(deaf.taken) % 4 == 0
        session.feed(b"abort;")
        assert not box.streaming

    run_virtual(scenario())


def test_commands_during_a_count_are_bounded() -> None:
    async def scenario() -> None:
        bench = make_bench()
        box = Tdc1(bench.world.taggers["t"], "TDC1-1")

        class Sink:
            def send(self, data: bytes) -> bool:
                return True

            def close(self) -> None:
                pass

        session = box.connect(Sink())
        session.feed(b"counts?;" + b"mode?;" * 1000)
        assert box.dropped_commands > 900
        session.feed(bytes(100_000))
        session.feed(b";abort;")
        session.closed()

    run_virtual(scenario())
