"""Conditioning of tag streams: merge, order, delays, selection; `condition_gate` has the vetoes.

A stream is two arrays of one length: time_ps int64, channel uint8. Nothing is kept between calls;
what a stream must remember is returned and passed to the next call, and then the result does not
depend, to the bit, on how the stream is cut. `timing.conditioning` keeps it for you.
"""

from libc.stdint cimport int64_t, uint8_t

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound
from cext._streams cimport check_stream, checked_table

cdef int64_t LIMIT_PS = (<int64_t>1) << 62
NEVER_PS = -(2**62)
"""A time before all others, for channels that have not clicked yet."""


def merge_two(time_a_ps, channel_a, time_b_ps, channel_b):
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
    cdef Py_ssize_t n = at.shape[0], m = bt.shape[0], i = 0, j = 0, k = 0
    time_ps = np.empty(n + m, dtype=np.int64)
    channel = np.empty(n + m, dtype=np.uint8)
    cdef int64_t[::1] tv = time_ps
    cdef uint8_t[::1] cv = channel
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
    time_ps[k : k + n - i], channel[k : k + n - i] = time_a_ps[i:], channel_a[i:]
    time_ps[k + n - i :], channel[k + n - i :] = time_b_ps[j:], channel_b[j:]
    return time_ps, channel


def find_disorder(time_ps, bound_ps, previous_ps=NEVER_PS, latest_ps=NEVER_PS):
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
    cdef int64_t previous = previous_ps, start = latest_ps
    cdef int64_t latest = start, behind, worst = 0
    cdef Py_ssize_t k, n = tv.shape[0], steps_back = 0, late = 0, beyond = -1
    with nogil:
        for k in range(n):
            if not -LIMIT_PS < tv[k] < LIMIT_PS:
                beyond = k
                break
            behind = latest - tv[k]
            steps_back += tv[k] < previous
            late += behind > bound
            previous = tv[k]
            worst = behind if behind > worst else worst
            latest = tv[k] if behind < 0 else latest
    if beyond >= 0:
        raise ValueError(
            f"find_disorder: time_ps[{beyond}] = {tv[beyond]} ps, expected values within +-2^62 ps"
        )
    if late == 0:
        return int(steps_back), 0, -1, int(worst), None, int(latest)
    keep = np.empty(n, dtype=np.uint8)
    cdef uint8_t[::1] kv = keep
    latest = start
    with nogil:
        for k in range(n):
            behind = latest - tv[k]
            kv[k] = behind <= bound
            latest = tv[k] if behind < 0 else latest
    first_late = int(np.argmin(keep))
    return int(steps_back), int(late), first_late, int(worst), keep.view(np.bool_), int(latest)


def delay_channels(time_ps, channel, delay_ps):
    """Times with the delay of each tag's channel added: int64[n], in the order of the tags.

    `delay_ps` is int64[256], by channel number. The result need not ascend; `find_disorder` with
    the largest less the smallest delay as its bound finds nothing late in a stream that did.
    ValueError, with the index, for a sum beyond +-2^62 ps.
    """
    cdef const int64_t[::1] tv = checked_array("delay_channels", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("delay_channels", "channel", channel, np.uint8)
    cdef const int64_t[::1] dv = checked_table("delay_channels", "delay_ps", delay_ps)
    check_stream("delay_channels", tv, cv)
    cdef Py_ssize_t k, n = tv.shape[0], beyond = -1
    cdef int64_t time, delay
    shifted = np.empty(n, dtype=np.int64)
    cdef int64_t[::1] sv = shifted
    with nogil:
        for k in range(n):
            time = tv[k]
            delay = dv[cv[k]]
            if not -LIMIT_PS < time < LIMIT_PS or not -LIMIT_PS < time + delay < LIMIT_PS:
                beyond = k
                break
            sv[k] = time + delay
    if beyond >= 0:
        raise ValueError(
            f"delay_channels: time_ps[{beyond}] = {tv[beyond]} ps with the delay "
            f"{dv[cv[beyond]]} ps of channel {cv[beyond]} lies beyond +-2^62 ps"
        )
    return shifted


def select_tags(time_ps, channel, keep):
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
    cdef Py_ssize_t k, n = tv.shape[0], at = 0
    cdef Py_ssize_t count = np.count_nonzero(keep)
    out_time = np.empty(count, dtype=np.int64)
    out_channel = np.empty(count, dtype=np.uint8)
    cdef int64_t[::1] otv = out_time
    cdef uint8_t[::1] ocv = out_channel
    with nogil:
        # Each tag is written and only the place moves on where it counts, so that no branch can be
        # mispredicted; when the last place is taken, nothing more may be written.
        for k in range(n):
            if at == count:
                break
            otv[at] = tv[k]
            ocv[at] = cv[k]
            at += kv[k] != 0
    return out_time, out_channel
