"""Twins that need a world around them: a small simulated lab with one instrument."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sim_backends.lab import LabConfig
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from tests.instruments.case import Twin


def in_lab(
    rng: np.random.Generator,
    tables: Mapping[str, Any],
    instrument: Mapping[str, Any],
    *,
    start: Callable[[Bench], None] = lambda _: None,
    emits: Callable[[Bench], bool] | None = None,
    state: Callable[[Bench], Any] | None = None,
) -> Twin:
    """The one instrument of a lab with these tables; `start` sets the lab up."""
    config = LabConfig.model_validate(
        {
            "lab": {"seed": int(rng.integers(1 << 31))},
            **tables,
            "instruments": {"box": dict(instrument)},
        }
    )
    bench = Bench(config, TruthLog(None), unix_s=asyncio.get_running_loop().time)
    start(bench)
    return Twin(
        bench.sockets["box"],
        poll=bench.step,
        emits=None if emits is None else lambda: emits(bench),
        state=None if state is None else lambda: state(bench),
    )
