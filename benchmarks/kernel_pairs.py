"""(a) All pairs of two channels in a 1 ns window, beside tomtag, pycorrelate and numpy."""

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
    chunks_in_time,
    correlated_streams,
    extra_memory_kb,
    median_ratio,
    median_times,
    merged,
)
from cext.coincidence import PairCounter, count_pairs, count_pairs_plainly
from cext.fold import FoldCounter
from cext.paths import available_paths

TAGS = 10_000_000
HALF_PS = 500
REPEATS = 5
PAIRED_REPEATS = 11
# What the issue asks of the two-array count over tomtag, by path.
TWO_ARRAYS_AT_LEAST = {"portable": 1.4, "avx2": 2.8, "avx512": 2.8}


def pair_rows() -> list[Row]:
    """Counts, speeds and ratios on 2 x 10 M tags, all from one run."""
    pycorrelate, tomtag = need("pycorrelate"), need("tomtag")
    a, b = correlated_streams(TAGS)
    times, channels = merged(a, b)
    pieces = list(chunks_in_time(a, b))
    low, high = -HALF_PS, HALF_PS
    edges = np.array([low, high + 1])
    pycorrelate.pcorrelate(a[:9], b[:9], edges)  # compiles outside the measured time

    def two_arrays_in_chunks() -> int:
        counter = PairCounter(low, high)
        for of_a, of_b in pieces:
            counter.push(of_a, of_b)
        return int(counter.counts[0])

    works: dict[str, Callable[[], Any]] = {
        "numpy searchsorted": lambda: numpy_pairs(a, b, low, high),
        "pycorrelate": lambda: round(
            float(pycorrelate.pcorrelate(a, b, edges)[0]) * (high + 1 - low)
        ),
        "tomtag, greedy one to one": lambda: tomtag.count_twofolds(a, b, len(a), len(b), HALF_PS),
        "two plain cursors in C": lambda: count_pairs_plainly(a, b, low, high),
        "two threads": lambda: count_pairs(a, b, low, high, threads=2),
        "one thread": lambda: count_pairs(a, b, low, high),
        "chunks": two_arrays_in_chunks,
        "merged chunks": lambda: merged_pairs(times, channels, chunk=CHUNK),
        "merged two threads": lambda: merged_pairs(times, channels, threads=2),
    }
    for path in available_paths():
        works[f"two arrays, {path}"] = partial(count_pairs, a, b, low, high, path=path)
        works[f"merged, {path}"] = partial(merged_pairs, times, channels, path=path)
    found, taken = median_times(REPEATS, works)
    exact = found["numpy searchsorted"]
    wrong = [name for name, count in found.items() if "tomtag" not in name and count != exact]
    best, tomtag_s = available_paths()[-1], taken["tomtag, greedy one to one"]
    rows = [
        Row("(a) pairs, all", exact, "pairs"),
        Row("(a) kernels and peers that differ from numpy", len(wrong), "", at_most=0),
    ]
    rows += [Row(f"(a) {name}", 2 * TAGS / s / 1e6, "Mtags/s") for name, s in taken.items()]
    rows += [
        Row(
            f"(a) two arrays, {path}, over tomtag",
            tomtag_s / taken[f"two arrays, {path}"],
            "x",
            at_least=TWO_ARRAYS_AT_LEAST[path],
        )
        for path in available_paths()
    ]
    rows += [
        Row("(a) merged over tomtag", tomtag_s / taken[f"merged, {best}"], "x", at_least=3.7),
        Row(
            "(a) two arrays over pycorrelate",
            taken["pycorrelate"] / taken["one thread"],
            "x",
            at_least=10,
        ),
        Row(
            "(a) two threads over one",
            median_ratio(PAIRED_REPEATS, works["one thread"], works["two threads"]),
            "x",
            at_least=1.8,
        ),
        Row(
            "(a) merged, two threads over one",
            taken[f"merged, {best}"] / taken["merged two threads"],
            "x",
        ),
        Row(
            "(a) two arrays, chunks of 10,000 over whole",
            taken["one thread"] / taken["chunks"],
            "x",
            at_least=0.75,
        ),
        Row(
            "(a) merged, chunks of 10,000 over whole",
            taken[f"merged, {best}"] / taken["merged chunks"],
            "x",
            at_least=0.75,
        ),
        Row(
            "(a) extra memory, two arrays",
            extra_memory_kb(lambda: count_pairs(a, b, low, high)),
            "kB",
            at_most=1000,
        ),
        Row(
            "(a) extra memory, merged",
            extra_memory_kb(lambda: merged_pairs(times, channels)),
            "kB",
            at_most=1000,
        ),
    ]
    return rows + unequal_rows(a)


def unequal_rows(a: Times) -> list[Row]:
    """Speeds where one channel is much rarer than the other."""
    rows = []
    for ratio in (100, 10_000):
        b = np.ascontiguousarray(a[::ratio]) + 100
        found, taken = median_times(
            REPEATS,
            {
                "plain": partial(count_pairs_plainly, a, b, -HALF_PS, HALF_PS),
                "kernel": partial(count_pairs, a, b, -HALF_PS, HALF_PS),
            },
        )
        tags = len(a) + len(b)
        rows += [
            Row(f"(a) rates 1:{ratio}", tags / taken["kernel"] / 1e6, "Mtags/s"),
            Row(f"(a) rates 1:{ratio}, two plain cursors", tags / taken["plain"] / 1e6, "Mtags/s"),
            Row(
                f"(a) rates 1:{ratio}, difference",
                abs(found["kernel"] - found["plain"]),
                "pairs",
                at_most=0,
            ),
        ]
    return rows


def merged_pairs(
    times: Times,
    channels: Channels,
    *,
    chunk: int | None = None,
    threads: int = 1,
    path: str | None = None,
) -> int:
    """Pairs of channels 0 and 1 of a merged stream, whole or in chunks."""
    counter = FoldCounter([0, 1], -HALF_PS, HALF_PS, threads=threads, path=path)
    step = chunk or len(times)
    for start in range(0, len(times), step):
        counter.push(times[start : start + step], channels[start : start + step])
    return int(counter.pairs[0, 1])


def numpy_pairs(a: Times, b: Times, low_ps: int, high_ps: int) -> int:
    """The usual vector form: two binary searches a tag."""
    past = np.searchsorted(b, a + high_ps, side="right")
    return int((past - np.searchsorted(b, a + low_ps, side="left")).sum())
