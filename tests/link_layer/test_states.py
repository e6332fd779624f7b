import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from link_layer.states import (
    CLASSICAL_TELEPORTATION_LIMIT,
    CORRELATOR_SIGNS,
    ENTANGLEMENT_THRESHOLD,
    NO_DECAY,
    BellState,
    Coherence,
    chsh,
    correlator_sign,
    correlators,
    decayed_fidelity,
    fidelity_bound,
    fidelity_from_correlators,
    pauli_to_phi_plus,
    qber,
    teleportation_fidelity,
    useful_lifetime_s,
    werner,
    werner_chsh,
)

Matrix = NDArray[np.complex128]
PAULI: dict[str, Matrix] = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]).astype(complex),
}
KETS = {
    BellState.PHI_PLUS: np.array([1, 0, 0, 1]) / math.sqrt(2),
    BellState.PHI_MINUS: np.array([1, 0, 0, -1]) / math.sqrt(2),
    BellState.PSI_PLUS: np.array([0, 1, 1, 0]) / math.sqrt(2),
    BellState.PSI_MINUS: np.array([0, 1, -1, 0]) / math.sqrt(2),
}
bell_states = st.sampled_from(list(BellState))
shares = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(
    lambda p: tuple(x / math.fsum(p) for x in p)
)
coherences = st.builds(
    lambda t1, ratio, excited: Coherence(t1, ratio * 2 * t1, excited),
    st.floats(0.01, 100),
    st.floats(0.01, 1),
    st.floats(0, 1),
)


def density(pair: tuple[float, ...]) -> Matrix:
    return sum(
        (p * np.outer(ket, ket) for p, ket in zip(pair, KETS.values(), strict=True)),
        np.zeros((4, 4), dtype=complex),
    )


def overlap(state: BellState, rho: Matrix) -> float:
    return float((KETS[state] @ rho @ KETS[state]).real)


def stored(rho: Matrix, half: int, memory: Coherence, time_s: float) -> Matrix:
    """Generalised amplitude damping, then dephasing, as Kraus operators on one half."""
    gamma = 1 - math.exp(-time_s / memory.t1_s)
    p = 1 - memory.excited_population
    keep, jump = np.diag([1, math.sqrt(1 - gamma)]), np.array([[0, math.sqrt(gamma)], [0, 0]])
    damping = [math.sqrt(p) * keep, math.sqrt(p) * jump]
    damping += [math.sqrt(1 - p) * keep[::-1, ::-1], math.sqrt(1 - p) * jump.T]
    phase_left = math.exp(-time_s / memory.t2_s + time_s / (2 * memory.t1_s))
    dephasing = [
        math.sqrt((1 + phase_left) / 2) * PAULI["I"],
        math.sqrt(max(0.0, 1 - phase_left) / 2) * PAULI["Z"],
    ]
    for kraus in (damping, dephasing):
        whole = [np.kron(k, PAULI["I"]) if half == 0 else np.kron(PAULI["I"], k) for k in kraus]
        rho = sum((k @ rho @ k.conj().T for k in whole), np.zeros((4, 4), dtype=complex))
    return rho


@given(shares)
def test_three_correlators_fix_the_fidelity_to_each_bell_state(pair: tuple[float, ...]) -> None:
    rho = density(pair)
    measured = [float(np.trace(rho @ np.kron(PAULI[b], PAULI[b])).real) for b in "XYZ"]
    assert correlators(pair) == pytest.approx(measured)
    for state in BellState:
        assert fidelity_from_correlators(state, *measured) == pytest.approx(overlap(state, rho))


def test_a_perfect_pair_has_fidelity_one() -> None:
    """A popular recipe with two bases only, (1 + ZZ + XX)/4, says 3/4."""
    assert fidelity_from_correlators(BellState.PHI_PLUS, 1, -1, 1) == 1


@given(shares, bell_states)
def test_two_correlators_give_a_bound(pair: tuple[float, ...], state: BellState) -> None:
    xx, yy, zz = correlators(pair)
    assert fidelity_bound(state, xx, zz) <= fidelity_from_correlators(state, xx, yy, zz) + 1e-12


