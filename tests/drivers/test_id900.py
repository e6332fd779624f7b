"""The ID900 driver: commands as the vendor's examples send them, and streams of every shape."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.framing import PACKET
from drivers.links import make_link
from drivers.links.memory import Pipe, pipe_pair
from drivers.plugin import make_instrument, wrong_box
from drivers.taggers.id900 import Id900
from drivers.taggers.id900_stream import SubAcquisitions
from timing.loop import run_virtual

IDENTITY = b"ID Quantique ID1000 Time Controller\nSerial : 2108004P010\nFirmware : 1.4.0"
PERIOD_PS = 200_000_040_000


class Box:
    """A Time Controller of a few lines: settings are kept, and streams send what a test puts in."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.dlt_asked: list[str] = []
        self.answers: dict[str, bytes] = {
            "*IDN?": IDENTITY,
            "REC:STAG?": b"STOPPED",
            "DEVI:RES:BWID?": b"1TB",
            "REC:PPER?": b"%dTB" % PERIOD_PS,
            **{f"RAW{n}:ERRORS?": b"0" for n in (1, 2, 3, 4)},
            **{f"INPU{n}:THRE?": b"500mV" for n in (1, 2, 3, 4)},
        }
        self.running = ["10.0.0.9:5556"]
        self.errors: list[dict[str, str]] = []
        self.tags: dict[int, Pipe] = {}
        self.silent: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []

    def registry(self) -> dict[str, Any]:
        def dial(serve: Any) -> Any:
            def connect() -> tuple[Pipe, Pipe]:
                near, far = pipe_pair()
                self.tasks.append(asyncio.create_task(serve(*far)))
                return near

            return connect

        def tags(number: int) -> Any:
            async def keep(reader: Pipe, writer: Pipe) -> None:
                self.tags[number] = writer
                await reader.read()

            return dial(keep)

        async def control(reader: Pipe, writer: Pipe) -> None:
            await self._serve(reader, writer, self.scpi)

        async def dlt(reader: Pipe, writer: Pipe) -> None:
            await self._serve(reader, writer, self.service)

        streams = {f"box-tags{n}": tags(n) for n in (1, 2, 3, 4)}
        return {"box": dial(control), "box-dlt": dial(dlt), **streams}

    async def _serve(self, reader: Pipe, writer: Pipe, answer: Any) -> None:
        buffer = bytearray()
        while data := await reader.read():
            buffer += data
            while (message := PACKET.take(buffer)) is not None:
                if message.decode() not in self.silent:
                    await writer.write(PACKET.wrap(answer(message.decode())))

    def scpi(self, command: str) -> bytes:
        self.asked.append(command)
        return self.answers.get(command, b"")

    def service(self, command: str) -> bytes:
        self.dlt_asked.append(command)
        verb = command.split()[0]
        if verb == "list":
            return json.dumps(self.running).encode()
        if verb == "start-stream":
            identity = f"box:{5555 + int(command.split('--channel ')[1].split()[0])}"
            self.running.append(identity)
            return json.dumps({"id": identity}).encode()
        if verb == "status":
            return json.dumps({"timestamps_count": 1, "errors": self.errors}).encode()
        self.running.remove(command.split()[-1])
        return b'{"status": {}}'

    async def send(self, number: int, times_ps: list[int]) -> None:
        await self.tags[number].write(PACKET.wrap(np.array(times_ps, "<u8").tobytes()))


@asynccontextmanager
async def connected(box: Box, **options: Any) -> AsyncIterator[Id900]:
    tagger = make_instrument(
        Id900, "mem://box", owner="lab/tagger", options=options, memory=box.registry()
    )
    assert isinstance(tagger, Id900)
    await tagger.link.open()
    try:
        yield tagger
    finally:
        await tagger.disconnect()
        await tagger.link.close()


def test_connect_ends_what_an_earlier_life_left_and_leaves_other_boxes_alone() -> None:
    async def scenario() -> None:
        box = Box()
        box.running = ["10.0.0.9:5556", "mem://box:5557"]
        async with connected(box) as tagger:
            who = await tagger.connect()
            assert who.serial == "2108004P010"
            assert not wrong_box(Id900.manifest, who, "2108004P010")
            assert box.running == ["10.0.0.9:5556"]
            assert box.asked[:2] == ["*IDN?", "REC:STOP"]
            assert {f"RAW{n}:SEND OFF" for n in (1, 2, 3, 4)} <= set(box.asked)

    run_virtual(scenario())


def test_without_the_service_the_message_says_what_is_missing() -> None:
    async def scenario() -> None:
        box = Box()
        registry = {"box": box.registry()["box"]}
        tagger = make_instrument(Id900, "mem://box", owner="lab/tagger", memory=registry)
        await tagger.link.open()
        with pytest.raises(NotConnected, match=r"DataLinkTarget is not reached.*start it"):
            await tagger.connect()

    run_virtual(scenario())


