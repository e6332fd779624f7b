"""Which tags of a stream remain: dead time and after-pulse veto, gates from markers, one in n.

Nothing is kept between calls; what a stream must remember is returned and passed to the next call,
and then the result does not depend, to the bit, on how the stream is cut, nor on `threads`.
"""

from libc.stdint cimport int64_t, uint8_t

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound
from cext._paths cimport qn_gallop
from cext._streams cimport check_stream, checked_table

from cext.dead_time import veto_after_clicks
from cext.threads import checked_threads, in_threads, spans

__all__ = ["gate_after_marker", "gate_between_markers", "keep_one_in", "veto_after_clicks"]


def gate_after_marker(
    time_ps, channel, marker_channel, delay_ps, length_ps, markers_ps, *, threads=1
):
    """Which tags of an ascending stream lie in a gate that a marker opens.

    Returns (keep bool[n], markers_ps int64[m]). A tag at t is kept if some marker at m has
    delay <= t - m < delay + length, both at least 0; gates may overlap. Markers are kept themselves.
    A marker recorded after a tag of the same time opens no gate for it. `markers_ps` are the
    ascending markers that later tags may need, empty at first; pass the returned ones on.
    """
    cdef const int64_t[::1] tv = checked_array("gate_after_marker", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("gate_after_marker", "channel", channel, np.uint8)
    cdef int64_t delay = checked_bound("gate_after_marker", "delay_ps", delay_ps)
    cdef int64_t length = checked_bound("gate_after_marker", "length_ps", length_ps)
    cdef const int64_t[::1] before = checked_array(
        "gate_after_marker", "markers_ps", markers_ps, np.int64
    )
    check_stream("gate_after_marker", tv, cv)
    check_times("gate_after_marker", "time_ps", tv)
    check_times("gate_after_marker", "markers_ps", before)
    if not 0 <= marker_channel <= 255 or delay < 0 or length < 0:
        raise ValueError(
            f"gate_after_marker: found channel {marker_channel}, delay {delay_ps} ps and length "
            f"{length_ps} ps, expected a channel 0 to 255 and neither time negative"
        )
    cdef Py_ssize_t n = tv.shape[0]
    threads = checked_threads("gate_after_marker", threads, n)
    parts = spans(n, threads)
    places = np.flatnonzero(channel == marker_channel)
    markers = np.concatenate((markers_ps, time_ps[places]))
    keep = np.empty(n, dtype=np.uint8)

    def work(part):
        start, stop = parts[part]
        known = len(markers_ps) + int(np.searchsorted(places, start))
        return gate_part(
            tv, cv, start, stop, marker_channel, delay, length, markers, known, keep
        )

    opened = in_threads(work, len(parts), threads)
    last = max(opened[len(parts) - 1] - 1, 0)
    return keep.view(np.bool_), markers[last:].copy()


cdef Py_ssize_t gate_part(
    const int64_t[::1] times, const uint8_t[::1] channels, Py_ssize_t start, Py_ssize_t stop,
    uint8_t marker, int64_t delay, int64_t length, const int64_t[::1] markers, Py_ssize_t known,
    uint8_t[::1] keep
):
    """Mark the tags in gates; `known` markers are recorded ahead. Number of gates begun at the end.
    """
    cdef Py_ssize_t k, opened = 0
    with nogil:
        if start < stop and known:
            opened = qn_gallop(&markers[0], 0, known, times[start] - delay)
        for k in range(start, stop):
            known += channels[k] == marker
            # All gates are of one length, so the latest that has begun decides.
            while opened < known and markers[opened] <= times[k] - delay:
                opened += 1
            keep[k] = channels[k] == marker or (
                opened > 0 and times[k] - delay - markers[opened - 1] < length
            )
    return opened


def gate_between_markers(
    time_ps, channel, open_channel, close_channel, is_open=False, *, threads=1
):
    """Which tags lie between a marker that opens and one that closes: (keep bool[n], is_open).

    Order is as recorded; the markers themselves are kept. Pass `is_open` of one call to the next.
    """
    cdef const int64_t[::1] tv = checked_array("gate_between_markers", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("gate_between_markers", "channel", channel, np.uint8)
    check_stream("gate_between_markers", tv, cv)
    if (
        not 0 <= open_channel <= 255
        or not 0 <= close_channel <= 255
        or open_channel == close_channel
    ):
        raise ValueError(
            f"gate_between_markers: found channels {open_channel} and {close_channel}, "
            "expected two different ones from 0 to 255"
        )
    threads = checked_threads("gate_between_markers", threads, cv.shape[0])
    parts = spans(cv.shape[0], threads)
    keep = np.empty(cv.shape[0], dtype=np.uint8)

    def survey(part):
        start, stop = parts[part]
        return last_gate(cv, start, stop, open_channel, close_channel)

    def work(part):
        start, stop = parts[part]
        return between_part(cv, start, stop, open_channel, close_channel, now[part], keep)

    now = [bool(is_open)]
    if len(parts) > 1:
        for left in in_threads(survey, len(parts), threads):
            now.append(now[len(now) - 1] if left < 0 else left > 0)
    left_open = in_threads(work, len(parts), threads)
    return keep.view(np.bool_), bool(left_open[len(parts) - 1])


cdef int last_gate(
    const uint8_t[::1] channels, Py_ssize_t start, Py_ssize_t stop, uint8_t opens, uint8_t closes
):
    """1 where the last marker of the part opens, 0 where it closes, -1 where there is none."""
    cdef Py_ssize_t k
    cdef int found = -1
    with nogil:
        for k in range(stop - 1, start - 1, -1):
            if channels[k] == opens or channels[k] == closes:
                found = channels[k] == opens
                break
    return found


cdef bint between_part(
    const uint8_t[::1] channels, Py_ssize_t start, Py_ssize_t stop, uint8_t opens, uint8_t closes,
    bint now, uint8_t[::1] keep
):
    """Mark the tags between markers; whether it is open at the end."""
    cdef Py_ssize_t k
    with nogil:
        for k in range(start, stop):
            if channels[k] == opens:
                now = True
            keep[k] = now or channels[k] == closes
            if channels[k] == closes:
                now = False
    return now


def keep_one_in(channel, divisors, counts, *, threads=1):
    """Which tags remain if a channel keeps one in `divisors[channel]`: (keep bool[n], counts).

    `divisors` is int64[256]: 1 keeps all, 0 none, n the first and then every n-th. `counts`
    int64[256] is each channel's place in its cycle, zeros at first; pass the returned one on.
    """
    cdef const uint8_t[::1] cv = checked_array("keep_one_in", "channel", channel, np.uint8)
    cdef const int64_t[::1] dv = checked_table("keep_one_in", "divisors", divisors)
    places = checked_table("keep_one_in", "counts", counts).copy()
    if divisors.min() < 0 or places.min() < 0:
        raise ValueError("keep_one_in: found a negative divisor or count, expected 0 or more")
    threads = checked_threads("keep_one_in", threads, cv.shape[0])
    parts = spans(cv.shape[0], threads)
    keep = np.empty(cv.shape[0], dtype=np.uint8)

    def survey(part):
        start, stop = parts[part]
        return tags_of(cv, start, stop)

    def work(part):
        start, stop = parts[part]
        one_in_part(cv, start, stop, dv, ahead[part], keep)

    ahead = [places]
    if len(parts) > 1:
        for tags in in_threads(survey, len(parts), threads):
            ahead.append(moved_on(ahead[len(ahead) - 1], tags, divisors))
    in_threads(work, len(parts), threads)
    return keep.view(np.bool_), ahead[len(ahead) - 1]


cdef object tags_of(const uint8_t[::1] channels, Py_ssize_t start, Py_ssize_t stop):
    """Tags of each channel in the part."""
    cdef Py_ssize_t k
    counts = np.zeros(256, dtype=np.int64)
    cdef int64_t[::1] to = counts
    with nogil:
        for k in range(start, stop):
            to[channels[k]] += 1
    return counts


cdef object moved_on(places, tags, divisors):
    """The places in the cycles after so many tags; one beyond its cycle starts anew with a tag."""
    start = np.where(places >= divisors, -1, places)
    return np.where(tags > 0, (start + tags) % np.maximum(divisors, 1), places)


cdef int one_in_part(
    const uint8_t[::1] channels, Py_ssize_t start, Py_ssize_t stop, const int64_t[::1] divisors,
    int64_t[::1] places, uint8_t[::1] keep
) except -1:
    """Mark the tags that remain; the places are moved on."""
    cdef Py_ssize_t k
    cdef uint8_t channel
    with nogil:
        for k in range(start, stop):
            channel = channels[k]
            keep[k] = places[channel] == 0 and divisors[channel] > 0
            places[channel] += 1
            if places[channel] >= divisors[channel]:
                places[channel] = 0
    return 0
