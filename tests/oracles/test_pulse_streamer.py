"""Swabian's own client against the simulated Pulse Streamer."""

from __future__ import annotations

import time

from sim_backends.instruments.pulse_streamer import PulseStreamer
from sim_backends.mount_http import HttpPlace
from tests.oracles.judge import judged, needs_oracles

pytestmark = needs_oracles


async def test_pulsestreamer_uploads_triggers_and_stops() -> None:
    box = PulseStreamer("00:26:32:f0:3b:1c", now_s=time.monotonic)
    # The client knows only this port.
    place = HttpPlace("127.0.0.57", 8050)
    await place.start(box.connect)
    told = await judged("pulse_streamer.py", "127.0.0.57")
    await place.stop()
    assert set(place.paths) == {"/json-rpc"}
    assert told.pop("temperature") > 0
    assert "makeCoffee" in told.pop("error")
    assert told == {
        "serial": "00:26:32:f0:3b:1c",
        "firmware": "1.0.3",
        "idle": [False, False, False],
        "running": [True, True, False],
        "constant": False,
        "trigger": ["HARDWARE_RISING", "MANUAL"],
        "waiting": [False, True],
        "clock": "EXT_10MHZ",
    }
    steps = [(length, mask) for length, mask, *_ in box.sequence]
    assert steps == [(100, 8), (20, 9), (380, 8), (500, 0)]
