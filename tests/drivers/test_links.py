"""A link keeps questions and answers together, whatever happens to it. Virtual time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import NotConnected, ProtocolError, Timeout
from drivers.framing import LINE_LF, LengthCrc
from drivers.links import Link, make_link
from drivers.links.memory import Pipe, pipe_pair
from drivers.testing import memory_link
from timing.loop import run_virtual


def test_an_exchange_returns_the_answer() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            asking = asyncio.create_task(link.exchange(b"power?\n", LINE_LF))
            await far.expect(b"power?\n")
            await far.write(b"1.")
            await asyncio.sleep(0.5)
            await far.write(b"5\n")
            assert await asking == b"1.5"
            assert link.usable

    run_virtual(scenario())


def test_a_late_answer_is_never_the_answer_to_the_next_question() -> None:
    async def scenario() -> None:
        ends = []

        def dial() -> tuple[Pipe, Pipe]:
            near, far = pipe_pair()
            ends.append(far)
            return near

        link = make_link("mem://box", owner="lab/box", memory={"box": dial})
        await link.open()
        with pytest.raises(Timeout, match=r"lab/box at mem://box, asked 'a\?\\n': no complete"):
            await link.exchange(b"a?\n", LINE_LF, timeout_s=1.0)
        await ends[0][1].write(b"answer to a\n")
        with pytest.raises(NotConnected, match="opened again"):
            await link.exchange(b"b?\n", LINE_LF)
        await link.open()
        asking = asyncio.create_task(link.exchange(b"b?\n", LINE_LF))
        await asyncio.sleep(0.1)
        await ends[1][1].write(b"answer to b\n")
        assert await asking == b"answer to b"

    run_virtual(scenario())


def test_a_cancelled_exchange_poisons() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            asking = asyncio.create_task(link.exchange(b"a?\n", LINE_LF))
            await far.expect(b"a?\n")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert not link.usable
            await far.write(b"late\n")
            with pytest.raises(NotConnected):
                await link.exchange(b"b?\n", LINE_LF)

    run_virtual(scenario())


def test_cancelled_while_waiting_for_its_turn_harms_nobody() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            first = asyncio.create_task(link.exchange(b"a?\n", LINE_LF))
            second = asyncio.create_task(link.exchange(b"b?\n", LINE_LF))
            await far.expect(b"a?\n")
            second.cancel()
            await far.write(b"1\n")
            assert await first == b"1"
            assert link.usable

    run_virtual(scenario())


def test_concurrent_questions_do_not_interleave() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):

            async def echo() -> None:
                while data := await far.read():
                    assert data.count(b"\n") == 1, "a second question came before the answer"
                    half = len(data) // 2
                    await far.write(data[:half])
                    await asyncio.sleep(0.01)
                    await far.write(data[half:])

            echoing = asyncio.create_task(echo())
            questions = [f"question {n}".encode() for n in range(20)]
            answers = await asyncio.gather(*(link.exchange(q + b"\n", LINE_LF) for q in questions))
            assert answers == questions
            echoing.cancel()

    run_virtual(scenario())


def test_waiters_of_an_old_connection_do_not_speak_on_the_new_one() -> None:
    async def scenario() -> None:
        ends = []

        def dial() -> tuple[Pipe, Pipe]:
            near, far = pipe_pair()
            ends.append(far)
            return near

        link = make_link("mem://box", owner="box", memory={"box": dial})
        await link.open()
        running = asyncio.create_task(link.exchange(b"a?\n", LINE_LF))
        queued = asyncio.create_task(link.exchange(b"b?\n", LINE_LF))
        await asyncio.sleep(0.1)
        await link.open()
        for old in (running, queued):
            with pytest.raises(NotConnected):
                await old
        assert link.usable, "the failure of the old exchange must not poison the new connection"
        assert ends[1][0].read_nowait() == b""

    run_virtual(scenario())


def test_bytes_that_were_there_before_the_question_are_not_its_answer() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            await far.write(b"noise\n")
            asking = asyncio.create_task(link.exchange(b"a?\n", LINE_LF))
            await far.expect(b"a?\n")
            await far.write(b"answer\nand a half")
            assert await asking == b"answer"
            assert link.unasked_bytes == 6
            asking = asyncio.create_task(link.exchange(b"b?\n", LINE_LF))
            await far.expect(b"b?\n")
            await far.write(b"second\n")
            assert await asking == b"second"
            assert link.unasked_bytes == 16

    run_virtual(scenario())


def test_a_far_end_that_closes() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            asking = asyncio.create_task(link.exchange(b"a?\n", LINE_LF))
            await far.expect(b"a?\n")
            far.close()
            with pytest.raises(NotConnected, match="the far end closed"):
                await asking
            assert not link.usable

    run_virtual(scenario())


def test_garbage_that_no_message_can_come_of() -> None:
    async def scenario() -> None:
        async with memory_link("box") as (link, far):
            asking = asyncio.create_task(link.exchange(b"?", LengthCrc(), command="hello"))
            await far.expect(b"?")
            await far.write(b"\xff" * 12)
            with pytest.raises(ProtocolError, match="mem://box, asked hello") as caught:
                await asking
            assert caught.value.raw == b"\xff" * 12
            assert not link.usable

    run_virtual(scenario())


def test_refused_and_not_open() -> None:
    async def scenario() -> None:
        link = make_link("mem://nobody", owner="lab/box", memory={})
        with pytest.raises(NotConnected, match="nobody serves mem://nobody"):
            await link.open()
        with pytest.raises(NotConnected, match="has to be opened"):
            await link.send(b"x")

    run_virtual(scenario())


def test_listening_survives_cancellation_without_loss() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            await far.write(b"half a ")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await link.receive(LINE_LF, timeout_s=None)
            await far.write(b"line\n")
            assert await link.receive(LINE_LF) == b"half a line"

    run_virtual(scenario())


def test_a_full_pipe_stops_the_sender() -> None:
    async def scenario() -> None:
        pipe = Pipe(limit_bytes=10)
        await pipe.write(b"x" * 11)
        sending = asyncio.create_task(pipe.write(b"y"))
        await asyncio.sleep(1.0)
        assert not sending.done()
        assert await pipe.read() == b"x" * 11
        await sending
        assert await pipe.read() == b"y"

    run_virtual(scenario())


def test_two_readers_are_a_mistake_that_is_told() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            first = asyncio.create_task(link.receive(LINE_LF, timeout_s=None))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="two tasks read"):
                await link.receive(LINE_LF)
            first.cancel()

    run_virtual(scenario())


def test_a_second_link_beside_the_first() -> None:
    near, _ = pipe_pair()
    link = make_link("mem://a", owner="lab/box", memory={"b": lambda: near})

    async def scenario() -> None:
        second = link.beside("mem://b")
        await second.open()
        assert second.usable
        assert second.owner == "lab/box"

    run_virtual(scenario())
    with pytest.raises(NotConnected, match="no second link"):
        Link(link.transport, owner="x").beside("mem://b")


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b), max_size=8),
    cuts=st.lists(st.integers(1, 9), max_size=40),
)
def test_lines_come_through_whatever_the_segments(lines: list[bytes], cuts: list[int]) -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            rest = b"".join(line + b"\n" for line in lines)
            for cut in cuts:
                await far.write(rest[:cut])
                rest = rest[cut:]
            await far.write(rest)
            assert [await link.receive(LINE_LF) for _ in lines] == lines

    run_virtual(scenario())
