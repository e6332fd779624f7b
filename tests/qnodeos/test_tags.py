import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnodeos.tags import (
    CombWarning,
    accidental_coincidences,
    analyze_pair,
    bin_on_grid,
    count_coincidences,
    count_with_accidentals,
    delay_histogram,
    delay_histograms,
    find_coincidences,
    find_single_peak,
    match_coincidences,
    open_recording,
    time_step_ps,
)

SPAN_PS = 10**12


def poisson(tags, seed):
    return np.sort(np.random.default_rng(seed).integers(0, SPAN_PS, tags))


def test_the_window_is_a_full_width_with_both_edges():
    a = np.array([1000])
    b = np.array([1449, 1450, 1500, 1550, 1551])
    assert count_coincidences(a, b, 100, 500) == 3
    assert count_coincidences(a, b, 100, 500, exclusive=True) == 1
    of_a, of_b = match_coincidences(a, b, 100, 500)
    assert (of_a.tolist(), of_b.tolist()) == ([0], [1])
    assert count_coincidences(b, a, 100, -500) == 3


times = st.lists(st.integers(0, 500), min_size=1, max_size=30).map(
    lambda v: np.array(sorted(v), np.int64)
)


@given(times, times, st.integers(1, 300), st.integers(1, 60))
def test_the_histogram_is_centred_covers_the_range_and_counts_every_pair(a, b, range_ps, bin_ps):
    histogram = delay_histogram(a, b, range_ps, bin_ps, 1000)
    assert len(histogram.counts) % 2 == 1
    assert abs(histogram.delay_ps[len(histogram.counts) // 2]) <= 0.5
    assert histogram.low_ps <= -range_ps
    assert histogram.low_ps + bin_ps * len(histogram.counts) >= range_ps
    delay = b[None, :] - a[:, None]
    stop = histogram.low_ps + bin_ps * len(histogram.counts)
    assert histogram.counts.sum() == ((delay >= histogram.low_ps) & (delay < stop)).sum()


def test_unrelated_streams_have_g2_of_one_and_the_accidentals_expected():
    a, b = poisson(200_000, 1), poisson(300_000, 2)
    histogram = delay_histogram(a, b, 200_000, 1000, SPAN_PS)
    # 401 bins of 60 expected pairs each; bounds are five standard deviations.
    assert histogram.expected_per_bin == pytest.approx(60.0)
    assert histogram.g2.mean() == pytest.approx(1.0, abs=5 / np.sqrt(401 * 60))
    assert histogram.g2.std() == pytest.approx(1 / np.sqrt(60), rel=0.2)
    expected = accidental_coincidences(len(a), len(b), 100_000, SPAN_PS)
    assert expected == pytest.approx(6000.06)
    assert count_coincidences(a, b, 100_000) == pytest.approx(expected, abs=5 * np.sqrt(expected))
    assert find_single_peak(histogram, 1000) is None


def test_an_autocorrelation_leaves_out_each_tag_with_itself():
    a = np.array([0, 10, 1000])
    histogram = delay_histogram(a, a, 20, 5, 2000, same=True)
    assert histogram.counts.sum() == 2
    assert histogram.counts[len(histogram.counts) // 2] == 0


def test_a_single_peak_is_found_and_a_pulse_train_is_not():
    a = poisson(20_000, 3)
    jitter = np.rint(np.random.default_rng(4).normal(0, 200, len(a))).astype(np.int64)
    b = np.sort(a + 31_400 + jitter)
    found = find_single_peak(delay_histogram(a, b, 100_000, 100, SPAN_PS), 1000)
    assert found == pytest.approx(31_400, abs=50)
    pulses = np.arange(0, 10**9, 3125)
    keep = np.random.default_rng(5).random((2, len(pulses))) < 0.1
    train = delay_histogram(pulses[keep[0]], pulses[keep[1]], 100_000, 100, 10**9)
    assert find_single_peak(train, 1000) is None


@pytest.mark.parametrize(
    ("a", "widths", "message"),
    [
        (np.array([], np.int64), (10, 1, 100), "no tags"),
        (np.arange(3), (0, 1, 100), "range 0 ps"),
        (np.arange(3), (10, 0, 100), "bin 0 ps"),
        (np.arange(3), (10, 1, 0), "span 0 ps"),
        (np.arange(3)[::-1].copy(), (10, 1, 100), r"a\[1\]"),
    ],
)
def test_bad_input_to_the_histogram_is_named(a, widths, message):
    with pytest.raises(ValueError, match=message):
        delay_histogram(a, np.arange(3), *widths)


def write_tdc2(path, ticks, pattern):
    order = np.argsort(ticks, kind="stable")
    events = ticks[order].astype(np.uint64) << np.uint64(10) | pattern[order].astype(np.uint64)
    path.write_bytes(events.astype("<u8").tobytes())


def a_recording(folder):
    random = np.random.default_rng(6)
    first = np.sort(random.integers(0, 256 * 10**7, 2000))
    second = first + 256 * 40
    path = folder / "pair.ts"
    write_tdc2(path, np.concatenate((first, second)), np.repeat([1, 8], 2000))
    return open_recording(path)


def test_analyze_pair_of_a_recording(tmp_path):
    recording = a_recording(tmp_path)
    pair = analyze_pair(recording, 1, 4, window_ps=1000, bin_ps=125, range_ps=100_000)
    assert pair.delay_found
    assert abs(pair.delay_ps - 40_000) < 125
    assert pair.coincidences >= 2000
    assert pair.significance_sigma > 100
    fixed = analyze_pair(recording, 1, 4, window_ps=1000, bin_ps=125, range_ps=100_000, delay_ps=0)
    assert not fixed.delay_found
    assert fixed.delay_ps == 0
    assert abs(fixed.coincidences - fixed.accidentals) < 5 * np.sqrt(fixed.accidentals) + 5
    itself = analyze_pair(recording, 1, 1, window_ps=1000, bin_ps=125, range_ps=10_000)
    assert itself.coincidences < 50


def test_the_three_meanings_of_a_coincidence():
    a, b = np.array([0, 3, 100]), np.array([1, 2, 4, 101])
    counts = {
        semantics: count_coincidences(a, b, 8, semantics=semantics)
        for semantics in ("all", "nearest", "exclusive")
    }
    assert counts == {"all": 7, "nearest": 3, "exclusive": 3}
    of_a, of_b = find_coincidences(a, b, 8, semantics="nearest")
    assert (of_a.tolist(), of_b.tolist()) == ([0, 1, 2], [0, 1, 3])
    of_a, of_b = find_coincidences(a, b, 8)
    assert list(zip(of_a.tolist(), of_b.tolist(), strict=True)) == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 3)
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no semantics 'some'"):
        find_coincidences(a, b, 8, semantics="some")


def test_accidentals_are_measured_beside_the_coincidences():
    a = poisson(200_000, 3)
    b = np.sort(np.concatenate((poisson(200_000, 4), a[::10] + 50)))
    shifts = tuple(k * 10_000 for k in (-2, -1, 1, 2))
    coincidences, accidentals = count_with_accidentals(a, b, 1000, shifts_ps=shifts)
    expected = accidental_coincidences(len(a), len(b), 1000, SPAN_PS)
    assert coincidences == count_coincidences(a, b, 1000)
    assert accidentals == pytest.approx(expected, abs=5 * np.sqrt(expected / len(shifts)))
    assert coincidences - accidentals == pytest.approx(len(a) // 10, abs=5 * np.sqrt(expected))
    for bad in ((), (500,)):
        with pytest.raises(ValueError, match="beyond the window of 1000 ps"):
            count_with_accidentals(a, b, 1000, shifts_ps=bad)


def test_the_error_of_g2_is_the_scatter_of_g2():
    histogram = delay_histogram(poisson(200_000, 1), poisson(300_000, 2), 200_000, 1000, SPAN_PS)
    assert histogram.g2.std() == pytest.approx(histogram.g2_error.mean(), rel=0.2)
    empty = delay_histogram(np.array([0]), np.array([10**9]), 10, 1, SPAN_PS)
    assert (empty.g2_error == 1 / empty.expected_per_bin).all()


def test_bins_off_the_time_steps_bring_a_warning_and_none_given_are_on_them(tmp_path):
    recording = a_recording(tmp_path)
    on_steps = analyze_pair(recording, 1, 4, window_ps=1000, range_ps=10_000)
    assert on_steps.histogram.bin_ps == recording.bin_grid_ps == 125
    with pytest.warns(CombWarning, match="bins of 130 ps hold unequal .* such as 250 ps"):
        analyze_pair(recording, 1, 4, window_ps=1000, bin_ps=130, range_ps=10_000)


def test_the_time_step_of_live_streams():
    assert time_step_ps(np.array([7, 87, 247]), np.array([3, 3 + 400])) == 80
    assert time_step_ps(np.array([5]), np.array([], np.int64)) == 0
    assert [bin_on_grid(width, 80) for width in (1, 80, 81, 160)] == [80, 80, 160, 160]
    with pytest.raises(ValueError, match="step 0 ps"):
        bin_on_grid(100, 0)


def test_g2_of_several_pairs_at_once_is_that_of_each():
    a, b, c = poisson(4000, 1), poisson(3000, 2), poisson(2000, 3)
    time_ps = np.concatenate((a, b, c))
    channel = np.repeat(np.array([5, 7, 9], np.uint8), [4000, 3000, 2000])
    order = np.argsort(time_ps, kind="stable")
    stream = time_ps[order], channel[order]
    of = {5: a, 7: b, 9: c}
    pairs = [(5, 7), (9, 5), (7, 7)]
    for threads in (1, 2):
        found = delay_histograms(*stream, pairs, 10**9, 10**7, SPAN_PS, threads=threads)
        assert list(found) == pairs
        for (p, q), histogram in found.items():
            alone = delay_histogram(of[p], of[q], 10**9, 10**7, SPAN_PS, same=p == q)
            assert histogram.counts.tolist() == alone.counts.tolist()
            assert histogram.low_ps == alone.low_ps
            assert np.array_equal(histogram.g2, alone.g2)
            assert np.array_equal(histogram.g2_error, alone.g2_error)
    # Unrelated light: g2 of 1 within its errors.
    pull = (found[5, 7].g2 - 1) / found[5, 7].g2_error
    assert abs(pull.mean()) < 0.5
    assert 0.7 < pull.std() < 1.3
    with pytest.raises(ValueError, match="channel 8 holds no tags"):
        delay_histograms(*stream, [(5, 8)], 10**9, 10**7, SPAN_PS)
    with pytest.raises(ValueError, match="bin 0 ps"):
        delay_histograms(*stream, [(5, 7)], 10**9, 0, SPAN_PS)
