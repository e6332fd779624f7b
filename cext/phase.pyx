"""Histograms of times within a period, integer picoseconds: lifetimes, pulse shapes."""

from libc.stdint cimport int64_t, uint64_t

import numpy as np

from cext._common cimport checked_array, checked_bound

from cext.threads import checked_threads, in_threads, spans

cdef extern from "phase.h" nogil:
    void qn_phase_histogram(
        const int64_t *t, Py_ssize_t n, int64_t origin, uint64_t period, uint64_t bin,
        int64_t *counts
    )


def phase_histogram(times, period_ps, bin_ps, origin_ps=0, *, threads=1):
    """Counts of (time - origin) modulo the period, int64[ceil(period / bin)].

    Bin k holds [k bin, (k+1) bin) ps after the start of a period; the last one ends with the period.
    For a lifetime or a pulse shape under a steady pulse train. The times need not ascend. Raises
    ValueError for a time beyond +-2^62 ps.
    """
    histogram = PhaseHistogram(period_ps, bin_ps, origin_ps, threads=threads)
    histogram.push(times)
    return histogram.counts


cdef class PhaseHistogram:
    """`phase_histogram` of a stream that comes in chunks, in `counts`; nothing is kept of it."""

    cdef readonly object period_ps, bin_ps, origin_ps, counts
    cdef object threads

    def __init__(self, period_ps, bin_ps, origin_ps=0, *, threads=1):
        if not (0 < period_ps < 2**62 and 0 < bin_ps <= period_ps):
            raise ValueError(
                f"PhaseHistogram: found period {period_ps} ps and bin {bin_ps} ps, "
                "expected 0 < bin_ps <= period_ps < 2^62"
            )
        checked_bound("PhaseHistogram", "origin_ps", origin_ps)
        checked_threads("PhaseHistogram", threads, 0)
        self.period_ps, self.bin_ps, self.origin_ps = period_ps, bin_ps, origin_ps
        self.threads = threads
        self.counts = np.zeros(-(-period_ps // bin_ps), dtype=np.int64)

    def push(self, times):
        """Add the next times, int64[n], in any order; nothing changes if it raises."""
        cdef const int64_t[::1] tv = checked_array("PhaseHistogram", "times", times, np.int64)
        threads = checked_threads("PhaseHistogram", self.threads, tv.shape[0])
        parts = spans(tv.shape[0], threads)
        found = in_threads(lambda part: beyond(tv, *parts[part]), len(parts), threads)
        for bad in found:
            if bad >= 0:
                raise ValueError(
                    f"PhaseHistogram: times[{bad}] is {times[bad]} ps, "
                    "expected values within +-2^62 ps"
                )
        if threads == 1:
            self.add(tv, 0, tv.shape[0], self.counts)
            return

        def work(part):
            counts = np.zeros_like(self.counts)
            start, stop = parts[part]
            self.add(tv, start, stop, counts)
            return counts

        for counts in in_threads(work, len(parts), threads):
            self.counts += counts

    cdef int add(
        self, const int64_t[::1] times, Py_ssize_t start, Py_ssize_t stop, int64_t[::1] counts
    ) except -1:
        """Add times[start .. stop) to the counts given."""
        cdef int64_t origin = self.origin_ps
        cdef uint64_t period = self.period_ps, width = self.bin_ps
        if start < stop:
            with nogil:
                qn_phase_histogram(&times[start], stop - start, origin, period, width, &counts[0])
        return 0


def beyond(const int64_t[::1] times, Py_ssize_t start, Py_ssize_t stop):
    """Index of the first time of times[start .. stop) beyond +-2^62 ps, or -1; internal."""
    cdef int64_t limit = (<int64_t>1) << 62
    cdef Py_ssize_t k, bad = -1
    with nogil:
        for k in range(start, stop):
            if times[k] <= -limit or times[k] >= limit:
                bad = k
                break
    return bad
