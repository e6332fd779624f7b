"""Purification against density matrices of four qubits, and against published formulae."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from link_layer.messages import PurifyMethod
from link_layer.purify import (
    NO_ERRORS,
    TURNS,
    Errors,
    PairState,
    Recipe,
    TiltCount,
    accepts,
    chosen,
    purified,
    ways,
)
from link_layer.states import Coherence, decayed_fidelity
from sim_backends.states import GATES, apply, depolarised, unitary

AXES = ("Z", "X", "Y")
METHODS: tuple[PurifyMethod, ...] = ("dejmps", "epl")
shares = st.tuples(*[st.floats(0.01, 1)] * 4).map(np.array).map(lambda w: w / w.sum())
small = st.floats(0, 0.2)


def pair(phi_plus: float, phi_minus: float, ten: float, one: float) -> PairState:
    """From weights of Phi+, Phi-, |10> and |01>."""
    z = phi_plus + phi_minus - ten - one
    plane = phi_plus - phi_minus
    return PairState(plane, plane, z, ten - one)


def bell(weights: np.ndarray) -> PairState:
    """From weights of Phi+, Phi-, Psi+, Psi-."""
    a, b, c, d = (float(each) for each in weights)
    return PairState(a - b + c - d, a - b - c + d, a + b - c - d)


def recipes(keep: PairState, spend: PairState) -> list[Recipe]:
    """All ways to purify, best fidelity first."""
    rounds = [(way, purified(keep, spend, *way)) for way in ways()]
    found = [
        Recipe(*way, float(each.probability), float(each.state.fidelity)) for way, each in rounds
    ]
    return sorted(found, key=lambda recipe: -recipe.fidelity)


def density(state: PairState) -> np.ndarray:
    """The pair's matrix, leading end first."""
    rho = np.zeros((4, 4), complex)
    for i, j in product((0, 1), repeat=2):
        rho[2 * i + j, 2 * i + j] = state.population(i, j)
    rho[0, 3] = rho[3, 0] = state.outer
    rho[1, 2] = rho[2, 1] = state.inner
    return rho


def by_matrices(
    keep: PairState, spend: PairState, method: PurifyMethod, axis: str, errors: Errors
) -> tuple[float, np.ndarray]:
    """Qubits: 0 and 1 the halves that are kept, 2 and 3 those that are spent."""
    rho = np.kron(density(keep), density(spend))
    for end in (0, 1):
        for gate in TURNS[axis][end]:  # type: ignore[index]
            channel = depolarised(unitary(GATES[gate]), errors.gate[end])
            for qubit in (end, end + 2):
                rho = apply(rho, channel, (qubit,))
        cnot = depolarised(unitary(GATES["CNOT"]), errors.cnot[end])
        rho = apply(rho, cnot, (end, end + 2))
    blocks = rho.reshape(4, 4, 4, 4)
    kept = np.zeros((4, 4), complex)
    for true in product((0, 1), repeat=2):
        index = 2 * true[0] + true[1]
        for told in product((0, 1), repeat=2):
            if accepts(method, *told):
                weight = math.prod(
                    1 - error if a == b else error
                    for a, b, error in zip(true, told, errors.readout, strict=True)
                )
                kept += weight * blocks[:, index, :, index]
    probability = float(np.trace(kept).real)
    return probability, kept / probability


@settings(max_examples=40, deadline=None)
@given(
    shares,
    shares,
    st.sampled_from(METHODS),
    st.sampled_from(AXES),
    st.lists(small, min_size=6, max_size=6),
)
def test_the_map_is_that_of_the_circuit(one, two, method, axis, each) -> None:  # type: ignore[no-untyped-def]
    errors = Errors((each[0], each[1]), (each[2], each[3]), (each[4], each[5]))
    for make in (bell, lambda weights: pair(*weights)):
        keep, spend = make(one), make(two)
        # The other end's outcome after a depolarised CNOT is no coin if both pairs are tilted.
        off = max(errors.cnot) * float(abs(keep.tilt * spend.tilt)) if method == "epl" else 0.0
        found = purified(keep, spend, method, axis, errors)
        probability, rho = by_matrices(keep, spend, method, axis, errors)
        assert found.probability == pytest.approx(probability, abs=1e-12 + off)
        phi = np.array([1, 0, 0, 1]) / math.sqrt(2)
        assert found.state.fidelity == pytest.approx(
            float((phi @ rho @ phi).real), abs=1e-12 + 4 * off
        )
        assert found.state.even == pytest.approx(
            float((rho[0, 0] + rho[3, 3]).real), abs=1e-12 + 4 * off
        )


@given(st.floats(0.5, 1))
def test_werner_pairs_give_what_bbpssw_gives(fidelity: float) -> None:
    """Bennett et al., Phys. Rev. Lett. 76, 722 (1996), equation 7."""
    rest = (1 - fidelity) / 3
    werner = bell(np.array([fidelity, rest, rest, rest]))
    found = purified(werner, werner, "dejmps")
    probability = fidelity**2 + 2 * fidelity * rest + 5 * rest**2
    assert found.probability == pytest.approx(probability)
    assert found.state.fidelity == pytest.approx((fidelity**2 + rest**2) / probability)


@given(shares)
def test_dejmps_has_the_published_success(weights: np.ndarray) -> None:
    """p = (A + B)^2 + (C + D)^2 and F = (A^2 + B^2)/p, where A and B agree along the axis."""
    a, phi_minus, psi_plus, psi_minus = (float(each) for each in weights)
    partner = {"Z": phi_minus, "X": psi_plus, "Y": psi_minus}
    for axis in AXES:
        b = partner[axis]
        p = (a + b) ** 2 + (1 - a - b) ** 2
        found = purified(bell(weights), bell(weights), "dejmps", axis)
        assert found.probability == pytest.approx(p)
        assert found.state.fidelity == pytest.approx((a * a + b * b) / p)


