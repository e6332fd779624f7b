"""Which tags of a stream remain: dead time and after-pulse veto, gates from markers, one in n.

Nothing is kept between calls; what a stream must remember is returned and passed to the next call,
and then the result does not depend, to the bit, on how the stream is cut.
"""

from libc.stdint cimport int64_t, uint8_t

import numpy as np

from cext._common cimport check_times, checked_array, checked_bound
from cext._streams cimport check_stream, checked_table

cdef int64_t LIMIT_PS = (<int64_t>1) << 62


def veto_after_clicks(time_ps, channel, veto_ps, last_ps, extended=False):
    """Which tags of an ascending stream lie outside the dead time of their channel.

    Returns (keep bool[n], last_ps int64[256]). A tag is kept if it lies at least `veto_ps[channel]`
    (int64[256], 0 for none) after the last kept tag of its channel; `extended`, after the last tag
    of its channel whether kept or not, which also removes trains of after-pulses. `last_ps` are the
    times of those tags, `condition.NEVER_PS` at first; pass the returned one to the next call.
    """
    cdef const int64_t[::1] tv = checked_array("veto_after_clicks", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("veto_after_clicks", "channel", channel, np.uint8)
    cdef const int64_t[::1] dv = checked_table("veto_after_clicks", "veto_ps", veto_ps)
    check_stream("veto_after_clicks", tv, cv)
    check_times("veto_after_clicks", "time_ps", tv)
    if veto_ps.min() < 0:
        raise ValueError(f"veto_after_clicks: veto_ps holds {veto_ps.min()} ps, expected 0 or more")
    last = checked_table("veto_after_clicks", "last_ps", last_ps).copy()
    cdef int64_t[::1] lv = last
    cdef Py_ssize_t k, n = tv.shape[0]
    cdef bint all_count = extended, kept
    keep = np.empty(n, dtype=np.uint8)
    cdef uint8_t[::1] kv = keep
    with nogil:
        for k in range(n):
            kept = lv[cv[k]] == -LIMIT_PS or tv[k] - lv[cv[k]] >= dv[cv[k]]
            kv[k] = kept
            if kept or all_count:
                lv[cv[k]] = tv[k]
    return keep.view(np.bool_), last


def gate_after_marker(time_ps, channel, marker_channel, delay_ps, length_ps, markers_ps):
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
    cdef uint8_t marker = marker_channel
    cdef Py_ssize_t k, n = tv.shape[0], opened = 0, known = before.shape[0]
    markers = np.concatenate((markers_ps, time_ps[channel == marker]))
    cdef const int64_t[::1] mv = markers
    keep = np.empty(n, dtype=np.uint8)
    cdef uint8_t[::1] kv = keep
    with nogil:
        for k in range(n):
            known += cv[k] == marker
            # All gates are of one length, so the latest that has begun decides.
            while opened < known and mv[opened] <= tv[k] - delay:
                opened += 1
            kv[k] = cv[k] == marker or (
                opened > 0 and tv[k] - delay - mv[opened - 1] < length
            )
    return keep.view(np.bool_), markers[max(opened - 1, 0) :].copy()


def gate_between_markers(time_ps, channel, open_channel, close_channel, is_open=False):
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
    cdef uint8_t opens = open_channel, closes = close_channel
    cdef bint now = is_open
    cdef Py_ssize_t k, n = cv.shape[0]
    keep = np.empty(n, dtype=np.uint8)
    cdef uint8_t[::1] kv = keep
    with nogil:
        for k in range(n):
            if cv[k] == opens:
                now = True
            kv[k] = now or cv[k] == closes
            if cv[k] == closes:
                now = False
    return keep.view(np.bool_), bool(now)


def keep_one_in(channel, divisors, counts):
    """Which tags remain if a channel keeps one in `divisors[channel]`: (keep bool[n], counts).

    `divisors` is int64[256]: 1 keeps all, 0 none, n the first and then every n-th. `counts`
    int64[256] is each channel's place in its cycle, zeros at first; pass the returned one on.
    """
    cdef const uint8_t[::1] cv = checked_array("keep_one_in", "channel", channel, np.uint8)
    cdef const int64_t[::1] dv = checked_table("keep_one_in", "divisors", divisors)
    places = checked_table("keep_one_in", "counts", counts).copy()
    if divisors.min() < 0 or places.min() < 0:
        raise ValueError("keep_one_in: found a negative divisor or count, expected 0 or more")
    cdef int64_t[::1] pv = places
    cdef Py_ssize_t k, n = cv.shape[0]
    keep = np.empty(n, dtype=np.uint8)
    cdef uint8_t[::1] kv = keep
    with nogil:
        for k in range(n):
            kv[k] = pv[cv[k]] == 0 and dv[cv[k]] > 0
            pv[cv[k]] += 1
            if pv[cv[k]] >= dv[cv[k]]:
                pv[cv[k]] = 0
    return keep.view(np.bool_), places
