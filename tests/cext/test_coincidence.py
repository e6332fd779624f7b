import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.coincidence import count_pairs, match_pairs

# Few values over a short span, so that ties and window edges are the rule.
times = st.lists(st.integers(-40, 40), max_size=25).map(lambda v: np.array(sorted(v), np.int64))
bounds = st.tuples(st.integers(-30, 30), st.integers(-30, 30)).map(sorted)
KERNELS = [count_pairs, match_pairs]


@given(times, times, bounds)
def test_count_pairs_is_the_brute_force_count(a, b, window):
    low, high = window
    delay = b[None, :] - a[:, None]
    assert count_pairs(a, b, low, high) == ((delay >= low) & (delay <= high)).sum()


def best_matching(a, b, low, high):
    """Size of the largest matching, by augmenting paths."""
    partner: dict[int, int] = {}

    def augment(i, seen):
        for j in range(len(b)):
            if low <= b[j] - a[i] <= high and j not in seen:
                seen.add(j)
                if j not in partner or augment(partner[j], seen):
                    partner[j] = i
                    return True
        return False

    return sum(augment(i, set()) for i in range(len(a)))


@given(times, times, bounds)
def test_match_pairs_is_exclusive_ordered_and_largest(a, b, window):
    low, high = window
    of_a, of_b = match_pairs(a, b, low, high)
    assert of_a.dtype == of_b.dtype == np.int64
    assert (np.diff(of_a) > 0).all()
    assert (np.diff(of_b) > 0).all()
    delay = b[of_b] - a[of_a]
    assert ((delay >= low) & (delay <= high)).all()
    assert len(of_a) == best_matching(a, b, low, high)


def test_match_pairs_takes_the_earliest_that_fit():
    of_a, of_b = match_pairs(np.array([0, 1, 10]), np.array([2, 3, 4, 11]), 0, 5)
    assert of_a.tolist() == [0, 1, 2]
    assert of_b.tolist() == [0, 1, 3]


def test_many_times_beyond_32_bits():
    rng = np.random.default_rng(7)
    a = np.sort(rng.integers(-(2**60), 2**60, 3000))
    b = np.sort(np.concatenate((a[::3] + rng.integers(-600, 600, 1000), a[1::3] + 10**9)))
    past = np.searchsorted(b, a + 500, side="right")
    expected = (past - np.searchsorted(b, a - 500, side="left")).sum()
    assert expected > 700
    assert count_pairs(a, b, -500, 500) == expected


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([0, 5, 4, 9]), r"a\[2\] = 4 ps lies before a\[1\] = 5 ps"),
        (np.arange(4, dtype=np.int32), "has dtype int32, expected int64"),
        (np.arange(4, dtype=np.float64), "has dtype float64"),
        (np.arange(8)[::2], "a is not contiguous"),
        (np.zeros((2, 2), dtype=np.int64), "has 2 dimensions"),
        ([1, 2], "a is a list"),
        (np.array([0, 2**62]), "2\\^62"),
    ],
)
def test_bad_arrays_are_named(kernel, bad, message):
    with pytest.raises(ValueError, match=message):
        kernel(bad, np.arange(3), 0, 1)
    with pytest.raises(ValueError, match=message.replace("a is", "b is").replace("a\\[", "b\\[")):
        kernel(np.arange(3), bad, 0, 1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bad_windows_are_named(kernel):
    a = np.arange(3)
    with pytest.raises(ValueError, match=r"window \[2, 1\] ps is empty"):
        kernel(a, a, 2, 1)
    with pytest.raises(ValueError, match="high_ps is"):
        kernel(a, a, 0, 2**70)


def test_read_only_arrays_are_welcome():
    a = np.arange(5)
    a.flags.writeable = False
    assert count_pairs(a, a, 0, 0) == 5
