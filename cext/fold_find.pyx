"""Which tags make the folds that `FoldCounter` counts, by index, of a merged, ascending stream."""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import numpy as np

from cext._common cimport check_goes_on, check_times, checked_array, checked_bound
from cext._streams cimport check_stream
from cext.merged_pass cimport QN_MOST_CHANNELS, QN_MOST_FOLD, QN_NO_CHANNEL

from cext.paths import path_level
from cext.threads import checked_threads, in_threads, spans

cdef extern from "fold_find.h" nogil:
    ctypedef struct qn_finder:
        const uint8_t *row
        int fold
        int64_t spread
        int64_t *found
        Py_ssize_t count, room
        int no_memory
        const int64_t *times
        const uint8_t *channels

    Py_ssize_t qn_find_run(qn_finder *f, int path, Py_ssize_t start, Py_ssize_t n)

cdef int default_path = path_level(None)


def find_folds(
    times, channels, asked, fold, spread_ps, *, delays_ps=None, threads=1, path=None
):
    """Indices int64[n, fold] into the stream of all folds: every choice of one tag from each of
    `fold` of the channels `asked` whose last is at most `spread_ps` after the first.

    One row a fold, its tags in their order; the rows in the order of their last tags, then of the
    others from the first on. `delays_ps`, one a channel asked for, are added to the times. The
    number of rows with a set of channels is the count of `FoldCounter`. MemoryError where the folds
    do not fit.
    """
    finder = FoldFinder(asked, fold, spread_ps, delays_ps=delays_ps, threads=threads, path=path)
    found = finder.push(times, channels)
    last = finder.finish()
    return np.concatenate((found, last)) if len(last) else found


