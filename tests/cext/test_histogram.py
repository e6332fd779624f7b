import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext.histogram import DifferenceHistogram, difference_histogram
from cext.paths import available_paths
from cext.phase import phase_histogram
from timing.recordings import open_recording

PATHS = available_paths()
DATA = Path(os.environ.get("QNODEOS_DATA", Path(__file__).parents[3] / "shared" / "data"))
RECORDING = DATA / "200204_HH400_T2_320MHz_HBT.timeres"
THEIRS = DATA / "200204_HH400_T2_320MHz_HBT_g2.npz"

times = st.lists(st.integers(-60, 60), max_size=25).map(lambda v: np.array(sorted(v), np.int64))


@given(times, times, st.integers(-70, 70), st.integers(1, 20), st.integers(1, 20))
def test_every_pair_falls_into_its_half_open_bin(a, b, low, width, bins):
    delay = (b[None, :] - a[:, None]).ravel()
    index = (delay - low) // width
    inside = index[(index >= 0) & (index < bins)]
    counts = difference_histogram(a, b, low, width, bins)
    assert counts.dtype == np.int64
    assert counts.tolist() == np.bincount(inside, minlength=bins).tolist()


@given(times, times, st.integers(1, 9), st.integers(0, 9))
def test_swapping_the_streams_mirrors_the_histogram(a, b, width, each_side):
    # Bins of odd width centred on zero map onto themselves under the mirror.
    width = 2 * width - 1
    bins = 2 * each_side + 1
    low = -(bins * width // 2)
    forward = difference_histogram(a, b, low, width, bins)
    assert forward.tolist() == difference_histogram(b, a, low, width, bins)[::-1].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 5), "5 bins of 0 ps"),
        ((0, 5, 0), "0 bins of 5 ps"),
        ((0, 2**40, 2**40), "bins \\* bin_ps"),
        ((2**62, 1, 1), "low_ps"),
        ((2**62 - 5, 10, 1), "low_ps \\+ bins"),
    ],
)
def test_bad_bins_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        difference_histogram(np.arange(3), np.arange(3), *arguments)


def test_a_step_back_is_named():
    with pytest.raises(ValueError, match=r"b\[1\] = 0 ps lies before b\[0\] = 1 ps"):
        difference_histogram(np.arange(3), np.array([1, 0]), 0, 1, 1)


