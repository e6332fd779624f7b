"""States in few numbers say what density matrices say, whatever happens to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.axis_channels import PAULIS, AxisChannel, dephasing, loss, storage
from sim_backends.held_states import CARDINAL_POINTS, Bloch, HeldState, Joint, XPair, joint, settled
from sim_backends.lab import MemoryConfig
from sim_backends.register import QubitRegister
from sim_backends.states import (
    BELL_NAMES,
    CARDINAL_STATES,
    GATES,
    ComplexArray,
    apply,
    bell_density,
    depolarised,
    fidelity,
    unitary,
)

shares = st.floats(0.0, 1.0)
channels: st.SearchStrategy[AxisChannel] = st.one_of(
    st.sampled_from(sorted(PAULIS)).map(PAULIS.__getitem__),
    shares.map(loss),
    shares.map(dephasing),
    st.builds(
        lambda time_s, t1_s, part, up: storage(time_s, t1_s, 2 * t1_s * part, up),
        st.floats(0.0, 2.0),
        st.floats(0.1, 10.0),
        st.floats(0.01, 1.0),
        st.floats(0.0, 0.5),
    ),
)
happenings = st.lists(st.tuples(st.integers(0, 1), channels), max_size=8)
weights = (
    st.lists(shares, min_size=4, max_size=4)
    .filter(lambda w: sum(w) > 0.1)
    .map(lambda w: [each / sum(w) for each in w])
)


@pytest.mark.parametrize("name", sorted(PAULIS))
def test_a_pauli_channel_is_that_of_its_gate(name: str) -> None:
    assert PAULIS[name].matrix == pytest.approx(unitary(GATES[name]))


@given(probability=shares)
def test_errors_are_those_of_density_matrices(probability: float) -> None:
    nothing = np.eye(4, dtype=np.complex128)
    assert loss(probability).matrix == pytest.approx(depolarised(nothing, probability))
    flipped = (1 - probability) * nothing + probability * unitary(GATES["Z"])
    assert dephasing(1 - 2 * probability).matrix == pytest.approx(flipped)


@given(first=channels, second=channels)
def test_one_channel_after_another(first: AxisChannel, second: AxisChannel) -> None:
    assert second.after(first).matrix == pytest.approx(second.matrix @ first.matrix, abs=1e-12)


@given(
    weights=weights,
    before=happenings,
    measured=st.integers(0, 1),
    basis=st.sampled_from("XYZ"),
    sign=st.sampled_from((1, -1)),
    then=channels,
    last=st.sampled_from("XYZ"),
)
def test_a_pair_in_five_numbers(
    weights: list[float],
    before: list[tuple[int, AxisChannel]],
    measured: int,
    basis: str,
    sign: int,
    then: AxisChannel,
    last: str,
) -> None:
    few, whole = XPair.bell_diagonal(weights), Joint(bell_density(weights))
    for qubit, channel in before:
        few.along(qubit, channel)
        whole.along(qubit, channel)
    assert few.density == pytest.approx(whole.density, abs=1e-12)
    assert few.without(measured).density == pytest.approx(whole.without(measured).density)
    probability = few.p_plus(measured, basis)
    assert probability == pytest.approx(whole.p_plus(measured, basis), abs=1e-12)
    if (probability if sign > 0 else 1 - probability) < 1e-6:
        return  # never found so
    rest: HeldState = few.left(measured, basis, sign)
    other = whole.left(measured, basis, sign)
    assert rest.density == pytest.approx(other.density, abs=1e-6)
    # What is left is in three numbers on both ways: go on with a matrix.
    density = apply(other.density, then.matrix, [0])
    rest.along(0, then)
    assert rest.density == pytest.approx(density, abs=1e-6)
    seen = float(np.trace(density @ GATES[last]).real)
    assert rest.p_plus(0, last) == pytest.approx((1 + seen) / 2, abs=1e-6)


@given(weights=weights)
def test_a_fresh_pair_is_bell_diagonal(weights: list[float]) -> None:
    density = XPair.bell_diagonal(weights).density
    assert density == pytest.approx(bell_density(weights))
    assert fidelity(density, "PSI_PLUS") == pytest.approx(weights[2])


@pytest.mark.parametrize("name", sorted(CARDINAL_POINTS))
def test_cardinal_points(name: str) -> None:
    vector = CARDINAL_STATES[name]
    point = Bloch(*CARDINAL_POINTS[name])
    assert point.density == pytest.approx(np.outer(vector, vector.conj()))
    again = settled(point.density)
    assert isinstance(again, Bloch)
    assert (again.x, again.y, again.z) == pytest.approx(CARDINAL_POINTS[name])


@given(left=weights, right=weights, channel=channels)
def test_joining_keeps_the_order(
    left: list[float], right: list[float], channel: AxisChannel
) -> None:
    both = joint([XPair.bell_diagonal(left), XPair.bell_diagonal(right)])
    both.along(2, channel)
    alone = XPair.bell_diagonal(right)
    alone.along(0, channel)
    expected: ComplexArray = np.kron(bell_density(left), alone.density)
    assert both.density == pytest.approx(expected, abs=1e-12)


@given(
    weights=weights,
    gates=st.lists(st.sampled_from(["X", "Y", "Z", "H", "S"]), max_size=6),
    waits_s=st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7),
    basis=st.sampled_from("XYZ"),
)
def test_a_register_is_the_same_with_matrices_alone(
    weights: list[float], gates: list[str], waits_s: list[float], basis: str
) -> None:
    memory = MemoryConfig(qubits=1, t1_s=1.0, t2_s=0.5, excited_population=0.1)
    few, whole = QubitRegister(), QubitRegister()
    near, far = ("near", 0), ("far", 0)
    for register, state in (
        (few, XPair.bell_diagonal(weights)),
        (whole, Joint(bell_density(weights))),
    ):
        for device in ("near", "far"):
            register.add_device(device, memory)
        register.add([near, far], state, 0.0)
    now_s = 0.0
    for gate, wait_s in zip(gates, waits_s, strict=False):
        now_s += wait_s
        if gate in PAULIS:
            few.along(PAULIS[gate], near, now_s)
        else:
            few.operate(unitary(GATES[gate]), [near], now_s)
        whole.operate(unitary(GATES[gate]), [near], now_s)
    now_s += waits_s[-1]
    expected = whole.state_of([far, near], now_s)
    assert few.state_of([far, near], now_s) == pytest.approx(expected, abs=1e-12)
    for name in BELL_NAMES:
        told = few.pair_fidelity([far, near], name, now_s)
        assert told == pytest.approx(fidelity(expected, name), abs=1e-12)
    chances = [np.random.default_rng(1) for _ in range(2)]
    for key in (near, far):
        seen, found = few.measure(key, basis, now_s, chances[0])
        expected_p, expected_found = whole.measure(key, basis, now_s, chances[1])
        assert seen == pytest.approx(expected_p, abs=1e-9)
        assert found == expected_found
    assert not few.holds(near)
    assert not few.holds(far)
