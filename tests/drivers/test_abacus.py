"""The Abacus driver: registers with checksums, on a line that loses and garbles."""

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.detectors.abacus import Abacus, AbacusFrame
from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange
from sim_backends.clocks import FreeRunningClock
from sim_backends.instruments.abacus import Abacus as Twin
from sim_backends.taggers import TaggerModel
from tests.twins import on_twin
from timing.loop import run_virtual

Pair = tuple[bytes, bytes | None]


def read(address: int, *values: int, spoil: int = 0) -> Pair:
    count = len(values) if len(values) > 1 else 0
    payload = b"".join(
        bytes([address + k]) + value.to_bytes(4, "big") for k, value in enumerate(values)
    )
    check = (0xFF - sum(payload) + spoil) & 0xFF
    request = bytes([2, 0x0E, address, 0, 0, 0, count, 4])
    return request, bytes([0x7E, len(payload)]) + payload + bytes([check])


def write(address: int, value: int) -> Pair:
    return bytes([2, 0x0F, address]) + value.to_bytes(4, "big") + b"\x04", None


def time(address: int, *times: tuple[int, int], spoil: int = 0) -> Pair:
    """Registers of times, each c * 10^(e - 10) s."""
    return read(address, *(e << 12 | c for c, e in times), spoil=spoil)


CONNECT = [(b"*IDN?", b"Tausand Abacus AB1004"), read(88, 0)]


def scripted(script: list[Pair], use: Any) -> None:
    async def scenario() -> None:
        async with expected_exchange(Abacus, script) as box:
            await use(box)

    run_virtual(scenario())


def test_the_examples_of_the_protocol_to_the_byte() -> None:
    assert read(80, 1000)[0] == bytes.fromhex("02 0E 50 00 00 00 00 04")
    assert read(80, 1000, 10)[0] == bytes.fromhex("02 0E 50 00 00 00 02 04")
    assert write(81, 20)[0] == bytes.fromhex("02 0F 51 00 00 00 14 04")
    # 0.2 s is 20 * 10^(8 - 10) s, 25 ns is 25 * 10^(1 - 10) s.
    assert time(80, (20, 8))[1] == bytes.fromhex("7E 05 50 00 00 80 14 1B")
    assert time(81, (25, 1))[1] == bytes.fromhex("7E 05 51 00 00 10 19 85")


def test_connect_after_half_an_answer_and_with_the_long_identity_of_the_newer_family() -> None:
    script: list[Pair] = [
        (b"", b"\x7e\x05\x50\x00"),
        (b"*IDN?", b"Tausand Abacus AB2504\n" + bytes(10)),
        read(88, 0b11100000),
    ]

    async def use(box: Abacus) -> None:
        who = await box.connect()
        assert who.text == "Tausand Abacus AB2504"
        assert not wrong_box(Abacus.manifest, who, None)
        with pytest.raises(Refused, match="2 to 10000 ns in steps of 2"):
            await box.set_window_ns(5)

    scripted(script, use)


def test_models_with_other_registers_are_told_apart() -> None:
    async def use(box: Abacus) -> None:
        who = await box.connect()
        assert "wrong instrument" in wrong_box(Abacus.manifest, who, None)

    scripted([(b"*IDN?", b"Tausand Abacus AB1502")], use)


def test_a_wrong_checksum_is_asked_for_again_and_never_believed() -> None:
    script = [*CONNECT, time(80, (50, 8), spoil=1), time(80, (10, 8))]
    script += [time(80, (50, 8), spoil=3)] * 5

    async def use(box: Abacus) -> None:
        await box.connect()
        assert await box.gate_s() == 0.1
        with pytest.raises(ProtocolError, match="their checksum, 5 times") as caught:
            await box.gate_s()
        assert caught.value.raw.startswith(b"\x05\x50")
        with pytest.raises(NotConnected):
            await box.ping()

    scripted(script, use)


def test_a_frame_of_other_registers_is_no_answer() -> None:
    late = (time(80, (50, 8))[0], time(81, (20, 1))[1])

    async def use(box: Abacus) -> None:
        await box.connect()
        assert await box.gate_s() == 0.5

    scripted([*CONNECT, late, time(80, (50, 8))], use)


def test_silence_is_a_timeout() -> None:
    async def use(box: Abacus) -> None:
        await box.connect()
        with pytest.raises(Timeout, match="asked registers 83 to 83"):
            await box.ping()

    scripted([*CONNECT, (read(83, 0)[0], None)], use)


