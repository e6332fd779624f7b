"""(b) All 120 pairs of 16 channels in a 1 ns window, and all 1,820 four-folds in the same pass.

Swabian's published numba example is a measurement inside the vendor's library; its package on PyPI
brings the library but not the example. It is not measured, and the issue gives it 58 Mtags/s. A
numba loop of our own, with a ring of the tags within the window, is measured beside the peers: it
is what one can write in an afternoon, counts pairs only, and is no peer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.frame import Row, need
from benchmarks.kernel_data import (
    CHUNK,
    Channels,
    Times,
    extra_memory_kb,
    many_channels,
    median_times,
)
from cext.fold import FoldCounter
from cext.paths import available_paths

CHANNELS = 16
TAGS = 16_000_000
WINDOW_PS = 500
REPEATS = 3


def fold_rows() -> list[Row]:
    """Counts, speeds and ratios on 16 M tags at 16 Mcps, all from one run."""
    tomtag, numba = need("tomtag"), need("numba")
    times, channels = many_channels(CHANNELS, TAGS)
    split = [np.ascontiguousarray(times[channels == c]) for c in range(CHANNELS)]
    ring = numba.njit(_ring_loop)
    ring(times[:99], channels[:99], WINDOW_PS, CHANNELS)  # compiles outside the measured time
    total = len(times)

    def by_tomtag() -> int:
        return sum(
            tomtag.count_twofolds(split[p], split[q], len(split[p]), len(split[q]), WINDOW_PS)
            for q in range(CHANNELS)
            for p in range(q)
        )

    works: dict[str, Callable[[], Any]] = {
        "numpy, shifted streams": lambda: _numpy_matrix(times, channels),
        "numba, a ring of recent tags": lambda: ring(times, channels, WINDOW_PS, CHANNELS),
        "tomtag, 120 calls, greedy": by_tomtag,
        "chunks": lambda: count(times, channels, chunk=CHUNK),
        "two threads": lambda: count(times, channels, threads=2),
        "pairs only": lambda: count(times, channels, fold=0),
    }
    for path in available_paths():
        works[f"pairs and four-folds, {path}"] = partial(count, times, channels, path=path)
    found, taken = median_times(REPEATS, works)
    best = f"pairs and four-folds, {available_paths()[-1]}"
    exact = found["numpy, shifted streams"]
    exact = exact + exact.T
    upper = np.triu_indices(CHANNELS, 1)
    ours = [result for result in found.values() if isinstance(result, FoldCounter)]
    wrong = sum(not (counter.pairs[upper] == exact[upper]).all() for counter in ours)
    looped = found["numba, a ring of recent tags"]
    wrong += not ((looped + looped.T)[upper] == exact[upper]).all()
    fastest = min(s for name, s in taken.items() if name.startswith(("numpy", "tomtag")))
    portable = taken["pairs and four-folds, portable"]
    return [
        Row("(b) pairs, all 120", int(exact[upper].sum()), "pairs"),
        Row("(b) four-folds, all 1,820", int(found[best].folds.sum()), "folds"),
        Row("(b) matrices that differ from numpy", wrong, "", at_most=0),
        *(Row(f"(b) {name}", total / s / 1e6, "Mtags/s") for name, s in taken.items()),
        Row("(b) over the faster of numpy and tomtag", fastest / taken[best], "x", at_least=9),
        Row("(b) portable over the faster of them", fastest / portable, "x"),
        Row(
            "(b) over the numba loop of our own, pairs only",
            taken["numba, a ring of recent tags"] / taken["pairs only"],
            "x",
        ),
        Row("(b) two threads over one", taken[best] / taken["two threads"], "x"),
        Row("(b) chunks of 10,000 over whole", taken[best] / taken["chunks"], "x", at_least=0.75),
        Row(
            "(b) extra memory", extra_memory_kb(lambda: count(times, channels)), "kB", at_most=1000
        ),
    ]


def count(
    times: Times,
    channels: Channels,
    *,
    fold: int = 4,
    chunk: int | None = None,
    threads: int = 1,
    path: str | None = None,
) -> FoldCounter:
    """The kernel's counts of the whole stream or of its chunks."""
    counter = FoldCounter(
        range(CHANNELS), -WINDOW_PS, WINDOW_PS, fold=fold, threads=threads, path=path
    )
    step = chunk or len(times)
    for start in range(0, len(times), step):
        counter.push(times[start : start + step], channels[start : start + step])
    return counter


def _numpy_matrix(times: Times, channels: Channels) -> Times:
    """Pairs by channel of the earlier and of the later tag: one pass for each further neighbour."""
    pairs = np.zeros(CHANNELS * CHANNELS, dtype=np.int64)
    shift = 1
    while shift < len(times):
        close = np.flatnonzero(times[shift:] - times[:-shift] <= WINDOW_PS)
        if len(close) == 0:
            break
        cell = channels[close].astype(np.int64) * CHANNELS + channels[close + shift]
        pairs += np.bincount(cell, minlength=CHANNELS * CHANNELS)
        shift += 1
    return pairs.reshape(CHANNELS, CHANNELS)


def _ring_loop(times: Times, channels: Channels, window_ps: int, count: int) -> Times:
    """The same by a loop that keeps the tags within the window in a ring; for numba."""
    pairs = np.zeros((count, count), dtype=np.int64)
    ring_times = np.zeros(1024, dtype=np.int64)
    ring_channels = np.zeros(1024, dtype=np.uint8)
    oldest, held = 0, 0
    for k in range(len(times)):
        while held > 0 and times[k] - ring_times[oldest] > window_ps:
            oldest = (oldest + 1) % 1024
            held -= 1
        for step in range(held):
            pairs[ring_channels[(oldest + step) % 1024], channels[k]] += 1
        ring_times[(oldest + held) % 1024] = times[k]
        ring_channels[(oldest + held) % 1024] = channels[k]
        held += 1
    return pairs
