"""Which tags of two streams belong together: nearest neighbours and exclusive first matches.

A window is [low_ps, high_ps] of b - a, both ends included, so a delay of b is added to both.
"""

from libc.stdint cimport int64_t, uint64_t

import numpy as np

from cext._common cimport check_goes_on, check_times, check_window, checked_array, checked_bound
from cext._paths cimport qn_gallop
from cext._quiet cimport longest_of, qn_streams, quiet_cuts

from cext.threads import checked_threads, in_threads, spans


def nearest_pairs(a, b, low_ps, high_ps, *, threads=1):
    """Indices (of a, of b): each tag of a with the one of b nearest to the middle of its window.

    A tag of a gives at most one pair, if that nearest tag has low_ps <= b - a <= high_ps; of two
    equally near ones the earlier is taken, of simultaneous ones the first. A tag of b may serve
    several tags of a.
    """
    cdef const int64_t[::1] av, bv
    av, bv = checked_pair("nearest_pairs", a, b, low_ps, high_ps)
    return nearest("nearest_pairs", av, bv, low_ps, high_ps, threads)


def match_pairs(a, b, low_ps, high_ps, *, threads=1):
    """Indices (of a, of b) of exclusive pairs with low_ps <= b - a <= high_ps, two int64[n].

    Greedy in time order: the earliest unmatched tags that fit are paired, and each tag is used at
    most once. For a window on sorted times this is also a matching of the largest possible size.
    `threads` share what quiet gaps of the streams divide.
    """
    cdef const int64_t[::1] av, bv
    av, bv = checked_pair("match_pairs", a, b, low_ps, high_ps)
    return matched("match_pairs", av, bv, low_ps, high_ps, threads)[:2]


cdef class _PairStream:
    """What both matchings of two streams in chunks share: the tags that wait, and their places."""

    cdef readonly object low_ps, high_ps, pairs
    cdef object threads, kept_a, kept_b
    cdef int64_t passed_a, passed_b, last_a, last_b
    cdef bint any_a, any_b
    cdef str label

    def __init__(self, low_ps, high_ps, *, threads=1):
        self.label = type(self).__name__
        checked_bound(self.label, "low_ps", low_ps)
        checked_bound(self.label, "high_ps", high_ps)
        check_window(self.label, low_ps, high_ps)
        checked_threads(self.label, threads, 0)
        self.threads = threads
        self.low_ps, self.high_ps, self.pairs = low_ps, high_ps, 0
        self.kept_a = self.kept_b = np.empty(0, dtype=np.int64)

    cdef int take(self, a, b) except -1:
        """Put the chunks behind what waits; nothing changes if it raises."""
        cdef const int64_t[::1] av, bv
        av, bv = checked_pair(self.label, a, b, self.low_ps, self.high_ps)
        check_goes_on(self.label, "a", av, self.any_a, self.last_a)
        check_goes_on(self.label, "b", bv, self.any_b, self.last_b)
        self.kept_a = np.concatenate((self.kept_a, a))
        self.kept_b = np.concatenate((self.kept_b, b))
        if av.shape[0]:
            self.last_a, self.any_a = av[av.shape[0] - 1], True
        if bv.shape[0]:
            self.last_b, self.any_b = bv[bv.shape[0] - 1], True
        return 0

    cdef tuple give(self, of_a, of_b, Py_ssize_t done_a, Py_ssize_t done_b):
        """The pairs in indices of the whole streams; the tags that are done are let go."""
        of_a += self.passed_a
        of_b += self.passed_b
        self.kept_a, self.kept_b = self.kept_a[done_a:].copy(), self.kept_b[done_b:].copy()
        self.passed_a += done_a
        self.passed_b += done_b
        self.pairs += len(of_a)
        return of_a, of_b


cdef class PairMatcher(_PairStream):
    """`match_pairs` of two streams that come in chunks.

    The pairs are those of the whole streams, however they are cut. Between calls it keeps the tags
    of the stream that runs ahead; `pairs` is the number found so far.
    """

    def push(self, a, b):
        """Indices of the pairs that are now certain, two int64[n], counted from the first tag of
        each stream; nothing changes if it raises."""
        self.take(a, b)
        of_a, of_b, done_a, done_b = matched(
            self.label, self.kept_a, self.kept_b, self.low_ps, self.high_ps, self.threads
        )
        return self.give(of_a, of_b, done_a, done_b)


cdef class NearestMatcher(_PairStream):
    """`nearest_pairs` of two streams that come in chunks.

    The pairs are those of the whole streams, however they are cut. A tag of a waits until b has
    come to the end of its window; `finish()` gives the pairs of those that still wait. `pairs` is
    the number found so far.
    """

    def push(self, a, b):
        """Indices of the pairs that are now certain, two int64[n], counted from the first tag of
        each stream; nothing changes if it raises."""
        self.take(a, b)
        cdef Py_ssize_t ready = 0
        if self.any_b:
            # A later b at the very end of a window is no nearer than the one that is there.
            ready = np.searchsorted(self.kept_a, self.last_b - self.high_ps, side="right")
        return self.settle(ready)

    def finish(self):
        """Indices of the pairs of the tags of a that still wait, as if both streams ended here."""
        return self.settle(len(self.kept_a))

    cdef tuple settle(self, Py_ssize_t ready):
        of_a, of_b = nearest(
            self.label, self.kept_a[:ready], self.kept_b, self.low_ps, self.high_ps, self.threads
        )
        # What later tags of a may still meet; none of them lies before the last, or the next.
        cdef Py_ssize_t done = 0
        if ready < len(self.kept_a):
            done = np.searchsorted(self.kept_b, self.kept_a[ready] + self.low_ps)
        elif self.any_a:
            done = np.searchsorted(self.kept_b, self.last_a + self.low_ps)
        return self.give(of_a, of_b, ready, done)


