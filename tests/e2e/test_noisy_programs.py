"""Programs on devices that err find what theory says of the devices' own numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.noisy import MOST_DEVIATION, NoisyRuns
from benchmarks.program_theory import Sent, chsh_wins, error_rates, teleported_wrong
from qnodeos.launch.ideal import IDEAL, NOISY, write_ideal
from qnodeos.launch.network import network
from qnodeos.launch.roles import role_server


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_results_are_degraded_as_theory_says(tmp_path: Path) -> None:
    write_ideal(tmp_path / "noisy", 2, NOISY)
    net = tmp_path / "net"
    async with network(tmp_path / "noisy", net) as nodes, role_server() as roles:
        runs = NoisyRuns(nodes, roles, net / "data" / "truth.jsonl", NOISY)
        found = [
            await runs.teleported(60),
            await runs.chsh(300),
            *await runs.bb84(300),
            await runs.held(6),
        ]
    for each in found:
        assert abs(each.deviation) < MOST_DEVIATION, each


def test_theory_of_ideal_devices_is_the_textbook() -> None:
    state = [Sent(1.2, 0.7, 6)]
    assert chsh_wins(IDEAL) == pytest.approx(math.cos(math.pi / 8) ** 2)
    assert error_rates(IDEAL) == (0.0, 0.0)
    assert teleported_wrong(IDEAL, state) == 0.0
    # No phase is left: half of the outcomes in X are wrong, CHSH is won as by classical players.
    assert error_rates(IDEAL, decay=0.0) == (0.0, 0.5)
    assert chsh_wins(IDEAL, decay=0.0) < 0.75
    noise = replace(IDEAL, two_qubit_gate_error=1.0)
    assert (chsh_wins(noise), teleported_wrong(noise, state)) == (0.5, 0.5)
