"""Bytes of hosts and subroutines, against the netqasm package that writes and reads them."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netqasm.backend import messages as sdk
from netqasm.lang.encoding import RegisterName
from netqasm.lang.instr import flavour as sdk_flavour
from netqasm.lang.operand import Address, ArrayEntry, ArraySlice, Immediate, Register
from netqasm.lang.subroutine import Subroutine

from qnodeos.process import host_messages as hm
from qnodeos.process.commands import (
    BadSubroutine,
    Command,
    Flavour,
    decode,
    register_name,
    table,
)

SDK_FLAVOURS: dict[Flavour, Any] = {
    "vanilla": sdk_flavour.VanillaFlavour(),
    "nv": sdk_flavour.NVFlavour(),
    "trapped-ion": sdk_flavour.TrappedIonFlavour(),
}


@pytest.mark.parametrize("flavour", list(SDK_FLAVOURS))
def test_the_opcodes_are_those_of_the_sdk(flavour: Flavour) -> None:
    theirs = SDK_FLAVOURS[flavour]
    known = {instr.id: instr.mnemonic for instr in theirs.id_map.values() if instr.id >= 0}
    assert {code: name for code, (name, _) in table(flavour).items()} == known


def register(number: int) -> Register:
    return Register(RegisterName(number >> 4), number & 15)


def operands(kinds: str, values: list[int]) -> list[Any]:
    """Our flat operands as the SDK's objects: an address with registers behind it is one."""
    if kinds.endswith("ar"):
        address, index = values[-2:]
        return [*operands(kinds[:-2], values[:-2]), ArrayEntry(Address(address), register(index))]
    if kinds == "arr":
        return [ArraySlice(Address(values[0]), register(values[1]), register(values[2]))]
    made = {"r": register, "i": Immediate, "a": int}
    return [made[kind](value) for kind, value in zip(kinds, values, strict=True)]


@pytest.mark.parametrize("flavour", list(SDK_FLAVOURS))
@given(data=st.data())
def test_every_command_of_the_sdk_is_read_as_it_was_meant(flavour: Flavour, data: Any) -> None:
    code = data.draw(st.sampled_from(sorted(table(flavour))))
    name, kinds = table(flavour)[code]
    values = [
        data.draw(
            st.integers(0, 63)
            if kind == "r"
            else st.integers(0, 255)
            if kind == "i"
            else st.integers(-(2**31), 2**31 - 1)
        )
        for kind in kinds
    ]
    instruction = SDK_FLAVOURS[flavour].id_map[code]
    wrapped = [
        Address(each) if isinstance(each, int) and name in ("array", "lea", "ret_arr", "meas_all")
        else Immediate(each) if isinstance(each, int)
        else each
        for each in operands(kinds, values)
    ]  # fmt: skip
    raw = instruction.from_operands(wrapped).serialize()
    assert len(raw) == 7
    _, commands = decode(struct.pack("<BBH", 0, 10, 5) + raw, flavour)
    assert commands == [Command(name, tuple(values))]


def test_a_subroutine_has_the_application_that_it_is_of() -> None:
    raw = bytes(Subroutine(instructions=[], arguments=[], app_id=7))
    assert decode(raw, "vanilla") == (7, [])


def test_registers_have_the_names_that_people_know() -> None:
    assert [register_name(each) for each in (0, 17, 35, 63)] == ["R0", "C1", "Q3", "M15"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "a subroutine of 0 bytes"),
        (b"\x00\x0a\x00\x00\x01", "a subroutine of 5 bytes"),
        (b"\x01\x00\x00\x00", "NetQASM 1.0, this node runs 0.10"),
        (b"\x00\x0a\x00\x00\xfe" + bytes(6), "command 0: no opcode 254 in flavour vanilla"),
        (b"\x00\x0a\x00\x00\x01\xff" + bytes(5), "command 0: 0xff is no register"),
    ],
)
def test_a_bad_subroutine_is_named(data: bytes, says: str) -> None:
    with pytest.raises(BadSubroutine, match=says):
        decode(data, "vanilla")


@given(st.binary(max_size=200), st.sampled_from(list(SDK_FLAVOURS)))
def test_any_bytes_are_a_subroutine_or_refused(data: bytes, flavour: Flavour) -> None:
    try:
        _, commands = decode(data, flavour)
    except BadSubroutine:
        return
    assert len(commands) == (len(data) - 4) // 7


U32, I32 = st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1)


@given(U32, st.integers(0, 255))
def test_a_new_program(app: int, most: int) -> None:
    assert hm.decode(bytes(sdk.InitNewAppMessage(app, most))) == hm.InitNewApp(app, most)


@given(U32, I32, I32, I32, st.integers(0, 255))
def test_an_epr_socket(app: int, socket: int, node: int, far: int, percent: int) -> None:
    raw = bytes(sdk.OpenEPRSocketMessage(app, socket, node, far, percent))
    assert hm.decode(raw) == hm.OpenEprSocket(app, socket, node, far, percent)


@given(U32, st.binary(max_size=50))
def test_the_other_messages_of_a_host(app: int, data: bytes) -> None:
    assert hm.decode(bytes(sdk.StopAppMessage(app))) == hm.StopApp(app)
    assert hm.decode(bytes(sdk.SubroutineMessage(data))) == hm.RunSubroutine(data)
    assert hm.decode(bytes(sdk.SignalMessage())) == hm.StopBackend()


def test_the_bytes_of_the_notes() -> None:
    raw = bytes.fromhex("00 00 00 00 01 00 00 00 03 00 00 00")
    assert hm.decode(raw) == hm.InitNewApp(1, 3)


@given(st.binary(max_size=64))
def test_any_message_is_read_or_refused(data: bytes) -> None:
    try:
        hm.decode(data)
    except hm.BadMessage:
        return
    assert data[0] in (0, 1, 2, 3, 4, 128)


@given(U32, st.integers(0, 63), I32)
def test_the_sdk_reads_what_is_returned(number: int, register_number: int, value: int) -> None:
    told = sdk.deserialize_return_msg(hm.done(number))
    assert isinstance(told, sdk.MsgDoneMessage)
    assert told.msg_id == number
    told = sdk.deserialize_return_msg(hm.returned_register(register_number, value))
    assert told.value == value
    assert Register.from_raw(told.register) == register(register_number)
    told = sdk.deserialize_return_msg(hm.error(hm.NO_QUBIT))
    assert sdk.ErrorCode(told.err_code) is sdk.ErrorCode.NO_QUBIT


@given(I32, st.lists(st.none() | I32, max_size=20))
def test_the_sdk_reads_an_array(address: int, values: list[int | None]) -> None:
    raw = hm.returned_array(address, values)
    assert len(raw) == 9 + 8 * len(values)
    told = sdk.deserialize_return_msg(raw)
    assert told.address == address
    # The SDK reads an undefined cell as 0, a trap that our own connection class avoids.
    assert told.values == [value or 0 for value in values]