def test_settings_are_sent_as_the_manual_has_them_and_read_back() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box, inputs=[1, 3]) as tagger:
            await tagger.connect()
            box.asked.clear()
            box.answers |= {"INPU1:THRE?": b"-0.4V", "INPU3:THRE?": b"250mV"}
            box.answers |= {"INPU1:EDGE?": b"FALLING\n", "INPU3:EDGE?": b"FALLING"}
            await tagger.apply({"threshold_v": [-0.4, 0.25], "edge": "FALLING"})
            assert box.asked == [
                *("INPU1:THRE -0.4V", "INPU1:THRE?", "INPU3:THRE 0.25V", "INPU3:THRE?"),
                *("INPU1:EDGE FALLING", "INPU1:EDGE?", "INPU3:EDGE FALLING", "INPU3:EDGE?"),
            ]
            with pytest.raises(InstrumentError, match=r"0\.3 V was set, but it tells -0\.4 V"):
                await tagger.apply({"threshold_v": 0.3})
            box.answers["INPU1:THRE 0.1V"] = b"SCPI_ERR_UNDEFINED_HEADER"
            with pytest.raises(InstrumentError, match="SCPI_ERR_UNDEFINED_HEADER"):
                await tagger.apply({"threshold_v": 0.1})
            box.asked.clear()
            for bad in (
                {"threshold_v": 2.1},
                {"threshold_v": [0.1]},
                {"edge": "UP"},
                {"resolution": 1},
                {"recalibrate": "yes"},
                {"level": 1},
            ):
                with pytest.raises(Refused):
                    await tagger.apply(bad)
            assert box.asked == []

    run_virtual(scenario())


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": []},
        {"inputs": [1, 1]},
        {"inputs": [5]},
        {"sub_acquisition_s": 0.1},
        {"streams": ["zmq+pair://host:4242"]},
        {"dlt": 6060},
        {"max_threshold_v": 50},
        {"port": 1},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Id900(make_link("zmq://127.0.0.1:5555", owner="x"), options)


def test_times_go_on_from_message_to_message_and_inputs_are_merged() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box, inputs=[1, 3]) as tagger:
            await tagger.connect()
            async with aclosing(tagger.stream()) as stream:
                first = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0.5)
                assert box.asked[-1] == "REC:PLAY"
                assert "REC:PWID 200000000000;PPER 200000040000" in box.asked
                assert "RAW3:STOP:LINK TSCO3;:RAW3:REF:LINK NONE" in box.asked
                assert "start-stream --address mem://box --channel 3 --stream-port 4244" in (
                    box.dlt_asked
                )
                await box.send(3, [7, 9])
                await box.send(1, [5, 9, 11])
                batch = await first
                assert batch.time_ps.tolist() == [5, 7, 9, 9, 11]
                assert batch.channel.tolist() == [1, 3, 1, 3, 1]
                assert (batch.start_ps, batch.stop_ps) == (0, PERIOD_PS)
                await box.send(1, [])
                await box.send(3, [2])
                batch = await anext(stream)
                assert batch.time_ps.tolist() == [PERIOD_PS + 2]
                assert batch.start_ps == PERIOD_PS
                assert not batch.lost
                with pytest.raises(Refused, match="a stream runs already"):
                    await anext(tagger.stream())
                with pytest.raises(Refused, match="only while no stream runs"):
                    await tagger.apply({"edge": "RISING"})
            assert box.asked[-5] == "REC:STOP"
            assert box.running == ["10.0.0.9:5556"]
            assert (await tagger.readings())["streaming"] is False

    run_virtual(scenario())


def test_what_box_or_service_lost_is_told_on_the_next_batch() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box, inputs=[1]) as tagger:
            await tagger.connect()
            async with aclosing(tagger.stream()) as stream:

                async def batch() -> bool:
                    waiting = asyncio.ensure_future(anext(stream))
                    await asyncio.sleep(1.1)
                    await box.send(1, [1])
                    return (await waiting).lost

                assert not await batch()
                box.answers["RAW1:ERRORS?"] = b"3"
                assert await batch()
                assert "RAW1:ERRORS:CLEAR" in box.asked[-6:]
                box.answers["RAW1:ERRORS?"] = b"0"
                assert not await batch()
                box.errors = [{"description": "disk full"}]
                assert await batch()
                assert not await batch(), "the same error is news only once"
                assert (await tagger.readings())["lossy_batches"] == 2

    run_virtual(scenario())


def test_an_input_without_a_message_ends_the_stream_instead_of_telling_wrong_times() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box, inputs=[1, 2]) as tagger:
            await tagger.connect()
            async with aclosing(tagger.stream()) as stream:
                waiting = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0.1)
                for channel in (1, 2):
                    await box.send(channel, [1])
                await waiting
                waiting = asyncio.ensure_future(anext(stream))
                await box.send(1, [1])
                with pytest.raises(Timeout, match=r"input 2 sent nothing.*the others did"):
                    await waiting
            assert not tagger.link.usable

    run_virtual(scenario())


