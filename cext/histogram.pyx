"""Histograms of time differences, integer picoseconds."""

from libc.stdint cimport int64_t, uint64_t

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound


def difference_histogram(a, b, low_ps, bin_ps, bins):
    """Counts of b - a over all pairs, int64[bins]; bin k holds [low + k bin, low + (k+1) bin) ps.

    The histogram is exact and two-sided: every pair counts, not only the next stop after a start.
    Cost: one step a tag and one a pair in range.
    """
    cdef const int64_t[::1] av = checked_array("difference_histogram", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("difference_histogram", "b", b, np.int64)
    cdef int64_t low = checked_bound("difference_histogram", "low_ps", low_ps)
    if bin_ps < 1 or bins < 1:
        raise ValueError(
            f"difference_histogram: found {bins} bins of {bin_ps} ps, expected at least 1 of each"
        )
    cdef int64_t span = checked_bound("difference_histogram", "bins * bin_ps", bins * bin_ps)
    checked_bound("difference_histogram", "low_ps + bins * bin_ps", low_ps + bins * bin_ps)
    cdef uint64_t width = bin_ps
    cdef Py_ssize_t i, j, first = 0
    cdef Py_ssize_t n = av.shape[0], m = bv.shape[0]
    cdef int64_t start, stop
    check_times("difference_histogram", "a", av)
    check_times("difference_histogram", "b", bv)
    counts = np.zeros(bins, dtype=np.int64)
    cdef int64_t[::1] out = counts
    with nogil:
        for i in range(n):
            start = av[i] + low
            stop = av[i] + (low + span)
            while first < m and bv[first] < start:
                first += 1
            j = first
            while j < m and bv[j] < stop:
                out[<Py_ssize_t>((<uint64_t>(bv[j] - start)) // width)] += 1
                j += 1
    return counts
