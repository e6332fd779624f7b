"""pymeasure against the simulated PM100D."""

from __future__ import annotations

import numpy as np
import pytest

from sim_backends.instruments.pm100d import Pm100d
from tests.oracles.judge import judged, needs_oracles, on_tcp
from tests.twins import make_laser

pytestmark = needs_oracles


async def test_pymeasure_reads_it() -> None:
    laser = make_laser(532.0)
    laser.regulate_mw(5.0)
    laser.emission = True
    async with on_tcp(Pm100d(laser, "P0031415", np.random.default_rng(1)).connect) as port:
        seen = await judged("pymeasure_pm100.py", f"127.0.0.1:{port}")
    assert seen["id"] == "THORLABS,PM100D,P0031415,2.6.0"
    assert "S120VC" in seen["sensor"]
    assert seen["power sensor"] is True
    assert seen["wavelength"] == [532.0, 400.0, 1100.0]
    assert seen["power"] == pytest.approx(5e-3, rel=0.02)
