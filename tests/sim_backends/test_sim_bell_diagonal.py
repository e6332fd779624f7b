"""The fast path's four probabilities say what density matrices say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.axis_channels import storage
from sim_backends.bell_diagonal import (
    Hold,
    correlators,
    dephased,
    depolarised_pair,
    exchanged,
    fidelity_to,
    from_correlators,
    stored,
    swapped,
    werner_pair,
)
from sim_backends.states import (
    BELL_NAMES,
    GATES,
    ComplexArray,
    apply,
    bell_density,
    bell_state,
    depolarised,
    fidelity,
    partial_trace,
    project,
    unitary,
    werner,
)

weights = (
    st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4)
    .filter(lambda w: sum(w) > 0.1)
    .map(lambda w: np.array(w) / sum(w))
)
holds = st.builds(
    lambda t1, part, up: Hold(t1, 2 * t1 * part, up),
    st.floats(0.01, 10.0),
    st.floats(0.01, 1.0),
    st.floats(0.0, 0.5),
)


def diagonal(density: ComplexArray) -> np.ndarray:
    return np.array([fidelity(density, name) for name in BELL_NAMES])


@given(pair=weights, first=holds, second=holds, t=st.floats(0.0, 5.0), u=st.floats(0.0, 5.0))
def test_storage(pair: np.ndarray, first: Hold, second: Hold, t: float, u: float) -> None:
    density = bell_density(pair)
    for qubit, hold, time_s in ((0, first, t), (1, second, u)):
        channel = storage(time_s, hold.t1_s, hold.t2_s, hold.excited_population)
        density = apply(density, channel.matrix, [qubit])
    assert stored(pair, t, u, first, second) == pytest.approx(diagonal(density), abs=1e-9)


@given(pair=weights, p=st.floats(0.0, 1.0))
def test_dephasing_depolarising_and_exchange(pair: np.ndarray, p: float) -> None:
    density = bell_density(pair)
    flip = (1 - p) * np.eye(4) + p * unitary(GATES["Z"])
    assert dephased(pair, p) == pytest.approx(diagonal(apply(density, flip, [1])))
    whole = depolarised(np.eye(16, dtype=np.complex128), p)
    assert depolarised_pair(pair, p) == pytest.approx(diagonal(apply(density, whole, [0, 1])))
    assert exchanged(tuple(pair)) == pytest.approx(dephased(pair, 1.0))


@given(left=weights, right=weights, outcome=st.sampled_from(range(4)))
def test_a_swap_is_a_bell_measurement_of_the_middle(
    left: np.ndarray, right: np.ndarray, outcome: int
) -> None:
    # Qubits a b c d: b and c are found in a Bell state by CNOT, H and two readouts.
    density = np.kron(bell_density(left), bell_density(right))
    density = apply(density, unitary(GATES["CNOT"]), [1, 2])
    density = apply(density, unitary(GATES["H"]), [1])
    bit, phase = outcome >> 1, outcome & 1
    outer = project(density, 2, np.eye(2, dtype=np.complex128)[bit])
    outer = project(outer, 1, np.eye(2, dtype=np.complex128)[phase])
    assert np.real(np.trace(outer)) == pytest.approx(0.25)
    outer = outer * 4
    if bit:
        outer = apply(outer, unitary(GATES["X"]), [1])
    if phase:
        outer = apply(outer, unitary(GATES["Z"]), [1])
    assert swapped(left, right) == pytest.approx(diagonal(outer), abs=1e-12)


def test_swapping_werner_pairs() -> None:
    pair = werner_pair("PHI_PLUS", 0.9)
    w = (4 * 0.9 - 1) / 3
    assert fidelity_to(swapped(pair, pair), "PHI_PLUS") == pytest.approx(0.25 + 0.75 * w * w)
    assert pair == pytest.approx(diagonal(werner("PHI_PLUS", 0.9)))


@given(pair=weights)
def test_correlators_and_back(pair: np.ndarray) -> None:
    density = bell_density(pair)
    seen = [float(np.real(np.trace(density @ np.kron(GATES[axis], GATES[axis])))) for axis in "XYZ"]
    assert correlators(pair) == pytest.approx(seen, abs=1e-12)
    assert from_correlators(correlators(pair)) == pytest.approx(pair, abs=1e-12)


def test_decay_of_a_pair_by_axis() -> None:
    # One half of Phi+ for t: <XX> = <-YY> = e^(-t/T2), <ZZ> = e^(-t/T1).
    kept = stored(werner_pair("PHI_PLUS", 1.0), 0.3, 0.0, Hold(1.0, 0.4, 0.5), Hold(1.0, 1.0))
    xx, yy, zz = correlators(kept)
    assert xx == pytest.approx(np.exp(-0.75))
    assert yy == pytest.approx(-np.exp(-0.75))
    assert zz == pytest.approx(np.exp(-0.3))


def test_fidelities_of_many_pairs_at_once() -> None:
    pairs = np.stack([werner_pair(name, 0.8) for name in BELL_NAMES])
    times = np.array([0.0, 0.1, 0.2, 0.3])
    many = stored(pairs, times, 0.0, Hold(1e9, 0.2), Hold(1e9, 0.2))
    for k in range(4):
        one = stored(pairs[k], float(times[k]), 0.0, Hold(1e9, 0.2), Hold(1e9, 0.2))
        assert many[k] == pytest.approx(one)
    assert bell_state("PHI_PLUS")[0] == pytest.approx(np.sqrt(0.5))


def test_residual_of_a_partial_trace_is_mixed() -> None:
    assert partial_trace(werner("PSI_PLUS", 0.7), 0) == pytest.approx(np.eye(2) / 2)
