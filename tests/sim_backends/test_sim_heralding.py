"""Closed forms of heralding against attempts played click by click.

`play` knows nothing of the closed forms: it draws which emitters are bright, which photons arrive,
where they leave the beam splitter and where dark counts are, and takes the state that is left.
Seeds are fixed; limits are 4 standard errors (6e-5 for a right model with another seed).
"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.heralding import HeraldOdds, interference_visibility, single_click_coherence
from sim_backends.lab import MidpointConfig

ENDS = ("a", "b")


def midpoint(**changes: Any) -> MidpointConfig:
    numbers: dict[str, Any] = {
        "ends": ENDS,
        "attempt_period_us": 10.0,
        "efficiency": {"a": 0.3, "b": 0.3},
        "visibility": 1.0,
    }
    return MidpointConfig.model_validate(numbers | changes)


def single(alpha: float, eta: float, **changes: Any) -> MidpointConfig:
    return midpoint(
        scheme="single_click",
        bright_population={"a": alpha, "b": alpha},
        efficiency={"a": eta, "b": eta},
        **changes,
    )


def play_single(config: MidpointConfig, count: int, seed: int) -> tuple[float, float]:
    """Share of attempts with exactly one detector firing, and the heralded pairs' fidelity."""
    rng = np.random.default_rng(seed)
    bright = [rng.random(count) < config.bright_population[end] for end in ENDS]
    arrived = [here & (rng.random(count) < config.efficiency[end])
               for here, end in zip(bright, ENDS, strict=True)]  # fmt: skip
    fired = rng.random((2, count)) < config.dark_probability
    photons = arrived[0].astype(int) + arrived[1]
    out = rng.integers(0, 2, count)
    apart = rng.random(count) < (1 - config.visibility) / 2
    other = np.where(apart, 1 - out, out)
    for port in (0, 1):
        fired[port] |= (photons > 0) & (out == port)
        fired[port] |= (photons == 2) & (other == port)
    herald = fired.sum(axis=0) == 1
    # The pair is coherent only where its one photon is the one that was seen.
    coherence = math.sqrt(config.visibility) * (1 - config.double_excitation)
    coherence *= math.exp(-(math.radians(config.phase_sigma_deg) ** 2) / 2)
    lone = (bright[0] ^ bright[1]) & (photons == 1)
    odd = bright[0] ^ bright[1]
    right = np.where(lone, (1 + coherence) / 2, np.where(odd, 0.5, 0.0))
    return herald.mean(), right[herald].mean()


@pytest.mark.parametrize(
    ("alpha", "eta", "changes"),
    [
        (0.3, 0.3, {"dark_probability": 0.02, "visibility": 0.8}),
        (0.1, 0.5, {"phase_sigma_deg": 25.0, "double_excitation": 0.06}),
        (0.5, 0.9, {"dark_probability": 0.05, "visibility": 0.5}),
    ],
)
def test_single_click_equals_attempts_played_click_by_click(
    alpha: float, eta: float, changes: dict[str, float]
) -> None:
    config = single(alpha, eta, **changes)
    odds, count = HeraldOdds.of(config), 1_000_000
    probability, fidelity = play_single(config, count, 3)
    expected = odds.total
    assert abs(probability - expected) < 4 * math.sqrt(expected * (1 - expected) / count)
    # What is averaged lies in [0, 1]: its standard deviation is at most 1/2.
    assert abs(fidelity - odds.fidelity) < 4 * 0.5 / math.sqrt(expected * count)


def test_single_click_meets_the_published_formulae_at_low_efficiency() -> None:
    # p = 2 alpha eta + 2 p_dc, F = (2 alpha (1 - alpha) eta / p)(1 + C)/2, C = sqrt V e^(-s^2/2)...
    for alpha, rate_hz, fidelity in ((0.05, 7.4, 0.873), (0.3, 43.7, 0.657)):
        config = single(
            alpha, 4e-4, visibility=0.9, dark_probability=20 * 25e-9, phase_sigma_deg=15.0,
            double_excitation=0.04, attempt_period_us=5.5,
        )  # fmt: skip
        odds = HeraldOdds.of(config)
        coherence = math.sqrt(0.9) * math.exp(-(math.radians(15) ** 2) / 2) * 0.96
        assert single_click_coherence(0.9, 15.0, 0.04) == pytest.approx(coherence)
        p = 2 * alpha * 4e-4 + 2 * 5e-7
        assert odds.total == pytest.approx(p, rel=1e-3)
        first_order = 2 * alpha * (1 - alpha) * 4e-4 / p * (1 + coherence) / 2
        assert odds.fidelity == pytest.approx(first_order, abs=3e-3)
        assert odds.total / 5.5e-6 == pytest.approx(rate_hz, rel=0.01)
        assert odds.fidelity == pytest.approx(fidelity, abs=0.002)


