"""Coincidences and histograms of many channels in one pass over a merged, ascending stream.

The stream is an int64 array of times, ps, and a uint8 array of channel numbers. A pass tests the
gaps between neighbouring tags and looks only at the tags behind a small one, see gap.h; the tags
of channels that were not asked for are passed over. Meaning of the counts: all pairs, all folds.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memset

from math import comb

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound
from cext._paths cimport qn_first_bad_time, qn_gallop, qn_reciprocal

from cext.paths import PARTS_A_THREAD, checked_threads, in_threads, path_level

cdef extern from "fold.h" nogil:
    enum:
        QN_NO_CHANNEL
        QN_MOST_CHANNELS
        QN_MOST_FOLD

    ctypedef struct qn_fold:
        uint8_t row[256]
        int channels
        int64_t reach, low, high
        int64_t *pairs
        int fold
        int64_t spread
        int64_t *folds
        int64_t choose[65][9]
        int64_t shift
        int64_t *delayed
        const int32_t *of_pair
        int64_t histogram_low, histogram_span, bins
        unsigned long long bin, reciprocal
        int64_t *histograms

    Py_ssize_t qn_fold_run(
        qn_fold *f, int path, const int64_t *t, const uint8_t *channel, Py_ssize_t start,
        Py_ssize_t n
    )
    void qn_delayed_run(
        qn_fold *f, const int64_t *t, const uint8_t *channel, Py_ssize_t start, Py_ssize_t n
    )

cdef extern from "merged_tail.h" nogil:
    ctypedef struct qn_tags:
        int64_t *times
        uint8_t *channels
        Py_ssize_t count, room

    int qn_tags_reserve(qn_tags *tags, Py_ssize_t more)
    int qn_tags_append(
        qn_tags *tags, const int64_t *times, const uint8_t *channels, Py_ssize_t n
    )
    void qn_tags_drop(qn_tags *tags, Py_ssize_t n)
    Py_ssize_t qn_tail_start(const int64_t *t, Py_ssize_t n, int64_t earliest)
    void qn_sort_nearly(
        int64_t *t, uint8_t *c, Py_ssize_t n, int64_t *spare_t, uint8_t *spare_c
    )

MOST_CHANNELS = QN_MOST_CHANNELS
MOST_FOLD = QN_MOST_FOLD
# Table entries of all folds; 64 channels allow all folds of five.
MOST_FOLDS = 10_000_000
# A whole array is delayed and sorted in pieces of this many tags, so that memory stays bounded.
PIECE = 1 << 18

cdef int default_path = path_level(None)


def fold_rank(rows):
    """Place of a fold in `FoldCounter.folds`: sum of comb(row_k, k + 1) over its ascending rows."""
    ordered = sorted(rows)
    if len(set(ordered)) != len(ordered) or (ordered and ordered[0] < 0):
        raise ValueError(f"fold_rank: found rows {rows}, expected different ones from 0")
    return sum(comb(row, k + 1) for k, row in enumerate(ordered))


cdef class _MergedPass:
    """What the passes share: chunks, the tail between them, delays, threads."""

    cdef readonly tuple channels
    cdef qn_fold f
    cdef qn_tags tail, pending, spare
    cdef int64_t keep, last, last_raw, least_delay
    cdef int64_t delay_of[256]
    cdef bint started, raw_started, delayed_channels, broken
    cdef int level
    cdef object threads, tables
    cdef str label

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
        cdef Py_ssize_t k, n = stop - start, ready
        cdef int64_t bound
        cdef int64_t limit = (<int64_t>1) << 62
        if qn_first_bad_time(self.level, t, start, stop) >= 0:
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
        # Each part has tables of its own, so large ones are not multiplied further.
        small = sum(table.nbytes for table in self.tables.values()) < 1 << 18
        parts = threads * PARTS_A_THREAD if small else threads
        own = [self.tables] + [
            {name: np.zeros_like(table) for name, table in self.tables.items()}
            for _ in range(parts - 1)
        ]

        def work(part):
            return self.count_part(t_of(t), t_of(<const int64_t *>c), head, far_head, n, part,
                                   parts, own[part])

        bad = [index for index in in_threads(work, parts, threads) if index >= 0]
        for tables in own[1:]:
            for name, table in self.tables.items():
                table += tables[name]
        return min(bad) if bad else -1

    def count_part(self, at_t, at_c, head, far_head, n, part, parts, tables):
        """One thread's share; internal."""
        cdef qn_fold f = self.f
        cdef const int64_t *t = <const int64_t *><size_t>at_t
        cdef const uint8_t *c = <const uint8_t *><size_t>at_c
        cdef Py_ssize_t start = head + (n - head) * part // parts
        cdef Py_ssize_t stop = head + (n - head) * (part + 1) // parts
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


