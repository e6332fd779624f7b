"""The Tempico driver: rows of a measurement, and what comes instead of them."""

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused
from drivers.plugin import wrong_box
from drivers.taggers.tempico import Tempico
from drivers.testing import expected_exchange
from sim_backends.clocks import FreeRunningClock
from sim_backends.instruments.tempico import Tempico as Twin
from sim_backends.taggers import TaggerModel
from tests.twins import on_twin
from timing.loop import run_virtual

Pair = tuple[bytes, bytes | None]

CONNECT: list[Pair] = [
    (b"\nABORT\n", None),
    (b"\n", None),
    (b"*IDN?\n", b"Tausand,Tempico TP1004,,1.0\r\n"),
    (b"CONF:CH1:MODE?\n", b"1\r\n"),
]
EPOCH = 1_700_000_000


def scripted(script: list[Pair], use: Any) -> None:
    async def scenario() -> None:
        async with expected_exchange(Tempico, [*CONNECT, *script]) as box:
            who = await box.connect()
            assert not wrong_box(Tempico.manifest, who, None)
            await use(box)

    run_virtual(scenario())


def clock(microseconds: int) -> Pair:
    return b"DTIM?\n", f"{EPOCH}.{microseconds:06d}\r\n".encode()


def test_rows_become_tags_on_the_clock_of_the_box() -> None:
    rows = (
        f"1,1,{EPOCH}.000110,12345,20000;2,1,{EPOCH}.000120,-500;1,2,{EPOCH}.000200,400000\r\n"
        "WARNING: low rate\r\n"
    )
    script = [clock(100), (b"MEAS?\n", rows.encode()), clock(900), (b"ABORT\n", None)]

    async def use(box: Tempico) -> None:
        async with aclosing(box.stream()) as stream:
            batch = await anext(stream)
        us = 10**6
        assert batch.time_ps.tolist() == [
            *(10 * us, 10 * us + 12_345, 10 * us + 20_000),
            *(20 * us - 500, 20 * us, 100 * us, 100 * us + 400_000),
        ]
        assert batch.channel.tolist() == [11, 1, 1, 2, 12, 11, 1]
        assert (batch.start_ps, batch.stop_ps, batch.lost) == (0, 800 * us, False)

    scripted(script, use)


def test_silence_is_an_empty_batch_and_old_rows_are_told_as_lost() -> None:
    script = [
        clock(100),
        (b"MEAS?\n", None),
        (b"ABORT\n", None),
        clock(200),
        (b"MEAS?\n", f"1,1,{EPOCH}.000150,20000\r\n".encode()),
        clock(300),
        (b"MEAS?\n", b"\r\n"),
        clock(400),
        (b"ABORT\n", None),
    ]

    async def use(box: Tempico) -> None:
        async with aclosing(box.stream()) as stream:
            silent, old, empty = [await anext(stream) for _ in range(3)]
        assert (len(silent), silent.stop_ps, silent.lost) == (0, 10**8, False)
        assert (len(old), old.lost, old.lost_tags) == (0, True, 2)
        assert (len(empty), empty.start_ps, empty.stop_ps) == (0, 2 * 10**8, 3 * 10**8)

    scripted(script, use)


@pytest.mark.parametrize(
    "row",
    [
        b"1,1",
        b"5,1,1.0,2",
        b"1,1,now,2",
        b"1,x,1.0,2",
        b"1,1,1.0,2,3,4,5,6,7",
        b"1,1,nan,1",
        b"\xff",
    ],
)
def test_a_row_that_cannot_be_shows_its_bytes(row: bytes) -> None:
    async def use(box: Tempico) -> None:
        async with aclosing(box.stream()) as stream:
            with pytest.raises(ProtocolError) as caught:
                await anext(stream)
            assert caught.value.raw == row
        assert not box.link.usable

    scripted([clock(0), (b"MEAS?\n", row + b"\r\n")], use)


def test_settings_are_read_back_and_a_complaint_is_not_a_value() -> None:
    script = [
        (b"CONF:THR 1.20\n", None),
        (b"CONF:THR?\n", b"1.21\r\n"),
        (b"CONF:NRUN 1000\n", b"ERROR: parameter out of range\r\n"),
        (b"CONF:NRUN?\n", b"1\r\n"),
    ]

    async def use(box: Tempico) -> None:
        await box.set_threshold_v(1.2)
        with pytest.raises(InstrumentError, match="1000 was set, but it tells 1"):
            await box.set_runs(1000)
        with pytest.raises(Refused):
            await box.apply({"threshold_v": 1.2, "level": 1})

    scripted(script, use)


def test_the_safe_state_is_looked_at() -> None:
    idle = b"AVGC=0,CLKC=0,COAR=0,INT=0,INTC=0,MEAS=0,OVF=0,RUN=0,TOUT=0,STATE=1\r\n"
    asked = [f"STAT:CH{n}?\n".encode() for n in (1, 2, 3, 4)]
    script: list[Pair] = [(b"ABORT\n", None), *((each, idle) for each in asked)]
    script += [
        (b"ABORT\n", None),
        (asked[0], idle),
        (asked[1], idle.replace(b"STATE=1", b"STATE=2")),
    ]

    async def use(box: Tempico) -> None:
        await box.enter_safe_state()
        with pytest.raises(InstrumentError, match="input 2 is busy"):
            await box.enter_safe_state()

    scripted(script, use)


def test_on_the_twin_intervals_are_those_of_the_clicks() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        rng = np.random.default_rng(1)
        free = FreeRunningClock(skew_ppm=0.0, white_fm_1s=0.0, power_on_s=0.0, rng=rng)
        tagger = TaggerModel(free, lambda: round(loop.time() * 1e12), lambda: None)
        twin = Twin(tagger, unix_s=EPOCH)
        done = 0

        def poll() -> None:
            """Starts at 10 kHz, stops 123456 ps after them."""
            nonlocal done
            now = round(loop.time() * 1e4)
            times = np.arange(done, now) * 10**8
            done = now
            tagger.receive({11: times, 1: times + 123_456})
            twin.poll()

        async with on_twin(Tempico, twin.connect, poll=poll) as box:
            await box.apply({"runs": 50.0, "inputs": [1]})
            async with aclosing(box.stream()) as stream:
                for _ in range(3):
                    batch = await anext(stream)
                    starts, stops = batch.of(11), batch.of(1)
                    assert len(starts) == 50
                    assert (stops - starts == 123_456).all()
                    assert (np.diff(starts) % 10**8 == 0).all()

    run_virtual(scenario())
