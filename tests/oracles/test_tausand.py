"""Tausand's own clients, GPL, against the simulated Abacus and Tempico."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from sim_backends.clocks import FreeRunningClock
from sim_backends.instruments.abacus import Abacus
from sim_backends.taggers import TaggerModel
from tests.oracles.judge import judged, needs_oracles, on_pty

pytestmark = needs_oracles


async def test_pyabacus_sets_and_counts_also_on_a_bad_line(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    clock = FreeRunningClock(
        skew_ppm=0.0, white_fm_1s=0.0, power_on_s=0.0, rng=np.random.default_rng(1)
    )
    begun_s = loop.time()
    tagger = TaggerModel(clock, lambda: round((loop.time() - begun_s) * 1e12), lambda: None)
    box = Abacus(tagger, rng=np.random.default_rng(3), garbles_one_in=20.0)
    done_ps = 0

    def poll() -> None:
        """Input A at 10 kHz, B 10 ns before it, C with every second."""
        nonlocal done_ps
        now_ps = tagger.counter_ps()
        times = np.arange(-(-done_ps // 10**8), -(-now_ps // 10**8)) * 10**8 + 10**5
        done_ps = now_ps
        tagger.receive({1: times, 2: times - 10_000, 3: times[::2] + 3000})
        box.poll()

    async with on_pty(box.connect, tmp_path / "abacus", poll) as path:
        told = await judged("pyabacus.py", path)
    assert told["idn"] == "Tausand Abacus AB1004"
    assert told["settings"] == [200, 25, 10, 0]
    assert told["values"] == pytest.approx([2000, 2000, 1000, 0, 2000, 1000], abs=300)
    assert told["number"] >= 1
    assert 0 <= told["left"] <= 200
