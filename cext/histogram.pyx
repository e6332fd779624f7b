"""Histograms of time differences, integer picoseconds."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

import numpy as np

from cext._common cimport check_goes_on, check_times, checked_array, checked_bound
from cext._paths cimport (
    QN_HISTOGRAM,
    qn_first_bad_time,
    qn_gallop,
    qn_join,
    qn_reciprocal,
    qn_sink,
    qn_tail,
    qn_tail_keep,
    qn_tail_pairs,
    qn_tail_reserve,
    qn_two_cursors,
    qn_verdict,
)

from cext.paths import path_level
from cext.threads import checked_threads, in_threads, spans

cdef int default_path = path_level(None)
cdef int64_t FOREVER = -(<int64_t>1 << 62) - (<int64_t>1 << 62)


def difference_histogram(a, b, low_ps, bin_ps, bins, *, threads=1, path=None):
    """Counts of b - a over all pairs, int64[bins]; bin k holds [low + k bin, low + (k+1) bin) ps.

    The histogram is exact and two-sided: every pair counts, not only the next stop after a start.
    `threads` share the work with the GIL released; `path` is for tests, see `cext.paths`.
    """
    cdef const int64_t[::1] av = checked_array("difference_histogram", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("difference_histogram", "b", b, np.int64)
    cdef int level = default_path if path is None else path_level(path)
    check_bins("difference_histogram", low_ps, bin_ps, bins)
    threads = checked_threads("difference_histogram", threads, av.shape[0] + bv.shape[0])
    parts = spans(max(av.shape[0], bv.shape[0]), threads)

    def work(part):
        start, stop = parts[part]
        counts = np.zeros(bins, dtype=np.int64)
        add_part("difference_histogram", av, bv, low_ps, bin_ps, counts, level, start, stop)
        return counts

    return sum_of(in_threads(work, len(parts), threads))


def difference_histogram_plainly(a, b, low_ps, bin_ps, bins):
    """The counts of `difference_histogram` by two cursors: what benchmarks compare with."""
    cdef const int64_t[::1] av = checked_array("difference_histogram_plainly", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("difference_histogram_plainly", "b", b, np.int64)
    cdef Py_ssize_t first = 0
    cdef qn_sink sink
    check_bins("difference_histogram_plainly", low_ps, bin_ps, bins)
    check_times("difference_histogram_plainly", "a", av)
    check_times("difference_histogram_plainly", "b", bv)
    counts = np.zeros(bins, dtype=np.int64)
    fill_sink(&sink, low_ps, bin_ps, counts)
    if av.shape[0] and bv.shape[0]:
        with nogil:
            qn_two_cursors(&av[0], 0, av.shape[0], &bv[0], bv.shape[0], &first, &sink)
    return counts


cdef class DifferenceHistogram:
    """`difference_histogram` of two streams that come in chunks, in `counts`.

    The counts are those of the whole streams, however they are cut: a chunk of a and one of b need
    not cover the same time, and either may be empty. Between calls it keeps the tags that may still
    find partners, those behind the other stream's front by less than the range.
    """

    cdef readonly object low_ps, bin_ps, bins, counts
    cdef qn_tail tail_a, tail_b
    cdef int64_t low, high, last_a, last_b
    cdef bint any_a, any_b
    cdef int level
    cdef object threads
    cdef int64_t[::1] totals

    def __cinit__(self):
        memset(&self.tail_a, 0, sizeof(qn_tail))
        memset(&self.tail_b, 0, sizeof(qn_tail))

    def __dealloc__(self):
        free(self.tail_a.times)
        free(self.tail_b.times)

    def __init__(self, low_ps, bin_ps, bins, *, threads=1, path=None):
        check_bins("DifferenceHistogram", low_ps, bin_ps, bins)
        self.low_ps, self.bin_ps, self.bins = low_ps, bin_ps, bins
        self.low, self.high = low_ps, low_ps + bins * bin_ps - 1
        self.level = default_path if path is None else path_level(path)
        checked_threads("DifferenceHistogram", threads, 0)
        self.threads = threads
        self.counts = np.zeros(bins, dtype=np.int64)
        self.totals = self.counts

    def push(self, a, b):
        """Add the pairs that the next times of a and of b make; nothing changes if it raises."""
        cdef const int64_t[::1] av = checked_array("DifferenceHistogram", "a", a, np.int64)
        cdef const int64_t[::1] bv = checked_array("DifferenceHistogram", "b", b, np.int64)
        cdef Py_ssize_t n = av.shape[0], m = bv.shape[0], bad_a, bad_b
        cdef const int64_t *pa = &av[0] if n else NULL
        cdef const int64_t *pb = &bv[0] if m else NULL
        cdef qn_sink sink
        check_goes_on("DifferenceHistogram", "a", av, self.any_a, self.last_a)
        check_goes_on("DifferenceHistogram", "b", bv, self.any_b, self.last_b)
        # Room and order first, so that a failure leaves everything as it was.
        if qn_tail_reserve(&self.tail_a, n) or qn_tail_reserve(&self.tail_b, m):
            raise MemoryError("DifferenceHistogram: no memory for the tags that wait for partners")
        if self.threads == 1 or n + m < 100_000:
            with nogil:
                bad_a = qn_first_bad_time(self.level, pa, 0, n)
                bad_b = qn_first_bad_time(self.level, pb, 0, m)
            if bad_a >= 0:
                check_times("DifferenceHistogram", "a", av)
            if bad_b >= 0:
                check_times("DifferenceHistogram", "b", bv)
            add_part(
                "DifferenceHistogram", av, bv, self.low_ps, self.bin_ps, self.counts, self.level,
                0, max(n, m),
            )
        else:
            self.counts += difference_histogram(
                a, b, self.low_ps, self.bin_ps, self.bins, threads=self.threads
            )
        fill_sink(&sink, self.low_ps, self.bin_ps, self.totals)
        with nogil:
            qn_tail_pairs(self.level, &self.tail_a, pb, m, &sink)
            sink.low, sink.high, sink.mirrored = -sink.high, -sink.low, 1
            qn_tail_pairs(self.level, &self.tail_b, pa, n, &sink)
        if n:
            self.last_a, self.any_a = av[n - 1], True
        if m:
            self.last_b, self.any_b = bv[m - 1], True
        qn_tail_keep(&self.tail_a, pa, n, self.last_b - self.high if self.any_b else FOREVER)
        qn_tail_keep(&self.tail_b, pb, m, self.last_a + self.low if self.any_a else FOREVER)


cdef int fill_sink(qn_sink *sink, low_ps, bin_ps, int64_t[::1] counts) except -1:
    """A sink that adds to the counts."""
    memset(sink, 0, sizeof(qn_sink))
    sink.kind = QN_HISTOGRAM
    sink.low = low_ps
    sink.high = low_ps + counts.shape[0] * bin_ps - 1
    sink.bin = bin_ps
    sink.reciprocal = qn_reciprocal(bin_ps, counts.shape[0] * bin_ps)
    sink.counts = &counts[0]
    return 0


cdef int add_part(
    str kernel, const int64_t[::1] a, const int64_t[::1] b, low_ps, bin_ps, int64_t[::1] counts,
    int level, Py_ssize_t start, Py_ssize_t stop
) except -1:
    """Add the pairs of one part of the tags; the longer array goes into the lanes."""
    cdef qn_sink sink
    cdef bint swapped = b.shape[0] > a.shape[0]
    cdef const int64_t[::1] lanes = b if swapped else a
    cdef const int64_t[::1] others = a if swapped else b
    cdef Py_ssize_t n = lanes.shape[0], m = others.shape[0]
    cdef Py_ssize_t start_b = 0, stop_b = m
    cdef const int64_t *pa = &lanes[0] if n else NULL
    cdef const int64_t *pb = &others[0] if m else NULL
    cdef qn_verdict verdict
    fill_sink(&sink, low_ps, bin_ps, counts)
    if swapped:
        sink.low, sink.high, sink.mirrored = -sink.high, -sink.low, 1
    with nogil:
        if start > 0:
            start_b = qn_gallop(pb, 0, m, pa[start] + sink.low)
        if stop < n:
            stop_b = qn_gallop(pb, 0, m, pa[stop] + sink.low)
        verdict = qn_join(level, pa, start, stop, pb, m, start_b, stop_b, &sink)
    if verdict.bad_a >= 0 or verdict.bad_b >= 0:
        check_times(kernel, "a", a)
        check_times(kernel, "b", b)
        raise ValueError(f"{kernel}: the times changed while they were read")
    return 0


cdef int check_bins(str kernel, low_ps, bin_ps, bins) except -1:
    if bin_ps < 1 or bins < 1:
        raise ValueError(f"{kernel}: found {bins} bins of {bin_ps} ps, expected at least 1 of each")
    checked_bound(kernel, "low_ps", low_ps)
    checked_bound(kernel, "bins * bin_ps", bins * bin_ps)
    checked_bound(kernel, "low_ps + bins * bin_ps", low_ps + bins * bin_ps)
    return 0


def sum_of(parts):
    """The sum of the threads' histograms, in the first of them."""
    for part in parts[1:]:
        parts[0] += part
    return parts[0]
