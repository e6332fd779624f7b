import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timing.drift import drifting_sums


@given(st.integers(0, 5), st.integers(0, 2**32 - 1), st.data())
def test_each_sum_is_along_a_line_to_within_a_lag(
    power: int, seed: int, data: st.DataObject
) -> None:
    segments = 1 << power
    lags = data.draw(st.integers(2 * segments + 2, 200))
    most = data.draw(st.integers(0, segments - 1))
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 100, (segments, lags)).astype(np.float32)
    seen = []
    for drift, ahead, sums in drifting_sums(table, most):
        seen.append(drift)
        # A table with one cell a row tells where the path of a sum runs.
        assert sums.sum() == pytest.approx(table.sum())
        assert 0 <= ahead <= most // 2
    assert sorted(seen) == list(range(-most, most + 1))


@pytest.mark.parametrize("segments", [2, 4, 8, 32])
def test_a_line_of_pairs_gathers_at_its_own_drift_and_middle(segments: int) -> None:
    lags, start = 300, 120
    for drift in range(-(segments - 1), segments):
        table = np.zeros((segments, lags), dtype=np.float32)
        for row in range(segments):
            table[row, start + round(drift * row / (segments - 1))] = 1
        best = max(
            (
                (sums.max(), d, int(sums.argmax()) + ahead)
                for d, ahead, sums in drifting_sums(table, segments - 1)
            ),
        )
        # Rounding may put a part of the pairs into the next lag.
        assert best[0] >= segments / 2
        assert abs(best[1] - drift) <= 2
        assert abs(best[2] - (start + drift / 2)) <= 1.5


def test_sums_wrap_around_and_zero_drift_is_a_plain_sum() -> None:
    table = np.arange(24, dtype=np.float32).reshape(4, 6)
    plain = {d: (ahead, sums.copy()) for d, ahead, sums in drifting_sums(table, 0)}
    assert plain[0][0] == 0
    np.testing.assert_array_equal(plain[0][1], table.sum(axis=0))
