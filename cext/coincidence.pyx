"""Coincidences of two ascending time arrays, integer picoseconds.

Three meanings, each in its own function: all pairs (`count_pairs`, `all_pairs`), nearest neighbour
(`nearest_pairs`) and exclusive first match (`match_pairs`). A window is [low_ps, high_ps] of b - a,
both ends included, so a delay of b is added to both.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound
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

from cext.paths import PARTS_A_THREAD, checked_threads, in_threads, path_level


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
        return count_part("count_pairs", av, bv, low, high, level, 0, 1)
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


def all_pairs(a, b, low_ps, high_ps, *, path=None):
    """Indices (of a, of b) of the pairs that `count_pairs` counts, two int64[n], a first in order.

    Raises MemoryError where the pairs do not fit.
    """
    cdef const int64_t[::1] av = checked_array("all_pairs", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("all_pairs", "b", b, np.int64)
    cdef qn_sink sink
    cdef qn_verdict verdict
    cdef int level = default_path if path is None else path_level(path)
    cdef bint swapped = bv.shape[0] > av.shape[0]
    cdef int64_t low = checked_bound("all_pairs", "low_ps", low_ps)
    cdef int64_t high = checked_bound("all_pairs", "high_ps", high_ps)
    cdef const int64_t[::1] lanes = bv if swapped else av
    cdef const int64_t[::1] others = av if swapped else bv
    check_window("all_pairs", low, high)
    memset(&sink, 0, sizeof(sink))
    sink.kind = QN_INDICES
    sink.low = -high if swapped else low
    sink.high = -low if swapped else high
    if not run("all_pairs", level, lanes, others, 0, 1, &sink, swapped):
        free(sink.of_a)
        free(sink.of_b)
        check_times("all_pairs", "a", av)
        check_times("all_pairs", "b", bv)
        raise MemoryError(f"all_pairs: no memory for more than {sink.total} pairs")
    of_a = np.empty(sink.total, dtype=np.int64)
    of_b = np.empty(sink.total, dtype=np.int64)
    cdef int64_t[::1] pa = of_a
    cdef int64_t[::1] pb = of_b
    if sink.total:
        memcpy(&pa[0], sink.of_a, sink.total * sizeof(int64_t))
        memcpy(&pb[0], sink.of_b, sink.total * sizeof(int64_t))
    free(sink.of_a)
    free(sink.of_b)
    if swapped:
        of_a, of_b = of_b, of_a
    order = np.lexsort((of_b, of_a))
    return of_a[order], of_b[order]


def nearest_pairs(a, b, low_ps, high_ps):
    """Indices (of a, of b): each tag of a with the one of b nearest to the middle of its window.

    A tag of a gives at most one pair, if that nearest tag has low_ps <= b - a <= high_ps; of two
    equally near ones the earlier is taken, of simultaneous ones the first. A tag of b may serve
    several tags of a.
    """
    cdef const int64_t[::1] av = checked_array("nearest_pairs", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("nearest_pairs", "b", b, np.int64)
    cdef int64_t low = checked_bound("nearest_pairs", "low_ps", low_ps)
    cdef int64_t high = checked_bound("nearest_pairs", "high_ps", high_ps)
    cdef Py_ssize_t i, j = 0, k, count = 0
    cdef Py_ssize_t n = av.shape[0], m = bv.shape[0]
    cdef int64_t best, far
    check_window("nearest_pairs", low, high)
    check_times("nearest_pairs", "a", av)
    check_times("nearest_pairs", "b", bv)
    of_a = np.empty(n, dtype=np.int64)
    of_b = np.empty(n, dtype=np.int64)
    cdef int64_t[::1] pa = of_a
    cdef int64_t[::1] pb = of_b
    with nogil:
        for i in range(n):
            while j < m and bv[j] < av[i] + low:
                j += 1
            if j == m:
                break
            if bv[j] > av[i] + high:
                continue
            # Distances from both ends in place of one from the middle, which may be half a ps.
            k = nearest_from(bv, j, m, av[i] + low, av[i] + high)
            pa[count] = i
            pb[count] = k
            count += 1
    return of_a[:count].copy(), of_b[:count].copy()


cdef inline Py_ssize_t nearest_from(
    const int64_t[::1] b, Py_ssize_t j, Py_ssize_t m, int64_t low, int64_t high
) noexcept nogil:
    """Index of the time in [low, high] nearest to their middle; b[j] is the first in it."""
    cdef Py_ssize_t k, before
    # The first at or beyond the middle: its distance to low is at least that to high.
    k = qn_gallop(&b[0], j, m, low + (high - low) // 2 + (high - low) % 2)
    if k == m or b[k] > high:
        before = k - 1
    elif k == j:
        return k
    else:
        # b[k - 1] is as far below the middle as (high - low) / 2 - (b[k-1] - low).
        if high - b[k - 1] - (b[k - 1] - low) > (b[k] - low) - (high - b[k]):
            return k
        before = k - 1
    return qn_gallop(&b[0], j, m, b[before])


def match_pairs(a, b, low_ps, high_ps):
    """Indices (of a, of b) of exclusive pairs with low_ps <= b - a <= high_ps, two int64[n].

    Greedy in time order: the earliest unmatched tags that fit are paired, and each tag is used at
    most once. For a window on sorted times this is also a matching of the largest possible size.
    """
    of_a, of_b, _, _ = matched("match_pairs", a, b, low_ps, high_ps)
    return of_a, of_b


cdef tuple matched(str kernel, a, b, low_ps, high_ps):
    """The indices of `match_pairs`, and how many tags of a and of b are settled."""
    cdef const int64_t[::1] av = checked_array(kernel, "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array(kernel, "b", b, np.int64)
    cdef int64_t low = checked_bound(kernel, "low_ps", low_ps)
    cdef int64_t high = checked_bound(kernel, "high_ps", high_ps)
    cdef Py_ssize_t i = 0, j = 0, count = 0
    cdef Py_ssize_t n = av.shape[0], m = bv.shape[0]
    check_window(kernel, low, high)
    check_times(kernel, "a", av)
    check_times(kernel, "b", bv)
    of_a = np.empty(min(n, m), dtype=np.int64)
    of_b = np.empty(min(n, m), dtype=np.int64)
    cdef int64_t[::1] pa = of_a
    cdef int64_t[::1] pb = of_b
    with nogil:
        while i < n and j < m:
            if bv[j] < av[i] + low:
                j += 1
            elif bv[j] > av[i] + high:
                i += 1
            else:
                pa[count] = i
                pb[count] = j
                count += 1
                i += 1
                j += 1
    return of_a[:count].copy(), of_b[:count].copy(), i, j


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
        if self.any_a and n and av[0] < self.last_a:
            raise ValueError(step_back("PairCounter", "a", av[0], self.last_a))
        if self.any_b and m and bv[0] < self.last_b:
            raise ValueError(step_back("PairCounter", "b", bv[0], self.last_b))
        if self.threads == 1 or n + m < 100_000:
            found = np.empty(len(self.shifts_ps), dtype=np.int64)
            for k in range(found.shape[0]):
                found[k] = count_part(
                    "PairCounter", av, bv, self.low + self.steps[k], self.high + self.steps[k],
                    self.level, 0, 1,
                )
        else:
            found = shared_counts(
                "PairCounter", av, bv, self.low, self.high, self.shifts_ps, self.level, self.threads
            )
        for k in range(found.shape[0]):
            memset(&sink, 0, sizeof(sink))
            sink.low, sink.high = self.low + self.steps[k], self.high + self.steps[k]
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


cdef class PairMatcher:
    """`match_pairs` of two streams that come in chunks.

    The pairs are those of the whole streams, however they are cut. Between calls it keeps the tags
    of the stream that runs ahead; `pairs` is the number found so far.
    """

    cdef readonly object low_ps, high_ps, pairs
    cdef object kept_a, kept_b, last_a, last_b
    cdef object passed_a, passed_b

    def __init__(self, low_ps, high_ps):
        checked_bound("PairMatcher", "low_ps", low_ps)
        checked_bound("PairMatcher", "high_ps", high_ps)
        check_window("PairMatcher", low_ps, high_ps)
        self.low_ps, self.high_ps, self.pairs = low_ps, high_ps, 0
        self.kept_a = self.kept_b = np.empty(0, dtype=np.int64)
        self.passed_a = self.passed_b = 0
        self.last_a = self.last_b = None

    def push(self, a, b):
        """Indices of the pairs that are now certain, two int64[n], counted from the first tag of
        each stream; nothing changes if it raises."""
        checked_array("PairMatcher", "a", a, np.int64)
        checked_array("PairMatcher", "b", b, np.int64)
        if self.last_a is not None and len(a) and a[0] < self.last_a:
            raise ValueError(step_back("PairMatcher", "a", a[0], self.last_a))
        if self.last_b is not None and len(b) and b[0] < self.last_b:
            raise ValueError(step_back("PairMatcher", "b", b[0], self.last_b))
        all_a = np.concatenate((self.kept_a, a))
        all_b = np.concatenate((self.kept_b, b))
        of_a, of_b, used_a, used_b = matched("PairMatcher", all_a, all_b, self.low_ps, self.high_ps)
        of_a += self.passed_a
        of_b += self.passed_b
        self.kept_a, self.kept_b = all_a[used_a:].copy(), all_b[used_b:].copy()
        self.passed_a += used_a
        self.passed_b += used_b
        self.pairs += len(of_a)
        self.last_a = a[len(a) - 1] if len(a) else self.last_a
        self.last_b = b[len(b) - 1] if len(b) else self.last_b
        return of_a, of_b


cdef object shared_counts(
    str kernel, const int64_t[::1] a, const int64_t[::1] b, low, high, shifts, int level, threads
):
    """Counts of each moved window, int64[shifts], by several threads."""
    threads = checked_threads(kernel, threads, a.shape[0] + b.shape[0])
    parts = threads * PARTS_A_THREAD
    return np.array(
        [
            sum(in_threads(
                lambda k: count_part(kernel, a, b, low + shift, high + shift, level, k, parts),
                parts,
                threads,
            ))
            for shift in shifts
        ],
        dtype=np.int64,
    )


cdef int64_t count_part(
    str kernel, const int64_t[::1] a, const int64_t[::1] b, int64_t low, int64_t high, int level,
    Py_ssize_t part, Py_ssize_t parts
) except -1:
    """Pairs of one part of the tags, after its check; the longer array goes into the lanes."""
    cdef qn_sink sink
    cdef bint swapped = b.shape[0] > a.shape[0]
    memset(&sink, 0, sizeof(sink))
    sink.kind = QN_COUNT
    sink.low = -high if swapped else low
    sink.high = -low if swapped else high
    if swapped:
        run(kernel, level, b, a, part, parts, &sink, True)
    else:
        run(kernel, level, a, b, part, parts, &sink, False)
    return sink.total


cdef bint run(
    str kernel, int level, const int64_t[::1] lanes, const int64_t[::1] others,
    Py_ssize_t part, Py_ssize_t parts, qn_sink *sink, bint swapped
) except -1:
    """Walk one part; ValueError for times that step back, False where memory ran out."""
    cdef Py_ssize_t n = lanes.shape[0], m = others.shape[0]
    cdef Py_ssize_t start = n * part // parts, stop = n * (part + 1) // parts
    cdef Py_ssize_t start_b = 0, stop_b = m
    cdef const int64_t *a = &lanes[0] if n else NULL
    cdef const int64_t *b = &others[0] if m else NULL
    cdef qn_verdict verdict
    with nogil:
        if part > 0:
            start_b = lower_bound(b, m, a[start] + sink.low)
        if part + 1 < parts:
            stop_b = lower_bound(b, m, a[stop] + sink.low)
        verdict = qn_join(level, a, start, stop, b, m, start_b, stop_b, sink)
    if verdict.bad_a >= 0 or verdict.bad_b >= 0:
        free(sink.of_a)
        free(sink.of_b)
        check_times(kernel, "b" if swapped else "a", lanes)
        check_times(kernel, "a" if swapped else "b", others)
        raise ValueError(f"{kernel}: the times changed while they were read")
    return not sink.no_memory


cdef inline Py_ssize_t lower_bound(const int64_t *t, Py_ssize_t n, int64_t value) noexcept nogil:
    return qn_gallop(t, 0, n, value)


def step_back(kernel, name, found, last):
    """The message for a chunk that begins before the one ahead of it ended."""
    return (
        f"{kernel}: {name} must ascend, but {name}[0] = {found} ps of this chunk lies before "
        f"{last} ps, the end of the one ahead of it"
    )


cdef int check_window(str kernel, int64_t low, int64_t high) except -1:
    if low > high:
        raise ValueError(
            f"{kernel}: the window [{low}, {high}] ps is empty, expected low_ps <= high_ps"
        )
    return 0