cdef tuple checked_pair(str kernel, a, b, low_ps, high_ps):
    """Both arrays, checked with the window."""
    cdef const int64_t[::1] av = checked_array(kernel, "a", a, np.int64)
    cdef const int64_t[::1] bv = checked_array(kernel, "b", b, np.int64)
    check_window(
        kernel, checked_bound(kernel, "low_ps", low_ps), checked_bound(kernel, "high_ps", high_ps)
    )
    check_times(kernel, "a", av)
    check_times(kernel, "b", bv)
    return a, b


cdef tuple nearest(
    str kernel, const int64_t[::1] a, const int64_t[::1] b, int64_t low, int64_t high, threads
):
    """The indices of `nearest_pairs`; tags of a ask for nothing but their window, so any cut does."""
    threads = checked_threads(kernel, threads, a.shape[0] + b.shape[0])
    of_a = np.empty(a.shape[0], dtype=np.int64)
    of_b = np.empty(a.shape[0], dtype=np.int64)
    parts = spans(a.shape[0], threads)

    def work(part):
        start, stop = parts[part]
        return nearest_part(a, b, low, high, start, stop, of_a, of_b)

    return side_by_side(parts, in_threads(work, len(parts), threads), of_a, of_b)


cdef Py_ssize_t nearest_part(
    const int64_t[::1] a, const int64_t[::1] b, int64_t low, int64_t high,
    Py_ssize_t start, Py_ssize_t stop, int64_t[::1] of_a, int64_t[::1] of_b
):
    """Pairs of a[start .. stop), written from `start` on; their number."""
    cdef Py_ssize_t i, j = 0, m = b.shape[0], count = start
    with nogil:
        if start < stop and m:
            j = qn_gallop(&b[0], 0, m, a[start] + low)
        for i in range(start, stop):
            while j < m and b[j] < a[i] + low:
                j += 1
            if j == m:
                break
            if b[j] > a[i] + high:
                continue
            of_a[count] = i
            of_b[count] = nearest_from(b, j, m, a[i] + low, a[i] + high)
            count += 1
    return count - start


cdef inline Py_ssize_t nearest_from(
    const int64_t[::1] b, Py_ssize_t j, Py_ssize_t m, int64_t low, int64_t high
) noexcept nogil:
    """Index of the time in [low, high] nearest to their middle; b[j] is the first in it.

    Distances from both ends in place of one from the middle, which may be half a ps.
    """
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


cdef tuple matched(
    str kernel, const int64_t[::1] a, const int64_t[::1] b, int64_t low, int64_t high, threads
):
    """The indices of `match_pairs`, and how many tags of a and of b are settled."""
    cdef qn_streams streams
    cdef Py_ssize_t n = a.shape[0], m = b.shape[0]
    threads = checked_threads(kernel, threads, n + m)
    streams.count = 2
    streams.times[0], streams.length[0], streams.delay[0] = &a[0] if n else NULL, n, low
    streams.times[1], streams.length[1], streams.delay[1] = &b[0] if m else NULL, m, 0
    # The window holds what lies at most its width after the delayed tag of a.
    cuts = quiet_cuts(
        &streams, <uint64_t>(high - low), spans(longest_of(&streams), threads)
    )
    of_a = np.empty(min(n, m), dtype=np.int64)
    of_b = np.empty(min(n, m), dtype=np.int64)
    # A part finds no more pairs than it has tags of the stream that has fewer in all.
    scarce = 0 if n < m else 1
    parts = [(cut[scarce], after[scarce]) for cut, after in zip(cuts[:-1], cuts[1:], strict=True)]

    def work(part):
        return match_part(a, b, low, high, cuts[part], cuts[part + 1], parts[part][0], of_a, of_b)

    done = in_threads(work, len(parts), threads)
    found = side_by_side(parts, [count for count, _, _ in done], of_a, of_b)
    return found + done[len(done) - 1][1:]


cdef tuple match_part(
    const int64_t[::1] a, const int64_t[::1] b, int64_t low, int64_t high, start, stop,
    Py_ssize_t place, int64_t[::1] of_a, int64_t[::1] of_b
):
    """Pairs between two cuts, written from `place` on: their number and where the cursors stop."""
    cdef Py_ssize_t i = start[0], j = start[1], n = stop[0], m = stop[1], count = place
    with nogil:
        while i < n and j < m:
            if b[j] < a[i] + low:
                j += 1
            elif b[j] > a[i] + high:
                i += 1
            else:
                of_a[count] = i
                of_b[count] = j
                count += 1
                i += 1
                j += 1
    return count - place, i, j


cdef tuple side_by_side(parts, counts, of_a, of_b):
    """What each part wrote from its place on, without the room between."""
    if len(parts) == 1:
        return of_a[: counts[0]].copy(), of_b[: counts[0]].copy()
    pieces = [
        slice(start, start + count) for (start, _), count in zip(parts, counts, strict=True)
    ]
    return (
        np.concatenate([of_a[piece] for piece in pieces]),
        np.concatenate([of_b[piece] for piece in pieces]),
    )
