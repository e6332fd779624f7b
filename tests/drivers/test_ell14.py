"""The wave-plate analyzer against the Elliptec packets, and its angles against Jones calculus."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from drivers.devices import Basis
from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.links.base import Link
from drivers.optics.ell14 import ANGLES_DEG, WaveplateAnalyzer
from drivers.plugin import wrong_box
from drivers.testing import FarEnd, ScriptedTransport, expected_exchange, memory_link
from timing.loop import run_virtual

INFO = b"IN0E1140011720231501016800023000\r\n"
CONNECT = [
    (b"0in", b"0" + INFO),
    (b"1in", b"1IN0E1140011820231501016800023000\r\n"),
    (b"0gs", b"0GS00\r\n"),
    (b"1gs", b"1GS00\r\n"),
    (b"0ho0", None),
    (b"1ho0", b"0GS09\r\n1PO00000000\r\n0POFFFFFFFE\r\n"),
]
# 45 degrees are 17920 = 0x4600 counts of 143360 a turn, 22.5 degrees 8960 = 0x2300.
AT_X = [(b"0gp", b"0PO00004601\r\n"), (b"1gp", b"1PO000022FF\r\n")]


def test_connect_finds_and_homes_both_mounts() -> None:
    async def scenario() -> None:
        async with expected_exchange(WaveplateAnalyzer, CONNECT) as analyzer:
            who = await analyzer.connect()
            assert who.serial == "11400117+11400118"
            assert wrong_box(WaveplateAnalyzer.manifest, who, None) == ""

    run_virtual(scenario())


def test_both_plates_move_at_the_same_time_and_are_checked() -> None:
    script = [
        *CONNECT,
        (b"0ma00004600", None),
        (b"1ma00002300", b"1GS09\r\n1PO00002300\r\n0PO00004600\r\n"),
        *AT_X,
        *AT_X,
    ]

    async def scenario() -> None:
        async with expected_exchange(WaveplateAnalyzer, script) as analyzer:
            await analyzer.connect()
            await analyzer.set_basis("X")
            assert await analyzer.basis() == "X"

    run_virtual(scenario())


def test_mechanical_zeros_and_addresses_come_from_the_options() -> None:
    # 350 + 45 = 35 degrees: 13938 = 0x3672; 10 + 22.5 degrees: 12942 = 0x328E
    script = [
        (b"Ama00003672", None),
        (b"7ma0000328E", b"7PO0000328E\r\nAPO00003672\r\n"),
        (b"Agp", b"APO00003672\r\n"),
        (b"7gp", b"7PO0000328E\r\n"),
        (b"Agp", b"APO00003672\r\n"),
        (b"7gp", b"7PO0000328E\r\n"),
    ]
    options = {"qwp_address": "a", "hwp_address": "7", "qwp_zero_deg": 350, "hwp_zero_deg": 10.0}

    async def scenario() -> None:
        async with expected_exchange(WaveplateAnalyzer, script, options=options) as analyzer:
            await analyzer.set_basis("X")
            shown = await analyzer.readings()
            assert shown["qwp_deg"] == pytest.approx(45, abs=0.01)
            assert shown["hwp_deg"] == pytest.approx(22.5, abs=0.01)

    run_virtual(scenario())


def test_a_plate_that_stopped_short_is_moved_once_more() -> None:
    short = (b"0gp", b"0PO00004500\r\n")
    begin = [
        (b"0ma00004600", None),
        (b"1ma00002300", b"1PO00002300\r\n0PO00004500\r\n"),
        short,
        AT_X[1],
        (b"0ma00004600", b"0PO00004600\r\n"),
    ]

    async def scenario() -> None:
        async with expected_exchange(WaveplateAnalyzer, [*begin, *AT_X]) as analyzer:
            await analyzer.set_basis("X")
        async with expected_exchange(
            WaveplateAnalyzer, [*begin, short, AT_X[1], short]
        ) as analyzer:
            with pytest.raises(InstrumentError, match=r"qwp mount stands at 44.36 degrees instead"):
                await analyzer.set_basis("X")

    run_virtual(scenario())


def test_a_blocked_mount_says_so() -> None:
    script = [
        (b"0ma00000000", None),
        (b"1ma00000000", b"0GS02\r\n1PO00000000\r\n"),
        (b"0gp", b"0PO00004600\r\n"),
        (b"1gp", b"1PO00000000\r\n"),
        (b"0ma00000000", b"0GS02\r\n"),
        (b"0gp", b"0PO00004600\r\n"),
        (b"1gp", b"1PO00000000\r\n"),
    ]

    async def scenario() -> None:
        async with expected_exchange(WaveplateAnalyzer, script) as analyzer:
            with pytest.raises(InstrumentError, match="mount 0: mechanical time-out") as caught:
                await analyzer.set_basis("Z")
            assert caught.value.code == 2

    run_virtual(scenario())


@pytest.mark.parametrize("on_the_bus", [b"1PO00002300\r\n", b"10PPOO0000002345\r\n"])
def test_a_reply_lost_on_the_bus_is_made_good_by_asking(on_the_bus: bytes) -> None:
    script = [
        (b"0ma00004600", None),
        (b"1ma00002300", on_the_bus),
        (b"0gs", b"0GS09\r\n"),
        (b"0gs", b"0GS00\r\n"),
        (b"1gs", b"1GS00\r\n"),
        *AT_X,
    ]

    async def scenario() -> None:
        async with expected_exchange(WaveplateAnalyzer, script) as analyzer:
            await analyzer.set_basis("X")
            assert analyzer.lost_replies == 1
            assert asyncio.get_running_loop().time() < 2.5

    run_virtual(scenario())


def test_one_at_a_time_waits_for_each_reply() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            analyzer = WaveplateAnalyzer(link, {"one_at_a_time": True})
            moving = asyncio.create_task(analyzer.set_basis("X"))
            await far.expect(b"0ma00004600")
            await asyncio.sleep(0.3)
            await far.write(b"0PO00004600\r\n")
            await far.expect(b"1ma00002300")
            await far.write(b"1PO00002300\r\n")
            for sent, reply in AT_X:
                await far.expect(sent)
                await far.write(reply)
            await moving

    run_virtual(scenario())


def test_ping_does_not_disturb_a_move_and_a_cancelled_move_is_settled_first() -> None:
    async def answer(far: FarEnd, *exchanges: tuple[bytes, bytes]) -> None:
        for sent, reply in exchanges:
            await far.expect(sent)
            await far.write(reply)

    async def scenario() -> None:
        async with memory_link() as (link, far):
            analyzer = WaveplateAnalyzer(link)
            moving = asyncio.create_task(analyzer.set_basis("X"))
            await far.expect(b"0ma000046001ma00002300")
            await analyzer.ping()
            moving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await moving
            again = asyncio.create_task(analyzer.set_basis("X"))
            await far.write(b"1PO00002300\r\n0PO00004600\r\n")
            await answer(far, (b"0gs", b"0GS00\r\n"), (b"1gs", b"1GS00\r\n"))
            await answer(far, (b"0ma000046001ma00002300", b"0PO00004600\r\n1PO00002300\r\n"))
            await answer(far, *AT_X)
            await again

    run_virtual(scenario())


def test_connect_gets_through_half_a_command_and_names_an_absent_mount() -> None:
    async def half_a_command() -> None:
        async with memory_link() as (link, far):
            connecting = asyncio.create_task(WaveplateAnalyzer(link).connect())
            await far.write(b"0PO0000")  # the end of a reply of an earlier life
            await far.expect(b"0in")
            await asyncio.sleep(0.5)
            await far.write(b"0GS03\r\n")
            for sent, reply in CONNECT:
                await far.expect(sent)
                await far.write(reply or b"")
            assert (await connecting).serial == "11400117+11400118"

    async def absent() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(Timeout, match="no qwp mount answers at address 0"):
                await WaveplateAnalyzer(link).connect()

    run_virtual(half_a_command())
    run_virtual(absent())


def test_another_kind_of_stage_is_not_taken_for_a_mount() -> None:
    async def scenario() -> None:
        slider = (b"0in", b"0IN091140011720231501001F00000001\r\n")
        async with expected_exchange(WaveplateAnalyzer, [slider]) as analyzer:
            with pytest.raises(InstrumentError, match="is an ELL9"):
                await analyzer.connect()

    run_virtual(scenario())


@pytest.mark.parametrize(
    "reply", [b"0PO123\r\n", b"hello\r\n", b"\xff\x00\r\n", b"0po00000000\r\n"]
)
def test_a_malformed_reply_shows_its_bytes(reply: bytes) -> None:
    async def scenario() -> None:
        async with expected_exchange(WaveplateAnalyzer, [(b"0gp", reply)]) as analyzer:
            with pytest.raises(ProtocolError) as caught:
                await analyzer.basis()
            assert caught.value.raw == reply.removesuffix(b"\r\n")

    run_virtual(scenario())


def test_between_two_bases_it_stands_at_none_and_half_a_turn_is_the_same() -> None:
    # 180 degrees are 0x11800 counts, 202.5 degrees 0x13B00; the qwp is 0.5 degree off at last.
    script = [
        (b"0gp", b"0PO00011800\r\n"),
        (b"1gp", b"1PO00013B00\r\n"),
        (b"0gp", b"0PO000000C8\r\n"),
        (b"1gp", b"1PO00000000\r\n"),
    ]

    async def scenario() -> None:
        async with expected_exchange(WaveplateAnalyzer, script) as analyzer:
            assert await analyzer.basis() == "Y"
            assert await analyzer.basis() is None

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("basis", "ket"), [("Z", (1, 0)), ("X", (1, 1)), ("Y", (1, -1j))], ids=["Z", "X", "Y"]
)
def test_the_transmitted_port_projects_as_documented(
    basis: Basis, ket: tuple[complex, ...]
) -> None:
    qwp_deg, hwp_deg = ANGLES_DEG[basis]
    plates = retarder(hwp_deg, -1) @ retarder(qwp_deg, 1j)
    state = np.array(ket) / np.linalg.norm(ket)
    orthogonal = np.array([-state[1].conjugate(), state[0].conjugate()])
    assert abs(plates[0] @ state) ** 2 == pytest.approx(1)
    assert abs(plates[1] @ orthogonal) ** 2 == pytest.approx(1)


def retarder(angle_deg: float, phase: complex) -> np.ndarray[Any, np.dtype[np.complex128]]:
    turn = np.deg2rad(angle_deg)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return rotation @ np.diag([1, phase]) @ rotation.T


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"qwp_adress": "0"}, "unknown options qwp_adress"),
        ({"qwp_address": "G"}, "'0' to 'F'"),
        ({"qwp_address": 0}, "'0' to 'F'"),
        ({"hwp_address": "0"}, "both '0'"),
        ({"hwp_zero_deg": 400}, "-360 to 360"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        WaveplateAnalyzer(Link(ScriptedTransport([]), owner="test"), options)


def test_an_unknown_basis_is_refused() -> None:
    wrong: Callable[[Any], Any] = WaveplateAnalyzer(
        Link(ScriptedTransport([]), owner="test")
    ).set_basis
    with pytest.raises(Refused, match="accepted are Z, X, Y"):
        run_virtual(wrong("W"))