def test_a_lost_write_is_repeated_and_one_not_taken_is_told() -> None:
    script = [
        *CONNECT,
        *(write(81, 0x1014), time(81, (10, 1)), write(81, 0x1014), time(81, (2, 2))),
        *([write(80, 0x8014), time(80, (10, 9))] * 5),
    ]

    async def use(box: Abacus) -> None:
        await box.connect()
        await box.set_window_ns(20)
        with pytest.raises(InstrumentError, match=r"200000000 ns was set, but it tells 1e\+09 ns"):
            await box.set_gate_s(0.2)

    scripted(script, use)


def test_counts_are_of_one_gate() -> None:
    first = [read(0, 10, 1, 2, 3), read(9, 11, 4, 5), read(18, 12, 6), read(27, 13)]
    second = [read(0, 20, 1, 2, 3), read(9, 21, 4, 5), read(18, 22, 6), read(27, 23)]
    script = [
        (b"*IDN?", b"Tausand Abacus AB1004"),
        read(88, 0b11010000),
        time(80, (10, 8)),
        read(83, 7),
        read(83, 0, 50),  # settings have changed: no gate yet
        read(83, 7, 60),
        read(83, 8, 99),
        *[*first, read(96, 1), read(83, 9)],  # a gate was over while they were read
        read(83, 9, 60),
        *[*second, read(96, 2), read(83, 9)],
    ]

    async def use(box: Abacus) -> None:
        await box.connect()
        counts = await box.counts()
        assert counts.gate_s == 0.1
        assert counts.singles == {1: 20, 2: 21, 3: 22, 4: 23}
        pairs = {(1, 2): 1, (1, 3): 2, (1, 4): 3, (2, 3): 4, (2, 4): 5, (3, 4): 6}
        assert counts.coincidences == {**pairs, (1, 2, 4): 2}

    scripted(script, use)


def test_gates_that_never_end_are_a_timeout() -> None:
    async def use(box: Abacus) -> None:
        await box.connect()
        with pytest.raises(Timeout, match="no whole gate"):
            await box.counts()

    scripted([*CONNECT, time(80, (10, 9)), read(83, 7), *([read(83, 7, 990)] * 7)], use)


@pytest.mark.parametrize("window_ns", [0, 3, 125, 10_005, 110_000, 20.5, "20", True])
def test_windows_that_cannot_be_are_refused(window_ns: Any) -> None:
    async def use(box: Abacus) -> None:
        await box.connect()
        with pytest.raises(Refused, match="5 to 10000 ns in steps of 5, with two digits"):
            await box.set_window_ns(window_ns)

    scripted(CONNECT, use)


@given(st.binary(max_size=20).filter(lambda noise: b"\x7e" not in noise), st.integers(0, 2**32 - 1))
def test_a_frame_is_found_behind_noise(noise: bytes, value: int) -> None:
    answer = read(83, value)[1]
    assert answer is not None
    buffer = bytearray(noise)
    for byte in answer[:-1]:
        buffer.append(byte)
        assert AbacusFrame().take(buffer) is None
    buffer.append(answer[-1])
    assert AbacusFrame().take(buffer) == answer[1:]
    assert not buffer


def test_on_the_twin_over_a_bad_line_counts_are_those_of_the_clicks() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        clock = FreeRunningClock(
            skew_ppm=0.0, white_fm_1s=0.0, power_on_s=0.0, rng=np.random.default_rng(1)
        )
        tagger = TaggerModel(clock, lambda: round(loop.time() * 1e12), lambda: None)
        twin = Twin(tagger, rng=np.random.default_rng(2), garbles_one_in=8.0)
        done_ps = 0

        def poll() -> None:
            """Input 1 at 1 MHz; 2 together with it, 3 with every tenth, 4 far from both."""
            nonlocal done_ps
            now_ps = round(loop.time() * 1e12)
            times = np.arange(-(-done_ps // 10**6), -(-now_ps // 10**6)) * 10**6
            done_ps = now_ps
            tagger.receive({1: times, 2: times + 5000, 3: times[::10] + 8000, 4: times + 500_000})
            twin.poll()

        async with on_twin(Abacus, twin.connect, poll=poll) as box:
            await box.apply({"gate_s": 0.1, "window_ns": 20.0, "multifold": [[1, 2, 3]]})
            counts = await box.counts()
            assert counts.singles == pytest.approx({1: 1e5, 2: 1e5, 3: 1e4, 4: 1e5}, rel=0.02)
            assert counts.coincidences[1, 2] == pytest.approx(1e5, rel=0.02)
            assert counts.coincidences[1, 3] == pytest.approx(1e4, rel=0.03)
            assert counts.coincidences[1, 2, 3] == pytest.approx(1e4, rel=0.03)
            assert counts.coincidences[1, 4] == 0

    run_virtual(scenario())
