import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.histogram import difference_histogram

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
