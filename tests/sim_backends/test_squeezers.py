"""Squeezers: what a polarization controller does to the light, and how its bytes move it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.bench import Bench
from sim_backends.changing import change
from sim_backends.channels import FibreChannel
from sim_backends.lab import ChannelConfig, LabConfig
from sim_backends.lab_parts import SqueezersConfig
from sim_backends.squeezers import Squeezers
from sim_backends.states import ComplexArray
from sim_backends.truth import TruthLog
from timing.loop import run_virtual

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
angles = st.integers(-5000, 5000)


def sphere(unitary: ComplexArray) -> np.ndarray:
    """How polarizations are turned on the sphere, (3, 3)."""
    turned = unitary @ PAULI @ unitary.conj().T
    return np.real(np.einsum("aij,bji->ab", PAULI, turned)) / 2


def fibre(squeezers: Squeezers | None = None, **told: object) -> FibreChannel:
    return FibreChannel(ChannelConfig.model_validate(told), np.random.default_rng(1), squeezers)


@given(angles, angles)
def test_a_squeezer_turns_about_its_axis_as_far_as_its_drive_says(first: int, second: int) -> None:
    box = Squeezers(SqueezersConfig(turn_mv=(4000.0, 5000.0, 4000.0, 4000.0)))
    box.drives_mv[:] = [first, 0, 0, 0]
    turned = sphere(box.unitary())
    angle = 2 * np.pi * first / 4000
    assert turned @ [0, 0, 1] == pytest.approx([0, 0, 1], abs=1e-12)  # H stays H
    assert turned @ [1, 0, 0] == pytest.approx([np.cos(angle), np.sin(angle), 0], abs=1e-9)
    box.drives_mv[:] = [0, second, 0, 0]
    turned = sphere(box.unitary())
    angle = 2 * np.pi * second / 5000
    assert turned @ [1, 0, 0] == pytest.approx([1, 0, 0], abs=1e-12)  # D stays D
    assert turned @ [0, 0, 1] == pytest.approx([0, -np.sin(angle), np.cos(angle)], abs=1e-9)


def test_light_passes_the_fibre_first() -> None:
    box = Squeezers(SqueezersConfig(bias_deg=(0.0, 90.0, 0.0, 0.0)))
    channel = fibre(box, rotation_deg=90.0, rotation_axis=[0, 0, 1])
    assert channel.turns
    # D is turned to R by the fibre, which a plate at 45 degrees turns to H or V.
    turned = sphere(channel.unitary(0)) @ [1, 0, 0]
    assert turned == pytest.approx([0, 0, 1], abs=1e-9)


def test_a_fibre_that_is_touched_turns_further() -> None:
    channel = fibre(rotation_deg=30.0, rotation_axis=[0, 1, 0])
    channel.configure(
        ChannelConfig.model_validate({"rotation_deg": 75.0, "rotation_axis": [0, 1, 0]})
    )
    whole = fibre(rotation_deg=75.0, rotation_axis=[0, 1, 0])
    assert channel.unitary(0) == pytest.approx(whole.unitary(0))


def bench() -> Bench:
    instrument = {"type": "oz-epc", "of": "squeezers.a", "pty": "epc"}
    return Bench(
        LabConfig.model_validate(
            {
                "lab": {"seed": 1},
                "channels": {"a": {}},
                "squeezers": {"a": {}},
                "instruments": {"epc": instrument},
            }
        ),
        TruthLog(None),
    )


def test_the_instrument_turns_the_light_of_its_fibre() -> None:
    async def scenario() -> None:
        lab = bench()
        port = lab.memory("epc", "pty")
        await port.write(b"V1,1000\r\n")
        answer = b""
        while b"Done" not in answer:
            answer += await port.read()
        assert b"1000mV" in answer
        turned = sphere(lab.world.channels["a"].unitary(0))
        assert turned @ [1, 0, 0] == pytest.approx([0, 1, 0], abs=1e-9)
        lab.power_off("epc")
        assert lab.world.squeezers["a"].drives_mv == [0, 0, 0, 0]

    run_virtual(scenario())


def test_the_world_can_be_turned_while_it_runs() -> None:
    async def scenario() -> None:
        world = bench().world
        change(world, "channels.a.rotation_deg", 90.0, by="test")
        turned = sphere(world.channels["a"].unitary(0))
        assert turned @ [1, 0, 0] == pytest.approx([0, 1, 0], abs=1e-9)

    run_virtual(scenario())
