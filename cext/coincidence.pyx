"""Coincidences of two ascending time arrays, integer picoseconds.

Three meanings, each in its own function: all pairs (`count_pairs`, `all_pairs`), nearest neighbour
(`nearest_pairs`) and exclusive first match (`match_pairs`), of which the latter two have their own
file. A window is [low_ps, high_ps] of b - a, both ends included, so a delay of b is added to both.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import numpy as np

from cext._common cimport check_goes_on, check_times, check_window, checked_array, checked_bound
from cext._paths cimport (
    QN_COUNT,
    QN_INDICES,
    qn_gallop,
    qn_join,
    qn_sink,
    qn_tail,
    qn_tail_keep,
    qn_tail_pairs,
    qn_tail_reserve,
    qn_two_cursors,
    qn_verdict,
)

from cext.match import NearestMatcher, PairMatcher, match_pairs, nearest_pairs
from cext.paths import path_level
from cext.threads import checked_threads, in_threads, spans

__all__ = [
    "NearestMatcher",
    "PairCounter",
    "PairMatcher",
    "all_pairs",
    "count_pairs",
    "count_pairs_at",
    "count_pairs_plainly",
    "match_pairs",
    "nearest_pairs",
]

cdef int default_path = path_level(None)
cdef int64_t FOREVER = -(<int64_t>1 << 62) - (<int64_t>1 << 62)


def count_pairs(a, b, low_ps, high_ps, *, threads=1, path=None):
    """Number of all pairs with low_ps <= b - a <= high_ps; a tag may take part in several.

    `threads` share the work with the GIL released; `path` is for tests, see `cext.paths`.
    """
    cdef const int64_t[::1] av = checked_array("count_pairs", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("count_pairs", "b", b, np.int64)
    cdef int64_t low = checked_bound("count_pairs", "low_ps", low_ps)
    cdef int64_t high = checked_bound("count_pairs", "high_ps", high_ps)
    cdef int level = default_path if path is None else path_level(path)
    check_window("count_pairs", low, high)
    if threads == 1:
        return count_part("count_pairs", av, bv, low, high, level, 0, -1)
    return int(shared_counts("count_pairs", av, bv, low, high, (0,), level, threads)[0])


def count_pairs_at(a, b, low_ps, high_ps, shifts_ps, *, threads=1, path=None):
    """All pairs in the window and in copies of it moved by each of `shifts_ps`, int64[shifts].

    A shift of 0 gives the coincidences; others, far from any correlation, the accidentals. The
    stream is read once, in pieces that stay in the cache for all windows.
    """
    counter = PairCounter(low_ps, high_ps, shifts_ps, threads=threads, path=path)
    counter.push(a, b)
    return counter.counts


def count_pairs_plainly(a, b, low_ps, high_ps):
    """The count of `count_pairs` by two cursors and nothing else: what benchmarks compare with."""
    cdef const int64_t[::1] av = checked_array("count_pairs_plainly", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("count_pairs_plainly", "b", b, np.int64)
    cdef Py_ssize_t first = 0
    cdef qn_sink sink
    memset(&sink, 0, sizeof(sink))
    sink.low = checked_bound("count_pairs_plainly", "low_ps", low_ps)
    sink.high = checked_bound("count_pairs_plainly", "high_ps", high_ps)
    check_window("count_pairs_plainly", sink.low, sink.high)
    check_times("count_pairs_plainly", "a", av)
    check_times("count_pairs_plainly", "b", bv)
    if av.shape[0] and bv.shape[0]:
        with nogil:
            qn_two_cursors(&av[0], 0, av.shape[0], &bv[0], bv.shape[0], &first, &sink)
    return sink.total


def all_pairs(a, b, low_ps, high_ps, *, threads=1, path=None):
    """Indices (of a, of b) of the pairs that `count_pairs` counts, two int64[n], a first in order.

    Raises MemoryError where the pairs do not fit.
    """
    cdef const int64_t[::1] av = checked_array("all_pairs", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("all_pairs", "b", b, np.int64)
    cdef int level = default_path if path is None else path_level(path)
    check_window(
        "all_pairs", checked_bound("all_pairs", "low_ps", low_ps),
        checked_bound("all_pairs", "high_ps", high_ps),
    )
    threads = checked_threads("all_pairs", threads, av.shape[0] + bv.shape[0])
    parts = spans(max(av.shape[0], bv.shape[0]), threads)

    def work(part):
        start, stop = parts[part]
        return pairs_of_part(av, bv, low_ps, high_ps, level, start, stop)

    found = in_threads(work, len(parts), threads)
    of_a, of_b = found[0]
    if len(parts) > 1:
        of_a, of_b = (np.concatenate([pair[side] for pair in found]) for side in (0, 1))
    order = np.lexsort((of_b, of_a))
    return of_a[order], of_b[order]


cdef tuple pairs_of_part(
    const int64_t[::1] a, const int64_t[::1] b, int64_t low, int64_t high, int level,
    Py_ssize_t start, Py_ssize_t stop
):
    """Indices of one part's pairs, in the order in which the walk meets them."""
    cdef qn_sink sink
    cdef bint swapped = b.shape[0] > a.shape[0], fitted
    memset(&sink, 0, sizeof(sink))
    sink.kind = QN_INDICES
    sink.low = -high if swapped else low
    sink.high = -low if swapped else high
    try:
        if swapped:
            fitted = run("all_pairs", level, b, a, start, stop, &sink, True)
        else:
            fitted = run("all_pairs", level, a, b, start, stop, &sink, False)
        if not fitted:
            raise MemoryError(f"all_pairs: no memory for more than {sink.total} pairs")
        of_lanes = np.empty(sink.total, dtype=np.int64)
        of_others = np.empty(sink.total, dtype=np.int64)
        if sink.total:
            fill(of_lanes, sink.of_a)
            fill(of_others, sink.of_b)
    finally:
        free(sink.of_a)
        free(sink.of_b)
    return (of_others, of_lanes) if swapped else (of_lanes, of_others)