def play_double(config: MidpointConfig, count: int, seed: int) -> tuple[float, float]:
    """Share of attempts with a valid pattern of exactly two clicks, and the pairs' fidelity.

    Detectors are (side, polarization); a pattern is valid with one click of each polarization:
    on the same side Psi+, on different ones Psi-.
    """
    rng = np.random.default_rng(seed)
    # Each emitter's photon has a random polarization, entangled with its qubit.
    polarization = rng.integers(0, 2, (2, count))
    arrived = np.stack([rng.random(count) < config.efficiency[end] for end in ENDS])
    side = rng.integers(0, 2, (2, count))
    clicks = rng.random((count, 2, 2)) < config.dark_probability
    for photon in (0, 1):
        here = np.flatnonzero(arrived[photon])
        clicks[here, side[photon, here], polarization[photon, here]] = True
    valid = (clicks.sum(axis=(1, 2)) == 2) & (clicks.any(axis=1).sum(axis=1) == 2)
    # Of different polarization photons do not interfere: where both arrived, both sides are as
    # likely, and the state is the one told with (1 + V)/2.
    both = arrived.all(axis=0) & (polarization[0] != polarization[1])
    right = np.where(both, (1 + config.visibility) / 2, 0.25)
    return valid.mean(), right[valid].mean()


@pytest.mark.parametrize("dark", [0.0, 2e-3])
def test_double_click_equals_attempts_played_click_by_click(dark: float) -> None:
    config = midpoint(efficiency={"a": 0.2, "b": 0.1}, visibility=0.85, dark_probability=dark)
    odds, count = HeraldOdds.of(config), 1_000_000
    probability, fidelity = play_double(config, count, 5)
    # The closed form is of first order in each kind: 4 d of it is left out.
    slack = 4 * dark * odds.total + 1e-12
    deviation = 4 * math.sqrt(odds.total / count)
    assert abs(probability - odds.total) < deviation + slack
    assert abs(fidelity - odds.fidelity) < 4 * 0.5 / math.sqrt(odds.total * count) + 4 * dark


def test_double_click_closed_form() -> None:
    odds = HeraldOdds.of(midpoint(visibility=0.9))
    assert odds.total == pytest.approx(0.5 * 0.3 * 0.3)
    assert odds.fidelity == pytest.approx(0.95)
    assert odds.false == 0.0


@given(
    alpha=st.floats(0.0, 1.0),
    beta=st.floats(0.0, 1.0),
    eta=st.floats(0.0, 1.0),
    dark=st.floats(0.0, 0.1),
    overlap=st.floats(0.0, 1.0),
    residual=st.floats(0.0, 1.0),
    duty=st.floats(0.01, 1.0),
)
def test_odds_are_probabilities_and_pairs_are_states(
    alpha: float, beta: float, eta: float, dark: float, overlap: float, residual: float, duty: float
) -> None:
    config = midpoint(
        scheme="single_click",
        bright_population={"a": alpha, "b": beta},
        efficiency={"a": eta, "b": eta / 2},
        dark_probability=dark,
        visibility=overlap,
        residual_depolarising=residual,
        duty=duty,
    )
    odds = HeraldOdds.of(config)
    assert 0.0 <= odds.total <= 1.0 + 1e-12
    for cause in odds.causes:
        assert cause.probability >= 0.0
        for psi_minus in (False, True):
            assert sum(cause.pair(psi_minus)) == pytest.approx(1.0)
            assert min(cause.pair(psi_minus)) >= -1e-12
    assert odds.causes[0].pair(True)[3] == odds.causes[0].psi_plus[2]


def test_duty_and_residual_are_what_they_say() -> None:
    plain = HeraldOdds.of(midpoint(visibility=0.9))
    worse = HeraldOdds.of(midpoint(visibility=0.9, duty=0.5, residual_depolarising=0.2))
    assert worse.total == pytest.approx(0.5 * plain.total)
    assert worse.fidelity == pytest.approx(0.8 * plain.fidelity + 0.2 / 4)


def test_unequal_arms_cost_coherence_in_a_single_click() -> None:
    even = HeraldOdds.of(single(0.05, 1e-3))
    uneven = HeraldOdds.of(
        midpoint(
            scheme="single_click",
            bright_population={"a": 0.05, "b": 0.05},
            efficiency={"a": 1e-3, "b": 2.5e-4},
        )
    )
    # 2 sqrt(xy)/(x + y) with x = 4y is 4/5.
    pair = next(cause for cause in uneven.causes if cause.name == "pair")
    assert pair.psi_plus[2] == pytest.approx((1 + 0.8) / 2)
    assert even.fidelity > uneven.fidelity


def test_overlap_in_time_multiplies_the_visibility() -> None:
    photons = {"lifetime_ns": 12.0, "offset_ps": 3000.0}
    config = midpoint(visibility=0.9, photons=photons)
    assert interference_visibility(config) == pytest.approx(0.9 * math.exp(-0.25))
    assert HeraldOdds.of(config).fidelity == pytest.approx((1 + 0.9 * math.exp(-0.25)) / 2)


def test_a_window_trades_heralds_for_visibility() -> None:
    photons = {"lifetime_ns": 12.0, "detuning_mhz": 15.0}
    whole = HeraldOdds.of(midpoint(photons=photons))
    narrow = HeraldOdds.of(midpoint(photons=photons | {"window_ns": 6.0}))
    # Two decays of one lifetime differ by a Laplace variable.
    assert narrow.total == pytest.approx(whole.total * (1 - math.exp(-0.5)))
    assert narrow.fidelity > whole.fidelity + 0.1


def test_the_cause_is_drawn_by_its_share() -> None:
    odds = HeraldOdds.of(single(0.3, 0.3, dark_probability=0.02))
    rng = np.random.default_rng(11)
    drawn = [odds.drawn(float(x)).name for x in rng.random(40_000)]
    for cause in odds.causes:
        share = cause.probability / odds.total
        deviation = math.sqrt(share * (1 - share) * len(drawn))
        assert abs(drawn.count(cause.name) - share * len(drawn)) < 4 * deviation
