"""Streams, chunks and stopwatches that the measurements of the kernels share."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]

SEED = 20240
RATE_CPS = 1_000_000
CORRELATED = 0.1
JITTER_PS = 300
CHUNK = 10_000


def correlated_streams(tags: int) -> tuple[Times, Times]:
    """Two Poisson streams of one rate, a tenth of whose tags are pairs with Gaussian jitter."""
    random = np.random.default_rng(SEED)
    span_ps = round(tags / RATE_CPS * 1e12)
    a = np.sort(random.integers(0, span_ps, tags))
    partners = a[random.random(tags) < CORRELATED]
    jitter = np.rint(random.normal(0, JITTER_PS, len(partners))).astype(np.int64)
    others = random.integers(0, span_ps, tags - len(partners))
    return a, np.sort(np.concatenate((partners + jitter, others)))


def merged(*streams: Times) -> tuple[Times, Channels]:
    """One ascending stream of all, with the number of the stream of each tag."""
    times = np.concatenate(streams)
    channels = np.repeat(np.arange(len(streams), dtype=np.uint8), [len(s) for s in streams])
    order = np.argsort(times, kind="stable")
    return times[order], channels[order]


def many_channels(channels: int, tags: int) -> tuple[Times, Channels]:
    """A merged Poisson stream of that many tags at 1 Mcps a channel; one tag in a hundred brings
    three more on other channels within the jitter, so that there are four-folds to count."""
    random = np.random.default_rng(SEED)
    single = round(tags / 1.03)
    span_ps = round(tags / channels / RATE_CPS * 1e12)
    times = random.integers(0, span_ps, single)
    numbers = random.integers(0, channels, single)
    starts = np.arange(0, single, 100)
    jitter = np.rint(random.normal(0, JITTER_PS, 3 * len(starts))).astype(np.int64)
    times = np.concatenate((times, np.repeat(times[starts], 3) + jitter))
    extra = np.repeat(numbers[starts], 3) + np.tile([1, 2, 3], len(starts))
    numbers = np.concatenate((numbers, extra % channels))
    order = np.argsort(times, kind="stable")
    return times[order], numbers[order].astype(np.uint8)


def chunks_in_time(a: Times, b: Times, tags: int = CHUNK) -> Iterator[tuple[Times, Times]]:
    """Both streams cut at the same instants, about that many tags of both together a chunk."""
    edges = merged(a, b)[0][tags::tags]
    of_a = [0, *np.searchsorted(a, edges).tolist(), len(a)]
    of_b = [0, *np.searchsorted(b, edges).tolist(), len(b)]
    for i, j, k, m in zip(of_a[:-1], of_a[1:], of_b[:-1], of_b[1:], strict=True):
        yield a[i:j], b[k:m]


def median_times(
    repeats: int, works: dict[str, Callable[[], Any]]
) -> tuple[dict[str, Any], dict[str, float]]:
    """The result of each work and the median of its times, seconds.

    The works take turns, so that a neighbour on a shared machine disturbs all of them alike.
    """
    results: dict[str, Any] = {}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            results[name] = work()
            taken[name].append(time.perf_counter() - start)
    return results, {name: statistics.median(times) for name, times in taken.items()}


def median_ratio(repeats: int, work: Callable[[], Any], other: Callable[[], Any]) -> float:
    """The time of `work` over that of `other`, each pair one right after the other; the median."""
    ratios = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        middle = time.perf_counter()
        other()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return statistics.median(ratios)


def extra_memory_kb(work: Callable[[], object]) -> float:
    """Highest resident memory during the work beyond that before it, kB; NaN where Linux's
    /proc does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status_kb("VmRSS")
        work()
        return _status_kb("VmHWM") - before
    except (OSError, LookupError):
        return float("nan")


def _status_kb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1])
    raise LookupError(field)
