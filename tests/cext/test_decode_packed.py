"""Packed tags: what comes out is what went in, and damage is told."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext.decode_packed import pack_payload, unpack_payload
from timing.packed import HEADER, PackedError, TagPacker, TagUnpacker, pack_tags, unpack_tags

EDGE = 2**62 - 1
times = st.one_of(
    st.integers(-100, 100),
    st.integers(0, 10**7).map(lambda t: 80 * t),
    st.integers(-EDGE, EDGE),
    st.sampled_from([-EDGE, EDGE, 0]),
)
tags = st.lists(st.tuples(times, st.integers(0, 255)), max_size=60)
cuts = st.lists(st.integers(0, 60), max_size=4).map(sorted)


def stream(pairs):
    return (
        np.array([t for t, _ in pairs], np.int64),
        np.array([c for _, c in pairs], np.uint8),
    )


def same(a, b):
    return a[0].tolist() == b[0].tolist() and a[1].tolist() == b[1].tolist()


any_stream = st.one_of(tags, tags.map(sorted)).map(stream)


@given(any_stream)
def test_what_comes_out_is_what_went_in(tags):
    found = unpack_tags(pack_tags(*tags))
    assert same(found, tags)
    assert (found[0].dtype, found[1].dtype) == (np.int64, np.uint8)


def poisson(count, seed=1):
    random = np.random.default_rng(seed)
    return (
        np.cumsum(random.exponential(1e6, count)).astype(np.int64),
        random.choice(np.array([1, 2, 3, 4], np.uint8), count),
    )


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 150_000), max_size=4).map(sorted), st.integers(20_000, 400_000))
def test_neither_side_depends_on_the_pieces(cuts, piece):
    tags = poisson(150_000)
    packer = TagPacker()
    parts = zip(np.split(tags[0], cuts), np.split(tags[1], cuts), strict=True)
    data = b"".join(packer.feed(*part) for part in parts) + packer.finish()
    assert data == pack_tags(*tags)
    unpacker = TagUnpacker()
    pieces = [unpacker.feed(data[k : k + piece]) for k in range(0, len(data), piece)]
    unpacker.finish()
    assert same(tuple(np.concatenate(part) for part in zip(*pieces, strict=True)), tags)


def test_light_takes_close_to_what_its_entropy_says():
    tags = poisson(65536)
    bits = 8 * len(pack_tags(*tags)) / 65536
    # Exponential gaps of mean 10^6 ps hold log2(e 10^6) bits, and a channel of four holds two.
    entropy = np.log2(np.e * 1e6) + 2
    assert entropy < bits < entropy + 0.12


@pytest.mark.parametrize("step_ps", [1, 80, 2000])
@pytest.mark.parametrize("in_burst", [64, 200, 5000])
def test_a_rate_that_swings_a_hundredfold_costs_no_more_than_its_entropy(in_burst, step_ps):
    random = np.random.default_rng(in_burst)
    means = np.repeat(np.where(np.arange(65536 // in_burst + 1) % 2, 3e6, 3e4), in_burst)[:65536]
    time_ps = np.cumsum(random.exponential(means)).astype(np.int64) // step_ps * step_ps
    bits = 8 * len(pack_payload(time_ps, np.zeros(65536, np.uint8))[0]) / 65536
    entropy = np.mean(np.log2(np.e * means / step_ps))
    # Groups of 64 tags change with the light or a little after it.
    assert entropy < bits < 1.1 * entropy + 97 * 2 / in_burst


groups = st.lists(
    st.tuples(st.integers(1, 90), st.integers(0, 2**54), st.sampled_from([1, 3, 2000, 2**33])),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(groups, st.integers(-(2**61), 2**61), st.booleans())
def test_groups_of_any_rate_and_step_come_back(groups, start, backwards):
    gaps = np.concatenate([np.full(n, size // step * step) for n, size, step in groups])
    time_ps = start + np.cumsum(gaps % 2**50)
    time_ps = time_ps[::-1].copy() if backwards else time_ps
    channel = (np.arange(len(time_ps)) % 3).astype(np.uint8)
    assert same(unpack_tags(pack_tags(time_ps, channel)), (time_ps, channel))


def test_a_step_that_only_late_gaps_tell():
    # The first 64 gaps would allow a coarser step than the rest, or none.
    for early in (0, 4000, 2**40):
        gaps = np.concatenate((np.full(70, early), np.full(70, 2000), [80]))
        time_ps = np.cumsum(gaps)
        _, step_ps, *_ = pack_payload(time_ps, np.zeros(len(gaps), np.uint8))
        assert step_ps == np.gcd.reduce(gaps)


def test_the_time_step_of_an_instrument_costs_nothing():
    time_ps, channel = poisson(65536)
    coarse = pack_tags(time_ps // 2000 * 2000, channel)
    assert len(coarse) < len(pack_tags(time_ps, channel)) - 65536 * 10 // 8


def test_the_layout_byte_by_byte():
    # As in docs/packed-tags.md: three tags, steps of 80 ps, two channels.
    data = pack_tags(*stream([(400, 7), (480, 2), (640, 7)]))
    end = HEADER.size
    assert data[:4] == b"QTP1"
    assert struct.unpack("<I", data[4:8])[0] == zlib.crc32(data[8 : end + 12])
    assert struct.unpack("<IIqQIHBB", data[8:end]) == (12, 3, 400, 0, 80, 2, 0, 0)
    # Gaps 0, 1, 2 as 1, 01, 001, each with the channel's place 1, 0, 1, from the lowest bit up.
    assert data[end : end + 12] == bytes([2, 7, 0b10001011, 0b1]) + bytes(8)
    assert data[end + 12 :] == b"QTP1" + data[end + 16 : end + 20] + struct.pack(
        "<IIqQIHBB", 0, 0, 0, 3, 0, 0, 0, 0
    )


def test_a_group_of_its_own_k_bit_by_bit():
    # 64 gaps of 0 with k = 0, then one of 40 steps: a one, k = 5 in 6 bits, 40 >> 5 = 1, 40 & 31.
    time_ps = np.append(np.zeros(64, np.int64), 40)
    payload, step_ps, channels, low_bits, is_signed = pack_payload(
        time_ps, np.full(65, 9, np.uint8)
    )
    assert (step_ps, channels, low_bits, is_signed) == (40, 1, 0, False)
    time_ps = np.concatenate((np.zeros(64, np.int64), [40, 41 + 40]))
    payload, step_ps, *_ = pack_payload(time_ps, np.full(66, 9, np.uint8))
    assert step_ps == 1
    bits = "".join(f"{byte:08b}"[::-1] for byte in payload[1:-8])
    assert bits[:64] == "1" * 64
    k = int(bits[65:71][::-1], 2)
    assert bits[64] == "1"
    gaps, at = [], 71
    for _ in range(2):
        zeros = bits.index("1", at) - at
        low = bits[at + zeros + 1 : at + zeros + 1 + k]
        gaps.append(zeros << k | int(low[::-1], 2))
        at += zeros + 1 + k
    assert gaps == [40, 41]
    assert set(bits[at:]) <= {"0"}
    assert k == 5


@settings(deadline=None)
@given(any_stream.filter(lambda s: len(s[0])), st.data())
def test_a_changed_byte_or_a_missing_end_is_told(tags, data):
    whole = pack_tags(*tags)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PackedError, match=r"packed tags: byte \d+: found .*; expected"):
        unpack_tags(bytes(changed))
    with pytest.raises(PackedError, match="the end of the bytes; expected the end block"):
        unpack_tags(whole[:at])


def test_what_comes_before_damage_is_given_back_first():
    tags = poisson(140_000)
    data = bytearray(pack_tags(*tags))
    data[-50] ^= 1
    unpacker = TagUnpacker()
    found = unpacker.feed(bytes(data))
    assert same(found, (tags[0][: 2 * 65536], tags[1][: 2 * 65536]))
    for call in (lambda: unpacker.feed(b""), unpacker.finish):
        with pytest.raises(PackedError, match="check sum does not fit") as caught:
            call()
        assert data[caught.value.at_byte :].startswith(b"QTP1")


def test_threads_pack_and_unpack_the_same_and_stay_at_the_same_damage():
    tags = poisson(300_000)
    data = pack_tags(*tags)
    assert pack_tags(*tags, threads=3) == data
    assert same(unpack_tags(data, threads=3), tags)
    # Bits that no packer writes, behind a check sum that holds: only the payload tells.
    size = HEADER.size + struct.unpack("<I", data[8:12])[0]
    changed = bytearray(data)
    changed[size + HEADER.size + 8 : size + HEADER.size + 40] = bytes(32)
    end = size + HEADER.size + struct.unpack("<I", data[size + 8 : size + 12])[0]
    changed[size + 4 : size + 8] = struct.pack("<I", zlib.crc32(changed[size + 8 : end]))
    for threads in (1, 3):
        unpacker = TagUnpacker(threads=threads)
        found = unpacker.feed(bytes(changed))
        assert same(found, (tags[0][:65536], tags[1][:65536]))
        for call in (lambda unpacker=unpacker: unpacker.feed(b""), unpacker.finish):
            with pytest.raises(PackedError, match="makes no sense") as caught:
                call()
            assert caught.value.at_byte == size


def test_a_lost_block_and_bytes_behind_the_end_are_told():
    data = pack_tags(*poisson(140_000))
    size = HEADER.size + struct.unpack("<I", data[8:12])[0]
    with pytest.raises(PackedError, match="a block after 65536 tags; expected the block after 0"):
        unpack_tags(data[size:])
    with pytest.raises(PackedError, match="1 bytes after the end block"):
        unpack_tags(data + b"\0")


@settings(deadline=None)
@given(any_stream.filter(lambda s: len(s[0])), st.data())
def test_damaged_bits_give_tags_or_an_error_never_more(tags, data):
    payload, step_ps, channels, low_bits, is_signed = pack_payload(*tags)
    changed = payload.copy()
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    changed = changed[: data.draw(st.integers(0, len(changed)))]
    try:
        time_ps, channel = unpack_payload(
            changed, len(tags[0]), int(tags[0][0]), step_ps, channels, low_bits, is_signed
        )
    except ValueError:
        return
    assert len(time_ps) == len(channel) == len(tags[0])
    assert (abs(time_ps) <= EDGE).all()


T, C = stream([(5, 1), (9, 2), (40, 1), (90, 2)])
P = pack_payload(T, C)[0]
WIDE = np.concatenate(([7], np.full(9, 255), np.zeros(16))).astype(np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack_payload(T[:0], C[:0]), "found 0 tags, expected 1 to 65536"),
        (lambda: pack_payload(T + EDGE, C), rf"time_ps\[0\] = {EDGE + 5} ps"),
        (lambda: pack_payload(T, C[:1]), "4 times and 1 channels"),
        (lambda: pack_payload(T[::2], C[::2]), "not contiguous"),
        (lambda: unpack_payload(P, 0, 5, 4, 2, 0, False), "found 0 tags from 5 ps"),
        (lambda: unpack_payload(P, 4, 2**62, 4, 2, 0, False), "no packer writes"),
        (lambda: unpack_payload(P, 4, 5, 0, 2, 0, False), "steps of 0 ps"),
        (lambda: unpack_payload(P, 4, 5, 4, 2, 49, False), "49 low bits"),
        # 64 gaps of one bit, then a group that claims 63 low bits.
        (lambda: unpack_payload(WIDE, 65, 0, 1, 1, 0, False), "tag 64 of 65 makes no sense"),
        (lambda: unpack_payload(P, 4, 5, 4, 257, 0, False), "257 channels"),
        (lambda: unpack_payload(P, 1, 5, 4, 2, 0, False), "1 tags take"),
        (lambda: unpack_payload(P.view(np.int8), 4, 5, 4, 2, 0, False), "dtype int8"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