cdef class FoldFinder:
    """`find_folds` of a stream that comes in chunks; indices count from its first tag.

    The folds are those of the whole stream, in the same order, however it is cut. Between calls it
    keeps the tags within the spread of the last one and, with delays, those that later tags may
    still precede, which `finish()` closes. `folds` is the number found so far.
    """

    cdef readonly object channels, fold, spread_ps, delays_ps, folds
    cdef object threads, tail, pending, delay_of
    cdef int64_t last, seen, least_delay
    cdef bint started, delayed
    cdef int level
    cdef uint8_t row[256]

    def __init__(self, channels, fold, spread_ps, *, delays_ps=None, threads=1, path=None):
        self.channels = tuple(int(channel) for channel in channels)
        count = len(self.channels)
        if not 1 <= count <= QN_MOST_CHANNELS or len(set(self.channels)) != count:
            raise ValueError(
                f"FoldFinder: found channels {self.channels}, "
                f"expected 1 to {QN_MOST_CHANNELS} different ones"
            )
        if not 0 <= min(self.channels) <= max(self.channels) <= 255:
            raise ValueError(f"FoldFinder: found channels {self.channels}, expected 0 to 255")
        if not 2 <= fold <= QN_MOST_FOLD:
            raise ValueError(f"FoldFinder: found fold {fold}, expected 2 to {QN_MOST_FOLD}")
        checked_bound("FoldFinder", "spread_ps", spread_ps)
        if spread_ps < 0:
            raise ValueError(f"FoldFinder: found spread_ps {spread_ps}, expected at least 0")
        memset(self.row, QN_NO_CHANNEL, 256)
        for k, channel in enumerate(self.channels):
            self.row[<int>channel] = k
        self.delays_ps = (0,) * count if delays_ps is None else tuple(int(d) for d in delays_ps)
        if len(self.delays_ps) != count:
            raise ValueError(
                f"FoldFinder: found {len(self.delays_ps)} delays for {count} channels"
            )
        self.delay_of = np.zeros(256, dtype=np.int64)
        for channel, delay in zip(self.channels, self.delays_ps, strict=True):
            self.delay_of[channel] = checked_bound("FoldFinder", "a delay", delay)
        self.delayed = any(self.delays_ps)
        self.least_delay = min(0, *self.delays_ps)
        checked_threads("FoldFinder", threads, 0)
        self.level = default_path if path is None else path_level(path)
        self.threads, self.fold, self.spread_ps, self.folds = threads, fold, spread_ps, 0
        # Times, channels and indices in the stream.
        self.tail = self.pending = no_tags()

    def push(self, times, channels):
        """The folds that the next tags close, int64[n, fold]; times int64[n], ascending, ps,
        channels uint8[n]. Nothing changes if it raises."""
        cdef const int64_t[::1] tv = checked_array("FoldFinder", "times", times, np.int64)
        cdef const uint8_t[::1] cv = checked_array("FoldFinder", "channels", channels, np.uint8)
        cdef Py_ssize_t n = tv.shape[0]
        check_stream("FoldFinder", tv, cv)
        check_goes_on("FoldFinder", "times", tv, self.started, self.last)
        check_times("FoldFinder", "times", tv)
        if n == 0:
            return np.empty((0, self.fold), dtype=np.int64)
        if self.delayed:
            found = self.close_delayed(times, channels, tv[n - 1] + self.least_delay)
        else:
            found = self.close(times, channels, None)
        self.started, self.last = True, tv[n - 1]
        self.seen += n
        return found

    def finish(self):
        """The folds that delays held back; call it once, after the last chunk."""
        times, channels, index = self.pending
        self.pending = no_tags()
        if not self.delayed:
            return np.empty((0, self.fold), dtype=np.int64)
        return self.close(times, channels, index)

    cdef object close_delayed(self, times, channels, bound):
        """Add the delays, sort, and close what no later tag can precede."""
        moved = times + self.delay_of[channels]
        if moved.min() <= -2**62 or moved.max() >= 2**62:
            raise ValueError("FoldFinder: a delay brings a time beyond +-2^62 ps")
        fresh = moved, channels, np.arange(self.seen, self.seen + len(times))
        held = [np.concatenate(both) for both in zip(self.pending, fresh, strict=True)]
        order = np.argsort(held[0], kind="stable")
        moved, channels, index = (array[order] for array in held)
        ready = int(np.searchsorted(moved, bound))
        found = self.close(moved[:ready], channels[:ready], index[:ready])
        self.pending = moved[ready:].copy(), channels[ready:].copy(), index[ready:].copy()
        return found

    cdef object close(self, times, channels, index):
        """Folds that the next tags in order close, and the tail for those that follow; `index` is
        None where the places in the stream follow one another."""
        cdef Py_ssize_t held = len(self.tail[0])
        if held:
            times = np.concatenate((self.tail[0], times))
            channels = np.concatenate((self.tail[1], channels))
            index = None if index is None else np.concatenate((self.tail[2], index))
        found = self.found_in(times, channels, held)
        if index is None:
            found += self.seen - held
        else:
            found = index[found]
        if len(times):
            keep = int(np.searchsorted(times, int(times[len(times) - 1]) - self.spread_ps))
            self.tail = (
                times[keep:].copy(), channels[keep:].copy(),
                None if index is None else index[keep:].copy(),
            )
        self.folds += len(found)
        return found

    cdef object found_in(self, times, channels, Py_ssize_t held):
        """Indices into these arrays of the folds that tags from the held ones on close."""
        cdef const int64_t[::1] tv = times
        cdef const uint8_t[::1] cv = channels
        threads = checked_threads("FoldFinder", self.threads, len(times) - held)
        parts = spans(len(times) - held, threads)

        def work(part):
            start, stop = parts[part]
            return self.part(tv, cv, held + start, held + stop)

        found = in_threads(work, len(parts), threads)
        return found[0] if len(found) == 1 else np.concatenate(found)

    cdef object part(
        self, const int64_t[::1] times, const uint8_t[::1] channels, Py_ssize_t start,
        Py_ssize_t stop
    ):
        """The folds that times[start .. stop) close."""
        cdef qn_finder finder
        cdef int level = self.level
        cdef int64_t[:, ::1] to
        memset(&finder, 0, sizeof(qn_finder))
        finder.row = self.row
        finder.fold = self.fold
        finder.spread = self.spread_ps
        if start < stop:
            finder.times = &times[0]
            finder.channels = &channels[0]
            with nogil:
                qn_find_run(&finder, level, start, stop)
        try:
            if finder.no_memory:
                raise MemoryError(f"FoldFinder: no memory for more than {finder.count} folds")
            found = np.empty((finder.count, self.fold), dtype=np.int64)
            if finder.count:
                to = found
                memcpy(&to[0, 0], finder.found, <size_t>found.nbytes)
        finally:
            free(finder.found)
        return found


cdef tuple no_tags():
    return np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64)