@given(st.floats(0.01, 0.49), st.floats(0.01, 0.49))
def test_epl_rejects_what_a_single_click_does_wrong(one: float, two: float) -> None:
    """Campbell and Benjamin: from (1 - a) Psi + a |11> a perfect pair, with (1 - a)(1 - b)/2."""
    keep, spend = pair(1 - one, 0, one, 0), pair(1 - two, 0, two, 0)
    found = purified(keep, spend, "epl")
    assert found.state.fidelity == pytest.approx(1)
    assert found.probability == pytest.approx((1 - one) * (1 - two) / 2)
    assert purified(keep, spend, "dejmps").state.fidelity < 1


@given(st.floats(0.51, 0.99))
def test_a_better_pair_comes_of_two_whatever_their_error_is(fidelity: float) -> None:
    rest = 1 - fidelity
    for weights in (
        [fidelity, rest, 0, 0],
        [fidelity, 0, rest, 0],
        [fidelity, 0, 0, rest],
        [fidelity, rest / 3, rest / 3, rest / 3],
    ):
        state = bell(np.array(weights))
        assert recipes(state, state)[0].fidelity > fidelity


def test_samples_go_through_the_map_at_once() -> None:
    x, y, z = np.linspace(0.6, 0.9, 5), np.linspace(0.6, 0.9, 5), np.linspace(0.7, 0.8, 5)
    many = PairState(x, y, z, 0.1)
    together = purified(many, many, "epl").state.fidelity
    each = [PairState(*map(float, row), 0.1) for row in zip(x, y, z, strict=True)]
    alone = [purified(one, one, "epl").state.fidelity for one in each]
    assert together == pytest.approx(alone)


def test_the_recipe_is_the_one_with_the_highest_yield_that_is_enough() -> None:
    raw = pair(0.75, 0.02, 0.23, 0.0)
    all_of_them = {(each.method, each.axis): each for each in recipes(raw, raw)}
    for fidelity in (0.8, 0.9):
        recipe = chosen(raw, raw, NO_ERRORS, fidelity)
        assert isinstance(recipe, Recipe)
        assert recipe.fidelity >= fidelity
        better = [each for each in all_of_them.values() if each.probability > recipe.probability]
        assert all(each.fidelity < fidelity for each in better)
    assert chosen(raw, raw, NO_ERRORS, 0.9) == all_of_them["epl", "Z"]
    forced = chosen(raw, raw, NO_ERRORS, 0.9, "dejmps")
    assert isinstance(forced, str)
    assert "make one of 0.8" in forced


def test_of_many_settings_the_one_with_the_highest_pace_is_taken() -> None:
    alphas = np.array([0.4, 0.3, 0.2, 0.1])
    raw = PairState(0.97 * (1 - alphas), 0.97 * (1 - alphas), 1 - 2 * alphas, alphas)
    recipe = chosen(raw, raw, NO_ERRORS, 0.9, pace=alphas)
    assert isinstance(recipe, Recipe)
    paces = [
        alpha * found.probability
        for way in ways()
        for alpha, one in zip(alphas, range(4), strict=True)
        for found in [purified(at(raw, one), at(raw, one), *way)]
        if found.state.fidelity >= 0.9
    ]
    assert alphas[recipe.setting] * recipe.probability == pytest.approx(max(paces))


def at(raw: PairState, index: int) -> PairState:
    each = (raw.x, raw.y, raw.z, raw.tilt)
    return PairState(*(float(np.atleast_1d(one)[index]) for one in each))


def test_below_the_threshold_it_refuses_with_the_number() -> None:
    told = chosen(bell(np.array([0.49, 0.51, 0, 0])), bell(np.array([1, 0, 0, 0])), NO_ERRORS, 0.6)
    assert isinstance(told, str)
    assert "0.490 cannot be purified" in told


def test_bad_gates_make_it_no_better_and_that_is_said() -> None:
    raw = bell(np.array([0.9, 0.03, 0.03, 0.04]))
    told = chosen(raw, raw, Errors(cnot=(0.2, 0.2)), 0.95)
    assert isinstance(told, str)
    assert "one of no better" in told


@given(st.floats(0.5, 1), st.floats(0, 2))
def test_a_pair_ages_as_memories_do(fidelity: float, time_s: float) -> None:
    near, far = Coherence(3.0, 0.5), Coherence(10.0, 1.0)
    aged = pair(fidelity, 1 - fidelity, 0, 0).aged(time_s, near, far)
    assert aged.fidelity == pytest.approx(decayed_fidelity(fidelity, time_s, near, far))


def test_one_sidedness_is_claimed_only_as_far_as_it_is_sure() -> None:
    count = TiltCount()
    assert count.ratio == 0
    for _ in range(3):
        count.add(1, 0)
        count.add(1, 1)
    assert count.ratio == 0
    for _ in range(300):
        count.add(1, 0)
    assert 0.9 < count.ratio < 1
    state = count.on(PairState(0.5, 0.5, 0.5))
    assert state.population(1, 0) == pytest.approx((1 + count.ratio) / 8)
    fair = TiltCount()
    rng = np.random.default_rng(5)
    for bit in rng.integers(0, 2, 4000).tolist():
        fair.add(bit, 1 - bit)
    assert abs(fair.ratio) < 0.05
