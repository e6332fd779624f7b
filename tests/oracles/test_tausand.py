"""Tausand's own clients, GPL, against the simulated Abacus and Tempico."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from sim_backends.clocks import FreeRunningClock
from sim_backends.instruments.abacus import Abacus
from sim_backends.instruments.tempico import Tempico
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


async def test_pytempico_sets_and_measures(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    clock = FreeRunningClock(
        skew_ppm=0.0, white_fm_1s=0.0, power_on_s=0.0, rng=np.random.default_rng(1)
    )
    tagger = TaggerModel(clock, lambda: round((loop.time() - begun_s) * 1e12), lambda: None)
    box = Tempico(tagger, unix_s=1_700_000_000.0)
    done = 0

    def poll() -> None:
        """Starts at 1 kHz, stops 123456 ps after them."""
        nonlocal done
        now = tagger.counter_ps() // 10**9
        times = np.arange(done, now) * 10**9
        done = now
        tagger.receive({11: times, 1: times + 123_456})
        box.poll()

    async with on_pty(box.connect, tmp_path / "tempico", poll) as path:
        told = await judged("pytempico.py", path)
    assert told["idn"] == "Tausand Tempico TP1004"
    assert (told["firmware"], told["model"]) == ("1.0", "TP1004")
    assert told["settings"] == [20, 1.2, 1]
    assert told["enabled"] == [True, False, False, False]
    assert (len(told["status"]), told["status"]["STATE"]) == (10, 1)
    assert told["all"][-2:] == ["NRUN 20", "THR 1.20"]
    assert [row[:2] + row[3:] for row in told["rows"]] == [[1, k, 123_456] for k in range(1, 21)]
    assert 1_700_000_000 <= told["rows"][0][2] <= told["clock"] < 1_700_000_060
