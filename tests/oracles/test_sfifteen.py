"""S-Fifteen's own client against the simulated detector and time tagger."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from sim_backends.avalanche import AvalancheDiode
from sim_backends.bench import Bench
from sim_backends.detectors import DetectorBank
from sim_backends.instruments.sfifteen_spd import SFifteenSpd
from sim_backends.lab import DetectorConfig, LabConfig
from sim_backends.truth import TruthLog
from tests.oracles.judge import judged, needs_oracles, on_pty

pytestmark = needs_oracles


async def test_s15lib_biases_and_counts(tmp_path: Path) -> None:
    config = DetectorConfig(
        channels=1,
        efficiency=0.5,
        full_bias_ua=20.0,
        dark_cps=4000.0,
        jitter_ps=80.0,
        dead_time_ns=60.0,
    )
    bank = DetectorBank(config, np.random.default_rng(1))
    loop = asyncio.get_running_loop()
    begun_s, done_ps = loop.time(), 0

    def advance() -> None:
        nonlocal done_ps
        now_ps = round((loop.time() - begun_s) * 1e12)
        if now_ps > done_ps:
            bank.step(done_ps, now_ps, [[]])
            done_ps = now_ps

    diode = AvalancheDiode(bank, advance=advance, breakdown_v=140.0, excess_v=10.0)
    async with on_pty(SFifteenSpd(diode, "SPD-0231").connect, tmp_path / "spd") as path:
        told = await judged("s15lib_spd.py", path)
    assert told["identity"] == "S-Fifteen SPD, S/N SPD-0231"
    assert told["set"] == [-15.0, 1]
    assert told["dark"] == 0
    assert told["hvolt"] == 150.0
    assert told["counts"] == pytest.approx(2000, rel=0.2)
    assert (told["time"], told["off"]) == (500.0, 0.0)


async def test_s15lib_takes_counts_and_tags_from_the_tdc1(tmp_path: Path) -> None:
    detectors = {
        "channels": 2,
        "efficiency": 0.8,
        "full_bias_ua": 20.0,
        "dark_cps": 5000.0,
        "jitter_ps": 80.0,
        "dead_time_ns": 60.0,
    }
    config = LabConfig.model_validate(
        {
            "lab": {"seed": 7},
            "detectors": {"d": detectors},
            "taggers": {"t": {"inputs": {1: "d.1", 2: "d.2"}}},
            "instruments": {"box": {"type": "tdc1", "of": "taggers.t", "pty": "box"}},
        }
    )
    bench = Bench(config, TruthLog(None))
    bank = bench.world.detectors["d"]
    bank.enabled, bank.bias_ua = True, [20.0, 20.0]
    life = asyncio.create_task(bench.run())
    try:
        async with on_pty(bench.sockets["box"]["pty"], tmp_path / "box") as path:
            told = await judged("s15lib_tdc1.py", path)
    finally:
        life.cancel()
    times_ns, patterns = np.array(told["times_ns"]), np.array(told["patterns"])
    assert told["modes"] == ["singles", "timestamp"]
    assert [round(count, -3) for count in told["counts"]] == [5000, 5000, 0, 0]
    assert np.all(np.diff(times_ns) >= 0)
    assert (times_ns[-1] - times_ns[0]) * 1e-9 == pytest.approx(1.0, abs=0.15)
    assert np.count_nonzero(patterns) == pytest.approx(10_000, rel=0.15)
    assert set(np.unique(patterns).tolist()) <= {0, 1, 2, 3}
