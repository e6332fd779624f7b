"""Cuts of several streams at quiet gaps, for the kernels that use tags up; see quiet.h."""

from libc.stdint cimport int64_t, uint64_t

from cext._paths cimport qn_gallop

cdef extern from "quiet.h" nogil:
    ctypedef struct qn_streams:
        const int64_t *times[64]
        Py_ssize_t length[64]
        int64_t delay[64]
        int count

    int qn_quiet_gap(const qn_streams *s, uint64_t reach, Py_ssize_t *at)


cdef inline Py_ssize_t longest_of(const qn_streams *s):
    """Tags of the stream that has most."""
    cdef Py_ssize_t most = 0
    cdef int k
    for k in range(s.count):
        most = max(most, s.length[k])
    return most


cdef inline list quiet_cuts(const qn_streams *s, uint64_t reach, list parts):
    """Cursors (one a stream) where the parts begin, and those of the end, as near as quiet gaps
    allow to the spans of the longest stream that are asked for."""
    cdef Py_ssize_t at[64]
    cdef Py_ssize_t target
    cdef int k, longest = 0
    cdef bint found
    cdef int64_t instant
    for k in range(s.count):
        at[k] = 0
        if s.length[k] > s.length[longest]:
            longest = k
    cuts = [(0,) * s.count]
    for target, _ in parts[1:]:
        # A part that the gap ahead of it already passed is empty and left out.
        if target <= at[longest]:
            continue
        instant = s.times[longest][target] + s.delay[longest]
        with nogil:
            for k in range(s.count):
                at[k] = qn_gallop(s.times[k], at[k], s.length[k], instant - s.delay[k])
            found = qn_quiet_gap(s, reach, at)
        if not found:
            break
        cuts.append(tuple([at[k] for k in range(s.count)]))
    cuts.append(tuple([s.length[k] for k in range(s.count)]))
    return cuts