@given(bell_states)
def test_the_bound_is_tight_for_a_perfect_pair(state: BellState) -> None:
    sx, sy, sz = CORRELATOR_SIGNS[state]
    assert fidelity_bound(state, sx, sz) == 1
    assert [correlator_sign(state, b) for b in "XYZ"] == [sx, sy, sz]


@given(bell_states, st.sampled_from([0, 1]))
def test_one_pauli_on_either_half_makes_phi_plus(state: BellState, half: int) -> None:
    gate = PAULI[pauli_to_phi_plus(state)]
    whole = np.kron(gate, PAULI["I"]) if half == 0 else np.kron(PAULI["I"], gate)
    assert abs(KETS[BellState.PHI_PLUS] @ whole @ KETS[state]) == pytest.approx(1)


@given(st.floats(0, 1), bell_states)
def test_werner_pairs(fidelity: float, state: BellState) -> None:
    pair = werner(fidelity, state)
    assert math.fsum(pair) == pytest.approx(1)
    assert overlap(state, density(pair)) == pytest.approx(fidelity)
    matrix = np.diag(correlators(pair))
    assert chsh(matrix) == pytest.approx(werner_chsh(fidelity), abs=1e-12)


def test_the_two_thresholds_are_not_the_same() -> None:
    assert teleportation_fidelity(ENTANGLEMENT_THRESHOLD) == pytest.approx(
        CLASSICAL_TELEPORTATION_LIMIT
    )
    assert teleportation_fidelity(1) == 1


@given(st.floats(0.01, 1))
def test_a_werner_pair_is_entangled_above_one_half_only(fidelity: float) -> None:
    """By the partial transpose (Peres), which decides for two qubits."""
    assume(abs(fidelity - ENTANGLEMENT_THRESHOLD) > 1e-6)
    rho = density(werner(fidelity)).reshape(2, 2, 2, 2).transpose(0, 3, 2, 1).reshape(4, 4)
    negative = np.linalg.eigvalsh(rho)[0] < 0
    assert negative == (fidelity > ENTANGLEMENT_THRESHOLD)


def test_teleportation_through_a_pair_averages_to_the_formula() -> None:
    """Six cardinal states through a Bell-diagonal pair: the errors are Paulis on the state."""
    pair = (0.82, 0.1, 0.05, 0.03)
    states = [np.linalg.eigh(PAULI[b])[1][:, k] for b in "XYZ" for k in (0, 1)]
    average = np.mean(
        [
            sum(
                p * abs(psi.conj() @ PAULI[error] @ psi) ** 2
                for p, error in zip(pair, "IZXY", strict=True)
            )
            for psi in states
        ]
    )
    assert teleportation_fidelity(pair[0]) == pytest.approx(average)


def test_chsh_and_qber_of_known_pairs() -> None:
    assert chsh(np.diag([1.0, -1.0, 1.0])) == pytest.approx(2 * math.sqrt(2))
    assert chsh(np.diag([0.0, 0.0, 1.0])) == pytest.approx(2)
    assert werner_chsh(1) == pytest.approx(2 * math.sqrt(2))
    assert qber(BellState.PHI_PLUS, "Z", 0.9) == pytest.approx(0.05)
    assert qber(BellState.PSI_MINUS, "X", -0.9) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="3, 3"):
        chsh(np.eye(2))


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    bell_states,
    coherences,
    st.one_of(coherences, st.just(NO_DECAY)),
    st.floats(0, 10),
)
def test_decay_is_that_of_the_density_matrix(
    fidelity: float,
    share: float,
    state: BellState,
    near: Coherence,
    far: Coherence,
    time_s: float,
) -> None:
    phase, flip = (1 - fidelity) * share, (1 - fidelity) * (1 - share) / 2
    partner = {"PLUS": "MINUS", "MINUS": "PLUS"}
    family, sign = state.name.split("_")
    pair = tuple(
        fidelity if s is state else phase if s.name == f"{family}_{partner[sign]}" else flip
        for s in BellState
    )
    rho = stored(density(pair), 0, near, time_s)
    if far is not NO_DECAY:
        rho = stored(rho, 1, far, time_s)
    ours = decayed_fidelity(fidelity, time_s, near, far, state=state, phase_share=share)
    assert ours == pytest.approx(overlap(state, rho), abs=1e-9)


