"""Checks that every kernel on sorted times makes before it releases the GIL."""

from libc.stdint cimport int64_t

import numpy as np

cdef extern from "order.h" nogil:
    Py_ssize_t qn_first_bad_time(
        int path, const int64_t *t, Py_ssize_t start, Py_ssize_t stop
    )


cdef inline object checked_array(str kernel, str name, object array, object dtype):
    """The array itself if it is one-dimensional, contiguous and of the dtype; else ValueError."""
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{kernel}: {name} is a {type(array).__name__}, expected a numpy array")
    if array.dtype != dtype:
        raise ValueError(f"{kernel}: {name} has dtype {array.dtype}, expected {np.dtype(dtype)}")
    if array.ndim != 1:
        raise ValueError(f"{kernel}: {name} has {array.ndim} dimensions, expected 1")
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{kernel}: {name} is not contiguous; pass numpy.ascontiguousarray({name})"
        )
    if not array.flags.aligned:
        raise ValueError(f"{kernel}: {name} is not aligned in memory; pass {name}.copy()")
    return array


cdef inline int check_times(str kernel, str name, const int64_t[::1] times) except -1:
    """ValueError unless the times ascend (ties allowed) and leave room for sums."""
    cdef Py_ssize_t n = times.shape[0], k
    # Sums of two values below 2^62 cannot leave int64; 2^62 ps are 53 days of one timescale.
    cdef int64_t limit = (<int64_t>1) << 62
    if n == 0:
        return 0
    with nogil:
        # 0 names the portable path, which is as fast as memory here.
        k = qn_first_bad_time(0, &times[0], 0, n)
    if k < 0:
        return 0
    if k > 0 and times[k] < times[k - 1]:
        raise ValueError(
            f"{kernel}: {name} must ascend, but {name}[{k}] = {times[k]} ps lies before "
            f"{name}[{k - 1}] = {times[k - 1]} ps"
        )
    raise ValueError(
        f"{kernel}: {name}[{k}] = {times[k]} ps, expected values within +-2^62 ps"
    )


cdef inline int check_goes_on(
    str kernel, str name, const int64_t[::1] times, bint started, int64_t last
) except -1:
    """ValueError for a chunk that begins before the one ahead of it ended."""
    if started and times.shape[0] and times[0] < last:
        raise ValueError(
            f"{kernel}: {name} must ascend, but {name}[0] = {times[0]} ps of this chunk lies "
            f"before {last} ps, the end of the one ahead of it"
        )
    return 0


cdef inline int check_window(str kernel, int64_t low, int64_t high) except -1:
    if low > high:
        raise ValueError(
            f"{kernel}: the window [{low}, {high}] ps is empty, expected low_ps <= high_ps"
        )
    return 0


cdef inline int64_t checked_bound(str kernel, str name, object value) except? -1:
    """A window bound that leaves room for sums; else ValueError."""
    cdef object limit = 2**62
    if not -limit < value < limit:
        raise ValueError(
            f"{kernel}: {name} is {value} ps, expected a value within +-2^62 ps"
        )
    return value
