"""The fidelity estimation unit: what test rounds of any setting say, and how sure that is."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from link_layer.feu import FidelityUnit, Goodness
from link_layer.feu_filter import BASES, PRIOR_A, PRIOR_B, SHARPNESS, ResidualFilter
from link_layer.feu_model import (
    Fixed,
    SingleClick,
    best_setting,
    fidelity_at,
    ladder,
    largest_setting,
)
from link_layer.feu_policy import TestPolicy
from link_layer.feu_regimes import Regime, regimes
from link_layer.states import BellState, correlator_sign


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def told(unit: FidelityUnit, error: float, rounds: int, setting: float = 0.0) -> None:
    """Exactly the share of errors in each basis that the model and an error of the link's own
    leave, with no chance in it."""
    for basis, contrast in zip(BASES, unit.model.contrasts(setting), strict=True):
        wrong = rounds * (1 - contrast * (1 - 2 * error)) / 2
        unit.add_counts(
            basis, BellState.PHI_PLUS, *_by_sign(basis, rounds - wrong, wrong), setting=setting
        )


def _by_sign(basis: str, right: float, wrong: float) -> tuple[float, float]:
    return (wrong, right) if basis == "Y" else (right, wrong)


def test_nothing_is_said_before_all_bases_were_tested() -> None:
    unit = FidelityUnit(Clock())
    assert unit.goodness() is None
    unit.add("X", BellState.PHI_PLUS, 0, 0)
    unit.add("Z", BellState.PHI_PLUS, 1, 1)
    unit.renew()
    assert unit.goodness() is None
    unit.add("Y", BellState.PHI_PLUS, 0, 1)
    unit.renew()
    assert unit.goodness() is not None


def test_renewed_step_by_step_it_says_the_same_and_the_old_until_the_last() -> None:
    at_once, stepwise = FidelityUnit(Clock()), FidelityUnit(Clock())
    for error in (0.1, 0.02):
        for unit in (at_once, stepwise):
            told(unit, error, 100)
        before = stepwise.samples()
        at_once.renew()
        steps = 0
        for _ in stepwise.renewing():
            steps += 1
            assert stepwise.samples() is None or np.array_equal(stepwise.samples(), before)
        assert steps > 2 * len(BASES)
        assert np.array_equal(stepwise.samples(), at_once.samples())
    assert not list(stepwise.renewing())


@pytest.mark.parametrize("state", list(BellState))
def test_the_outcomes_are_taken_as_the_bell_state_has_them(state: BellState) -> None:
    unit = FidelityUnit(Clock())
    for basis in BASES:
        for _ in range(300):
            unit.add(basis, state, 0, 0 if correlator_sign(state, basis) > 0 else 1)
    unit.renew()
    found = unit.goodness()
    assert found is not None
    assert found.fidelity > 0.99


def test_rounds_with_one_setting_tell_of_another() -> None:
    """All errors but the model's own are the same at every bright population."""
    unit = FidelityUnit(Clock(), model=SingleClick(dark_per_signal=1e-3))
    told(unit, 0.05, 4000, setting=0.3)
    unit.renew()
    for setting in (0.05, 0.3):
        found = unit.goodness(setting)
        assert found is not None
        true = fidelity_at(unit.model, setting, (0.9, 0.9, 0.9))
        assert abs(found.fidelity - true) < 0.005
        assert found.low < true < found.high


def test_readout_errors_and_accidentals_are_undone() -> None:
    unit = FidelityUnit(Clock(), readout_error_a=0.02, readout_error_b=0.03)
    error, share, rounds = 0.04, 0.1, 20_000
    correlator = (1 - 2 * error) * 0.96 * 0.94
    for basis in BASES:
        true = rounds * (1 - share)
        wrong = true * (1 - correlator) / 2 + rounds * share / 2
        chance = rounds * share / 2
        unit.add_counts(
            basis,
            BellState.PHI_PLUS,
            *_by_sign(basis, rounds - wrong, wrong),
            chance_same=chance,
            chance_different=chance,
        )
    unit.renew()
    found = unit.goodness()
    assert found is not None
    assert abs(found.fidelity - (1 - 1.5 * error)) < 0.003


