"""The DLC pro driver against the forms of the vendor's command line."""

import asyncio

import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.lasers.dlcpro import DlcPro
from drivers.links.base import Link
from drivers.plugin import wrong_box
from drivers.testing import ScriptedTransport, expected_exchange
from timing.loop import run_virtual

GREETING = (b"", b"\r\nWelcome to DLCpro\r\nDeCoF Command Line\r\n> ")


def ref(key: str, value: bytes) -> tuple[bytes, bytes]:
    return f"(param-ref '{key})\n".encode(), value + b"\n> "


def put(key: str, value: str, status: bytes = b"0") -> tuple[bytes, bytes]:
    return f"(param-set! '{key} {value})\n".encode(), status + b"\n> "


ENABLED = "laser1:dl:cc:enabled"
CURRENT_SET = "laser1:dl:cc:current-set"
CONNECT = [
    GREETING,
    ref("serial-number", b'"DLC PRO_024817"'),
    ref("fw-ver", b'"3.2.0"'),
    ref("laser1:dl:cc:current-clip", b"120.0"),
]
FREE = [
    ref("interlock-open", b"#f"),
    ref("frontkey-locked", b"#f"),
    ref("emission-button-enabled", b"#t"),
]


def test_connect_reads_the_greeting_and_the_identity() -> None:
    async def scenario() -> None:
        async with expected_exchange(DlcPro, CONNECT) as laser:
            who = await laser.connect()
            assert who.serial == "DLC PRO_024817"
            assert who.firmware == "3.2.0"
            assert wrong_box(DlcPro.manifest, who, "DLC PRO_024817") == ""

    run_virtual(scenario())


def test_a_user_level_is_changed_only_with_a_password() -> None:
    script = [GREETING, (b'(exec \'change-ul 2 "a\\"b")\n', b"2\n> "), *CONNECT[1:]]

    async def scenario() -> None:
        options = {"user_level": 2, "user_password": 'a"b'}
        async with expected_exchange(DlcPro, script, options=options) as laser:
            await laser.connect()
        refused = [GREETING, (b'(exec \'change-ul 2 "x")\n', b"3\n> ")]
        async with expected_exchange(DlcPro, refused, options={"user_password": "x"}) as laser:
            with pytest.raises(InstrumentError, match="check user_password") as caught:
                await laser.connect()
            assert '"x"' not in str(caught.value)

    run_virtual(scenario())


def test_the_last_line_of_a_reply_counts() -> None:
    script = [
        ref("laser1:dl:cc:current-act", b"warming up\r\nstill warming\r\n89.93\r"),
        put(CURRENT_SET, "50.0", b"note: limited soon\n2"),
    ]

    async def scenario() -> None:
        async with expected_exchange(DlcPro, script) as laser:
            assert await laser.current_ma() == 89.93
            await laser.set_current_ma(50)

    run_virtual(scenario())


def test_errors_of_the_laser_carry_code_and_text() -> None:
    script = [
        ref("laser1:ctl:wavelength-act", b"Error: -23 no such parameter"),
        put(CURRENT_SET, "50.0", b"-3"),
        ref("emission", b"#t"),
        ref(ENABLED, b"#t"),
    ]

    async def scenario() -> None:
        async with expected_exchange(DlcPro, script) as laser:
            with pytest.raises(InstrumentError, match="-23: no such parameter"):
                await laser.wavelength_nm()
            with pytest.raises(InstrumentError, match=r"-3: .*current-set"):
                await laser.set_current_ma(50.0)
            assert await laser.emission()  # an error of the laser does not stop the talk

    run_virtual(scenario())


def test_settings_set_the_current_before_the_light() -> None:
    script = [
        *CONNECT,
        put(CURRENT_SET, "90.0"),
        *FREE,
        put(ENABLED, "#t"),
        ref("emission", b"#f"),
        ref("emission", b"#t"),
        ref(ENABLED, b"#t"),
    ]

    async def scenario() -> None:
        async with expected_exchange(DlcPro, script) as laser:
            await laser.connect()
            await laser.apply({"emission": True, "current_ma": 90.0})

    run_virtual(scenario())


