"""Framings take whole messages out of any cut of the bytes."""

import json
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ProtocolError
from drivers.framing import (
    ETB,
    LINE_CRLF,
    LINE_LF,
    MAX_FRAME_BYTES,
    Anything,
    EitherEnd,
    Framing,
    JsonStream,
    LengthCrc,
    Until,
)

HELLO = bytes.fromhex(
    "17000000 83a26964 01a2646f a568656c 6c6fa776 65727369 6f6e01 ff719184".replace(" ", "")
)


def take_all(framing: Framing, parts: list[bytes]) -> list[bytes]:
    buffer = bytearray()
    messages = []
    for part in parts:
        buffer += part
        while (message := framing.take(buffer)) is not None:
            messages.append(message)
    return messages


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.binary(max_size=60), max_size=6), st.lists(st.integers(0, 999), max_size=9))
def test_length_crc_round_trip(payloads: list[bytes], at: list[int]) -> None:
    framing = LengthCrc()
    stream = b"".join(framing.wrap(payload) for payload in payloads)
    assert take_all(framing, cut(stream, at)) == payloads


@given(
    st.lists(st.text("abc >", max_size=9).map(str.encode), max_size=6),
    st.sampled_from([LINE_LF, LINE_CRLF, ETB, Until(b"\n> ")]),
    st.lists(st.integers(0, 999), max_size=9),
)
def test_lines_round_trip(lines: list[bytes], framing: Until, at: list[int]) -> None:
    stream = b"".join(line + framing.mark for line in lines)
    assert take_all(framing, cut(stream, at)) == lines


@given(
    st.lists(
        st.tuples(
            st.text("abc", min_size=1, max_size=9).map(str.encode),
            st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\r\n"]),
        ),
        max_size=6,
    ),
    st.lists(st.integers(0, 999), max_size=9),
)
def test_lines_with_either_end(lines: list[tuple[bytes, bytes]], at: list[int]) -> None:
    stream = b"".join(line + end for line, end in lines)
    assert take_all(EitherEnd(), cut(stream, at)) == [line for line, _ in lines]


@given(st.binary(max_size=50), st.lists(st.integers(0, 999), max_size=9))
def test_anything_gives_whole_words_only(data: bytes, at: list[int]) -> None:
    messages = take_all(Anything(size=4), cut(data, at))
    assert all(len(message) % 4 == 0 for message in messages)
    assert b"".join(messages) == data[: len(data) // 4 * 4]


@given(st.binary(min_size=1, max_size=40), st.data())
def test_every_flipped_bit_of_payload_or_crc_is_seen(payload: bytes, data: st.DataObject) -> None:
    frame = bytearray(LengthCrc().wrap(payload))
    bit = data.draw(st.integers(32, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError, match="fails its CRC"):
        LengthCrc().take(frame)


def test_the_vector_of_the_open_device_protocol() -> None:
    payload = HELLO[4:-4]
    assert len(payload) == 23
    assert LengthCrc().wrap(payload) == HELLO
    assert int.from_bytes(HELLO[-4:], "little") == zlib.crc32(payload)


def test_a_frame_that_is_too_long_is_refused_at_once() -> None:
    with pytest.raises(ProtocolError, match="announces 4294967295 bytes"):
        LengthCrc().take(bytearray(b"\xff\xff\xff\xff"))
    with pytest.raises(ProtocolError, match="announces 11 bytes, the limit is 10"):
        LengthCrc(max_bytes=10).take(bytearray(b"\x0b\x00\x00\x00"))


def test_an_endless_line_of_either_end_is_garbage() -> None:
    with pytest.raises(ProtocolError, match="no end of line"):
        EitherEnd().take(bytearray(b"x" * (MAX_FRAME_BYTES + 1)))


def test_an_endless_line_is_garbage() -> None:
    buffer = bytearray(MAX_FRAME_BYTES)
    assert LINE_LF.take(buffer) is None
    with pytest.raises(ProtocolError, match="no b'"):
        LINE_LF.take(buffer + b"x")


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.lists(st.integers())),
        max_size=5,
    ),
    st.data(),
)
def test_json_objects_are_parted_however_they_arrive(
    objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    between = data.draw(st.sampled_from([b"", b"\x17", b" \r\n", b"\x17\n"]))
    ascii_only = data.draw(st.booleans())
    stream = b"".join(json.dumps(o, ensure_ascii=ascii_only).encode() + between for o in objects)
    cut = data.draw(st.integers(0, len(stream)))
    framing, buffer, found = JsonStream(b"\x17"), bytearray(), []
    for piece in (stream[:cut], stream[cut:]):
        buffer += piece
        while (message := framing.take(buffer)) is not None:
            found.append(json.loads(message))
    assert found == objects
    assert not buffer.strip(b"\x17 \r\n")


@pytest.mark.parametrize("garbage", [b"x{}", b"1", b"\xff\xfe", b'{"a": "b\x17', b"]"])
def test_what_can_be_no_json_object_is_refused_at_once(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        JsonStream(b"\x17").take(bytearray(garbage))
    assert JsonStream(b"\x17").take(bytearray(b'{"a": "b')) is None


def test_an_endless_json_object_is_garbage() -> None:
    with pytest.raises(ProtocolError, match="no end of a JSON object"):
        JsonStream().take(bytearray(b"[" * (MAX_FRAME_BYTES + 1)))
