"""The node's own codec of NetQASM against the SDK's serializer, and against hostile bytes."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netqasm.backend import messages as sdk
from netqasm.lang import encoding
from netqasm.lang.instr import core
from netqasm.lang.instr import flavour as sdk_flavours
from netqasm.lang.operand import Register
from netqasm.lang.parsing.text import parse_text_subroutine

from qnodeos.process.commands import (
    COMMAND_BYTES,
    Command,
    Flavour,
    decode_subroutine,
    register_name,
)
from qnodeos.process.errors import FrameError, ProcessError, SubroutineError
from qnodeos.process.host_messages import (
    ErrorCode,
    InitNewApp,
    OpenEprSocket,
    RunSubroutine,
    StopApp,
    StopBackend,
    decode_header,
    decode_host_message,
    encode_array,
    encode_done,
    encode_error,
    encode_register,
)

SDK_FLAVOURS: dict[Flavour, Any] = {
    Flavour.VANILLA: sdk_flavours.VanillaFlavour(),
    Flavour.NV: sdk_flavours.NVFlavour(),
    Flavour.TRAPPED_ION: sdk_flavours.TrappedIonFlavour(),
}
METADATA = bytes((0, 10, 7, 0))
u32 = st.integers(0, 2**32 - 1)
i32 = st.integers(-(2**31), 2**31 - 1)
u8 = st.integers(0, 255)


def sdk_operands(operands: list[Any]) -> tuple[int, ...]:
    """Operands of an SDK instruction as numbers, flattened in the order of its text."""
    numbers: list[int] = []
    for operand in operands:
        if isinstance(operand, Register):
            numbers.append(operand.name.value | operand.index << 2)
        elif hasattr(operand, "value"):
            numbers.append(operand.value)
        elif hasattr(operand, "start"):
            numbers += (operand.address.address, *sdk_operands([operand.start, operand.stop]))
        elif hasattr(operand, "index"):
            numbers += (operand.address.address, *sdk_operands([operand.index]))
        else:
            numbers.append(operand.address)
    return tuple(numbers)


@pytest.mark.parametrize("flavour", Flavour)
@given(data=st.data())
def test_every_command_reads_as_the_sdk_reads_it(flavour: Flavour, data: st.DataObject) -> None:
    instructions = SDK_FLAVOURS[flavour].id_map
    opcode = data.draw(st.sampled_from(sorted(instructions)))
    raw = bytes((opcode, *data.draw(st.lists(u8, min_size=6, max_size=6))))
    theirs = instructions[opcode].deserialize_from(raw)
    canonical = bytes(theirs.serialize())
    (ours,) = decode_subroutine(METADATA + canonical, flavour).commands
    assert ours == Command(theirs.mnemonic, sdk_operands(theirs.operands))


@pytest.mark.parametrize("flavour", Flavour)
def test_opcodes_are_those_of_the_sdk_and_no_others(flavour: Flavour) -> None:
    known = set(SDK_FLAVOURS[flavour].id_map)
    for opcode in range(256):
        raw = METADATA + bytes((opcode, *[0] * 6))
        if opcode in known:
            assert len(decode_subroutine(raw, flavour).commands) == 1
        else:
            with pytest.raises(SubroutineError, match=f"line 0: opcode {opcode} "):
                decode_subroutine(raw, flavour)


def test_a_subroutine_the_sdk_assembled() -> None:
    text = "# NETQASM 0.10\n# APPID 7\nset Q0 1\nqalloc Q0\ninit Q0\nrot_x Q0 3 2\nmeas Q0 M0\n"
    subroutine = decode_subroutine(
        bytes(parse_text_subroutine(text + "ret_reg M0\n")), Flavour.VANILLA
    )
    assert subroutine.app_id == 7
    names = [command.name for command in subroutine.commands]
    assert names == ["set", "qalloc", "init", "rot_x", "meas", "ret_reg"]
    qubit, numerator, exponent = subroutine.commands[3].operands
    assert (register_name(qubit), numerator, exponent) == ("Q0", 3, 2)


def test_one_opcode_is_two_gates_in_two_flavours() -> None:
    raw = METADATA + bytes((30, 2, 6, 1, 4, 0, 0))
    assert decode_subroutine(raw, Flavour.VANILLA).commands == (Command("cnot", (2, 6)),)
    assert decode_subroutine(raw, Flavour.NV).commands == (Command("crot_x", (2, 6, 1, 4)),)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "0 bytes"),
        (METADATA + bytes(COMMAND_BYTES + 1), "12 bytes"),
        (bytes((0, 9, 0, 0)), "version 0.9"),
        (METADATA + bytes((1, 0, 0, 0, 0, 0, 0, 250, 0, 0, 0, 0, 0, 0)), "line 1: opcode 250"),
        (METADATA + bytes((1, 64, 0, 0, 0, 0, 0)), "register byte 64"),
    ],
)
def test_a_hostile_subroutine_is_named(raw: bytes, said: str) -> None:
    with pytest.raises(SubroutineError, match=said):
        decode_subroutine(raw, Flavour.VANILLA)


@given(st.binary(max_size=200), st.sampled_from(Flavour))
def test_any_bytes_are_read_or_refused(raw: bytes, flavour: Flavour) -> None:
    for decode in (
        lambda: decode_subroutine(raw, flavour),
        lambda: decode_subroutine(METADATA + raw, flavour),
        lambda: decode_host_message(raw),
        lambda: decode_header(raw[:8], longest_bytes=64),
    ):
        with contextlib.suppress(ProcessError):  # any other exception fails the test
            decode()


@given(u32, u8)
def test_init_new_app(app_id: int, qubits: int) -> None:
    raw = bytes(sdk.InitNewAppMessage(app_id, qubits))
    assert decode_host_message(raw) == InitNewApp(app_id, qubits)


@given(u32, i32, i32, i32, u8)
def test_open_epr_socket(app: int, socket: int, node: int, far: int, percent: int) -> None:
    raw = bytes(sdk.OpenEPRSocketMessage(app, socket, node, far, percent))
    assert decode_host_message(raw) == OpenEprSocket(app, socket, node, far, percent)


@given(u32, st.binary(max_size=50))
def test_subroutine_stop_and_signal(app_id: int, subroutine: bytes) -> None:
    assert decode_host_message(bytes(sdk.SubroutineMessage(subroutine))) == RunSubroutine(
        subroutine
    )
    assert decode_host_message(bytes(sdk.StopAppMessage(app_id))) == StopApp(app_id)
    assert decode_host_message(bytes(sdk.SignalMessage())) == StopBackend()


@pytest.mark.parametrize("raw", [b"", b"\x05", b"\x00" * 11, b"\x03" * 9, b"\x04\x01"])
def test_a_frame_that_is_no_message(raw: bytes) -> None:
    with pytest.raises(FrameError):
        decode_host_message(raw)


@given(u32, st.integers(1, 64))
def test_the_length_of_a_header_counts_the_header(message_id: int, body: int) -> None:
    raw = bytes(sdk.MessageHeader(id=message_id, length=body + 8))
    assert decode_header(raw, longest_bytes=64) == (message_id, body)


@pytest.mark.parametrize("length", [0, 7, 8, 73, 2**32 - 1])
def test_a_length_no_message_has_is_refused(length: int) -> None:
    with pytest.raises(FrameError, match=f"claims {length} bytes"):
        decode_header(struct.pack("<II", 1, length), longest_bytes=64)


@given(u32, st.sampled_from(ErrorCode), st.integers(0, 3), st.integers(0, 15), i32)
def test_short_replies(message_id: int, code: ErrorCode, name: int, index: int, value: int) -> None:
    assert encode_done(message_id) == bytes(sdk.MsgDoneMessage(message_id))
    assert encode_error(code) == bytes(sdk.ErrorMessage(sdk.ErrorCode(code.value)))
    register = encoding.Register(register_name=name, register_index=index)
    theirs = bytes(sdk.ReturnRegMessage(register, value))
    assert encode_register(name | index << 2, value) == theirs


@given(i32, st.lists(st.none() | i32, max_size=20))
def test_an_array_and_the_null_that_the_sdk_reads_as_zero(
    address: int, cells: list[int | None]
) -> None:
    raw = encode_array(address, cells)
    assert raw == bytes(sdk.ReturnArrayMessage(address, cells))
    read: Any = sdk.deserialize_return_msg(raw)
    assert read.values == [cell or 0 for cell in cells]


def test_measurement_in_a_basis_keeps_its_four_numbers() -> None:
    raw = bytes((core.MeasBasisInstruction.id, 2, 3, 1, 2, 3, 4))
    (command,) = decode_subroutine(METADATA + raw, Flavour.VANILLA).commands
    assert command == Command("meas_basis", (2, 3, 1, 2, 3, 4))
