"""Checks that every kernel on sorted times makes before it releases the GIL."""

from libc.stdint cimport int64_t

import numpy as np


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


cdef inline Py_ssize_t first_backward_step(const int64_t[::1] times) noexcept nogil:
    """Index of the first time that lies before its predecessor, or -1."""
    cdef Py_ssize_t k
    for k in range(1, times.shape[0]):
        if times[k] < times[k - 1]:
            return k
    return -1


cdef inline int check_times(str kernel, str name, const int64_t[::1] times) except -1:
    """ValueError unless the times ascend (ties allowed) and leave room for sums."""
    cdef Py_ssize_t n = times.shape[0]
    cdef Py_ssize_t k
    # Sums of two values below 2^62 cannot leave int64; 2^62 ps are 53 days of one timescale.
    cdef int64_t limit = (<int64_t>1) << 62
    if n == 0:
        return 0
    with nogil:
        k = first_backward_step(times)
    if k >= 0:
        raise ValueError(
            f"{kernel}: {name} must ascend, but {name}[{k}] = {times[k]} ps lies before "
            f"{name}[{k - 1}] = {times[k - 1]} ps"
        )
    if times[0] <= -limit or times[n - 1] >= limit:
        raise ValueError(
            f"{kernel}: {name} spans {times[0]} to {times[n - 1]} ps, "
            f"expected values within +-2^62 ps"
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
