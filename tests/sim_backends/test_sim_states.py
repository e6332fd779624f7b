import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.analyzers import analyzer_states
from sim_backends.axis_channels import storage
from sim_backends.midpoint import Herald
from sim_backends.pairs import heralded_weights
from sim_backends.states import (
    BASIS_STATES,
    BELL_NAMES,
    CARDINAL_STATES,
    GATES,
    BellName,
    ComplexArray,
    apply,
    bell_density,
    bell_state,
    depolarised,
    fidelity,
    joint_probabilities,
    partial_trace,
    project,
    unitary,
    werner,
)

PLATES = {"Z": (0.0, 0.0), "X": (45.0, 22.5), "Y": (0.0, 22.5)}
PAULIS = {axis: GATES[axis] for axis in "XYZ"}
weights = st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4).filter(lambda w: sum(w) > 0.1)


def correlator(density: ComplexArray, axis: str) -> float:
    return float(np.real(np.trace(density @ np.kron(PAULIS[axis], PAULIS[axis]))))


def random_density(seed: int, qubits: int) -> ComplexArray:
    rng = np.random.default_rng(seed)
    size = 2**qubits
    root = rng.standard_normal((size, size)) + 1j * rng.standard_normal((size, size))
    density = root @ root.conj().T
    return density / np.trace(density)


@given(fidelity_=st.floats(0.25, 1.0), name=st.sampled_from(BELL_NAMES))
def test_werner_state_has_its_fidelity_and_correlators(fidelity_: float, name: BellName) -> None:
    density = werner(name, fidelity_)
    assert fidelity(density, name) == pytest.approx(fidelity_)
    signs = {
        "PHI_PLUS": (1, -1, 1),
        "PHI_MINUS": (-1, 1, 1),
        "PSI_PLUS": (1, 1, -1),
        "PSI_MINUS": (-1, -1, -1),
    }[name]
    visibility = (4.0 * fidelity_ - 1.0) / 3.0
    for axis, sign in zip("XYZ", signs, strict=True):
        assert correlator(density, axis) == pytest.approx(sign * visibility, abs=1e-12)