def test_a_link_that_drifts_is_followed() -> None:
    clock = Clock()
    unit = FidelityUnit(clock)
    for second in range(600):
        clock.now_s += 1.0
        told(unit, 0.02 + 0.1 * second / 600, 20)
        unit.renew()
    found = unit.goodness()
    assert found is not None
    assert abs(found.fidelity - (1 - 1.5 * 0.12)) < 0.02
    rest = FidelityUnit(still := Clock())
    for _ in range(600):
        still.now_s += 1.0
        told(rest, 0.07, 20)
        rest.renew()
    resting = rest.goodness()
    assert resting is not None
    assert resting.half_width < found.half_width
    assert sum(rest.unrest) < sum(unit.unrest) / 3


@pytest.mark.parametrize(("a_minute", "early"), [(400, 10), (4000, 4)])
def test_an_interval_relies_on_rest_only_when_motion_is_refuted(a_minute: int, early: int) -> None:
    """Rest is believed long before that. Many rounds refute motion sooner, and that they are many
    does not put it off for ever."""
    bank, links = regimes(), 100
    own = ResidualFilter(bank, shape=(links,))
    rng = np.random.default_rng(3)
    rest = bank.index(next(each for each in bank if not each.diffusion and not each.speed))
    relied, believed = {}, 0.0
    for minute in range(1, 62):
        own.passes(60.0)
        for basis in BASES:
            wrong = rng.binomial(a_minute, 0.15 if minute <= 60 else 0.3, links)
            own.hears(basis, a_minute - wrong, wrong)
        relied[minute] = float(own.told()[:, rest].mean())
        if minute == early:
            believed = float(own._weights[:, rest].mean())
    assert believed > 0.3
    assert relied[early] < believed / 3
    assert relied[60] > 0.6
    assert relied[61] < 0.01


def test_a_few_odd_rounds_make_no_new_link() -> None:
    """The interval of a link that rests is that of a new one less often than once in two hours."""
    own = ResidualFilter(shape=(100,))
    rng = np.random.default_rng(5)
    new = 0
    for half_second in range(600):
        own.passes(0.5)
        for basis in BASES:
            rounds = rng.poisson(10 / 3, 100)
            wrong = rng.binomial(rounds, 0.08)
            own.hears(basis, rounds - wrong, wrong)
        if half_second >= 60:
            new += int((own.told()[:, -1] > 0.5).sum())
    assert new <= 8


def test_what_is_relied_on_is_the_best_account_by_the_power_of_its_weight() -> None:
    alike = (Regime(1.0, 2e-3, trust=1.5), Regime(1.0, 2e-3), Regime(1.0, 2e-3, price=0.5))
    own = ResidualFilter(alike)
    for _ in range(20):
        own.passes(10.0)
        for basis in BASES:
            own.hears(basis, 60.0, 6.0)
    first, second, third, new = own.told().tolist()
    assert first / second == pytest.approx(1.5**SHARPNESS, rel=1e-6)
    assert new < 1e-3
    # A price is paid for the rounds that the most trusted one holds: r (1 - r) over its variance.
    mean, variance = own._mean[0, :3], own._cov[0, range(3), range(3)]
    rounds = (mean * (1 - mean) / variance).mean()
    assert second / third == pytest.approx(rounds ** (0.5 * SHARPNESS), rel=1e-6)