def test_the_current_has_the_range_of_clip_and_option() -> None:
    async def scenario() -> None:
        async with expected_exchange(DlcPro, CONNECT, options={"max_current_ma": 100}) as laser:
            await laser.connect()
            for wrong in (100.5, -1.0, float("nan"), True, "90"):
                with pytest.raises(Refused, match="0 to 100 mA"):
                    await laser.set_current_ma(wrong)
        old = [*CONNECT[:3], ref("laser1:dl:cc:current-clip", b"Error: -23 unknown")]
        async with expected_exchange(DlcPro, old) as laser:
            await laser.connect()
            with pytest.raises(Refused, match="0 to 500 mA"):
                await laser.set_current_ma(501)

    run_virtual(scenario())


def test_light_needs_the_lease_and_a_closed_interlock() -> None:
    async def scenario() -> None:
        async with expected_exchange(DlcPro, [], armed=False) as laser:
            with pytest.raises(Refused, match="arming lease"):
                await laser.set_emission(True)
        for bad, match in ((0, "interlock is open"), (1, "front key"), (2, "emission button")):
            wrong = ref("", b"#f" if bad == 2 else b"#t")[1]
            script = [*FREE[:bad], (FREE[bad][0], wrong)]
            async with expected_exchange(DlcPro, script) as laser:
                with pytest.raises(InstrumentError, match=match):
                    await laser.set_emission(True)

    run_virtual(scenario())


def test_the_safe_state_is_read_back() -> None:
    script = [
        put(ENABLED, "#f"),
        ref(ENABLED, b"#t"),
        ref(ENABLED, b"#f"),
        ref("emission", b"#t"),  # a second laser of the controller
        ref("laser1:dl:cc:current-act", b"0.02"),
    ]

    async def scenario() -> None:
        async with expected_exchange(DlcPro, script, armed=False) as laser:
            await laser.enter_safe_state()

    run_virtual(scenario())


def test_a_laser_that_stays_on_is_told() -> None:
    stays_on = [put(ENABLED, "#f"), *[ref(ENABLED, b"#t")] * 100]
    transport = ScriptedTransport(stays_on)

    async def scenario() -> None:
        link = Link(transport, owner="alice/pump")
        await link.open()
        with pytest.raises(Timeout, match=r"alice/pump.*not dark after 2 s"):
            await DlcPro(link).enter_safe_state()
        assert asyncio.get_running_loop().time() < 2.5
        await link.close()

    run_virtual(scenario())


def test_readings_name_their_units_and_leave_out_what_the_head_does_not_tell() -> None:
    script = [
        ref("emission", b"#f"),
        ref("laser1:dl:cc:current-act", b"0.0"),
        ref(CURRENT_SET, b"90.0"),
        ref("interlock-open", b"#f"),
        ref("frontkey-locked", b"#t"),
        ref("system-health-txt", b'"Error: 5 of 6 fans"'),
        ref("laser1:ctl:wavelength-act", b"Error: -23 unknown"),
    ]

    async def scenario() -> None:
        async with expected_exchange(DlcPro, script) as laser:
            assert await laser.readings() == {
                "emission": False,
                "current_ma": 0.0,
                "current_set_ma": 90.0,
                "interlock_open": False,
                "frontkey_locked": True,
                "health": "Error: 5 of 6 fans",
            }

    run_virtual(scenario())


@pytest.mark.parametrize("reply", [b"#true", b"", b"\x00\xff", b"1"])
def test_a_malformed_reply_shows_its_bytes_and_poisons(reply: bytes) -> None:
    async def scenario() -> None:
        async with expected_exchange(DlcPro, [ref("emission", reply)]) as laser:
            with pytest.raises(ProtocolError) as caught:
                await laser.ping()
            assert caught.value.raw == reply
            assert not laser.link.usable

    run_virtual(scenario())


@pytest.mark.parametrize(
    "options",
    [{"max_current": 1}, {"max_current_ma": -1}, {"user_level": 0}, {"max_current_ma": True}],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        DlcPro(Link(ScriptedTransport([]), owner="test"), options)
