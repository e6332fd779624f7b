"""(c) The exact cross-correlation histogram, +-100 ns in 100 ps bins, of two channels at 1 Mcps.

libtcspc, the fastest exact engine known, is no Python package (PyPI has none of that name): it is
not measured, and the issue gives it 143 Mtags/s. In its place two plain cursors in C, written here
and faster than that, are measured beside pycorrelate and numpy; the target is held against the
faster of the latter two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.frame import Row, need
from benchmarks.kernel_data import (
    Times,
    chunks_in_time,
    correlated_streams,
    extra_memory_kb,
    median_times,
    merged,
)
from cext.histogram import DifferenceHistogram, difference_histogram, difference_histogram_plainly
from cext.pair_histograms import PairHistograms
from cext.paths import available_paths

TAGS = 10_000_000
LOW_PS, BIN_PS, BINS = -100_000, 100, 2000
REPEATS = 5
# pycorrelate takes a step a bin a tag: a fiftieth of the tags is enough of it.
FEWER = 50


def histogram_rows() -> list[Row]:
    """Counts, speeds and ratios on 2 x 10 M tags, all from one run."""
    pycorrelate = need("pycorrelate")
    a, b = correlated_streams(TAGS)
    times, channels = merged(a, b)
    pieces = list(chunks_in_time(a, b))
    shape = (LOW_PS, BIN_PS, BINS)
    edges = LOW_PS + BIN_PS * np.arange(BINS + 1)
    few_a, few_b = a[: TAGS // FEWER], b[: TAGS // FEWER]
    pycorrelate.pcorrelate(a[:9], b[:9], edges)  # compiles outside the measured time

    def in_chunks() -> Times:
        kernel = DifferenceHistogram(*shape)
        for of_a, of_b in pieces:
            kernel.push(of_a, of_b)
        return kernel.counts

    def from_merged() -> Times:
        kernel = PairHistograms([(0, 1)], *shape)
        kernel.push(times, channels)
        return kernel.counts.reshape(-1)

    works: dict[str, Callable[[], Any]] = {
        "numpy, shifted streams": lambda: numpy_histogram(a, b, *shape),
        "two plain cursors in C": lambda: difference_histogram_plainly(a, b, *shape),
        "two threads": lambda: difference_histogram(a, b, *shape, threads=2),
        "chunks": in_chunks,
        "merged stream": from_merged,
    }
    for path in available_paths():
        works[path] = partial(difference_histogram, a, b, *shape, path=path)
    found, taken = median_times(REPEATS, works)
    peer, peer_s = median_times(1, {"": lambda: pycorrelate.pcorrelate(few_a, few_b, edges)})
    taken["pycorrelate, on fewer tags"] = peer_s[""] * FEWER
    exact = found["numpy, shifted streams"]
    wrong = sum(not np.array_equal(counts, exact) for counts in found.values())
    few = numpy_histogram(few_a, few_b, *shape)
    wrong += not np.array_equal(np.rint(peer[""] * BIN_PS), few)
    best = taken[available_paths()[-1]]
    fastest = min(s for name, s in taken.items() if name.startswith(("numpy", "pyc")))
    return [
        Row("(c) pairs in the histogram", int(exact.sum()), "pairs"),
        Row("(c) histograms that differ from numpy", wrong, "", at_most=0),
        *(Row(f"(c) {name}", 2 * TAGS / s / 1e6, "Mtags/s") for name, s in taken.items()),
        Row("(c) over the faster of numpy and pycorrelate", fastest / best, "x", at_least=4),
        Row("(c) over two plain cursors in C", taken["two plain cursors in C"] / best, "x"),
        Row("(c) two threads over one", best / taken["two threads"], "x"),
        Row("(c) chunks of 10,000 over whole", best / taken["chunks"], "x", at_least=0.75),
        Row(
            "(c) extra memory",
            extra_memory_kb(lambda: difference_histogram(a, b, *shape)),
            "kB",
            at_most=1000,
        ),
    ]


def numpy_histogram(a: Times, b: Times, low_ps: int, bin_ps: int, bins: int) -> Times:
    """The usual vector form: one pass for each further neighbour, until none is in range."""
    counts = np.zeros(bins, dtype=np.int64)
    first = np.searchsorted(b, a + low_ps, side="left")
    past = np.searchsorted(b, a + low_ps + bins * bin_ps, side="left")
    while True:
        left = first < past
        if not left.any():
            return counts
        a, first, past = a[left], first[left], past[left]
        counts += np.bincount((b[first] - a - low_ps) // bin_ps, minlength=bins)
        first = first + 1
