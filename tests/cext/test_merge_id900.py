"""The ID900 merge kernel against numpy's stable sort, and on what no instrument should send."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cext.merge_id900 import MOST_STREAMS, merge_id900

LIMIT = 2 * 10**11
Words = NDArray[np.uint64]


def merged(
    words: list[Words], channels: list[int], offset: int = 0, limit: int = LIMIT
) -> tuple[list[int], list[int]]:
    total = sum(map(len, words))
    time_ps, channel = np.empty(total, np.int64), np.empty(total, np.uint8)
    merge_id900(words, channels, offset, limit, time_ps, channel)
    return time_ps.tolist(), channel.tolist()


ascending = st.lists(st.integers(0, 50) | st.integers(0, LIMIT), max_size=60).map(
    lambda times: np.array(sorted(times), np.uint64)
)


@given(st.lists(ascending, min_size=1, max_size=MOST_STREAMS), st.integers(0, 2**61))
def test_it_is_a_stable_sort(words: list[Words], offset: int) -> None:
    channels = [7, 0, 255, 3][: len(words)]
    every = np.concatenate(words).astype(np.int64) + offset
    labels = np.repeat(channels, [len(each) for each in words])
    order = np.argsort(every, kind="stable")
    assert merged(words, channels, offset) == (every[order].tolist(), labels[order].tolist())


@given(
    st.lists(
        st.lists(st.integers(0, 40) | st.just(2**64 - 1), max_size=12).map(
            lambda times: np.array(times, np.uint64)
        ),
        min_size=1,
        max_size=MOST_STREAMS,
    )
)
def test_disorder_and_times_too_late_are_always_told(words: list[Words]) -> None:
    right = all((each[1:] >= each[:-1]).all() and (each <= 40).all() for each in words)
    if right:
        assert merged(words, [1, 2, 3, 4][: len(words)], limit=40)[0] == sorted(
            int(time) for each in words for time in each
        )
    else:
        with pytest.raises(ValueError, match=r"steps back|lies beyond 40 ps"):
            merged(words, [1, 2, 3, 4][: len(words)], limit=40)


def test_a_million_tags() -> None:
    rng = np.random.default_rng(1)
    words = [np.sort(rng.integers(0, LIMIT, n, dtype=np.uint64)) for n in (400_000, 0, 3, 600_000)]
    every = np.concatenate(words).astype(np.int64) + 5
    order = np.argsort(every, kind="stable")
    labels = np.repeat([1, 2, 3, 4], [len(each) for each in words])
    times, channels = merged(words, [1, 2, 3, 4], 5)
    assert times == every[order].tolist()
    assert channels == labels[order].tolist()


EMPTY = np.empty(0, np.uint64)


@pytest.mark.parametrize(
    ("words", "channels", "offset", "limit", "says"),
    [
        ([], [], 0, 1, "found 0 streams"),
        ([EMPTY] * 5, [1] * 5, 0, 1, "expected 1 to 4"),
        ([EMPTY], [1, 2], 0, 1, "1 streams and 2 channels"),
        ([np.zeros(2, np.int64)], [1], 0, 1, "dtype int64, expected uint64"),
        ([EMPTY], [1], -1, 1, "offset_ps -1"),
        ([EMPTY], [1], 2**62, 1, "at most 2"),
        ([EMPTY], [1], 0, -1, "limit_ps -1"),
    ],
)
def test_what_cannot_be(
    words: list[Words], channels: list[int], offset: int, limit: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        merged(words, channels, offset, limit)
    with pytest.raises((ValueError, OverflowError)):
        merged([EMPTY], [256])
    with pytest.raises(ValueError, match="expected 1"):
        merge_id900(
            [np.zeros(1, np.uint64)], [1], 0, 1, np.empty(2, np.int64), np.empty(2, np.uint8)
        )
