"""Conditioning of tag streams: merge, order, delays, selection; `condition_gate` has the vetoes.

A stream is two arrays of one length: time_ps int64, channel uint8. Nothing is kept between calls;
what a stream must remember is returned and passed to the next call, and then the result does not
depend, to the bit, on how the stream is cut, nor on `threads`. `timing.conditioning` keeps it for
you.
"""

from libc.stdint cimport int64_t, uint8_t

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound
from cext._paths cimport qn_gallop
from cext._streams cimport check_stream, checked_table

from cext.threads import checked_threads, in_threads, running, spans

cdef int64_t LIMIT_PS = (<int64_t>1) << 62
NEVER_PS = -(2**62)
"""A time before all others, for channels that have not clicked yet."""


def merge_two(time_a_ps, channel_a, time_b_ps, channel_b, *, threads=1):
    """Two ascending streams as one: (time_ps int64[n], channel uint8[n]); of equal times a's first.

    ValueError, with the index, for times that step back.
    """
    cdef const int64_t[::1] at = checked_array("merge_two", "time_a_ps", time_a_ps, np.int64)
    cdef const uint8_t[::1] ac = checked_array("merge_two", "channel_a", channel_a, np.uint8)
    cdef const int64_t[::1] bt = checked_array("merge_two", "time_b_ps", time_b_ps, np.int64)
    cdef const uint8_t[::1] bc = checked_array("merge_two", "channel_b", channel_b, np.uint8)
    check_stream("merge_two", at, ac, " in a")
    check_stream("merge_two", bt, bc, " in b")
    check_times("merge_two", "time_a_ps", at)
    check_times("merge_two", "time_b_ps", bt)
    cdef Py_ssize_t n = at.shape[0], m = bt.shape[0]
    threads = checked_threads("merge_two", threads, n + m)
    # The longer stream is divided; of the other, a part has what comes between its ends.
    if n >= m:
        ends = [(start, first_from(bt, at[start])) for start, _ in spans(n, threads)[1:]]
    else:
        ends = [(first_from(at, bt[start] + 1), start) for start, _ in spans(m, threads)[1:]]
    edges = [(0, 0), *ends, (n, m)]
    time_ps = np.empty(n + m, dtype=np.int64)
    channel = np.empty(n + m, dtype=np.uint8)

    def work(part):
        start, stop = edges[part], edges[part + 1]
        merge_part(
            at[start[0] : stop[0]], ac[start[0] : stop[0]], bt[start[1] : stop[1]],
            bc[start[1] : stop[1]], time_ps[sum(start) : sum(stop)], channel[sum(start) : sum(stop)],
        )

    in_threads(work, len(edges) - 1, threads)
    return time_ps, channel


cdef Py_ssize_t first_from(const int64_t[::1] times, int64_t value):
    """Index of the first time that is not earlier."""
    return qn_gallop(&times[0], 0, times.shape[0], value) if times.shape[0] else 0


cdef int merge_part(
    const int64_t[::1] at, const uint8_t[::1] ac, const int64_t[::1] bt, const uint8_t[::1] bc,
    int64_t[::1] tv, uint8_t[::1] cv
) except -1:
    cdef Py_ssize_t n = at.shape[0], m = bt.shape[0], i = 0, j = 0, k = 0
    cdef int64_t a, b, second
    with nogil:
        # Which stream is next is as good as a coin toss, so nothing here may be a branch; written
        # as a choice, compilers make it one.
        while i < n and j < m:
            a = at[i]
            b = bt[j]
            second = b < a
            tv[k] = a ^ ((a ^ b) & -second)
            cv[k] = ac[i] ^ ((ac[i] ^ bc[j]) & <uint8_t>-second)
            j += second
            i += 1 - second
            k += 1
        # The rest of one of them, as blocks.
        tv[k : k + n - i] = at[i:]
        cv[k : k + n - i] = ac[i:]
        tv[k + n - i :] = bt[j:]
        cv[k + n - i :] = bc[j:]
    return 0


