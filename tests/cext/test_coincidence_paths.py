"""Every compiled path, chunking and number of threads gives the count of brute force."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext import paths
from cext.coincidence import (
    PairCounter,
    PairMatcher,
    all_pairs,
    count_pairs,
    count_pairs_at,
    match_pairs,
    nearest_pairs,
)
from cext.paths import available_paths

PATHS = available_paths()
paths_of_this_machine = st.sampled_from(PATHS)


@st.composite
def streams(draw):
    """Two streams of up to some thousand tags, at rates and with ties of all sorts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    span = draw(st.sampled_from([50, 3_000, 10**6, 10**10, 2**40, 2**61]))
    origin = draw(st.sampled_from([0, -span // 2, -span]))
    sizes = draw(
        st.tuples(
            st.sampled_from([0, 1, 15, 16, 17, 33, 200, 5000]),
            st.sampled_from([0, 1, 2, 16, 64, 300, 4500]),
        )
    )
    a = np.sort(rng.integers(0, span, sizes[0])) + origin
    b = np.sort(rng.integers(0, span, sizes[1])) + origin
    width = draw(st.sampled_from([0, 1, 40, 1000, 2**20, 2**30 - 1, 2**30, 2**31]))
    if len(a) and len(b) and draw(st.booleans()):
        # Pairs right at both ends of the window and one beside them.
        moved = a[:: max(1, len(a) // 50)] + rng.choice([-1, 0, width, width + 1])
        b = np.sort(np.concatenate((b, moved)))
    low = draw(st.sampled_from([0, -width, -width // 2, 7]))
    if draw(st.booleans()):
        a, b, low = b, a, -low - width
    return a, b, low, low + width


def brute(a, b, low, high):
    past = np.searchsorted(b, a + high, side="right")
    return int((past - np.searchsorted(b, a + low, side="left")).sum())


def cuts(rng, n, pieces):
    return [0, *np.sort(rng.integers(0, n + 1, pieces)).tolist(), n]


@settings(max_examples=250, deadline=None)
@given(streams(), paths_of_this_machine)
def test_every_path_counts_all_pairs(data, path):
    a, b, low, high = data
    assert count_pairs(a, b, low, high, path=path) == brute(a, b, low, high)


@settings(max_examples=120, deadline=None)
@given(streams(), paths_of_this_machine, st.integers(0, 2**32), st.booleans())
def test_no_cut_of_the_streams_changes_the_counts(data, path, seed, unequal):
    a, b, low, high = data
    rng = np.random.default_rng(seed)
    shifts = (0, 3 * (high - low) + 5, -(high - low) - 1)
    counter = PairCounter(low, high, shifts, path=path)
    pieces = int(rng.integers(0, 12))
    if unequal:  # each stream cut anywhere, so that one runs far ahead of the other
        of_a, of_b = cuts(rng, len(a), pieces), cuts(rng, len(b), pieces)
    else:
        edges = np.sort(rng.choice(np.append(a, b), pieces)) if len(a) + len(b) else []
        of_a = [0, *np.searchsorted(a, edges).tolist(), len(a)]
        of_b = [0, *np.searchsorted(b, edges).tolist(), len(b)]
        if len(of_a) == 2:
            of_a, of_b = [0, len(a)], [0, len(b)]
    for i, j, k, m in zip(of_a, of_a[1:], of_b, of_b[1:], strict=False):
        counter.push(a[i:j], b[k:m])
    expected = [brute(a, b, low + shift, high + shift) for shift in shifts]
    assert counter.counts.tolist() == expected
    assert count_pairs_at(a, b, low, high, shifts).tolist() == expected


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sizes", [(150_000, 120_000), (400_000, 40), (40, 400_000), (10**5, 3000)])
def test_threads_and_unequal_rates(path, sizes):
    rng = np.random.default_rng(5)
    a, b = (np.sort(rng.integers(0, 10**11, size)) for size in sizes)
    expected = brute(a, b, -3000, 50_000)
    assert expected > 0
    for threads in (1, 2, 3):
        assert count_pairs(a, b, -3000, 50_000, threads=threads, path=path) == expected
    counter = PairCounter(-3000, 50_000, threads=2, path=path)
    counter.push(a[: sizes[0] // 2], b[: sizes[1] // 2])
    counter.push(a[sizes[0] // 2 :], b[sizes[1] // 2 :])
    assert counter.counts.tolist() == [expected]


@settings(max_examples=100, deadline=None)
@given(streams(), paths_of_this_machine)
def test_all_pairs_lists_what_is_counted(data, path):
    a, b, low, high = data
    if brute(a, b, low, high) > 100_000:
        return
    of_a, of_b = all_pairs(a, b, low, high, path=path)
    assert len(of_a) == brute(a, b, low, high)
    delay = b[of_b] - a[of_a]
    assert ((delay >= low) & (delay <= high)).all()
    # In order and without one twice, so the right number of right pairs is the right list.
    step_a, step_b = np.diff(of_a), np.diff(of_b)
    assert ((step_a > 0) | ((step_a == 0) & (step_b > 0))).all()


small = st.lists(st.integers(-40, 40), max_size=25).map(lambda v: np.array(sorted(v), np.int64))


@given(small, small, st.tuples(st.integers(-30, 30), st.integers(-30, 30)).map(sorted))
def test_nearest_is_the_first_of_the_nearest(a, b, window):
    low, high = window
    expected = []
    for i, time in enumerate(a):
        fitting = [
            (abs(2 * (other - time) - low - high), j)
            for j, other in enumerate(b)
            if low <= other - time <= high
        ]
        if fitting:
            expected.append((i, min(fitting)[1]))
    of_a, of_b = nearest_pairs(a, b, low, high)
    assert list(zip(of_a.tolist(), of_b.tolist(), strict=True)) == expected


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("at", [1, 63, 64, 4095, 4096, 4097, 9_999])
def test_a_step_back_is_named_wherever_it_is(path, at):
    good = np.arange(0, 10**7, 1000)
    bad = good.copy()
    bad[at] = bad[at - 1] - 1
    message = rf"\[{at}\] = .* lies before"
    for a, b, name in ((bad, good, "a"), (good, bad, "b")):
        with pytest.raises(ValueError, match=name + message):
            count_pairs(a, b, 0, 100, path=path)
        with pytest.raises(ValueError, match=name + message):
            all_pairs(a, b, 0, 100, path=path)
        with pytest.raises(ValueError, match=name + message):
            PairCounter(0, 100, path=path).push(a, b)


@pytest.mark.parametrize("path", PATHS)
def test_times_at_the_limit(path):
    top = 2**62 - 1
    a = np.array([-top, -5, 0, top])
    assert count_pairs(a, a, 0, 0, path=path) == 4
    assert count_pairs(a, a, -top, top, path=path) == 12  # all but two, both ways
    for beyond in (
        np.array([0, 2**62]),
        np.array([-(2**62), 0]),
        np.array([2**62 + 5, -(2**62) - 9]),
    ):
        with pytest.raises(ValueError, match=r"lies before|2\^62"):
            count_pairs(a, beyond, 0, 0, path=path)


def test_a_refused_chunk_changes_nothing():
    counter = PairCounter(0, 10)
    counter.push(np.array([0, 100]), np.array([5]))
    for bad in (np.array([50]), np.array([100, 99])):
        with pytest.raises(ValueError, match="lies before"):
            counter.push(bad, np.array([105]))
    counter.push(np.array([200]), np.array([105]))
    assert counter.counts.tolist() == [2]


def test_bad_choices_are_named():
    a = np.arange(3)
    with pytest.raises(ValueError, match="no kernel path 'sse9'"):
        count_pairs(a, a, 0, 1, path="sse9")
    with pytest.raises(ValueError, match="threads 0"):
        count_pairs(a, a, 0, 1, threads=0)
    with pytest.raises(ValueError, match="no shifts_ps"):
        PairCounter(0, 1, ())


def test_the_environment_chooses_the_path():
    code = "import cext.paths as p; print(p.NAMES[p.path_level(None)])"
    for name in PATHS:
        printed = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {paths.VARIABLE: name},
            capture_output=True,
            text=True,
            check=True,
        )
        assert printed.stdout.strip() == name


@given(small, small, st.integers(-9, 9), st.integers(0, 15), st.integers(0, 2**32))
def test_matches_do_not_depend_on_the_cut(a, b, low, width, seed):
    rng = np.random.default_rng(seed)
    matcher = PairMatcher(low, low + width)
    of_a, of_b = cuts(rng, len(a), 4), cuts(rng, len(b), 4)
    found = [
        matcher.push(a[i:j], b[k:m])
        for i, j, k, m in zip(of_a, of_a[1:], of_b, of_b[1:], strict=False)
    ]
    whole = match_pairs(a, b, low, low + width)
    for part in (0, 1):
        assert np.concatenate([pair[part] for pair in found]).tolist() == whole[part].tolist()
    assert matcher.pairs == len(whole[0])


def test_a_matcher_sees_a_step_back_between_chunks():
    matcher = PairMatcher(0, 5)
    matcher.push(np.array([10]), np.array([10]))
    with pytest.raises(ValueError, match="PairMatcher: b must ascend"):
        matcher.push(np.array([10]), np.array([9]))