def test_a_stream_whose_input_never_begins_is_begun_once_more() -> None:
    async def scenario(inputs_then: list[int]) -> list[int]:
        box = Box()
        async with connected(box, inputs=[1, 2]) as tagger:
            await tagger.connect()
            async with aclosing(tagger.stream()) as stream:
                waiting = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0.1)
                await box.send(1, [1])
                await asyncio.sleep(2.5)  # ZeroMQ has kept input 2 for the client before
                assert not waiting.done()
                for channel in inputs_then:
                    await box.send(channel, [channel])
                batch = await waiting
                assert batch.start_ps == 0
                return [int(time_ps) for time_ps in batch.time_ps]

    assert run_virtual(scenario([1, 2])) == [1, 2]
    with pytest.raises(Timeout, match="input 2 sent nothing"):
        run_virtual(scenario([1]))


def test_a_stream_that_breaks_says_so_at_once() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box, inputs=[1, 2]) as tagger:
            await tagger.connect()
            async with aclosing(tagger.stream()) as stream:
                waiting = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0.1)
                await box.send(1, [1])
                box.tags[2].close()
                began_s = asyncio.get_running_loop().time()
                with pytest.raises(NotConnected, match="box-tags2"):
                    await waiting
                assert asyncio.get_running_loop().time() - began_s < 0.1

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"\x01" * 12, "tags of 8 bytes of input 2, found 12 bytes"),
        (np.array([5, 4], "<u8").tobytes(), "input 2, found 5 ps and then 4 ps"),
        (np.array([2 * 10**11 + 1], "<u8").tobytes(), "times up to 200000000000 ps of input 2"),
    ],
)
def test_a_message_that_cannot_be_shows_its_bytes(payload: bytes, says: str) -> None:
    parts = SubAcquisitions((1, 2), PERIOD_PS, 2 * 10**11)

    async def scenario() -> None:
        with pytest.raises(ProtocolError, match=says) as caught:
            await parts.batch({1: b"", 2: payload}, lost=False, about={})
        assert caught.value.raw in payload

    run_virtual(scenario())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2 * 10**11), max_size=60).map(sorted), min_size=1, max_size=4),
    st.integers(1, 20),
)
def test_merging_in_pieces_is_sorting(streams: list[list[int]], piece: int) -> None:
    inputs = tuple(range(1, len(streams) + 1))
    parts = SubAcquisitions(inputs, PERIOD_PS, 2 * 10**11)
    expected = sorted((t, n) for n, times in zip(inputs, streams, strict=True) for t in times)

    async def scenario() -> None:
        for k in range(2):
            payloads = {
                n: np.array(times, "<u8").tobytes()
                for n, times in zip(inputs, streams, strict=True)
            }
            batch = await parts.batch(payloads, lost=False, about={})
            found = list(zip(batch.time_ps.tolist(), batch.channel.tolist(), strict=True))
            assert found == [(t + k * PERIOD_PS, n) for t, n in expected]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drivers.taggers.id900_stream.PIECE_TAGS", piece)
        run_virtual(scenario())


async def test_a_reply_that_got_lost_does_not_leave_the_socket_stuck() -> None:
    # The trap of ZeroMQ REQ: after a lost reply it never speaks again. Real sockets.
    def bound() -> tuple[zmq.asyncio.Socket, int]:
        far = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
        far.setsockopt(zmq.LINGER, 0)
        return far, far.bind_to_random_port("tcp://127.0.0.1")

    (control, port), (dlt, dlt_port) = bound(), bound()
    box = Box()
    box.silent = {"REC:STAG?"}

    async def serve(far: zmq.asyncio.Socket, answer: Any) -> None:
        while True:
            who, _, message = await far.recv_multipart()
            if message.decode() not in box.silent:
                await far.send_multipart([who, b"", answer(message.decode())])

    serving = [
        asyncio.create_task(serve(control, box.scpi)),
        asyncio.create_task(serve(dlt, box.service)),
    ]
    resource = f"zmq://127.0.0.1:{port}"
    tagger = Id900(make_link(resource, owner="lab/tagger"), {"dlt": f"zmq://127.0.0.1:{dlt_port}"})
    await tagger.link.open()
    await tagger.connect()
    with pytest.raises(Timeout, match=f"lab/tagger at {resource}, asked REC:STAG"):
        await tagger.ping()
    with pytest.raises(NotConnected):
        await tagger.ping()
    box.silent.clear()
    await tagger.disconnect()
    await tagger.link.open()
    assert (await tagger.connect()).serial == "2108004P010"
    await tagger.ping()
    await tagger.disconnect()
    await tagger.link.close()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    control.close(0)
    dlt.close(0)
