"""The ITLA driver against packets: those of pytla's encoder, and made ones with their checksum."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.lasers.itla import Itla
from drivers.lasers.itla_packets import checksum, request
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange, memory_link
from timing.loop import run_virtual

OK, ERROR, EXTENDED, PENDING = 0, 1, 2, 3
Line = tuple[bytes, bytes | None]


def packet(low: int, register: int, data: int = 0) -> bytes:
    """Checksummed bit by bit: bit n of the checksum is the parity of every fourth bit."""
    raw = struct.pack(">BBH", low, register, data & 0xFFFF)
    number = int.from_bytes(raw, "big")
    parity = sum(((number & 0x1111_1111 << n).bit_count() & 1) << n for n in range(4))
    return bytes([parity << 4 | low]) + raw[1:]


def ask(register: int, data: int, *, status: int = OK) -> Line:
    return packet(0, register), packet(0x04 | status, register, data)


def put(register: int, data: int, *, status: int = OK) -> Line:
    return packet(1, register, data), packet(0x04 | status, register, data)


def text(register: int, words: str) -> list[Line]:
    raw = words.encode() + b"\0"
    pieces = [raw[n : n + 2].ljust(2, b"\0") for n in range(0, len(raw), 2)]
    return [
        ask(register, len(raw), status=EXTENDED),
        *[ask(0x0B, int.from_bytes(piece, "big")) for piece in pieces],
    ]


def connect(*, mode: bool = True) -> list[Line]:
    low_noise = [ask(0x90, 0)] if mode else [ask(0x90, 0, status=ERROR), ask(0x00, 0x11)]
    return [
        (b"\0" * 4, packet(0x04, 0, 0x10)),
        *text(0x01, "CW ITLA"),
        *text(0x02, "Pure Photonics"),
        *text(0x03, "PPCL300"),
        *text(0x04, "SN0042"),
        *text(0x06, "1.3.3"),
        ask(0x50, 600),
        ask(0x51, 1350),
        ask(0x52, 191),
        ask(0x53, 5000),
        ask(0x54, 196),
        ask(0x55, 1000),
        ask(0x4F, 6000),
        *low_noise,
    ]


def test_packets_are_those_of_pytla() -> None:
    # Encoded by pytla 0.2.0, itla.utils.form_packet.
    golden = {
        "00000000": request(0x00),
        "10010000": request(0x01),
        "81320008": request(0x32, 8, write=True),
        "613103e8": request(0x31, 1000, write=True),
        "5131ff06": request(0x31, -250 & 0xFFFF, write=True),
        "a13500c1": request(0x35, 193, write=True),
    }
    for raw, ours in golden.items():
        assert ours == bytes.fromhex(raw)


@given(st.integers(0, 15), st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 31))
def test_one_wrong_bit_fails_the_checksum(low: int, register: int, data: int, bit: int) -> None:
    raw = packet(low, register, data)
    assert checksum(raw) == raw[0] >> 4
    broken = (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(4, "big")
    assert checksum(broken) != broken[0] >> 4


def test_connect_reads_texts_in_pieces_and_ranges() -> None:
    async def scenario() -> None:
        async with expected_exchange(Itla, connect()) as laser:
            who = await laser.connect()
            assert who.text == "CW ITLA; Pure Photonics PPCL300"
            assert (who.serial, who.firmware) == ("SN0042", "1.3.3")
            assert wrong_box(Itla.manifest, who, "SN0042") == ""
            with pytest.raises(Refused, match=r"3\.98\d+ to 22\.38\d+ mW"):
                await laser.set_power_mw(30.0)
            with pytest.raises(Refused, match=r"1528\.77\d+ to 1565\.49\d+ nm"):
                await laser.set_wavelength_nm(1570.0)

    run_virtual(scenario())


def test_connect_finds_the_beginning_of_a_packet() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, box):
            laser = Itla(link)
            connecting = asyncio.create_task(laser.connect())
            await box.write(b"\x12\x34\x56")  # a late answer, and cut
            await box.expect(b"\0\0")  # two bytes were left behind by somebody
            await box.write(packet(0x0C, 0x77))
            await box.expect(packet(0, 0x01))
            connecting.cancel()

    run_virtual(scenario())


def test_emission_waits_for_what_is_pending() -> None:
    script = [
        put(0x32, 8, status=PENDING),
        ask(0x00, 0x0110),
        ask(0x00, 0x0110),
        ask(0x00, 0x0010),
        ask(0x32, 8),
    ]

    async def scenario() -> None:
        async with expected_exchange(Itla, script) as laser:
            await laser.set_emission(True)
        async with expected_exchange(Itla, [], armed=False) as laser:
            with pytest.raises(Refused, match="arming lease"):
                await laser.set_emission(True)
        async with expected_exchange(Itla, [put(0x32, 8), ask(0x32, 0)]) as laser:
            with pytest.raises(InstrumentError, match="see its disable pin"):
                await laser.set_emission(True)

    run_virtual(scenario())


def test_the_safe_state_is_read_back() -> None:
    async def scenario() -> None:
        async with expected_exchange(Itla, [put(0x32, 0), ask(0x32, 0)]) as laser:
            await laser.enter_safe_state()
        async with expected_exchange(Itla, [put(0x32, 0), ask(0x32, 8)]) as laser:
            with pytest.raises(Timeout, match="still enabled"):
                await laser.enter_safe_state()

    run_virtual(scenario())


def test_a_refusal_has_the_modules_reason() -> None:
    script = [*connect(), put(0x31, 1000, status=ERROR), ask(0x00, 0x19)]

    async def scenario() -> None:
        async with expected_exchange(Itla, script) as laser:
            await laser.connect()
            with pytest.raises(InstrumentError, match="9: ignored while the output is on"):
                await laser.set_power_mw(10.0)
            assert laser.link.usable

    run_virtual(scenario())


def test_a_dark_laser_changes_its_channel_and_a_lit_one_its_fine_tuning() -> None:
    at = [ask(0x40, 193), ask(0x41, 4145)]
    script = [
        *connect(),
        ask(0x32, 0),
        put(0x62, 0),
        put(0x35, 193),
        put(0x36, 4145),
        put(0x30, 1),
        *at,
        ask(0x32, 8),
        *at,
        put(0x62, -2000, status=PENDING),
        ask(0x00, 0x10),
        ask(0x32, 8),
        *at,
    ]

    async def scenario() -> None:
        async with expected_exchange(Itla, script) as laser:
            await laser.connect()
            await laser.set_wavelength_nm(299_792.458 / 193.4145)
            await laser.set_wavelength_nm(299_792.458 / 193.4125)
            with pytest.raises(Refused, match=r"-6 to 6 GHz from its channel; switch emission off"):
                await laser.set_wavelength_nm(299_792.458 / 193.4045)

    run_virtual(scenario())


def test_a_frequency_that_was_not_taken_is_told() -> None:
    script = [
        *connect(),
        ask(0x32, 0),
        *[put(register, data) for register, data in ((0x62, 0), (0x35, 193), (0x36, 4145))],
        put(0x30, 1),
        ask(0x40, 193),
        ask(0x41, 1000),
    ]

    async def scenario() -> None:
        async with expected_exchange(Itla, script) as laser:
            await laser.connect()
            with pytest.raises(InstrumentError, match=r"set to 193\.4145 THz and is at 193\.1000"):
                await laser.set_wavelength_nm(1550.0)

    run_virtual(scenario())


def test_low_noise_modes_where_there_are_some() -> None:
    async def scenario() -> None:
        async with expected_exchange(Itla, [*connect(), put(0x90, 2)]) as laser:
            await laser.connect()
            with pytest.raises(Refused, match="accepted are dither, no dither, whisper"):
                await laser.set_low_noise("loud")
            await laser.apply({"low_noise": "whisper"})
        async with expected_exchange(Itla, connect(mode=False)) as laser:
            await laser.connect()
            with pytest.raises(Refused, match="no low-noise modes"):
                await laser.apply({"low_noise": "whisper"})

    run_virtual(scenario())


def test_a_request_that_was_not_understood_is_sent_again() -> None:
    lost = (packet(0, 0x32), packet(0x0D, 0x32))

    async def scenario() -> None:
        async with expected_exchange(Itla, [lost, lost, ask(0x32, 8)]) as laser:
            assert await laser.emission()
        async with expected_exchange(Itla, [lost] * 3) as laser:
            with pytest.raises(ProtocolError, match="did not understand any of 3"):
                await laser.emission()

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x14\x32\x00\x08", "fails its checksum"),
        (packet(0x04, 0x31, 8), "of another register"),
        (packet(0x07, 0x32, 8), "status 3"),
    ],
)
def test_damaged_answers_show_their_bytes_and_poison(raw: bytes, words: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(Itla, [(packet(0, 0x32), raw)]) as laser:
            with pytest.raises(ProtocolError, match=words):
                await laser.ping()
            with pytest.raises(NotConnected):
                await laser.ping()

    run_virtual(scenario())


def test_half_an_answer_is_a_timeout() -> None:
    async def scenario() -> None:
        async with expected_exchange(Itla, [(packet(0, 0x32), b"\x44\x32\x00")]) as laser:
            with pytest.raises(Timeout):
                await laser.ping()

    run_virtual(scenario())


def test_options_are_refused() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(ValueError, match="it has no options"):
                Itla(link, {"baud": 9600})

    run_virtual(scenario())
