"""The TDC1 driver: its text commands, and its life as a stream."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.links.base import Link
from drivers.plugin import wrong_box
from drivers.taggers.tdc1 import Tdc1, serial_of
from drivers.testing import FarEnd, ScriptedTransport, expected_exchange, memory_link
from timing.loop import run_virtual
from timing.tags import TagBatch

ABORT = b"\r\nabort\r\n"
START = b"INPKT;time 0;timestamp;counts?;\r\n"
MARKER = 0x10


def word(time_ns: float, low: int) -> bytes:
    return struct.pack("<I", (int(time_ns / 2) % (1 << 27)) << 5 | low)


@asynccontextmanager
async def streaming() -> AsyncIterator[tuple[Tdc1, AsyncIterator[TagBatch], FarEnd]]:
    """A tagger whose stream has been started."""
    async with memory_link() as (link, far):
        tagger = Tdc1(link)
        stream = tagger.stream()
        yield tagger, stream, far


def test_connect_ends_a_stream_that_was_left_running() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):

            async def tag_until_aborted() -> None:
                time_ns = 0
                while True:
                    await far.write(word(time_ns, 1) + b"\x0a\x0d")
                    time_ns += 10_000_000
                    try:
                        async with asyncio.timeout(0.01):
                            if b"abort" in await far.read():
                                break
                    except TimeoutError:
                        pass
                await far.write(b"late\r\n")
                await far.expect(b"*IDN?\r\n")
                await far.write(b"S-Fifteen TDC1 counter TDC1-0117 fw 2.1\r\n")

            serving = asyncio.create_task(tag_until_aborted())
            await asyncio.sleep(0.2)
            who = await Tdc1(link).connect()
            await serving
            assert who.serial == "TDC1-0117"
            assert wrong_box(Tdc1.manifest, who, "TDC1-0117") == ""

    run_virtual(scenario())


def test_connect_asks_again_when_the_first_answer_is_garbage_or_missing() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            connecting = asyncio.create_task(Tdc1(link).connect())
            await far.expect(ABORT + b"*IDN?\r\n" + ABORT)
            await far.expect(b"*IDN?\r\n")
            await far.write(b"unknown comm\xffand\r\n")
            await far.expect(ABORT + b"*IDN?\r\n")
            await far.write(b"TDC1 0042\r\n")
            assert (await connecting).serial == "0042"
        async with memory_link() as (link, _):
            with pytest.raises(Timeout, match=r"\*IDN\?"):
                await Tdc1(link).connect()
        async with memory_link() as (link, far):
            connecting = asyncio.create_task(Tdc1(link).connect())
            for _ in range(3):
                await far.expect(ABORT + b"*IDN?\r\n")
                await far.write(b"SPD detector\r\n")
            with pytest.raises(ProtocolError) as caught:
                await connecting
            assert caught.value.raw == b"SPD detector"

    run_virtual(scenario())


def test_a_device_that_does_not_fall_silent_is_told() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):

            async def babble() -> None:
                while True:
                    await far.write(b"\x10\x00\x00\x00")
                    await asyncio.sleep(0.02)

            babbling = asyncio.create_task(babble())
            with pytest.raises(ProtocolError, match="goes on sending after abort"):
                await Tdc1(link).connect()
            babbling.cancel()

    run_virtual(scenario(), limit_s=20)


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        ("TDC1 usbcounter v3.1 TDC1-0117", "TDC1-0117"),
        ("S-Fifteen TDC1, S/N: A17-3, fw 2.0", "A17-3"),
        ("TDC1 serial 4711", "4711"),
        ("USB counter TDC1 FX4-22", "FX4-22"),
        ("TDC1", ""),
    ],
)
def test_the_serial_number_is_what_looks_like_one(text: str, serial: str) -> None:
    assert serial_of(text) == serial


def test_settings_are_sent_and_read_back() -> None:
    script = [
        (b"TTL\r\n", None),
        (b"level?\r\n", b"1.5 V\r\n"),
        (b"REFCLK 1\r\n", None),
        (b"REFCLK?\r\n", b"1\r\n"),
        (b"level?\r\n", b"1.5 V\r\n"),
        (b"level?\r\n", b"1.5 V\r\n"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Tdc1, script) as tagger:
            await tagger.apply({"reference": "external", "level": "TTL"})
            await tagger.ping()
            assert await tagger.readings() == {"streaming": False, "level": "1.5 V"}

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("settings", "script", "match"),
    [
        ({"level": "NIM"}, [(b"NIM\r\n", None), (b"level?\r\n", b"1.5 V\r\n")], "tells '1.5 V'"),
        (
            {"reference": "external"},
            [(b"REFCLK 1\r\n", None), (b"REFCLK?\r\n", b"2\r\n")],
            "is the clock connected",
        ),
    ],
)
def test_a_setting_that_is_not_taken_is_told(
    settings: dict[str, str], script: list[tuple[bytes, bytes | None]], match: str
) -> None:
    async def scenario() -> None:
        async with expected_exchange(Tdc1, script) as tagger:
            with pytest.raises(InstrumentError, match=match):
                await tagger.apply(settings)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"level": "ECL"}, "accepted are NIM, TTL"),
        ({"reference": 1}, "accepted are auto, external, internal"),
        ({"treshold": 1}, "unknown settings treshold"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(Tdc1, []) as tagger:
            with pytest.raises(Refused, match=match):
                await tagger.apply(settings)

    run_virtual(scenario())


@pytest.mark.parametrize("reply", [b"\xff\x01\r\n", b"\r\n", b"volts\r\n"])
def test_a_malformed_reply_shows_its_bytes(reply: bytes) -> None:
    async def scenario() -> None:
        script = [(b"NIM\r\n", None), (b"level?\r\n", reply)]
        async with expected_exchange(Tdc1, script) as tagger:
            with pytest.raises(ProtocolError) as caught:
                await tagger.set_level("NIM")
            assert caught.value.raw == reply.strip()
            assert not tagger.link.usable

    run_virtual(scenario())


def test_a_stream_yields_tags_and_is_aborted_when_it_is_closed() -> None:
    async def scenario() -> None:
        async with streaming() as (tagger, stream, far):
            first = asyncio.ensure_future(anext(stream))
            await far.expect(ABORT + START)
            await far.write(word(1000, 0b0001) + word(3000, 0b0110) + word(5000, MARKER))
            batch = await first
            assert batch.time_ps.tolist() == [1_000_000, 3_000_000, 3_000_000]
            assert batch.channel.tolist() == [1, 2, 3]
            assert (batch.start_ps, batch.stop_ps) == (1_000_000, 5_002_000)
            assert not batch.lost
            await tagger.ping()
            shown = await tagger.readings()
            assert shown["streaming"] is True
            assert shown["rate_4_cps"] == 0.0
            closing = asyncio.ensure_future(stream.aclose())  # type: ignore[attr-defined]
            await far.expect(ABORT)
            await far.write(word(7000, 1) * 100)
            await closing
            asking = asyncio.create_task(tagger.ping())
            await far.expect(b"level?\r\n")
            await far.write(b"-0.5 V\r\n")
            await asking

    run_virtual(scenario())


def test_a_cancelled_stream_is_aborted_too() -> None:
    async def scenario() -> None:
        async with streaming() as (tagger, stream, far):
            waiting = asyncio.ensure_future(anext(stream))
            await far.expect(ABORT + START)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await far.expect(ABORT)
            assert tagger.link.usable
            assert not (await _level(tagger, far))["streaming"]

    run_virtual(scenario())


async def _level(tagger: Tdc1, far: FarEnd) -> dict[str, Any]:
    asking = asyncio.create_task(tagger.readings())
    await far.expect(b"level?\r\n")
    await far.write(b"-0.5 V\r\n")
    return await asking


def test_without_tags_the_span_goes_on_as_far_as_the_markers_prove() -> None:
    async def scenario() -> None:
        async with streaming() as (_, stream, far):

            async def mark() -> None:
                await far.expect(ABORT + START)
                for turn in range(8):
                    await far.write(word(turn * 268_435_456, MARKER))
                    await asyncio.sleep(0.268435456)

            marking = asyncio.create_task(mark())
            batches = [await anext(stream) for _ in range(8)]
            assert sum(len(batch) for batch in batches) == 0
            assert batches[-1].stop_ps == 7 * 268_435_456_000 + 2000
            for before, after in pairwise(batches):
                assert after.start_ps == before.stop_ps
            marking.cancel()

    run_virtual(scenario())


def test_silence_is_a_timeout_and_the_ping_notices() -> None:
    async def scenario() -> None:
        async with streaming() as (tagger, stream, far):
            waiting = asyncio.ensure_future(anext(stream))
            await far.expect(ABORT + START)
            await far.write(word(0, 1))
            await waiting
            begin_s = asyncio.get_running_loop().time()
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.5)
            await tagger.ping()
            with pytest.raises(Timeout, match="marker is due"):
                await waiting
            assert asyncio.get_running_loop().time() - begin_s < 1.3
            assert not tagger.link.usable

    run_virtual(scenario())


def test_a_stalled_consumer_makes_the_ping_fail() -> None:
    async def scenario() -> None:
        async with streaming() as (tagger, stream, far):
            waiting = asyncio.ensure_future(anext(stream))
            await far.expect(ABORT + START)
            await far.write(word(0, 1))
            await waiting
            await asyncio.sleep(2)
            with pytest.raises(Timeout, match="no word of the stream for 2"):
                await tagger.ping()

    run_virtual(scenario())


def test_while_a_stream_runs_nothing_else_may_be_done() -> None:
    async def scenario() -> None:
        async with streaming() as (tagger, stream, far):
            waiting = asyncio.ensure_future(anext(stream))
            await far.expect(ABORT + START)
            await far.write(word(0, 1))
            await waiting
            with pytest.raises(Refused, match="no stream runs"):
                await tagger.apply({"level": "NIM"})
            with pytest.raises(Refused, match="a stream runs already"):
                await anext(tagger.stream())

    run_virtual(scenario())


def test_the_safe_state_stops_the_stream_and_waits_for_silence() -> None:
    async def scenario() -> None:
        async with streaming() as (tagger, stream, far):
            waiting = asyncio.ensure_future(anext(stream))
            await far.expect(ABORT + START)
            await far.write(word(0, 1))
            await waiting
            draining = asyncio.ensure_future(anext(stream))
            securing = asyncio.create_task(tagger.enter_safe_state())
            await far.expect(b"abort\r\n")
            await securing
            with pytest.raises(Timeout):
                await draining
        async with streaming() as (tagger, stream, far):
            waiting = asyncio.ensure_future(anext(stream))
            await far.expect(ABORT + START)

            async def deaf() -> None:
                for time_ms in range(10_000):
                    await far.write(word(time_ms * 1e6, 1))
                    await asyncio.sleep(0.001)

            async def consume() -> None:
                await waiting
                async for _ in stream:
                    pass

            tasks = [asyncio.create_task(deaf()), asyncio.create_task(consume())]
            with pytest.raises(ProtocolError, match="goes on sending"):
                await tagger.enter_safe_state()
            for task in tasks:
                task.cancel()

    run_virtual(scenario())


def test_options_are_refused() -> None:
    with pytest.raises(ValueError, match="no options"):
        Tdc1(Link(ScriptedTransport([]), owner="test"), {"baud": 1})