@st.composite
def streams(draw):
    """Two streams and bins; pairs at the edges of bins are put among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    span = draw(st.sampled_from([50, 3_000, 10**6, 10**10, 2**40]))
    sizes = draw(
        st.tuples(
            st.sampled_from([0, 1, 16, 17, 200, 3000]), st.sampled_from([0, 1, 2, 64, 300, 2500])
        )
    )
    a = np.sort(rng.integers(-span, span, sizes[0]))
    b = np.sort(rng.integers(-span, span, sizes[1]))
    width = draw(st.sampled_from([1, 3, 100, 2**20 + 1, 2**33]))
    bins = draw(st.sampled_from([1, 2, 7, 150]))
    low = draw(st.sampled_from([0, -width * bins // 2, -width, 11]))
    if len(a) and draw(st.booleans()):
        edges = low + width * rng.integers(-1, bins + 2, len(a)) - rng.integers(0, 2, len(a))
        b = np.sort(np.concatenate((b, a + edges)))
    return (b, a, low, width, bins) if draw(st.booleans()) else (a, b, low, width, bins)


def brute(a, b, low, width, bins):
    edges = low + width * np.arange(bins + 1)
    below = [int(np.searchsorted(b, a + edge, side="left").sum()) for edge in edges]
    return np.diff(below).tolist()


@settings(max_examples=200, deadline=None)
@given(streams(), st.sampled_from(PATHS))
def test_every_path_gives_the_histogram_of_brute_force(data, path):
    assert difference_histogram(*data, path=path).tolist() == brute(*data)


@settings(max_examples=100, deadline=None)
@given(streams(), st.sampled_from(PATHS), st.integers(0, 2**32))
def test_no_cut_of_the_streams_changes_the_histogram(data, path, seed):
    a, b, *shape = data
    rng = np.random.default_rng(seed)
    kernel = DifferenceHistogram(*shape, path=path)
    pieces = int(rng.integers(0, 9))
    of_a = [0, *np.sort(rng.integers(0, len(a) + 1, pieces)).tolist(), len(a)]
    of_b = [0, *np.sort(rng.integers(0, len(b) + 1, pieces)).tolist(), len(b)]
    for i, j, k, m in zip(of_a, of_a[1:], of_b, of_b[1:], strict=False):
        kernel.push(a[i:j], b[k:m])
    assert kernel.counts.tolist() == brute(*data)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sizes", [(150_000, 120_000), (300_000, 40), (40, 300_000)])
def test_threads_and_unequal_rates(path, sizes):
    rng = np.random.default_rng(5)
    a, b = (np.sort(rng.integers(0, 10**11, size)) for size in sizes)
    shape = (-100_000, 1000, 200)
    expected = brute(a, b, *shape)
    assert sum(expected) > 0
    for threads in (1, 2, 3):
        assert difference_histogram(a, b, *shape, threads=threads, path=path).tolist() == expected
    kernel = DifferenceHistogram(*shape, threads=2, path=path)
    kernel.push(a, b)
    assert kernel.counts.tolist() == expected


@pytest.mark.parametrize("path", PATHS)
def test_more_than_a_hundred_starts_in_range(path):
    # A program in the field drops the pairs of every hundredth start.
    a, b = np.arange(0, 4000, 2), np.arange(1, 4000, 2)
    shape = (-1000, 7, 300)
    assert difference_histogram(a, b, *shape, path=path).tolist() == brute(a, b, *shape)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("at", [1, 64, 4096, 9_999])
def test_a_step_back_is_named_and_changes_nothing(path, at):
    good = np.arange(0, 10**7, 1000)
    bad = good.copy()
    bad[at] = bad[at - 1] - 1
    kernel = DifferenceHistogram(0, 10, 10, path=path)
    for a, b, name in ((bad, good, "a"), (good, bad, "b")):
        with pytest.raises(ValueError, match=rf"{name}\[{at}\] = .* lies before"):
            difference_histogram(a, b, 0, 10, 10, path=path)
        with pytest.raises(ValueError, match=rf"{name}\[{at}\] = .* lies before"):
            kernel.push(a, b)
    kernel.push(good, good)
    assert kernel.counts[0] == len(good)
    with pytest.raises(ValueError, match=r"a\[0\] = 5 ps of this chunk"):
        kernel.push(np.array([5]), good[:0])


@given(
    st.lists(st.one_of(st.integers(-300, 300), st.integers(1 - 2**62, 2**62 - 1)), max_size=30),
    st.one_of(st.integers(1, 50), st.integers(1, 2**62 - 1)),
    st.one_of(st.integers(-60, 60), st.integers(1 - 2**62, 2**62 - 1)),
    st.integers(1, 400),
)
def test_the_phase_is_the_floored_remainder(values, period, origin, parts):
    width = -(-period // parts)
    counts = phase_histogram(np.array(values, np.int64), period, width, origin)
    assert len(counts) == -(-period // width)
    expected = [0] * len(counts)
    for value in values:
        expected[(value - origin) % period // width] += 1
    assert counts.tolist() == expected


def test_bad_periods_are_named():
    for period, width in ((0, 1), (10, 0), (10, 11), (2**62, 1)):
        with pytest.raises(ValueError, match="expected 0 < bin_ps"):
            phase_histogram(np.arange(3), period, width)
    with pytest.raises(ValueError, match=r"times\[1\] is 4611686018427387904"):
        phase_histogram(np.array([5, 2**62]), 10, 1)


@pytest.mark.skipif(not RECORDING.is_file(), reason=f"no {RECORDING}; set QNODEOS_DATA")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("start", "stop", "name", "unlike"), [(1, 2, "hist1", 0), (2, 1, "hist2", 1)]
)
def test_the_program_of_the_published_histograms_drops_every_hundredth_start(
    path, start, stop, name, unlike
):
    # Start to multi-stop of a real Hanbury Brown and Twiss recording, published with the g2 that
    # another program made of it. Without starts 0, 100, 200 ... ours is theirs, but for one pair.
    recording = open_recording(RECORDING)
    starts, stops = recording.of(start), recording.of(stop)
    theirs = np.load(THEIRS)[name]
    ours = difference_histogram(starts, stops, 0, 16, len(theirs), path=path)
    assert 0.0085 < 1 - theirs.sum() / ours.sum() < 0.0105
    kept = starts[np.arange(len(starts)) % 100 != 0]
    without = difference_histogram(kept, stops, 0, 16, len(theirs), path=path)
    assert np.abs(without - theirs).sum() == unlike
