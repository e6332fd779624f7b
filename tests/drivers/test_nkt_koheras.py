"""The Koheras driver against telegrams: those of QMI's encoder, and made ones with their CRC."""

from __future__ import annotations

import asyncio
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.lasers.nkt_interbus import Telegram, Telegrams, crc16
from drivers.lasers.nkt_koheras import KoherasBasik
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange, memory_link
from timing.loop import run_virtual

READ, WRITE, DATAGRAM, ACK, NACK, BUSY = 4, 5, 8, 3, 0, 2
Line = tuple[bytes, bytes | None]


def wire(*body: int) -> bytes:
    """A telegram, with the CRC of the standard library."""
    raw = bytes(body) + binascii.crc_hqx(bytes(body), 0).to_bytes(2, "big")
    for special in (0x5E, 0x0D, 0x0A):
        raw = raw.replace(bytes([special]), bytes([0x5E, special + 0x40]))
    return b"\x0d" + raw + b"\x0a"


def ask(n: int, register: int, *data: int) -> Line:
    """Request number n of a driver, and the datagram that answers it."""
    host = 161 + n
    return wire(1, host, READ, register), wire(host, 1, DATAGRAM, register, *data)


def put(n: int, register: int, *data: int, kind: int = ACK) -> Line:
    host = 161 + n
    return wire(1, host, WRITE, register, *data), wire(host, 1, kind, register)


def connect() -> list[Line]:
    return [
        (b"\n", None),
        ask(0, 0x61, 0x33),
        ask(1, 0x65, *b"K1234567"),
        ask(2, 0x32, *(15_501_200).to_bytes(4, "little")),
    ]


def test_telegrams_are_those_of_qmi() -> None:
    # Encoded by qmi 0.54.2, nkt_photonics_interbus_protocol.
    minus = (-130).to_bytes(2, "little", signed=True)
    golden = {
        "0d01a104614c5b0a": Telegram(1, 161, READ, 0x61),
        "0d01a1053001c8d70a": Telegram(1, 161, WRITE, 0x30, b"\x01"),
        "0d01a1052a7eff5e4d710a": Telegram(1, 161, WRITE, 0x2A, minus),
        "0d01a105225e4d5e4a46600a": Telegram(1, 161, WRITE, 0x22, b"\r\n"),
        "0d5e9ea105225e9e5e4dd8fc0a": Telegram(94, 161, WRITE, 0x22, b"^\r"),
    }
    for text, telegram in golden.items():
        raw = bytes.fromhex(text)
        assert telegram.encode() == raw
        assert Telegram.decode(raw[1:-1]) == telegram


@given(st.binary(max_size=240), st.integers(1, 160), st.integers(161, 255))
def test_telegrams_survive_any_data(data: bytes, module: int, host: int) -> None:
    raw = Telegram(module, host, WRITE, 0x22, data).encode()
    assert raw.count(b"\r") == raw.count(b"\n") == 1
    inside = Telegrams().take(bytearray(b"\xffnoise" + raw))
    assert inside is not None
    assert Telegram.decode(inside).data == data
    assert crc16(data) == binascii.crc_hqx(data, 0)


@given(st.binary(max_size=30), st.data())
def test_one_damaged_byte_is_found(data: bytes, draw: st.DataObject) -> None:
    raw = bytearray(Telegram(1, 161, WRITE, 0x22, data).encode())[1:-1]
    at = draw.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        Telegram.decode(bytes(raw))


def test_connect_tells_type_and_serial_number() -> None:
    async def scenario() -> None:
        async with expected_exchange(KoherasBasik, connect()) as laser:
            who = await laser.connect()
            assert who.serial == "K1234567"
            assert wrong_box(KoherasBasik.manifest, who, "K1234567") == ""
            assert "K7654321" in wrong_box(KoherasBasik.manifest, who, "K7654321")

    run_virtual(scenario())


def test_another_module_is_not_driven() -> None:
    script = [(b"\n", None), ask(0, 0x61, 0x20)]

    async def scenario() -> None:
        async with expected_exchange(KoherasBasik, script) as laser:
            with pytest.raises(InstrumentError, match="type 20h, expected is a BASIK"):
                await laser.connect()

    run_virtual(scenario())


def test_emission_is_switched_on_armed_with_interlock_and_read_back() -> None:
    script = [
        *connect(),
        ask(3, 0x66, 0x00, 0x40),
        put(4, 0x30, 1),
        ask(5, 0x66, 0x00, 0x08),
        ask(6, 0x66, 0x01, 0x40),
    ]

    async def scenario() -> None:
        async with expected_exchange(KoherasBasik, script) as laser:
            await laser.connect()
            await laser.set_emission(True)
        async with expected_exchange(KoherasBasik, connect(), armed=False) as laser:
            await laser.connect()
            with pytest.raises(Refused, match="arming lease"):
                await laser.set_emission(True)
        async with expected_exchange(KoherasBasik, [*connect(), ask(3, 0x66, 0x02, 0x80)]) as laser:
            await laser.connect()
            with pytest.raises(InstrumentError, match="interlock is off"):
                await laser.set_emission(True)

    run_virtual(scenario())


def test_the_safe_state_is_off_and_seen_to_be_off() -> None:
    script = [put(0, 0x30, 0), ask(1, 0x66, 0x01, 0x40), ask(2, 0x66, 0x00, 0x40)]
    stuck = [put(0, 0x30, 0), *(ask(n, 0x66, 0x01, 0x40) for n in range(1, 42))]

    async def scenario() -> None:
        async with expected_exchange(KoherasBasik, script) as laser:
            await laser.enter_safe_state()
        async with expected_exchange(KoherasBasik, stuck) as laser:
            with pytest.raises(Timeout, match="open its interlock"):
                await laser.enter_safe_state()

    run_virtual(scenario())


