"""The nightly run of the link machine: its property test over many seeds, on all cores.

Each seed is two ends and a station under loss, repetition, reordering, delay, failing devices and
restarts, in virtual time; `tests/link_layer/test_egp_property.py` says what must hold.
`--seeds` (or QNODEOS_EGP_SEEDS; 100,000) says how many, QNODEOS_EGP_FIRST where to begin.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType

from benchmarks.frame import Row, benchmark

CHUNK = 100
TOLD_EVERY_S = 10.0
SHOWN = 20


@benchmark("egp", "the link machine under every misfortune: its property test over many seeds")
def run() -> list[Row]:
    """Seeds that were run, those that broke a promise, and seeds a second."""
    seeds = int(os.environ.get("QNODEOS_EGP_SEEDS", "100000"))
    first = int(os.environ.get("QNODEOS_EGP_FIRST", "0"))
    chunks = [
        (each, min(each + CHUNK, first + seeds)) for each in range(first, first + seeds, CHUNK)
    ]
    began_s = told_s = time.monotonic()
    done, broken = 0, list[str]()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (start, end), found in zip(chunks, pool.map(_broken, chunks), strict=True):
            done += end - start
            broken += found
            for line in found:
                _say(line)
            now_s = time.monotonic()
            if now_s - told_s >= TOLD_EVERY_S or done == seeds:
                told_s, per_s = now_s, done / (now_s - began_s)
                left_s = (seeds - done) / per_s
                _say(f"{done:,} of {seeds:,} seeds, {per_s:.0f} a second, {left_s:.0f} s left")
    took_s = time.monotonic() - began_s
    return [
        Row("seeds", done, ""),
        Row("of them broke a promise", len(broken), "", at_most=0),
        Row("seeds a second", done / took_s, "/s"),
        *(Row(line, 1, "") for line in broken[:SHOWN]),
    ]


def _broken(seeds: tuple[int, int]) -> list[str]:
    return list(_those_that_fail(*seeds))


def _those_that_fail(start: int, end: int) -> Iterator[str]:
    _find_tests()
    one_run = importlib.import_module("tests.link_layer.test_egp_property").one_run
    for seed in range(start, end):
        try:
            one_run(seed)
        except Exception as error:  # a crash is a broken promise too
            yield f"seed {seed}: {type(error).__name__}: {error}".splitlines()[0]


def _find_tests() -> None:
    """Our tests are no package, and some wheel brings one of that name, which is found first."""
    folder = str(Path(__file__).parents[1] / "tests")
    found = sys.modules.get("tests")
    if found is None or folder not in found.__path__:
        package = ModuleType("tests")
        package.__path__ = [folder]
        sys.modules["tests"] = package


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