def find_disorder(time_ps, bound_ps, previous_ps=NEVER_PS, latest_ps=NEVER_PS, *, threads=1):
    """Where a stream steps back: (steps_back, late, first_late, worst_ps, keep, latest_ps).

    A tag steps back if it lies before the tag recorded just before it, and is late if it lies more
    than `bound_ps` before the latest of all earlier ones. `worst_ps` is the largest distance of any
    tag behind the latest before it, `first_late` the index of the first late tag or -1; `keep` is
    None where no tag is late, else bool[n], False for the late ones. Late tags count as recorded,
    but do not move `latest_ps`. Pass the last time of one call as `previous_ps`, and `latest_ps`,
    to the next.
    """
    cdef const int64_t[::1] tv = checked_array("find_disorder", "time_ps", time_ps, np.int64)
    cdef int64_t bound = checked_bound("find_disorder", "bound_ps", bound_ps)
    if bound < 0:
        raise ValueError(f"find_disorder: bound_ps is {bound_ps}, expected at least 0")
    if not -2**62 <= previous_ps < 2**62 or not -2**62 <= latest_ps < 2**62:
        raise ValueError(
            f"find_disorder: found previous_ps {previous_ps} and latest_ps {latest_ps}, "
            "expected values within +-2^62 ps"
        )
    cdef Py_ssize_t n = tv.shape[0], beyond
    threads = checked_threads("find_disorder", threads, n)
    parts = spans(n, threads)

    def highest(part):
        start, stop = parts[part]
        return int(time_ps[start:stop].max()) if start < stop else NEVER_PS

    def work(part):
        start, stop = parts[part]
        return disorder_part(
            tv, start, stop, bound, tv[start - 1] if start else previous_ps, reached[part]
        )

    def mark(part):
        start, stop = parts[part]
        keep_part(tv, start, stop, bound, reached[part], keep)

    reached = [latest_ps]
    if len(parts) > 1:
        for high in in_threads(highest, len(parts), threads):
            reached.append(max(reached[len(reached) - 1], high))
    found = in_threads(work, len(parts), threads)
    for _, _, _, _, beyond in found:
        if beyond >= 0:
            raise ValueError(
                f"find_disorder: time_ps[{beyond}] = {tv[beyond]} ps, "
                "expected values within +-2^62 ps"
            )
    steps_back, late = sum(part[0] for part in found), sum(part[1] for part in found)
    worst, latest = max(part[2] for part in found), found[len(found) - 1][3]
    if late == 0:
        return steps_back, 0, -1, worst, None, latest
    keep = np.empty(n, dtype=np.uint8)
    in_threads(mark, len(parts), threads)
    return steps_back, late, int(np.argmin(keep)), worst, keep.view(np.bool_), latest


cdef tuple disorder_part(
    const int64_t[::1] times, Py_ssize_t start, Py_ssize_t stop, int64_t bound, int64_t previous,
    int64_t latest
):
    """Steps back, late tags, farthest behind, latest of all, and the first beyond 2^62 ps or -1."""
    cdef Py_ssize_t k, steps_back = 0, late = 0, beyond = -1
    cdef int64_t behind, worst = 0, time
    with nogil:
        for k in range(start, stop):
            time = times[k]
            if not -LIMIT_PS < time < LIMIT_PS:
                beyond = k
                break
            behind = latest - time
            steps_back += time < previous
            late += behind > bound
            previous = time
            worst = behind if behind > worst else worst
            latest = time if behind < 0 else latest
    return steps_back, late, worst, latest, beyond


cdef int keep_part(
    const int64_t[::1] times, Py_ssize_t start, Py_ssize_t stop, int64_t bound, int64_t latest,
    uint8_t[::1] keep
) except -1:
    cdef Py_ssize_t k
    cdef int64_t behind
    with nogil:
        for k in range(start, stop):
            behind = latest - times[k]
            keep[k] = behind <= bound
            latest = times[k] if behind < 0 else latest
    return 0


