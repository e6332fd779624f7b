"""Paddles: what they do to the light, and how the instrument's bytes move them."""

import asyncio
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.bench import Bench
from sim_backends.lab import LabConfig, LabError, load_lab
from sim_backends.lab_parts import PaddlesConfig
from sim_backends.paddles import Paddles
from sim_backends.truth import TruthLog
from tests.sim_backends.test_squeezers import sphere
from timing.loop import run_virtual

angles = st.floats(0.0, 170.0)


@given(angles, st.floats(0.0, 360.0))
def test_a_paddle_is_a_wave_plate_that_is_turned(angle: float, retardance: float) -> None:
    paddles = Paddles(
        PaddlesConfig(retardance_deg=(retardance, 0.0, 0.0), angles_deg=(angle, 0.0, 0.0)),
        lambda: 0.0,
    )
    turned = sphere(paddles.unitary())
    twice = 2 * np.radians(angle)
    axis = np.array([np.sin(twice), 0.0, np.cos(twice)])
    assert turned @ axis == pytest.approx(axis, abs=1e-9)
    assert np.trace(turned) == pytest.approx(1 + 2 * np.cos(np.radians(retardance)), abs=1e-9)


def test_a_half_wave_plate_mirrors_and_half_a_turn_is_none() -> None:
    def at(angle: float) -> np.ndarray:
        config = PaddlesConfig(retardance_deg=(0.0, 180.0, 0.0), angles_deg=(0.0, angle, 0.0))
        return sphere(Paddles(config, lambda: 0.0).unitary())

    assert at(22.5) @ [0, 0, 1] == pytest.approx([1, 0, 0], abs=1e-9)  # H to D
    assert at(45.0) @ [0, 0, 1] == pytest.approx([0, 0, -1], abs=1e-9)  # H to V


def test_they_move_as_fast_as_they_are_told() -> None:
    now_s = 0.0
    paddles = Paddles(PaddlesConfig(), lambda: now_s)
    stage = paddles.stages[0]
    stage.speed_deg_per_s = 40.0
    stage.move_to(160.0)
    now_s = 2.0
    assert stage.position_deg() == pytest.approx(80.0)
    assert paddles.moving()
    now_s = 4.1
    assert stage.position_deg() == 160.0
    assert not paddles.moving()


LAB = {
    "lab": {"seed": 1},
    "channels": {"a": {}},
    "paddles": {"a": {"retardance_deg": [0.0, 180.0, 0.0]}},
    "instruments": {"mpc": {"type": "mpc320", "of": "paddles.a", "pty": "mpc"}},
}


def test_the_instrument_turns_the_light_of_its_fibre() -> None:
    async def scenario() -> None:
        lab = Bench(LabConfig.model_validate(LAB), TruthLog(None))
        port = lab.memory("mpc", "pty")
        assert lab.world.channels["a"].turns
        move = bytes.fromhex("53040600D001") + struct.pack("<Hi", 2, 363)  # 45 degrees
        await port.write(move)  # its motor is off
        await port.write(bytes.fromhex("100202015001") + move)
        for _ in range(50):
            lab.step()
            await asyncio.sleep(0.02)
        assert port.read_nowait().endswith(bytes.fromhex("640402000150"))
        turned = sphere(lab.world.channels["a"].unitary(0))
        assert turned @ [0, 0, 1] == pytest.approx([0, 0, -1], abs=0.01)
        lab.power_off("mpc")
        assert lab.world.paddles["a"].stages[1].position_deg() == pytest.approx(45.0, abs=0.1)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[paddles.b]\n", "paddles.b"),
        ("[channels.a]\n[paddles.a]\n[squeezers.a]\n", "one of the two"),
        ("[channels.a]\n[paddles.a]\nangles_deg = [0, 0, 171]\n", "170"),
    ],
)
def test_a_lab_that_cannot_be_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "lab.toml"
    path.write_text("[lab]\nseed = 1\n" + text)
    with pytest.raises(LabError, match=words):
        load_lab(path)
