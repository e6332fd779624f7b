"""The simulated Elliptec bus by its messages."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backends.instruments.ell14 import PULSES_PER_TURN, Ell14Bus
from sim_backends.lab import LabConfig
from sim_backends.mount_memory import MemoryPort
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from timing.loop import run_virtual

QUARTER = f"{PULSES_PER_TURN // 4:08X}".encode()


def make_bench() -> Bench:
    config = LabConfig.model_validate(
        {
            "lab": {"seed": 1},
            "analyzers": {"a": {}},
            "instruments": {
                "bus": {"type": "ell14", "of": "analyzers.a", "pty": "bus", "serial": "11400117"}
            },
        }
    )
    return Bench(config, TruthLog(None))


async def replies(port: MemoryPort, message: bytes, wait_s: float = 0.03) -> list[str]:
    """The lines that come within `wait_s` of a message."""
    await port.write(message)
    received = b""
    try:
        async with asyncio.timeout(wait_s):
            while data := await port.read():
                received += data
    except TimeoutError:
        pass
    assert received == b"" or received.endswith(b"\r\n")
    return received.decode().split("\r\n")[:-1]


@pytest.mark.parametrize(
    ("message", "answers"),
    [
        (b"0in", ["0IN0E11400117202117010168" + "00023000"]),
        (b"1in\r\n", ["1IN0E11400118202117010168" + "00023000"]),
        (b"0gs1gs", ["0GS00", "1GS00"]),
        (b"0gp\r", ["0PO00000000"]),
        (b"2gs\r\nFgp\r\n", []),
        (b"0xx\r\n0gs", ["0GS03", "0GS00"]),
        (b"0maZZZZZZZZ\r\n", ["0GS03"]),
        (b"0ma123\r\n0gs\r\n", ["0GS03", "0GS00"]),
        (b"0ma00023001\r\n", ["0GS04"]),
        (b"0sj00001000\r\n0gj", ["0GS00", "0GJ00001000"]),
        (b"0soFFFFFFFF", ["0GS04"]),
        (b"0ca3", ["3GS00"]),
        (b"0ca3" + b"3gs0gs", ["3GS00", "3GS00"]),
        (b"0ca1", ["0GS03"]),
        (b"\r\n\x00\xff zz 0gs", ["0GS00"]),
        (b"0\r\n1gs", ["0GS03", "1GS00"]),
    ],
)
def test_messages(message: bytes, answers: list[str]) -> None:
    async def scenario() -> None:
        assert await replies(make_bench().memory("bus", "pty"), message) == answers

    run_virtual(scenario())


@pytest.mark.parametrize("cut", range(1, 11))
def test_a_message_in_two_pieces(cut: int) -> None:
    async def scenario() -> None:
        bench = make_bench()
        life = asyncio.create_task(bench.run())
        port = bench.memory("bus", "pty")
        message = b"0ma" + QUARTER
        assert await replies(port, message[:cut]) == []
        assert await replies(port, message[cut:], 1.0) == ["0PO" + QUARTER.decode()]
        life.cancel()

    run_virtual(scenario())


def test_a_move_is_answered_at_its_end_and_the_mount_is_busy_until_then() -> None:
    async def scenario() -> None:
        bench = make_bench()
        life = asyncio.create_task(bench.run())
        loop = asyncio.get_running_loop()
        port = bench.memory("bus", "pty")
        stages = bench.world.analyzers["a"].plates
        start_s = loop.time()
        assert await replies(port, b"0ma" + QUARTER, 0.05) == []
        assert await replies(port, b"0gs0gp1gs", 0.01) == ["0GS09", "0GS09", "1GS00"]
        assert stages["qwp"].moving()
        assert not stages["hwp"].moving()
        assert await port.read() == b"0PO" + QUARTER + b"\r\n"
        assert loop.time() - start_s == pytest.approx(90 / 430 + 0.02, abs=0.021)
        assert not stages["qwp"].moving()
        assert stages["qwp"].position_deg() == pytest.approx(90.0)
        assert await replies(port, b"1mr" + QUARTER + b"0mrFFFFDD00", 1.0) == [
            "0PO" + f"{PULSES_PER_TURN // 4 - 0x2300:08X}",
            "1PO" + QUARTER.decode(),
        ]
        homed = await replies(port, b"1ho\r\n0ho0", 1.0)
        assert sorted(homed) == ["0PO00000000", "1PO00000000"]
        assert stages["hwp"].position_deg() == stages["qwp"].position_deg() == 0.0
        life.cancel()

    run_virtual(scenario())


def test_a_move_that_is_stopped_ends_where_it_is() -> None:
    async def scenario() -> None:
        bench = make_bench()
        life = asyncio.create_task(bench.run())
        port = bench.memory("bus", "pty")
        await replies(port, b"1ma" + QUARTER, 0.1)
        assert await replies(port, b"1st", 0.01) == ["1GS00"]
        position = await replies(port, b"1gp", 0.5)
        assert 0 < int(position[0][3:], 16) < PULSES_PER_TURN // 4
        life.cancel()

    run_virtual(scenario())


def test_a_move_goes_on_when_its_client_leaves() -> None:
    async def scenario() -> None:
        bench = make_bench()
        life = asyncio.create_task(bench.run())
        port = bench.memory("bus", "pty")
        await port.write(b"0ma" + QUARTER)
        port.close()
        await asyncio.sleep(1.0)
        assert await replies(bench.memory("bus", "pty"), b"0gp") == ["0PO" + QUARTER.decode()]
        life.cancel()

    run_virtual(scenario())


class Sink:
    def __init__(self) -> None:
        self.taken = b""

    def send(self, data: bytes) -> bool:
        self.taken += data
        return True

    def close(self) -> None:
        pass


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=40), max_size=20))
def test_garbage_leaves_it_working(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        sink = Sink()
        session = Ell14Bus(make_bench().world.analyzers["a"], "7").connect(sink)
        for piece in pieces:
            session.feed(piece)
        # At most one message is unfinished, and a line end finishes it.
        session.feed(b"\r\n")
        sink.taken = b""
        session.feed(b"1in")
        assert sink.taken.startswith((b"1IN0E", b"1GS09"))

    run_virtual(scenario())
