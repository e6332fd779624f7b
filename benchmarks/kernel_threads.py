"""(e) The kernels without a peer, in one thread and in two: matching, folds by index, conditioning,
decoding, patterns. Both must give the same; their speeds have no targets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.frame import Row
from benchmarks.kernel_data import correlated_streams, many_channels, median_times
from cext.condition import NEVER_PS, delay_channels, find_disorder, merge_two, select_tags
from cext.condition_gate import (
    gate_after_marker,
    gate_between_markers,
    keep_one_in,
    veto_after_clicks,
)
from cext.decode import decode_picoquant_t2, decode_picoquant_t3, decode_tdc1, decode_tdc2
from cext.fold_find import find_folds
from cext.fold_match import match_folds
from cext.match import match_pairs, nearest_pairs
from cext.pattern import classify_attempts
from cext.phase import phase_histogram
from timing.conditioning import by_channel

TAGS = 4_000_000
HALF_PS = 500
PERIOD_PS = 100_000
REPEATS = 5

Kernel = Callable[..., Any]


def thread_rows() -> list[Row]:
    """Speeds in one thread, and of two over one, with a row for results that differ."""
    rows, differ = [], 0
    for name, tags, kernel in _kernels():
        found, taken = median_times(
            REPEATS, {"one": partial(kernel, threads=1), "two": partial(kernel, threads=2)}
        )
        differ += not _same(found["one"], found["two"])
        rows += [
            Row(f"(e) {name}", tags / taken["one"] / 1e6, "Mtags/s"),
            Row(f"(e) {name}, two threads over one", taken["one"] / taken["two"], "x"),
        ]
    return [Row("(e) kernels that differ in two threads", differ, "", at_most=0), *rows]


def _kernels() -> list[tuple[str, int, Kernel]]:
    random = np.random.default_rng(1)
    a, b = correlated_streams(TAGS // 2)
    times, channels = many_channels(16, TAGS)
    n = len(times)
    low, high = -HALF_PS, HALF_PS
    dead_ps = by_channel({}, 50_000)
    keep = random.random(n) < 0.5
    places = np.full((256, 1), -1, np.int64)
    places[1], places[2] = 0, 1
    outcomes = np.zeros(16, np.uint8)
    outcomes[1:4] = 1, 2, 3
    tdc1 = np.sort(random.integers(0, 2**27, TAGS, np.uint32)) << np.uint32(5) | np.uint32(1)
    events = np.cumsum(random.integers(0, 2**18, TAGS)).astype(np.uint64) << np.uint64(10)
    tdc2 = (events | np.uint64(2)).view(np.uint32)
    records = random.integers(0, 2**31, TAGS, np.uint32)
    records[::200] = 0xFE000001
    streams = [times[channels == c] for c in range(3)]
    no_markers = np.empty(0, np.int64)
    markers = channels[: len(a)], channels[: len(b)]
    found: list[tuple[str, int, Kernel]] = [
        ("nearest pairs", TAGS, partial(nearest_pairs, a, b, low, high)),
        ("exclusive pairs", TAGS, partial(match_pairs, a, b, low, high)),
        ("exclusive three-folds", sum(map(len, streams)), partial(match_folds, streams, HALF_PS)),
        ("four-folds by index", n, partial(find_folds, times, channels, range(16), 4, HALF_PS)),
        ("phase histogram", n, partial(phase_histogram, times, PERIOD_PS, 100)),
        ("merge of two", TAGS, partial(merge_two, a, markers[0], b, markers[1])),
        ("order, checked for repair", n, partial(find_disorder, times, 1000)),
        ("delays", n, partial(delay_channels, times, channels, dead_ps)),
        ("selection", n, partial(select_tags, times, channels, keep)),
        ("gates after a marker", n, partial(_gate, times, channels, no_markers)),
        ("gates between markers", n, partial(gate_between_markers, times, channels, 3, 4)),
        ("one in seven", n, partial(keep_one_in, channels, by_channel({}, 7), by_channel({}))),
        ("heralds", n, partial(_heralds, times, channels, places, outcomes)),
        ("TDC1 words", TAGS, partial(decode_tdc1, tdc1)),
        ("TDC2 events", TAGS, partial(decode_tdc2, tdc2)),
        ("T2 records", TAGS, partial(decode_picoquant_t2, records, 1)),
        ("T3 records", TAGS, partial(decode_picoquant_t3, records, 12500.5, 4)),
    ]
    never = by_channel({}, NEVER_PS)
    for extended in (False, True):
        name = "dead time, extended" if extended else "dead time"
        veto = partial(veto_after_clicks, times, channels, dead_ps, never, extended)
        found.append((name, n, veto))
    return found


def _gate(times: Any, channels: Any, no_markers: Any, *, threads: int) -> Any:
    return gate_after_marker(times, channels, 3, 0, 1000, no_markers, threads=threads)


def _heralds(times: Any, channels: Any, places: Any, outcomes: Any, *, threads: int) -> Any:
    window = np.array([[0, PERIOD_PS // 2]])
    return classify_attempts(times, channels, places, window, outcomes, PERIOD_PS, threads=threads)


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(_same, one, two))
    return bool(np.array_equal(one, two)) if isinstance(one, np.ndarray) else bool(one == two)