cdef int fill(int64_t[::1] array, const int64_t *source) except -1:
    memcpy(&array[0], source, array.shape[0] * sizeof(int64_t))
    return 0


cdef class PairCounter:
    """Counts all pairs of two streams that come in chunks, in one window or several moved copies.

    The counts are those of `count_pairs_at` on the whole streams, however they are cut: a chunk of
    a and one of b need not cover the same time, and either may be empty. Between calls it keeps the
    tags that may still find partners, those behind the other stream's front by less than the window.
    """

    cdef readonly object low_ps, high_ps, shifts_ps
    cdef readonly object counts
    cdef qn_tail tail_a, tail_b
    cdef int64_t low, high, reach_low, reach_high, last_a, last_b
    cdef bint any_a, any_b
    cdef int level
    cdef object threads
    cdef int64_t[::1] totals, steps

    def __cinit__(self):
        memset(&self.tail_a, 0, sizeof(qn_tail))
        memset(&self.tail_b, 0, sizeof(qn_tail))

    def __dealloc__(self):
        free(self.tail_a.times)
        free(self.tail_b.times)

    def __init__(self, low_ps, high_ps, shifts_ps=(0,), *, threads=1, path=None):
        self.low = checked_bound("PairCounter", "low_ps", low_ps)
        self.high = checked_bound("PairCounter", "high_ps", high_ps)
        check_window("PairCounter", self.low, self.high)
        self.shifts_ps = tuple(int(shift) for shift in shifts_ps)
        if not self.shifts_ps:
            raise ValueError("PairCounter: found no shifts_ps, expected at least one")
        for shift in self.shifts_ps:
            checked_bound("PairCounter", "low_ps + a shift", low_ps + shift)
            checked_bound("PairCounter", "high_ps + a shift", high_ps + shift)
        self.low_ps, self.high_ps = low_ps, high_ps
        self.reach_low = self.low + min(self.shifts_ps)
        self.reach_high = self.high + max(self.shifts_ps)
        self.level = default_path if path is None else path_level(path)
        self.threads = threads
        checked_threads("PairCounter", threads, 0)
        self.steps = np.array(self.shifts_ps, dtype=np.int64)
        self.counts = np.zeros(len(self.shifts_ps), dtype=np.int64)
        self.totals = self.counts

    def push(self, a, b):
        """Count the pairs that the next times of a and of b make; nothing changes if it raises."""
        cdef const int64_t[::1] av = checked_array("PairCounter", "a", a, np.int64)
        cdef const int64_t[::1] bv = checked_array("PairCounter", "b", b, np.int64)
        cdef Py_ssize_t n = av.shape[0], m = bv.shape[0], k
        cdef const int64_t *pa = &av[0] if n else NULL
        cdef const int64_t *pb = &bv[0] if m else NULL
        cdef qn_sink sink
        cdef int64_t[::1] found
        check_goes_on("PairCounter", "a", av, self.any_a, self.last_a)
        check_goes_on("PairCounter", "b", bv, self.any_b, self.last_b)
        if self.threads == 1 or n + m < 100_000:
            found = np.empty(len(self.shifts_ps), dtype=np.int64)
            for k in range(found.shape[0]):
                found[k] = count_part(
                    "PairCounter", av, bv, self.low + self.steps[k], self.high + self.steps[k],
                    self.level, 0, -1,
                )
        else:
            found = shared_counts(
                "PairCounter", av, bv, self.low, self.high, self.shifts_ps, self.level, self.threads
            )
        for k in range(found.shape[0]):
            memset(&sink, 0, sizeof(sink))
            sink.low, sink.high = self.low + self.steps[k], self.high + self.steps[k]
            with nogil:
                qn_tail_pairs(self.level, &self.tail_a, pb, m, &sink)
                sink.low, sink.high = -sink.high, -sink.low
                qn_tail_pairs(self.level, &self.tail_b, pa, n, &sink)
            found[k] += sink.total
        # Room first, so that a failure leaves everything as it was.
        if qn_tail_reserve(&self.tail_a, n) or qn_tail_reserve(&self.tail_b, m):
            raise MemoryError("PairCounter: no memory for the tags that still wait for partners")
        for k in range(found.shape[0]):
            self.totals[k] += found[k]
        if n:
            self.last_a, self.any_a = av[n - 1], True
        if m:
            self.last_b, self.any_b = bv[m - 1], True
        # A later b is at least last_b, so it can pair with a only where a + reach_high >= last_b.
        qn_tail_keep(&self.tail_a, pa, n, self.last_b - self.reach_high if self.any_b else FOREVER)
        qn_tail_keep(&self.tail_b, pb, m, self.last_a + self.reach_low if self.any_a else FOREVER)


