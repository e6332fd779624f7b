"""Coincidences of two ascending time arrays, integer picoseconds."""

from libc.stdint cimport int64_t

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound


def count_pairs(a, b, low_ps, high_ps):
    """Number of all pairs with low_ps <= b - a <= high_ps; a tag may take part in several."""
    cdef const int64_t[::1] av = checked_array("count_pairs", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("count_pairs", "b", b, np.int64)
    cdef int64_t low = checked_bound("count_pairs", "low_ps", low_ps)
    cdef int64_t high = checked_bound("count_pairs", "high_ps", high_ps)
    cdef Py_ssize_t i, first = 0, past = 0
    cdef Py_ssize_t n = av.shape[0], m = bv.shape[0]
    cdef int64_t total = 0
    check_window("count_pairs", low, high)
    check_times("count_pairs", "a", av)
    check_times("count_pairs", "b", bv)
    with nogil:
        for i in range(n):
            while first < m and bv[first] < av[i] + low:
                first += 1
            if past < first:
                past = first
            while past < m and bv[past] <= av[i] + high:
                past += 1
            total += past - first
    return total


def match_pairs(a, b, low_ps, high_ps):
    """Indices (of a, of b) of exclusive pairs with low_ps <= b - a <= high_ps, two int64[n].

    Greedy in time order: the earliest unmatched tags that fit are paired, and each tag is used at
    most once. For a window on sorted times this is also a matching of the largest possible size.
    """
    cdef const int64_t[::1] av = checked_array("match_pairs", "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array("match_pairs", "b", b, np.int64)
    cdef int64_t low = checked_bound("match_pairs", "low_ps", low_ps)
    cdef int64_t high = checked_bound("match_pairs", "high_ps", high_ps)
    cdef Py_ssize_t i = 0, j = 0, count = 0
    cdef Py_ssize_t n = av.shape[0], m = bv.shape[0]
    check_window("match_pairs", low, high)
    check_times("match_pairs", "a", av)
    check_times("match_pairs", "b", bv)
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
    return of_a[:count].copy(), of_b[:count].copy()


cdef int check_window(str kernel, int64_t low, int64_t high) except -1:
    if low > high:
        raise ValueError(
            f"{kernel}: the window [{low}, {high}] ps is empty, expected low_ps <= high_ps"
        )
    return 0
