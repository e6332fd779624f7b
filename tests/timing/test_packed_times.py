"""Times alone, as one end of a link sends them to the other."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timing.packed import PackedError, TagPacker, pack_tags, pack_times, unpack_times

DOCUMENT = Path(__file__).parents[2] / "docs" / "tag-exchange.md"
EDGE = 2**62 - 1

steps = st.sampled_from([1, 80, 2000, 2**33])
sorted_times = st.one_of(
    st.lists(st.integers(-EDGE, EDGE), max_size=200).map(sorted),
    # Equal times and gaps of every size.
    st.tuples(
        st.integers(-(2**61), 2**60),
        st.lists(st.one_of(st.just(0), st.integers(0, 2**52)), max_size=200),
        steps,
    ).map(lambda t: [t[0], *(t[0] + np.cumsum([g // t[2] * t[2] for g in t[1]])).tolist()]),
)


@settings(deadline=None)
@given(sorted_times)
def test_any_sorted_stream_comes_back(times):
    sent = np.array(times, np.int64)
    assert unpack_times(pack_times(sent), len(sent)).tolist() == times


def test_the_documented_vector():
    text = DOCUMENT.read_text()
    vector = re.search(r"^ {4}(51545031 [0-9a-f ]+\n {4}[0-9a-f ]+)$", text, re.MULTILINE)
    assert vector is not None
    sent = bytes.fromhex(vector[1])
    assert len(sent) == 50
    assert pack_times(np.array([4000, 10_000, 12_000])) == sent
    assert unpack_times(sent, 3).tolist() == [4000, 10_000, 12_000]


def test_many_blocks_and_none():
    times = np.cumsum(np.random.default_rng(1).integers(0, 10**7, 200_000))
    data = pack_times(times)
    assert np.array_equal(unpack_times(data, 200_000), times)
    assert pack_times(times[:0]) == b""
    assert len(unpack_times(b"", 0)) == 0


@settings(deadline=None)
@given(sorted_times.filter(bool), st.data())
def test_damage_is_told(times, data):
    whole = pack_times(np.array(times, np.int64))
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PackedError, match=r"packed tags: byte \d+: found .*; expected"):
        unpack_times(bytes(changed), len(times))
    if at:
        with pytest.raises(PackedError, match="expected whole blocks of times"):
            unpack_times(whole[:at], len(times))


def test_what_is_not_times_alone_is_refused():
    times = np.arange(10) * 1000
    with pytest.raises(PackedError, match="found 10 tags; expected at most 9"):
        unpack_times(pack_times(times), 9)
    with pytest.raises(PackedError, match="an end block"):
        unpack_times(pack_tags(times, np.zeros(10, np.uint8)), 10)
    with pytest.raises(PackedError, match="bytes after the end block"):
        unpack_times(pack_tags(times, np.zeros(10, np.uint8)) + b"more", 10)
    packer = TagPacker()
    packer.feed(times, np.full(10, 3, np.uint8))
    named = packer.finish()[:-40]
    with pytest.raises(PackedError, match="found tags of channel 3; expected times alone"):
        unpack_times(named, 10)
    with pytest.raises(PackedError, match="a block after 0 tags"):
        unpack_times(pack_times(times) * 2, 100)
    with pytest.raises(ValueError, match=r"time_ps\[1\]"):
        pack_times(np.array([0, 2**62]))