cdef object shared_counts(
    str kernel, const int64_t[::1] a, const int64_t[::1] b, low, high, shifts, int level, threads
):
    """Counts of each moved window, int64[shifts], by several threads."""
    threads = checked_threads(kernel, threads, a.shape[0] + b.shape[0])
    parts = spans(max(a.shape[0], b.shape[0]), threads)

    def work(part):
        start, stop = parts[part]
        return [
            count_part(kernel, a, b, low + shift, high + shift, level, start, stop)
            for shift in shifts
        ]

    return np.sum(in_threads(work, len(parts), threads), axis=0, dtype=np.int64)


cdef int64_t count_part(
    str kernel, const int64_t[::1] a, const int64_t[::1] b, int64_t low, int64_t high, int level,
    Py_ssize_t start, Py_ssize_t stop
) except -1:
    """Pairs of one part of the tags, after its check; the longer array goes into the lanes."""
    cdef qn_sink sink
    cdef bint swapped = b.shape[0] > a.shape[0]
    memset(&sink, 0, sizeof(sink))
    sink.kind = QN_COUNT
    sink.low = -high if swapped else low
    sink.high = -low if swapped else high
    if swapped:
        run(kernel, level, b, a, start, stop, &sink, True)
    else:
        run(kernel, level, a, b, start, stop, &sink, False)
    return sink.total


cdef bint run(
    str kernel, int level, const int64_t[::1] lanes, const int64_t[::1] others,
    Py_ssize_t start, Py_ssize_t stop, qn_sink *sink, bint swapped
) except -1:
    """Walk lanes[start .. stop), to the end for -1; ValueError for times that step back, False where
    memory ran out."""
    cdef Py_ssize_t n = lanes.shape[0], m = others.shape[0]
    cdef Py_ssize_t start_b = 0, stop_b = m
    cdef const int64_t *a = &lanes[0] if n else NULL
    cdef const int64_t *b = &others[0] if m else NULL
    cdef qn_verdict verdict
    if stop < 0:
        stop = n
    with nogil:
        if start > 0:
            start_b = lower_bound(b, m, a[start] + sink.low)
        if stop < n:
            stop_b = lower_bound(b, m, a[stop] + sink.low)
        verdict = qn_join(level, a, start, stop, b, m, start_b, stop_b, sink)
    if verdict.bad_a >= 0 or verdict.bad_b >= 0:
        check_times(kernel, "b" if swapped else "a", lanes)
        check_times(kernel, "a" if swapped else "b", others)
        raise ValueError(f"{kernel}: the times changed while they were read")
    return not sink.no_memory


cdef inline Py_ssize_t lower_bound(const int64_t *t, Py_ssize_t n, int64_t value) noexcept nogil:
    return qn_gallop(t, 0, n, value)
