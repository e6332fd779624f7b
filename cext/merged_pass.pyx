"""One pass over a merged, ascending stream: chunks, the tail between them, delays, threads.

The stream is an int64 array of times, ps, and a uint8 array of channel numbers. A pass tests the
gaps between neighbouring tags and looks only at the tags behind a small one, see gap.h; the tags
of channels that were not asked for are passed over.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memset

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound
from cext._paths cimport qn_first_bad_time, qn_gallop

from cext.paths import path_level
from cext.threads import checked_threads, in_threads, spans

# A whole array is delayed and sorted in pieces of this many tags, so that memory stays bounded.
PIECE = 1 << 18

cdef int default_path = path_level(None)


cdef class MergedPass:
    """What the passes share: chunks, the tail between them, delays, threads."""

    def __cinit__(self, *args, **kwargs):
        memset(&self.f, 0, sizeof(qn_fold))
        memset(&self.tail, 0, sizeof(qn_tags))
        memset(&self.pending, 0, sizeof(qn_tags))
        memset(&self.spare, 0, sizeof(qn_tags))

    def __dealloc__(self):
        free(self.tail.times)
        free(self.tail.channels)
        free(self.pending.times)
        free(self.pending.channels)
        free(self.spare.times)
        free(self.spare.channels)

    cdef int set_up(self, channels, delays_ps, threads, path) except -1:
        name = self.label = type(self).__name__
        self.channels = tuple(int(channel) for channel in channels)
        if not 1 <= len(self.channels) <= QN_MOST_CHANNELS:
            raise ValueError(
                f"{name}: found {len(self.channels)} channels, expected 1 to {QN_MOST_CHANNELS}"
            )
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"{name}: a channel stands twice in {self.channels}")
        memset(self.f.row, QN_NO_CHANNEL, 256)
        for k, channel in enumerate(self.channels):
            if not 0 <= channel <= 255:
                raise ValueError(f"{name}: found channel {channel}, expected 0 to 255")
            self.f.row[<int>channel] = k
        self.f.channels = len(self.channels)
        memset(self.delay_of, 0, sizeof(self.delay_of))
        self.least_delay = 0
        self.delayed_channels = False
        if delays_ps is not None:
            if len(delays_ps) != len(self.channels):
                raise ValueError(
                    f"{name}: found {len(delays_ps)} delays for {len(self.channels)} channels"
                )
            for channel, delay in zip(self.channels, delays_ps):
                self.delay_of[<int>channel] = checked_bound(name, "a delay", int(delay))
                self.least_delay = min(self.least_delay, self.delay_of[<int>channel])
            self.delayed_channels = any(delay != 0 for delay in delays_ps)
        self.level = default_path if path is None else path_level(path)
        checked_threads(name, threads, 0)
        self.threads = threads
        return 0

    def push(self, times, channels):
        """Take the next tags: times int64[n], ascending, ps; channels uint8[n].

        Raises ValueError for other arrays and for a time that steps back, with its index; after the
        latter the counts hold a part of the chunk, and every further call raises RuntimeError.
        """
        cdef const int64_t[::1] tv
        cdef const uint8_t[::1] cv
        cdef Py_ssize_t n, start, stop
        try:
            tv = times
            cv = channels
        except (ValueError, TypeError, BufferError):
            # The view asks for the same; the check says what is wrong, and a chunk saves its time.
            checked_array(self.label, "times", times, np.int64)
            checked_array(self.label, "channels", channels, np.uint8)
            raise
        n = tv.shape[0]
        if n and <size_t>&tv[0] % sizeof(int64_t):
            checked_array(self.label, "times", times, np.int64)
        if cv.shape[0] != n:
            raise ValueError(
                f"{self.label}: found {n} times and {cv.shape[0]} channels, expected as many"
            )
        if self.broken:
            raise RuntimeError(f"{self.label}: an earlier chunk was out of order; start anew")
        if n == 0:
            return
        if self.raw_started and tv[0] < self.last_raw:
            raise ValueError(
                f"{self.label}: times must ascend, but times[0] = {tv[0]} ps of this chunk lies "
                f"before {self.last_raw} ps, the end of the one ahead of it"
            )
        if not self.delayed_channels:
            self.count(&tv[0], &cv[0], n, times)
        else:
            for start in range(0, n, PIECE):
                stop = min(start + PIECE, n)
                self.delay(&tv[0], &cv[0], start, stop, times)
        self.raw_started = True
        self.last_raw = tv[n - 1]

    def finish(self):
        """Count what delays held back; call it once, after the last chunk. Without delays it is
        not needed."""
        if self.pending.count and not self.broken:
            self.count(self.pending.times, self.pending.channels, self.pending.count, None)
            self.pending.count = 0

    cdef int delay(
        self, const int64_t *t, const uint8_t *c, Py_ssize_t start, Py_ssize_t stop, times
    ) except -1:
        """Add the delays to t[start .. stop), sort, and count what no later tag can precede."""
        cdef Py_ssize_t k, n = stop - start, ready, bad
        cdef int64_t bound
        cdef int64_t limit = (<int64_t>1) << 62
        with nogil:
            bad = qn_first_bad_time(self.level, t, start, stop)
        if bad >= 0:
            self.broken = True
            check_times(self.label, "times", times)
        if qn_tags_reserve(&self.pending, n) or qn_tags_reserve(&self.spare, self.pending.room):
            self.broken = True
            raise MemoryError(f"{self.label}: no memory for the tags that delays hold back")
        with nogil:
            for k in range(n):
                self.pending.times[self.pending.count + k] = t[start + k] + self.delay_of[c[start + k]]
                self.pending.channels[self.pending.count + k] = c[start + k]
            self.pending.count += n
            qn_sort_nearly(
                self.pending.times, self.pending.channels, self.pending.count, self.spare.times,
                self.spare.channels,
            )
            bound = t[stop - 1] + self.least_delay
            ready = qn_gallop(self.pending.times, 0, self.pending.count, bound)
        if self.pending.times[0] <= -limit or self.pending.times[self.pending.count - 1] >= limit:
            self.broken = True
            raise ValueError(f"{self.label}: a delay brings a time beyond +-2^62 ps")
        if ready:
            self.count(self.pending.times, self.pending.channels, ready, None)
            qn_tags_drop(&self.pending, ready)
        return 0

    cdef int count(
        self, const int64_t *t, const uint8_t *c, Py_ssize_t n, times
    ) except -1:
        """Count what the next tags close; `times` is the caller's array for the message."""
        cdef Py_ssize_t head = 0, far_head = 0, bad = -1, held = self.tail.count, start
        cdef int level = self.level
        cdef qn_fold *f = &self.f
        cdef bint shared = self.threads != 1 and n >= 100_000
        if self.started:
            # Tags within reach of the tail are counted in a buffer of their own behind it.
            far_head = qn_gallop(t, 0, n, self.last + self.keep + 1)
            head = qn_gallop(t, 0, far_head, self.last + f.reach + 1)
            if qn_tags_append(&self.tail, t, c, far_head):
                raise MemoryError(f"{self.label}: no memory for the tags between two chunks")
        with nogil:
            if head:
                bad = qn_fold_run(f, level, self.tail.times, self.tail.channels, held, held + head)
                bad = bad - held if bad >= 0 else -1
            if bad < 0 and not shared:
                bad = qn_fold_run(f, level, t, c, head, n)
            if bad < 0 and f.delayed != NULL:
                if far_head:
                    qn_delayed_run(f, self.tail.times, self.tail.channels, held, held + far_head)
                if not shared:
                    qn_delayed_run(f, t, c, far_head, n)
        if bad < 0 and shared:
            bad = self.count_shared(t, c, head, far_head, n)
        if bad >= 0:
            self.broken = True
            if times is not None:
                check_times(self.label, "times", times)
            raise ValueError(f"{self.label}: the times step back at index {bad}")
        self.started = True
        self.last = t[n - 1]
        if far_head < n:
            self.tail.count = 0
            start = qn_tail_start(t, n, self.last - self.keep)
            if qn_tags_append(&self.tail, t + start, c + start, n - start):
                raise MemoryError(f"{self.label}: no memory for the tags between two chunks")
        else:
            start = qn_tail_start(self.tail.times, self.tail.count, self.last - self.keep)
            qn_tags_drop(&self.tail, start)
        return 0

    cdef Py_ssize_t count_shared(
        self, const int64_t *t, const uint8_t *c, Py_ssize_t head, Py_ssize_t far_head, Py_ssize_t n
    ) except -2:
        """t[head .. n) by several threads, each with tables of its own; the index of a bad time."""
        threads = checked_threads(self.label, self.threads, n)
        parts = spans(n - head, threads)
        own = [self.tables] + [
            {name: np.zeros_like(table) for name, table in self.tables.items()}
            for _ in range(threads - 1)
        ]
        at_rest = own.copy()

        def work(part):
            # No more parts run at once than there are threads, so tables are always at rest.
            tables = at_rest.pop()
            start, stop = parts[part]
            try:
                return self.count_part(
                    t_of(t), t_of(<const int64_t *>c), far_head, head + start, head + stop, tables
                )
            finally:
                at_rest.append(tables)

        bad = [index for index in in_threads(work, len(parts), threads) if index >= 0]
        for tables in own[1:]:
            for name, table in self.tables.items():
                table += tables[name]
        return min(bad) if bad else -1

    def count_part(self, at_t, at_c, far_head, start_at, stop_at, tables):
        """One thread's share; internal."""
        cdef qn_fold f = self.f
        cdef const int64_t *t = <const int64_t *><size_t>at_t
        cdef const uint8_t *c = <const uint8_t *><size_t>at_c
        cdef Py_ssize_t start = start_at, stop = stop_at
        cdef Py_ssize_t start_far = max(<Py_ssize_t>far_head, start), bad
        cdef int level = self.level
        point(&f, tables)
        with nogil:
            bad = qn_fold_run(&f, level, t, c, start, stop)
            if bad < 0 and f.delayed != NULL and start_far < stop:
                qn_delayed_run(&f, t, c, start_far, stop)
        return bad


cdef object t_of(const int64_t *pointer):
    return <size_t>pointer


cdef int64_t *first_of(tables, name):
    cdef int64_t[::1] flat
    if name not in tables or tables[name].size == 0:
        return NULL
    flat = tables[name].reshape(-1)
    return &flat[0]


cdef void point(qn_fold *f, tables):
    """Let the struct write into these tables."""
    f.pairs = first_of(tables, "pairs")
    f.folds = first_of(tables, "folds")
    f.delayed = first_of(tables, "delayed")
    f.histograms = first_of(tables, "histograms")
