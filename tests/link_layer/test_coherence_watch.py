"""Whether stored pairs decay as they should: the bounds, and what the watch says and does not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from link_layer.coherence_watch import CoherenceWatch, shares

HELD_S = 0.2
RATE_HZ = 2.0  # two devices with T2 = 1 s


@given(st.integers(0, 400), st.sampled_from([1e-2, 1e-4, 1e-8]))
def test_beyond_the_bounds_a_count_is_less_probable_than_stated(
    wrong: int, improbable: float
) -> None:
    least, most = shares(wrong, 400, improbable)
    assert least <= wrong / 400 <= most
    assert least == 0 or binom.sf(wrong - 1, 400, least) <= improbable * (1 + 1e-6)
    assert most == 1 or binom.cdf(wrong, 400, most) <= improbable * (1 + 1e-6)


def watched(true_hz: float, *, windows: int = 3, seed: int = 1, young: float = 0.8) -> list[str]:
    """What the watch says of pairs that decay with a rate, after each window."""
    rng = np.random.default_rng(seed)
    watch = CoherenceWatch(500, 0.01, 0.0)
    said, now_s = [], 0.0
    while len(said) < windows:
        now_s += 1.0
        old = bool(rng.random() < 0.5)
        held_s = HELD_S * old + 0.001
        right = bool(rng.random() < (1 + young * math.exp(-true_hz * held_s)) / 2)
        if watch.add(old=old, right=right, held_s=held_s, stated_hz=RATE_HZ, now_s=now_s):
            said.append(watch.trouble)
    return said


def test_pairs_that_decay_as_the_devices_say_raise_no_alarm() -> None:
    assert watched(RATE_HZ, windows=40) == [""] * 40


@pytest.mark.parametrize("young", [0.95, 0.8])
def test_a_collapse_of_coherence_is_told(young: float) -> None:
    assert all("faster" in each for each in watched(8 * RATE_HZ, young=young))


def test_pairs_that_do_not_decay_at_all_are_not_those_that_were_stored() -> None:
    assert all("more slowly" in each for each in watched(0.0, young=0.95))


def test_useless_pairs_tell_nothing() -> None:
    assert watched(RATE_HZ, young=-0.5) == [""] * 3