cdef class FoldCounter(_MergedPass):
    """Pairs of all channels with each other, and n-folds of all sets of n channels, in one pass.

    `pairs[p, q]`, int64, is the number of all pairs with low_ps <= t_q - t_p <= high_ps, p and q
    rows in the order of `channels`; on the diagonal of two different tags, in both orders.
    `folds[fold_rank(rows)]`, int64, is the number of all choices of one tag from each of `fold`
    channels whose last is at most `spread_ps` (high_ps if not given) after the first: all pairs
    within them are at most that far apart. `accidentals[p, q]` are the pairs in the window moved by
    `accidental_shift_ps`, which must exceed it; None if not asked for. Delays are added to times.
    The counts do not depend on how the stream is cut into chunks, nor on `threads` or `path`.
    """

    cdef readonly object low_ps, high_ps, spread_ps, fold, pairs, folds, accidentals

    def __init__(
        self, channels, low_ps, high_ps, *, fold=0, spread_ps=None, accidental_shift_ps=None,
        delays_ps=None, threads=1, path=None,
    ):
        cdef int c, k
        self.set_up(channels, delays_ps, threads, path)
        count = len(self.channels)
        self.f.low = checked_bound("FoldCounter", "low_ps", low_ps)
        self.f.high = checked_bound("FoldCounter", "high_ps", high_ps)
        if low_ps > high_ps:
            raise ValueError(
                f"FoldCounter: the window [{low_ps}, {high_ps}] ps is empty, "
                "expected low_ps <= high_ps"
            )
        self.f.reach = max(abs(low_ps), abs(high_ps))
        if fold != 0 and not 2 <= fold <= QN_MOST_FOLD:
            raise ValueError(f"FoldCounter: found fold {fold}, expected 0 or 2 to {QN_MOST_FOLD}")
        spread_ps = high_ps if spread_ps is None else spread_ps
        self.low_ps, self.high_ps, self.spread_ps, self.fold = low_ps, high_ps, spread_ps, fold
        self.pairs = np.zeros((count, count), dtype=np.int64)
        self.tables = {"pairs": self.pairs}
        if fold:
            if spread_ps < 0:
                raise ValueError(f"FoldCounter: found spread_ps {spread_ps}, expected at least 0")
            if comb(count, fold) > MOST_FOLDS:
                raise ValueError(
                    f"FoldCounter: {count} channels have {comb(count, fold)} folds of {fold}, "
                    f"expected at most {MOST_FOLDS}"
                )
            self.f.fold = fold
            self.f.spread = checked_bound("FoldCounter", "spread_ps", spread_ps)
            self.f.reach = max(self.f.reach, spread_ps)
            self.folds = np.zeros(comb(count, fold), dtype=np.int64)
            self.tables["folds"] = self.folds
            # A choice of more than there are is none, but the table is read for it nowhere.
            for c in range(QN_MOST_CHANNELS + 1):
                for k in range(QN_MOST_FOLD + 1):
                    self.f.choose[c][k] = min(comb(c, k), 2**62)
            if count < fold:
                self.f.fold = 0
        self.keep = self.f.reach
        if accidental_shift_ps is not None:
            if accidental_shift_ps <= 2 * max(abs(low_ps), abs(high_ps)):
                raise ValueError(
                    f"FoldCounter: found accidental_shift_ps {accidental_shift_ps}, expected more "
                    f"than twice the window of [{low_ps}, {high_ps}] ps"
                )
            checked_bound("FoldCounter", "accidental_shift_ps", accidental_shift_ps + high_ps)
            self.f.shift = accidental_shift_ps
            self.keep = max(self.keep, self.f.shift + self.f.high)
            self.accidentals = np.zeros((count, count), dtype=np.int64)
            self.tables["delayed"] = self.accidentals
        point(&self.f, self.tables)


