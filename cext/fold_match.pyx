"""Exclusive folds: tags of several streams that belong together, each used at most once."""

cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memset

import numpy as np

from cext._common cimport check_goes_on, check_times, checked_array, checked_bound
from cext._quiet cimport longest_of, qn_streams, quiet_cuts

from cext.threads import checked_threads, in_threads, spans


def match_folds(streams, spread_ps, delays_ps=None, *, threads=1):
    """Indices int64[n, streams] of exclusive folds: each tag is used at most once.

    Greedy in time order: of the earliest unused tags of all streams, if the last is at most
    `spread_ps` after the first they are a fold; else the earliest is passed over. `streams` are
    ascending int64 arrays, ps; a delay is added to each stream's times. `threads` share what quiet
    gaps of the streams divide.
    """
    cdef qn_streams checked
    delays = checked_delays("match_folds", len(streams), spread_ps, delays_ps)
    fill("match_folds", &checked, streams, delays)
    return matched("match_folds", &checked, spread_ps, threads)[0]


cdef class FoldMatcher:
    """`match_folds` of streams that come in chunks.

    The folds are those of the whole streams, however they are cut. Between calls it keeps the tags
    of the streams that run ahead of the slowest; `folds` is the number found so far.
    """

    cdef readonly object spread_ps, delays_ps, folds
    cdef object threads, kept, passed, last

    def __init__(self, streams, spread_ps, delays_ps=None, *, threads=1):
        self.delays_ps = checked_delays("FoldMatcher", streams, spread_ps, delays_ps)
        checked_threads("FoldMatcher", threads, 0)
        self.spread_ps, self.threads, self.folds = spread_ps, threads, 0
        self.kept = [np.empty(0, dtype=np.int64)] * streams
        self.passed = np.zeros(streams, dtype=np.int64)
        self.last = [None] * streams

    def push(self, streams):
        """Indices of the folds that are now certain, int64[n, streams], counted from the first tag
        of each stream; takes one chunk of each, and nothing changes if it raises."""
        cdef qn_streams checked
        cdef Py_ssize_t k
        if len(streams) != len(self.kept):
            raise ValueError(
                f"FoldMatcher: found chunks of {len(streams)} streams, expected {len(self.kept)}"
            )
        fill("FoldMatcher", &checked, streams, self.delays_ps)
        for k, last in enumerate(self.last):
            if last is not None:
                check_goes_on("FoldMatcher", f"streams[{k}]", streams[k], True, last)
        self.kept = [np.concatenate(both) for both in zip(self.kept, streams, strict=True)]
        self.last = [
            chunk[len(chunk) - 1] if len(chunk) else last
            for chunk, last in zip(streams, self.last, strict=True)
        ]
        fill("FoldMatcher", &checked, self.kept, self.delays_ps)
        indices, done = matched("FoldMatcher", &checked, self.spread_ps, self.threads)
        indices += self.passed
        self.kept = [stream[gone:].copy() for stream, gone in zip(self.kept, done, strict=True)]
        self.passed += done
        self.folds += len(indices)
        return indices


cdef list checked_delays(str kernel, count, spread_ps, delays_ps):
    """One delay a stream, ps; ValueError for a choice that cannot be."""
    if not 2 <= count <= 64:
        raise ValueError(f"{kernel}: found {count} streams, expected 2 to 64")
    checked_bound(kernel, "spread_ps", spread_ps)
    if spread_ps < 0:
        raise ValueError(f"{kernel}: found spread_ps {spread_ps}, expected at least 0")
    if delays_ps is None:
        return [0] * count
    if len(delays_ps) != count:
        raise ValueError(f"{kernel}: found {len(delays_ps)} delays for {count} streams")
    return [checked_bound(kernel, "a delay", int(delay)) for delay in delays_ps]


cdef int fill(str kernel, qn_streams *checked, streams, delays) except -1:
    """Point at the streams after their check; the caller holds on to the arrays."""
    cdef const int64_t[::1] view
    cdef Py_ssize_t k
    memset(checked, 0, sizeof(qn_streams))
    checked.count = len(streams)
    for k in range(checked.count):
        view = checked_array(kernel, f"streams[{k}]", streams[k], np.int64)
        check_times(kernel, f"streams[{k}]", view)
        checked.times[k] = &view[0] if view.shape[0] else NULL
        checked.length[k] = view.shape[0]
        checked.delay[k] = delays[k]
    return 0


@cython.overflowcheck(False)  # the wrap is meant
cdef inline unsigned long long apart(int64_t first, int64_t last) noexcept nogil:
    return <unsigned long long>last - <unsigned long long>first


cdef tuple matched(str kernel, const qn_streams *s, int64_t spread, threads):
    """The indices of `match_folds`, and how many tags of each stream are settled."""
    cdef Py_ssize_t k, shortest = 0, total = 0
    for k in range(s.count):
        total += s.length[k]
        if s.length[k] < s.length[shortest]:
            shortest = k
    threads = checked_threads(kernel, threads, total)
    cuts = quiet_cuts(s, spread, spans(longest_of(s), threads))
    indices = np.empty((s.length[shortest], s.count), dtype=np.int64)
    at = np.array(cuts[:-1], dtype=np.int64)
    address = <size_t>s

    def work(part):
        return match_part(address, spread, at[part], cuts[part + 1], cuts[part][shortest], indices)

    counts = in_threads(work, len(cuts) - 1, threads)
    # A part finds no more folds than it has tags of the shortest stream.
    found = [
        indices[cut[shortest] : cut[shortest] + count]
        for cut, count in zip(cuts[:-1], counts, strict=True)
    ]
    return found[0].copy() if len(found) == 1 else np.concatenate(found), at[len(at) - 1]


cdef Py_ssize_t match_part(
    size_t address, int64_t spread, int64_t[::1] at, stops, Py_ssize_t place, int64_t[:, ::1] out
):
    """Folds between two cuts, written from `place` on; `at` is moved to where the walk ends."""
    cdef const qn_streams *streams = <const qn_streams *>address
    cdef Py_ssize_t stop[64]
    cdef Py_ssize_t count = place, early
    cdef int64_t first, last, time
    cdef int s, n = streams.count
    cdef bint done = False
    for s in range(n):
        stop[s] = stops[s]
        done = done or at[s] == stop[s]
    with nogil:
        while not done:
            early = 0
            first = last = streams.times[0][at[0]] + streams.delay[0]
            for s in range(1, n):
                time = streams.times[s][at[s]] + streams.delay[s]
                if time < first:
                    first = time
                    early = s
                if time > last:
                    last = time
            # Both within +-2^63, so the difference is taken unsigned.
            if apart(first, last) <= <unsigned long long>spread:
                for s in range(n):
                    out[count, s] = at[s]
                    at[s] += 1
                    done = done or at[s] == stop[s]
                count += 1
            else:
                at[early] += 1
                done = at[early] == stop[early]
    return count - place
