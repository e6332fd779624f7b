"""Figures of a verification and the most likely state, against states that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from link_layer.states import BellState, werner_chsh
from link_layer.tomography import (
    SETTINGS,
    concurrence,
    correlation_matrix,
    drawn_counts,
    likely_state,
    projectors,
    quick_state,
    state_fidelity,
)
from link_layer.verification import Figure, assess
from sim_backends import states as true_states

MANY = dict.fromkeys(SETTINGS, 4000)


def werner(fidelity: float, state: str = "PHI_PLUS") -> np.ndarray:
    return true_states.werner(state, fidelity)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", SETTINGS)
def test_projectors_are_those_of_the_simulated_instruments(setting: tuple[str, str]) -> None:
    density = true_states.bell_density((0.4, 0.3, 0.2, 0.1))
    mine = np.einsum("kij,ji->k", projectors(setting), density).real.reshape(2, 2)
    near, far = (true_states.BASIS_STATES[basis] for basis in setting)
    assert mine == pytest.approx(true_states.joint_probabilities(density, near, far))


@pytest.mark.parametrize("bell_state", list(BellState))
@pytest.mark.parametrize("fidelity", [0.35, 0.6, 0.9, 1.0])
def test_a_known_state_is_found(bell_state: BellState, fidelity: float) -> None:
    truth = werner(fidelity, bell_state.name)
    found = likely_state(drawn_counts(truth, MANY, np.random.default_rng(7)))
    assert np.abs(found - truth).max() < 0.03
    assert np.trace(found).real == pytest.approx(1)
    assert np.linalg.eigvalsh(found).min() > -1e-9
    assert state_fidelity(found, bell_state) == pytest.approx(fidelity, abs=0.02)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_counts_give_a_physical_state(seed: int) -> None:
    """Also those that no state would give: tomography by inversion would not survive them."""
    rng = np.random.default_rng(seed)
    counts = {setting: rng.integers(0, 4, (2, 2)) + np.eye(2, dtype=int) for setting in SETTINGS}
    state = likely_state(counts)
    assert np.linalg.eigvalsh(state).min() > -1e-9
    assert np.trace(state).real == pytest.approx(1)


def test_the_likely_state_is_at_least_as_likely_as_the_quick_one_and_the_truth() -> None:
    rng = np.random.default_rng(2)
    for fidelity in (0.5, 0.95):
        truth = werner(fidelity)
        counts = drawn_counts(truth, dict.fromkeys(SETTINGS, 50), rng)

        def likelihood(state: np.ndarray, counts: dict = counts) -> float:
            return sum(
                float(counts[s].reshape(-1) @ np.log(np.maximum(p, 1e-12)))
                for s in SETTINGS
                for p in [np.einsum("kij,ji->k", projectors(s), state).real]
            )

        found = likelihood(likely_state(counts))
        assert found >= likelihood(truth)
        assert found >= likelihood(0.999 * quick_state(counts) + 0.001 * np.eye(4) / 4) - 1e-6


@pytest.mark.parametrize("fidelity", [0.3, 0.5, 0.7, 1.0])
def test_concurrence_and_s_of_a_werner_state(fidelity: float) -> None:
    """Wootters 1998: C = max(0, 2F - 1); Horodecki 1995 for S."""
    state = werner(fidelity)
    assert concurrence(state) == pytest.approx(max(0, 2 * fidelity - 1), abs=1e-6)
    singular = np.linalg.svd(correlation_matrix(state), compute_uv=False)
    assert 2 * np.hypot(*singular[:2]) == pytest.approx(werner_chsh(fidelity))


def test_a_setting_without_counts_is_named() -> None:
    counts = drawn_counts(werner(0.9), MANY, np.random.default_rng(1))
    del counts["X", "Y"]
    with pytest.raises(ValueError, match="none in XY"):
        likely_state(counts)


def test_all_figures_agree_with_the_state_within_their_errors() -> None:
    rng = np.random.default_rng(3)
    pulls = []
    for _ in range(12):
        counts = drawn_counts(werner(0.88, "PSI_MINUS"), dict.fromkeys(SETTINGS, 600), rng)
        found = assess(counts, BellState.PSI_MINUS, rng)
        assert found.fidelity is not None
        assert found.state_fidelity is not None
        assert found.chsh is not None
        pulls.append((found.fidelity.value - 0.88) / found.fidelity.standard_error)
        pulls.append((found.state_fidelity.value - 0.88) / found.state_fidelity.error)
        pulls.append((found.qber["Z"].value - 0.08) / found.qber["Z"].error)
        assert found.significance == pytest.approx((found.chsh.value - 2) / found.chsh.error)
        assert found.significance > 3
    assert 0.5 < np.std(pulls) < 1.5  # errors are neither flattered nor padded
    assert abs(np.mean(pulls)) < 0.7


def test_with_two_bases_there_is_a_bound_on_s_and_no_fidelity() -> None:
    truth = werner(1.0)
    counts = drawn_counts(truth, {("X", "X"): 500, ("Z", "Z"): 500}, np.random.default_rng(1))
    found = assess(counts, BellState.PHI_PLUS, np.random.default_rng(1))
    assert found.fidelity is None
    assert found.state is None
    assert found.chsh is not None
    assert found.chsh.value == pytest.approx(2 * np.sqrt(2))
    assert set(found.qber) == {"X", "Z"}
    assert found.as_json()["pairs"] == 1000


def test_the_error_of_s_is_that_of_repeated_runs() -> None:
    rng = np.random.default_rng(5)
    runs = [
        assess(
            drawn_counts(werner(0.9), dict.fromkeys([(b, b) for b in "XYZ"], 800), rng),
            BellState.PHI_PLUS,
            rng,
        ).chsh
        for _ in range(60)
    ]
    spread = np.std([each.value for each in runs if each])
    told = np.mean([each.error for each in runs if each])
    assert told == pytest.approx(spread, rel=0.35)


def test_a_figure_is_shown_to_the_digits_it_has() -> None:
    assert str(Figure(0.87654, 0.0123)) == "0.877 ± 0.012"
    assert str(Figure(2.5, 0.0)) == "2.5000"