cdef class PairHistograms(_MergedPass):
    """Histograms of t_q - t_p for several pairs (p, q) of channels, in one pass.

    `counts[k, bin]`, int64, is over all pairs of tags of the k-th of `pairs`; bin i holds
    [low_ps + i bin_ps, low_ps + (i + 1) bin_ps) ps. A pair (p, p) compares each tag with the others
    of its channel. `delays_ps` of each of `channels`, in the order of first mention in `pairs`,
    are added to the times. The counts do not depend on how the stream is cut into chunks.
    """

    cdef readonly object pairs, low_ps, bin_ps, counts
    cdef object numbers

    def __init__(
        self, pairs, low_ps, bin_ps, bins, *, delays_ps=None, threads=1, path=None
    ):
        cdef int32_t[::1] flat
        self.pairs = tuple((int(p), int(q)) for p, q in pairs)
        self.set_up(
            dict.fromkeys(channel for pair in self.pairs for channel in pair), delays_ps, threads,
            path,
        )
        if len(set(self.pairs)) != len(self.pairs):
            raise ValueError(f"PairHistograms: a pair stands twice in {self.pairs}")
        if bin_ps < 1 or bins < 1:
            raise ValueError(
                f"PairHistograms: found {bins} bins of {bin_ps} ps, expected at least 1 of each"
            )
        checked_bound("PairHistograms", "low_ps", low_ps)
        checked_bound("PairHistograms", "bins * bin_ps", bins * bin_ps)
        checked_bound("PairHistograms", "low_ps + bins * bin_ps", low_ps + bins * bin_ps)
        self.low_ps, self.bin_ps = low_ps, bin_ps
        count = len(self.channels)
        numbers = np.full((count, count), -1, dtype=np.int32)
        for k, (p, q) in enumerate(self.pairs):
            numbers[self.channels.index(p), self.channels.index(q)] = k
        self.numbers = numbers
        flat = numbers.reshape(-1)
        self.f.of_pair = &flat[0]
        self.f.histogram_low = low_ps
        self.f.histogram_span = bins * bin_ps
        self.f.bins = bins
        self.f.bin = bin_ps
        self.f.reciprocal = qn_reciprocal(bin_ps, bins * bin_ps)
        self.f.reach = max(abs(low_ps), abs(low_ps + bins * bin_ps - 1))
        self.keep = self.f.reach
        self.counts = np.zeros((len(self.pairs), bins), dtype=np.int64)
        self.tables = {"histograms": self.counts}
        point(&self.f, self.tables)


@cython.overflowcheck(False)  # the wrap is meant
cdef inline unsigned long long apart(int64_t first, int64_t last) noexcept nogil:
    return <unsigned long long>last - <unsigned long long>first


def match_folds(streams, spread_ps, delays_ps=None):
    """Indices int64[n, streams] of exclusive folds: each tag is used at most once.

    Greedy in time order: of the earliest unused tags of all streams, if the last is at most
    `spread_ps` after the first they are a fold; else the earliest is passed over. `streams` are
    ascending int64 arrays, ps; a delay is added to each stream's times.
    """
    cdef Py_ssize_t k, s, count = 0, early, most
    cdef int64_t spread = checked_bound("match_folds", "spread_ps", spread_ps)
    cdef int64_t first, last, time
    cdef const int64_t[::1] view
    cdef const int64_t *times[64]
    cdef Py_ssize_t length[64]
    cdef Py_ssize_t at[64]
    cdef int64_t delay[64]
    cdef bint done = False
    cdef Py_ssize_t n = len(streams)
    if not 2 <= n <= 64:
        raise ValueError(f"match_folds: found {n} streams, expected 2 to 64")
    if spread_ps < 0:
        raise ValueError(f"match_folds: found spread_ps {spread_ps}, expected at least 0")
    if delays_ps is not None and len(delays_ps) != n:
        raise ValueError(f"match_folds: found {len(delays_ps)} delays for {n} streams")
    for k in range(n):
        view = checked_array("match_folds", f"streams[{k}]", streams[k], np.int64)
        check_times("match_folds", f"streams[{k}]", view)
        delay[k] = checked_bound("match_folds", "a delay", 0 if delays_ps is None else delays_ps[k])
        times[k] = &view[0] if view.shape[0] else NULL
        length[k] = view.shape[0]
        at[k] = 0
        done = done or length[k] == 0
    most = min(len(stream) for stream in streams)
    indices = np.empty((most, n), dtype=np.int64)
    cdef int64_t[:, ::1] out = indices
    with nogil:
        while not done:
            early = 0
            first = last = times[0][at[0]] + delay[0]
            for s in range(1, n):
                time = times[s][at[s]] + delay[s]
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
                    done = done or at[s] == length[s]
                count += 1
            else:
                at[early] += 1
                done = at[early] == length[early]
    return indices[:count].copy()