def delay_channels(time_ps, channel, delay_ps, *, threads=1):
    """Times with the delay of each tag's channel added: int64[n], in the order of the tags.

    `delay_ps` is int64[256], by channel number. The result need not ascend; `find_disorder` with
    the largest less the smallest delay as its bound finds nothing late in a stream that did.
    ValueError, with the index, for a sum beyond +-2^62 ps.
    """
    cdef const int64_t[::1] tv = checked_array("delay_channels", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("delay_channels", "channel", channel, np.uint8)
    cdef const int64_t[::1] dv = checked_table("delay_channels", "delay_ps", delay_ps)
    cdef Py_ssize_t beyond
    check_stream("delay_channels", tv, cv)
    threads = checked_threads("delay_channels", threads, tv.shape[0])
    parts = spans(tv.shape[0], threads)
    shifted = np.empty(tv.shape[0], dtype=np.int64)

    def work(part):
        start, stop = parts[part]
        return delay_part(tv, cv, dv, start, stop, shifted)

    for beyond in in_threads(work, len(parts), threads):
        if beyond >= 0:
            raise ValueError(
                f"delay_channels: time_ps[{beyond}] = {tv[beyond]} ps with the delay "
                f"{dv[cv[beyond]]} ps of channel {cv[beyond]} lies beyond +-2^62 ps"
            )
    return shifted


cdef Py_ssize_t delay_part(
    const int64_t[::1] times, const uint8_t[::1] channels, const int64_t[::1] delays,
    Py_ssize_t start, Py_ssize_t stop, int64_t[::1] shifted
):
    """Index of the first sum beyond 2^62 ps, or -1."""
    cdef Py_ssize_t k, beyond = -1
    cdef int64_t time, delay
    with nogil:
        for k in range(start, stop):
            time = times[k]
            delay = delays[channels[k]]
            if not -LIMIT_PS < time < LIMIT_PS or not -LIMIT_PS < time + delay < LIMIT_PS:
                beyond = k
                break
            shifted[k] = time + delay
    return beyond


def select_tags(time_ps, channel, keep, *, threads=1):
    """The tags where `keep` bool[n] is True: (time_ps int64[m], channel uint8[m]), in their order."""
    cdef const int64_t[::1] tv = checked_array("select_tags", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("select_tags", "channel", channel, np.uint8)
    checked_array("select_tags", "keep", keep, np.bool_)
    cdef const uint8_t[::1] kv = keep.view(np.uint8)
    check_stream("select_tags", tv, cv)
    if kv.shape[0] != tv.shape[0]:
        raise ValueError(
            f"select_tags: found {kv.shape[0]} marks in keep for {tv.shape[0]} tags, "
            "expected one a tag"
        )
    threads = checked_threads("select_tags", threads, tv.shape[0])
    parts = spans(tv.shape[0], threads)
    places = running(0, in_threads(
        lambda part: int(np.count_nonzero(keep[slice(*parts[part])])), len(parts), threads
    ))
    out_time = np.empty(places[len(parts)], dtype=np.int64)
    out_channel = np.empty(places[len(parts)], dtype=np.uint8)

    def work(part):
        start, stop = parts[part]
        room = slice(places[part], places[part + 1])
        select_part(tv, cv, kv, start, stop, out_time[room], out_channel[room])

    in_threads(work, len(parts), threads)
    return out_time, out_channel


cdef int select_part(
    const int64_t[::1] times, const uint8_t[::1] channels, const uint8_t[::1] keep,
    Py_ssize_t start, Py_ssize_t stop, int64_t[::1] out_time, uint8_t[::1] out_channel
) except -1:
    cdef Py_ssize_t k, at = 0, count = out_time.shape[0]
    with nogil:
        # Each tag is written and only the place moves on where it counts, so that no branch can be
        # mispredicted; when the last place is taken, nothing more may be written.
        for k in range(start, stop):
            if at == count:
                break
            out_time[at] = times[k]
            out_channel[at] = channels[k]
            at += keep[k] != 0
    return 0
