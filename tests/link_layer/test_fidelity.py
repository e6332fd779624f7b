import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.fidelity import BASES, CorrelatorCounts, TestRounds, correlator_counts
from link_layer.states import BellState, correlator_sign, fidelity_from_correlators

bell_states = st.sampled_from(list(BellState))


def rounds(
    rng: np.random.Generator, fidelity: float, number: int, state: BellState, readout: float = 0.0
) -> TestRounds:
    """Test rounds of a Werner pair: in each basis right with probability (1 + (4F - 1)/3)/2."""
    tests = TestRounds(readout_error_a=readout, readout_error_b=readout)
    right = (1 + (4 * fidelity - 1) / 3 * (1 - 2 * readout) ** 2) / 2
    for basis in BASES:
        good = int(rng.binomial(number, right))
        agree, differ = (good, number - good)
        if correlator_sign(state, basis) < 0:
            agree, differ = differ, agree
        half = agree // 2
        counts = np.array([[half, differ], [0, agree - half]])
        tests.add_counts(basis, state, counts)
    return tests


@given(bell_states)
def test_perfect_pairs_of_every_bell_state_count_towards_fidelity_one(state: BellState) -> None:
    tests = TestRounds()
    for basis, outcome, _ in itertools.product(BASES, (0, 1), range(20)):
        other = outcome if correlator_sign(state, basis) > 0 else 1 - outcome
        tests.add(basis, state, outcome, other)
    estimate = tests.estimate()
    assert estimate is not None
    assert estimate.value == estimate.raw_value == 1
    # Forty rounds a basis do not prove perfection.
    assert estimate.standard_error > 0.005
    assert estimate.interval_high <= 1
    assert 0.9 < estimate.interval_low < 0.99
    assert estimate.counts == {"X": 40, "Y": 40, "Z": 40}


def test_nothing_is_claimed_while_a_basis_has_no_counts() -> None:
    tests = TestRounds()
    assert tests.estimate() is None
    for basis in ("X", "Z"):
        tests.add(basis, BellState.PHI_PLUS, 0, 0)
        assert tests.estimate() is None
    tests.add("Y", BellState.PHI_PLUS, 0, 1)
    assert tests.estimate() is not None
    tests.clear()
    assert tests.estimate() is None


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=3, max_size=3),
    bell_states,
)
def test_the_value_is_that_of_the_correlators(
    counts: list[tuple[int, int]], state: BellState
) -> None:
    tests = TestRounds()
    for basis, (same, different) in zip(BASES, counts, strict=True):
        tests.add_counts(basis, state, np.array([[same, different], [0, 0]]))
    estimate = tests.estimate()
    assert estimate is not None
    xx, yy, zz = ((s - d) / (s + d) for s, d in counts)
    true = fidelity_from_correlators(state, xx, yy, zz)
    assert estimate.raw_value == pytest.approx(true)
    assert estimate.value == pytest.approx(min(1.0, max(0.0, true)))


def test_the_standard_error_is_the_sum_of_the_binomial_variances() -> None:
    tests = TestRounds()
    for basis, same in zip(BASES, (9500, 300, 9600), strict=True):
        tests.add_counts(basis, BellState.PHI_PLUS, np.array([[same, 10_000 - same], [0, 0]]))
    estimate = tests.estimate()
    assert estimate is not None
    variance = sum((1 - (2 * p - 1) ** 2) / 10_000 for p in (0.95, 0.03, 0.96))
    assert estimate.standard_error == pytest.approx(np.sqrt(variance) / 4, rel=0.01)
    width = estimate.interval_high - estimate.interval_low
    assert width == pytest.approx(2 * 1.96 * estimate.standard_error, rel=0.05)


