"""The inputs of one sub-acquisition of an ID900, decoded and merged in one pass."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

import numpy as np

from cext._common cimport checked_array

__all__ = ["MOST_STREAMS", "merge_id900"]

MOST_STREAMS = 4

cdef enum:
    STREAMS = 4

# Later than any time: what an empty stream shows as its next one.
cdef uint64_t NEVER = 0xFFFFFFFFFFFFFFFF


def merge_id900(words, channels, offset_ps, limit_ps, time_ps, channel):
    """Merge up to four ascending streams of uint64 picoseconds into `time_ps` and `channel`.

    `words` are the streams, `channels` the input of each, from 0 to 255; `time_ps` int64[n] and
    `channel` uint8[n] have room for exactly all of them. Each time gets `offset_ps` added. Of equal
    times those of the stream named first come first. ValueError where a stream steps back or
    passes `limit_ps`, and then what is in the outputs has no meaning.
    """
    cdef Py_ssize_t k, count = len(words), total = 0
    if not 1 <= count <= STREAMS or len(channels) != count:
        raise ValueError(
            f"merge_id900: found {count} streams and {len(channels)} channels, "
            f"expected 1 to {STREAMS} and as many"
        )
    if not 0 <= offset_ps <= 2**62 or not 0 <= limit_ps <= 2**62 - offset_ps:
        raise ValueError(
            f"merge_id900: found offset_ps {offset_ps} and limit_ps {limit_ps}, expected neither "
            "negative and their sum at most 2^62"
        )
    cdef const uint64_t* at[STREAMS]
    cdef Py_ssize_t left[STREAMS]
    cdef uint8_t labels[STREAMS]
    cdef const uint64_t[::1] view
    for k in range(STREAMS):
        at[k] = &NEVER
        left[k] = 0
        labels[k] = 0
    for k in range(count):
        view = checked_array("merge_id900", f"words[{k}]", words[k], np.uint64)
        labels[k] = channels[k]
        if view.shape[0]:
            at[k] = &view[0]
            left[k] = view.shape[0]
        total += view.shape[0]
    cdef int64_t[::1] tv = checked_array("merge_id900", "time_ps", time_ps, np.int64)
    cdef uint8_t[::1] cv = checked_array("merge_id900", "channel", channel, np.uint8)
    if tv.shape[0] != total or cv.shape[0] != total:
        raise ValueError(
            f"merge_id900: found room for {tv.shape[0]} times and {cv.shape[0]} channels, "
            f"expected {total}"
        )
    cdef uint64_t offset = offset_ps, limit = limit_ps, last = 0
    cdef bint ascending = True
    if total:
        with nogil:
            ascending = merge(at, left, labels, total, offset, &tv[0], &cv[0], &last)
    if not ascending or last > limit:
        raise ValueError(
            "merge_id900: a stream steps back" if not ascending
            else f"merge_id900: a time of {int(last)} ps lies beyond {limit_ps} ps"
        )


@cython.overflowcheck(False)  # 0 - 1 is the mask of all ones, and NEVER + offset may wrap
cdef bint merge(
    const uint64_t** at, Py_ssize_t* left, const uint8_t* labels, Py_ssize_t total,
    uint64_t offset, int64_t* time, uint8_t* channel, uint64_t* last,
) noexcept nogil:
    """Whether the result ascends, which it does if and only if every stream does."""
    cdef const uint64_t* p0 = at[0]
    cdef const uint64_t* p1 = at[1]
    cdef const uint64_t* p2 = at[2]
    cdef const uint64_t* p3 = at[3]
    cdef const uint64_t* e0 = p0 + left[0]
    cdef const uint64_t* e1 = p1 + left[1]
    cdef const uint64_t* e2 = p2 + left[2]
    cdef const uint64_t* e3 = p3 + left[3]
    cdef bint in0 = left[0] > 0, in1 = left[1] > 0, in2 = left[2] > 0, in3 = left[3] > 0
    cdef uint64_t a, b, c, d, low, high, first, previous = 0
    cdef uint64_t right, second, fourth
    # 0 for a stream that has run out: a time as late as NEVER must not move it on.
    cdef uint64_t s0 = in0, s1 = in1, s2 = in2, s3 = in3
    cdef uint64_t back = 0
    cdef Py_ssize_t done = 0, safe, k
    while done < total:
        # So many outputs run no stream out, so nothing is checked while they are made.
        safe = total - done
        if in0 and e0 - p0 < safe:
            safe = e0 - p0
        if in1 and e1 - p1 < safe:
            safe = e1 - p1
        if in2 and e2 - p2 < safe:
            safe = e2 - p2
        if in3 and e3 - p3 < safe:
            safe = e3 - p3
        for k in range(done, done + safe):
            # Which stream is next is as good as a coin toss: choices by arithmetic, no branch.
            a = p0[0]
            b = p1[0]
            c = p2[0]
            d = p3[0]
            second = b < a
            fourth = d < c
            low = a ^ ((a ^ b) & (0 - second))
            high = c ^ ((c ^ d) & (0 - fourth))
            right = high < low
            first = low ^ ((low ^ high) & (0 - right))
            back |= first < previous
            previous = first
            time[k] = <int64_t>(first + offset)
            channel[k] = labels[2 * right + (second ^ ((second ^ fourth) & (0 - right)))]
            p0 += s0 & (1 - right) & (1 - second)
            p1 += s1 & (1 - right) & second
            p2 += s2 & right & (1 - fourth)
            p3 += s3 & right & fourth
        done += safe
        if in0 and p0 == e0:
            p0 = &NEVER
            in0 = False
            s0 = 0
        if in1 and p1 == e1:
            p1 = &NEVER
            in1 = False
            s1 = 0
        if in2 and p2 == e2:
            p2 = &NEVER
            in2 = False
            s2 = 0
        if in3 and p3 == e3:
            p3 = &NEVER
            in3 = False
            s3 = 0
    last[0] = previous
    return back == 0