def test_the_estimate_is_that_of_all_regimes_and_within_its_interval() -> None:
    clock = Clock()
    unit = FidelityUnit(clock)
    rng = np.random.default_rng(11)
    for _ in range(40):
        clock.now_s += 15.0
        for basis in BASES:
            wrong = float(rng.binomial(100, 0.05))
            counts = 100 - wrong, wrong
            unit.add_counts(
                basis, BellState.PHI_PLUS, *(reversed(counts) if basis == "Y" else counts)
            )
        unit.renew()
        found, samples = unit.goodness(), unit.samples()
        assert found is not None
        assert samples is not None
        within = np.clip(unit.predicted(0.0), found.low, found.high)
        assert found.fidelity == pytest.approx(float(within), abs=1e-12)
    # Two accounts of the same rounds: close to each other, and not the same.
    told_f = float((1 + samples.sum(0)).mean() / 4)
    assert 1e-6 < abs(told_f - found.fidelity) < found.half_width


def test_the_best_estimate_of_one_regime_is_the_mean_of_what_is_drawn() -> None:
    own = ResidualFilter((Regime(1.0, trust=1e6),))
    for basis, wrong in zip(BASES, (0.0, 3.0, 40.0), strict=True):
        own.hears(basis, 300 - wrong, wrong)
    assert own.expected() == pytest.approx(own.drawn(4096).mean(1), abs=2e-4)


def test_the_interval_grows_while_nothing_is_tested() -> None:
    clock = Clock()
    unit = FidelityUnit(clock)
    told(unit, 0.03, 3000)
    unit.renew()
    fresh = unit.goodness()
    clock.now_s = 5.0
    assert not unit.renew()
    clock.now_s = 3600.0
    assert unit.renew()
    old = unit.goodness()
    assert fresh is not None
    assert old is not None
    assert old.half_width > 2 * fresh.half_width
    assert old.at_s == 3600.0


def test_what_no_regime_foretold_is_not_an_error() -> None:
    own = ResidualFilter()
    for _ in range(40):
        own.hears("X", 1e6, 0.0)
    own.hears("X", 0.0, 1e9)
    drawn = own.drawn(256)
    assert np.isfinite(drawn).all()
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_rounds_without_contrast_tell_nothing() -> None:
    own = ResidualFilter()
    before = own.drawn(256)
    own.hears("Z", 300.0, 200.0, contrast=0.0)
    assert np.allclose(own.drawn(256), before, atol=1e-6)


def test_a_link_at_rest_is_counted_as_the_beta_distribution_has_it() -> None:
    own = ResidualFilter([Regime(1.0)])
    for _ in range(20):
        own.hears("X", 9.0, 1.0)
    posterior = beta(PRIOR_A + 20, PRIOR_B + 180)
    found = own.drawn(4096)[0]
    for share in (0.025, 0.5, 0.975):
        assert np.quantile(found, share) == pytest.approx(posterior.ppf(share), rel=0.01)


def test_a_link_that_jumps_is_found_again() -> None:
    own = ResidualFilter()
    for error in [0.02] * 60 + [0.2] * 12:
        own.passes(10.0)
        for basis in BASES:
            own.hears(basis, 66 * (1 - error), 66 * error)
    drawn = 1 - own.drawn(1024).sum(0) / 2
    assert np.quantile(drawn, 0.025) < 0.7 < np.quantile(drawn, 0.975)
    assert np.ptp(np.quantile(drawn, (0.025, 0.975))) < 0.1


def test_the_link_after_a_jump_is_learnt_as_well_as_the_one_before() -> None:
    jumped, rests = ResidualFilter(), ResidualFilter()
    for step in range(330):
        for own, error in ((jumped, 0.02 if step < 30 else 0.2), (rests, 0.2)):
            own.passes(10.0)
            for basis in BASES:
                own.hears(basis, 66 * (1 - error), 66 * error)
    widths = [
        np.ptp(np.quantile(each.drawn(1024).sum(0), (0.025, 0.975))) for each in (jumped, rests)
    ]
    assert widths[0] < 1.3 * widths[1]