@pytest.mark.parametrize(("fidelity", "number"), [(0.965, 1000), (0.9, 60), (0.8, 15), (0.99, 30)])
def test_the_interval_covers_the_truth_as_often_as_it_says(fidelity: float, number: int) -> None:
    rng = np.random.default_rng(99)
    trials, covered, within = 250, 0, 0
    for k in range(trials):
        state = list(BellState)[k % 4]
        estimate = rounds(rng, fidelity, number, state).estimate()
        assert estimate is not None
        covered += estimate.interval_low <= fidelity <= estimate.interval_high
        within += abs(estimate.value - fidelity) <= 3 * estimate.standard_error
    # 95 % of 250, less three standard deviations of the count.
    assert covered >= 0.95 * trials - 3 * np.sqrt(trials * 0.05 * 0.95)
    assert within >= 0.98 * trials


def test_accidentals_are_subtracted_only_when_asked_and_cost_certainty() -> None:
    tests = TestRounds()
    for basis, sign in zip(BASES, (1, -1, 1), strict=True):
        good, bad, chance = 1000, 10, 100
        same, different = (good, bad) if sign > 0 else (bad, good)
        counts = np.array([[same // 2, different // 2], [different // 2, same // 2]]) + chance
        tests.add_counts(basis, BellState.PHI_PLUS, counts, np.full((2, 2), 4 * chance), windows=4)
    net = tests.estimate()
    raw = tests.estimate(subtract_accidentals=False)
    assert net is not None
    assert raw is not None
    assert net.value == pytest.approx((1 + 3 * 990 / 1010) / 4)
    assert raw.value == net.raw_value == pytest.approx((1 + 3 * 990 / 1410) / 4)
    assert net.accidental_share == pytest.approx(400 / 1410)
    assert net.standard_error > raw.standard_error
    assert net.interval_low < net.value < net.interval_high


def test_accidentals_that_were_estimated_are_covered_too() -> None:
    rng = np.random.default_rng(5)
    true, covered, trials = 0.95, 0, 200
    right = (1 + (4 * true - 1) / 3) / 2
    for _ in range(trials):
        tests = TestRounds()
        for basis in BASES:
            good, bad = rng.poisson(200 * right), rng.poisson(200 * (1 - right))
            if correlator_sign(BellState.PHI_PLUS, basis) < 0:
                good, bad = bad, good
            counts = np.array([[good, bad], [0, 0]]) + rng.poisson(12, (2, 2))
            delayed = rng.poisson(12, (4, 2, 2)).sum(axis=0)
            tests.add_counts(basis, BellState.PHI_PLUS, counts, delayed, windows=4)
        estimate = tests.estimate()
        assert estimate is not None
        covered += estimate.interval_low <= true <= estimate.interval_high
    assert 0.90 * trials <= covered


def test_readout_errors_are_undone_with_their_cost() -> None:
    rng = np.random.default_rng(6)
    readout = 0.03
    values, errors = [], []
    for _ in range(100):
        tests = rounds(rng, 0.9, 400, BellState.PSI_MINUS, readout)
        estimate = tests.estimate()
        assert estimate is not None
        values.append(estimate.value)
        errors.append(estimate.standard_error)
        assert estimate.raw_value < estimate.value
    assert np.mean(values) == pytest.approx(0.9, abs=4 * np.mean(errors) / 10)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.25)
    with pytest.raises(ValueError, match="readout"):
        TestRounds(readout_error_a=0.5).estimate()


def test_windows_of_different_number_add_up() -> None:
    counts = np.array([[50, 5], [5, 50]])
    two = correlator_counts(counts, np.full((2, 2), 4), 2)
    eight = correlator_counts(counts, np.full((2, 2), 16), 8)
    assert two.accidental_same == eight.accidental_same == 4
    assert two.plus(eight).accidental_same == 8
    assert two.accidental_same_variance == pytest.approx(4 * eight.accidental_same_variance)
    assert two.flipped().same == two.different
    assert CorrelatorCounts(1, 0).plus(CorrelatorCounts(0, 3)).raw == -0.5


def test_wrong_input_is_named() -> None:
    tests = TestRounds()
    with pytest.raises(ValueError, match="basis 'W'"):
        tests.add("W", BellState.PHI_PLUS, 0, 0)
    with pytest.raises(ValueError, match="outcomes 2, 0"):
        tests.add("X", BellState.PHI_PLUS, 2, 0)
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        tests.add_counts("X", BellState.PHI_PLUS, np.zeros((2, 3), dtype=np.int64))