@pytest.mark.parametrize(("axis", "sign"), [("Z", 1), ("X", 1), ("Y", -1)])
def test_plate_settings_measure_the_axes(axis: str, sign: int) -> None:
    states = analyzer_states(*PLATES[axis])
    # The transmitted port is an eigenstate of the axis, the reflected one the other.
    overlaps = np.abs(states.conj() @ BASIS_STATES[axis].T)
    assert np.sort(overlaps, axis=1) == pytest.approx(np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert overlaps[0].argmax() != overlaps[1].argmax()
    joint = joint_probabilities(werner("PHI_PLUS", 0.91), states, states)
    assert joint.sum() == pytest.approx(1.0)
    seen = joint[0, 0] + joint[1, 1] - joint[0, 1] - joint[1, 0]
    assert seen == pytest.approx(sign * (4 * 0.91 - 1) / 3)


def test_half_wave_plate_turns_by_twice_its_angle() -> None:
    # Both plates along the polarization: QWP does nothing, HWP at a maps H to cos 2a, sin 2a.
    transmitted = analyzer_states(0.0, 10.0)[0]
    assert abs(transmitted[0]) ** 2 == pytest.approx(math.cos(math.radians(20)) ** 2)


@given(seed=st.integers(0, 1000), gate=st.sampled_from(sorted(GATES)))
def test_channel_on_some_qubits_agrees_with_whole_matrices(seed: int, gate: str) -> None:
    density = random_density(seed, 3)
    matrix = GATES[gate]
    if matrix.shape[0] == 2:
        whole = np.kron(np.eye(2), np.kron(matrix, np.eye(2)))
        result = apply(density, unitary(matrix), [1])
    else:
        # Control 2, target 0: the controlled flip written out over basis states.
        whole = np.zeros((8, 8))
        for index in range(8):
            whole[index ^ (4 if index & 1 else 0), index] = 1.0
        result = apply(density, unitary(matrix), [2, 0])
    assert result == pytest.approx(whole @ density @ whole.conj().T)


@given(
    seed=st.integers(0, 1000),
    first_s=st.floats(0.0, 3.0),
    second_s=st.floats(0.0, 3.0),
    t1_s=st.floats(0.1, 10.0),
    ratio=st.floats(0.01, 2.0),
    excited=st.floats(0.0, 0.5),
)
def test_storage_is_t1_and_t2_and_composes(
    seed: int, first_s: float, second_s: float, t1_s: float, ratio: float, excited: float
) -> None:
    rho = random_density(seed, 1)
    t2_s = ratio * t1_s
    after = apply(rho, storage(first_s, t1_s, t2_s, excited).matrix, [0])
    assert after[0, 1] == pytest.approx(rho[0, 1] * math.exp(-first_s / t2_s))
    expected = excited + (rho[1, 1] - excited) * math.exp(-first_s / t1_s)
    assert after[1, 1] == pytest.approx(expected)
    assert np.trace(after) == pytest.approx(1.0)
    assert np.linalg.eigvalsh(after).min() > -1e-12
    once = apply(rho, storage(first_s + second_s, t1_s, t2_s, excited).matrix, [0])
    second = storage(second_s, t1_s, t2_s, excited)
    assert apply(after, second.matrix, [0]) == pytest.approx(once)
    assert second.after(storage(first_s, t1_s, t2_s, excited)) == pytest.approx(
        storage(first_s + second_s, t1_s, t2_s, excited)
    )


@given(weights=weights, probability=st.floats(0.0, 1.0))
def test_bell_diagonal_numbers_agree_with_density_matrices(
    weights: list[float], probability: float
) -> None:
    diagonal = [weight / sum(weights) for weight in weights]
    density = bell_density(diagonal)
    for name, weight in zip(BELL_NAMES, diagonal, strict=True):
        assert fidelity(density, name) == pytest.approx(weight, abs=1e-12)
    phi_plus, phi_minus, psi_plus, psi_minus = diagonal
    assert correlator(density, "Z") == pytest.approx(
        phi_plus + phi_minus - psi_plus - psi_minus, abs=1e-12
    )
    # Pure dephasing of one half mixes each state with the one of opposite phase.
    keep = (1.0 + math.exp(-probability)) / 2.0
    dephased = apply(density, storage(probability, 1e12, 1.0).matrix, [0])
    assert fidelity(dephased, "PHI_PLUS") == pytest.approx(
        keep * phi_plus + (1 - keep) * phi_minus, abs=1e-9
    )
    assert fidelity(dephased, "PSI_MINUS") == pytest.approx(
        keep * psi_minus + (1 - keep) * psi_plus, abs=1e-9
    )
    # Depolarising one half leaves a maximally mixed pair in its place.
    mixed = apply(density, depolarised(np.eye(4, dtype=np.complex128), probability), [1])
    for name, weight in zip(BELL_NAMES, diagonal, strict=True):
        assert fidelity(mixed, name) == pytest.approx(
            (1 - probability) * weight + probability / 4, abs=1e-12
        )


def test_heralded_pair_has_the_fidelity_of_its_visibility() -> None:
    for name in ("PSI_PLUS", "PSI_MINUS"):
        density = bell_density(heralded_weights(Herald(1, name, real=True), 0.92))
        assert fidelity(density, name) == pytest.approx(0.96)
    assert heralded_weights(Herald(1, "PSI_PLUS", real=False), 0.92) == (0.25,) * 4


@given(seed=st.integers(0, 1000), qubit=st.integers(0, 2))
def test_projections_add_up_to_the_partial_trace(seed: int, qubit: int) -> None:
    density = random_density(seed, 3)
    for states in BASIS_STATES.values():
        found = project(density, qubit, states[0]) + project(density, qubit, states[1])
        assert found == pytest.approx(partial_trace(density, qubit))


def test_partial_trace_of_a_product() -> None:
    parts = [random_density(seed, 1) for seed in range(3)]
    whole = np.kron(np.kron(parts[0], parts[1]), parts[2])
    assert partial_trace(whole, 1) == pytest.approx(np.kron(parts[0], parts[2]))


def test_bell_states_by_circuit() -> None:
    zero = CARDINAL_STATES["0"]
    plus = GATES["CNOT"] @ np.kron(GATES["H"] @ zero, zero)
    assert abs(np.vdot(plus, bell_state("PHI_PLUS"))) == pytest.approx(1.0)
    flipped = np.kron(np.eye(2), GATES["X"]) @ plus
    assert abs(np.vdot(flipped, bell_state("PSI_PLUS"))) == pytest.approx(1.0)