@given(st.floats(0.5, 1), st.floats(0, 5), st.floats(0.1, 10), st.floats(0.1, 10))
def test_pure_dephasing_has_its_closed_form_and_rates_add(
    fidelity: float, time_s: float, near_s: float, far_s: float
) -> None:
    near, far = Coherence(t2_s=near_s), Coherence(t2_s=far_s)
    one = decayed_fidelity(fidelity, time_s, near)
    assert one == pytest.approx((1 + (2 * fidelity - 1) * math.exp(-time_s / near_s)) / 2)
    both = Coherence(t2_s=1 / (1 / near_s + 1 / far_s))
    assert decayed_fidelity(fidelity, time_s, near, far) == pytest.approx(
        decayed_fidelity(fidelity, time_s, both)
    )
    assert one >= 1 / 2 - 1e-12


def test_published_lifetime_figures() -> None:
    """F0 = 0.8 to the 2/3 floor lasts 0.59 T2: T2 itself is not a lifetime."""
    memory = Coherence(t2_s=1.0)
    assert useful_lifetime_s(0.8, 2 / 3, memory) == pytest.approx(0.588, abs=0.001)
    assert useful_lifetime_s(0.8, 2 / 3, memory) == pytest.approx(math.log(3 * (2 * 0.8 - 1)))
    assert useful_lifetime_s(0.8, 2 / 3, memory, memory) == pytest.approx(0.294, abs=0.001)


def test_dephasing_alone_never_makes_a_pair_separable() -> None:
    memory = Coherence(t2_s=0.5)
    assert math.isinf(useful_lifetime_s(0.9, 0.5, memory))
    assert math.isinf(useful_lifetime_s(0.9, 0.3, memory))
    assert math.isinf(useful_lifetime_s(0.9, 0.8, NO_DECAY))
    assert useful_lifetime_s(0.9, 0.5, Coherence(t1_s=10, t2_s=0.5)) < 60
    # White noise is no phase error: a Werner pair does become separable.
    assert useful_lifetime_s(0.9, 0.5, memory, phase_share=1 / 3) < 3


@given(
    st.floats(0.3, 1),
    st.floats(0.05, 0.99),
    coherences,
    st.one_of(coherences, st.just(NO_DECAY)),
    bell_states,
    st.sampled_from([1.0, 1 / 3]),
)
def test_the_lifetime_is_when_the_fidelity_crosses_the_threshold(
    fidelity: float,
    threshold: float,
    near: Coherence,
    far: Coherence,
    state: BellState,
    share: float,
) -> None:
    lifetime_s = useful_lifetime_s(fidelity, threshold, near, far, state=state, phase_share=share)

    def at(time_s: float) -> float:
        return decayed_fidelity(fidelity, time_s, near, far, state=state, phase_share=share)

    if fidelity <= threshold:
        assert lifetime_s == 0
    elif math.isinf(lifetime_s):
        assert all(at(s) > threshold for s in np.geomspace(1e-3, 5000, 40).tolist())
    else:
        assert at(lifetime_s) == pytest.approx(threshold, abs=1e-6)
        assert all(at(lifetime_s * k / 20) >= threshold - 1e-9 for k in range(20))


@pytest.mark.parametrize(("t1_s", "t2_s"), [(1.0, 2.1), (0.0, 1.0), (1.0, -1.0), (math.inf, 0.0)])
def test_impossible_memories_are_refused(t1_s: float, t2_s: float) -> None:
    with pytest.raises(ValueError, match="T2"):
        Coherence(t1_s, t2_s)


def test_fidelities_outside_zero_to_one_are_refused() -> None:
    for bad, call in itertools.product(
        (-0.1, 1.1, math.nan),
        (werner, teleportation_fidelity, lambda f: decayed_fidelity(f, 1.0, NO_DECAY)),
    ):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            call(bad)
    with pytest.raises(ValueError, match="negative time"):
        decayed_fidelity(0.9, -1.0, NO_DECAY)