def test_set_points_have_a_range_and_are_read_back() -> None:
    script = [
        *connect(),
        put(3, 0x22, 0xED, 0x03),
        ask(4, 0x22, 0xED, 0x03),
        put(5, 0x22, 0xA0, 0x0F),
        ask(6, 0x22, 0x88, 0x13),
        put(7, 0x22, 0xA0, 0x0F, kind=NACK),
    ]
    options = {"max_power_mw": 40.0, "max_offset_pm": 300.0}

    async def scenario() -> None:
        async with expected_exchange(KoherasBasik, script, options=options) as laser:
            await laser.connect()
            await laser.set_power_mw(10.05)
            with pytest.raises(InstrumentError, match="set to 4000 and reads 5000"):
                await laser.set_power_mw(40.0)
            with pytest.raises(InstrumentError, match="NACK: register 22h is not written"):
                await laser.set_power_mw(40.0)
            with pytest.raises(Refused, match="accepted are 0 to 40 mW"):
                await laser.set_power_mw(40.1)
            with pytest.raises(Refused, match=r"accepted are 1549\.82 to 1550\.42 nm"):
                await laser.set_wavelength_nm(1549.8)
            with pytest.raises(Refused, match="unknown settings power; there are power_mw"):
                await laser.apply({"power": 1.0})
            with pytest.raises(Refused, match="emission = 1, expected true or false"):
                await laser.apply({"power_mw": 1.0, "emission": 1})

    run_virtual(scenario())


def test_tuning_returns_when_the_offset_is_reached() -> None:
    minus = (-1300).to_bytes(2, "little", signed=True)
    script = [
        *connect(),
        put(3, 0x2A, *minus),
        ask(4, 0x2A, *minus),
        ask(5, 0x72, *(-200).to_bytes(4, "little", signed=True)),
        ask(6, 0x72, *(-1295).to_bytes(4, "little", signed=True)),
        ask(7, 0x72, *(-1300).to_bytes(2, "little", signed=True)),
    ]

    async def scenario() -> None:
        async with expected_exchange(KoherasBasik, script) as laser:
            await laser.connect()
            await laser.set_wavelength_nm(1549.99)
            assert await laser.wavelength_nm() == pytest.approx(1549.99)

    run_virtual(scenario())


def test_a_skipped_request_is_sent_again_from_another_address_and_its_late_answer_dropped() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, box):
            laser = KoherasBasik(link)
            asking = asyncio.create_task(laser.power_mw())
            await box.expect(wire(1, 161, READ, 0x17))
            await box.expect(wire(1, 162, READ, 0x17))  # nobody answered
            await box.write(wire(162, 1, DATAGRAM, 0x17, 0xE8, 0x03))
            assert await asking == 10.0
            # The answer to the first try comes now, and says something else.
            await box.write(wire(161, 1, DATAGRAM, 0x17, 0x01, 0x00))
            asking = asyncio.create_task(laser.power_mw())
            await box.expect(wire(1, 163, READ, 0x17))
            await asyncio.sleep(0.01)
            assert not asking.done()
            await box.write(wire(163, 1, DATAGRAM, 0x17, 0xD0, 0x07))
            assert await asking == 20.0
            assert link.usable

    run_virtual(scenario())


def test_busy_damaged_and_foreign_answers_are_not_taken() -> None:
    good = wire(164, 1, DATAGRAM, 0x17, 0xE8, 0x03)
    damaged = bytearray(wire(163, 1, DATAGRAM, 0x17, 0xE8, 0x03))
    damaged[5] ^= 0x01

    async def scenario() -> None:
        async with memory_link() as (link, box):
            laser = KoherasBasik(link)
            asking = asyncio.create_task(laser.power_mw())
            await box.expect(wire(1, 161, READ, 0x17))
            await box.write(wire(161, 1, BUSY, 0x17))
            await box.expect(wire(1, 162, READ, 0x17))
            await box.write(wire(161, 2, DATAGRAM, 0x17, 0, 0))  # another module
            await box.write(wire(162, 1, DATAGRAM, 0x1C, 0, 0))  # another register
            await box.expect(wire(1, 163, READ, 0x17))
            await box.write(b"\xff\x00\n" + bytes(damaged))
            await box.expect(wire(1, 164, READ, 0x17))
            await box.write(good[:5])
            await box.write(good[5:])
            assert await asking == 10.0

    run_virtual(scenario())


def test_silence_is_a_timeout_after_which_nothing_is_asked() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            laser = KoherasBasik(link)
            with pytest.raises(Timeout, match="did not answer any of 10 requests"):
                await laser.ping()
            assert asyncio.get_running_loop().time() == pytest.approx(1.5)
            with pytest.raises(NotConnected):
                await laser.ping()

    run_virtual(scenario())


def test_data_of_another_length_shows_its_bytes() -> None:
    async def scenario() -> None:
        async with expected_exchange(KoherasBasik, [ask(0, 0x66, 1, 2, 3)]) as laser:
            with pytest.raises(ProtocolError, match="expected 2 bytes") as caught:
                await laser.ping()
            assert caught.value.raw == b"\x01\x02\x03"

    run_virtual(scenario())


@pytest.mark.parametrize(
    "options", [{"address": 0}, {"max_power_mw": -1}, {"max_offset_pm": 4000}, {"power": 1}]
)
def test_wrong_options(options: dict[str, float]) -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(ValueError, match=next(iter(options))):
                KoherasBasik(link, options)

    run_virtual(scenario())