@pytest.mark.parametrize("fidelity", [0.55, 0.7, 0.85, 0.95])
def test_the_largest_setting_is_the_largest(fidelity: float) -> None:
    model = SingleClick(lowest=0.005, highest=0.5, dark_per_signal=1e-4)
    left = (0.97, 0.96, 0.99)
    found = largest_setting(model, fidelity, left)
    assert found is not None
    assert fidelity_at(model, found, left) >= fidelity
    above = [each for each in ladder(model) if each > found]
    assert all(fidelity_at(model, each, left) < fidelity for each in above)
    assert found > 0.98 * min(above, default=found)


def test_a_fidelity_out_of_reach_has_no_setting() -> None:
    assert largest_setting(SingleClick(), 0.95, (0.8, 0.8, 0.8)) is None
    assert largest_setting(Fixed(), 0.95, (0.8, 0.8, 0.8)) is None
    assert largest_setting(Fixed(), 0.8, (0.8, 0.8, 0.8)) == 0.0


def test_dark_counts_make_the_least_setting_a_bad_one() -> None:
    model = SingleClick(0.001, 0.5, dark_per_signal=1e-3)
    best = best_setting(model, (1.0, 1.0, 1.0))
    assert best == pytest.approx(math.sqrt(1e-3), rel=0.05)  # where alpha + d/(eta alpha) is least


def test_single_click_is_that_of_humphreys() -> None:
    """F = 2 alpha (1 - alpha) eta/p (1 + C)/2: with C in X and Y only, and no dark counts."""
    coherence = math.sqrt(0.9) * math.exp(-(math.radians(15) ** 2) / 2) * 0.96
    for alpha in (0.05, 0.3):
        expected = (1 - alpha) * (1 + coherence) / 2
        found = fidelity_at(SingleClick(), alpha, (coherence, coherence, 1.0))
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("low", "high", "dark"), [(0.0, 0.5, 0.0), (0.3, 0.2, 0.0), (0.1, 0.6, 0.0), (0.1, 0.2, 1.0)]
)
def test_no_model_of_nonsense(low: float, high: float, dark: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to"):
        SingleClick(low, high, dark)


def test_few_tests_where_all_is_known_and_rests_and_many_where_not() -> None:
    policy = TestPolicy(ceiling=0.2, precision=0.02)
    clock = Clock()
    unit = FidelityUnit(clock)
    assert policy.share(unit, None, 100.0) == 0.2
    for _ in range(300):
        clock.now_s += 1.0
        told(unit, 0.05, 30)
        unit.renew()
    found = unit.goodness()
    assert found is not None
    assert found.half_width < 0.02
    resting = policy.share(unit, found, 1000.0)
    assert resting == pytest.approx(policy.floor)
    assert policy.share(unit, Goodness(0.9, 0.8, 0.97, 0.0), 1000.0) == 0.2
    finer = TestPolicy(ceiling=0.2, precision=0.012)
    assert resting <= finer.share(unit, found, 1000.0) <= 0.2


@pytest.mark.parametrize("forgets", [False, True])
def test_accidentals_are_counted_anew_when_the_light_is_another(forgets: bool) -> None:
    """A brighter light had 20 % of them, the one now has none."""
    now_s = 0.0
    rng = np.random.default_rng(5)
    unit = FidelityUnit(lambda: now_s)
    for step in range(120):
        now_s += 1.0
        if forgets and step == 100:
            unit.forget_chance()
        for basis in BASES:
            wrong = float(rng.binomial(60, 0.04))
            each_way = 7.5 if step < 100 else 0.0
            counts = 60 - wrong + each_way, wrong + each_way
            unit.add_counts(
                basis,
                BellState.PHI_PLUS,
                *(reversed(counts) if basis == "Y" else counts),
                chance_same=each_way,
                chance_different=each_way,
            )
        unit.renew()
    goodness = unit.goodness()
    assert goodness is not None
    if forgets:
        assert goodness.fidelity == pytest.approx(0.94, abs=0.012)
    else:
        assert goodness.fidelity > 0.955
