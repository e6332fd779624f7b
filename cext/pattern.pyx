"""Clicks of a Bell-state station grouped by attempt and classified.

An attempt has up to four places where a click can fall: two ports of the beam splitter, and of each
an early and a late bin, or two polarizations. Which of them clicked decides which Bell state is
heralded, by a table that the caller gives; `link_layer.click_patterns` has those of the protocols.
"""

from libc.stdint cimport int64_t, uint8_t

cimport cython
import numpy as np

from cext._common cimport check_times, checked_array, checked_bound

NO_HERALD = 0
PSI_PLUS = 1
PSI_MINUS = 2
AMBIGUOUS = 3

cdef enum:
    REPEATED = 3  # AMBIGUOUS; a place that clicked twice tells nothing
    PLACES = 4

cdef int64_t LIMIT_PS = (<int64_t>1) << 62

START = (0, 0, False, 0, 0, -(2**62), -(2**62), 0)
"""The state before the first tag: the open attempt, its pattern, whether a place repeated, its last
click, its end; the time reached; the last clock (none yet) and the attempt that starts there."""


@cython.cdivision(True)
cdef inline int64_t floor_divide(int64_t value, int64_t by) noexcept nogil:
    cdef int64_t quotient = value // by
    return quotient - (quotient * by > value)


cdef int check_tables(
    str kernel, object places, object windows_ps, object outcomes, object period_ps
) except -1:
    for name, table in (("places", places), ("windows_ps", windows_ps)):
        if not isinstance(table, np.ndarray) or table.dtype != np.int64 or table.ndim != 2:
            raise ValueError(f"{kernel}: {name} must be an int64 array of two dimensions")
        if not table.flags.c_contiguous:
            raise ValueError(f"{kernel}: {name} is not contiguous")
    count = len(windows_ps)
    if not 1 <= count <= PLACES or windows_ps.shape != (count, 2) or places.shape != (256, count):
        raise ValueError(
            f"{kernel}: found windows_ps of shape {windows_ps.shape} and places of shape "
            f"{places.shape}, expected (w, 2) and (256, w), w from 1 to {PLACES}"
        )
    edges = [0, *windows_ps.reshape(-1).tolist(), period_ps]
    inside = all(a <= b for a, b in zip(edges[::2], edges[1::2], strict=True))
    if not inside or (windows_ps[:, 0] >= windows_ps[:, 1]).any():
        raise ValueError(
            f"{kernel}: found windows {windows_ps.tolist()} ps, expected ascending ones that do "
            f"not overlap within the period of {period_ps} ps"
        )
    if places.min() < -1 or places.max() >= PLACES:
        raise ValueError(f"{kernel}: places holds a value that is neither -1 nor 0 to 3")
    if len(outcomes) != 1 << PLACES or outcomes.max() > AMBIGUOUS:
        raise ValueError(
            f"{kernel}: outcomes must hold {1 << PLACES} values from NO_HERALD to AMBIGUOUS"
        )
    return 0


def classify_attempts(
    time_ps,
    channel,
    places,
    windows_ps,
    outcomes,
    period_ps,
    start_ps=0,
    clock_channel=None,
    attempts_per_clock=1,
    until_ps=None,
    state=START,
):
    """Attempts that were heralded: (attempt int64[m], outcome uint8[m], pattern uint8[m],
    herald_ps int64[m], counts, state).

    Attempt k lasts from start_ps + k period_ps to before the next. With `clock_channel` attempts
    are instead counted anew from each tag of that channel, `attempts_per_clock` of them a tag and
    numbered through from 0; clicks before the first and after the last of them fall outside.
    A click counts if it lies in a window: `windows_ps` is int64[w, 2], w from 1 to 4, rows [open,
    close) after the attempt's start. `places` is int64[256, w]: the place, 0 to 3, of a channel's
    click in each window, or -1. `pattern` has one bit a place. `outcomes` is uint8[16]: what each
    pattern heralds, NO_HERALD, PSI_PLUS, PSI_MINUS or AMBIGUOUS; where a place clicked more than
    once the outcome is AMBIGUOUS. Attempts of NO_HERALD are left out. `herald_ps` is the attempt's
    last click. `counts` is (clicks in windows, clicks of these channels outside, attempts with a
    click), each attempt counted when it ends.

    An attempt ends with a click in a later one, or once the stream has reached its end, by its tags
    or by `until_ps`, before which no tag is to come. Pass `state` of one call to the next: the result does not depend, to the
    bit, on how the stream is cut. ValueError, with the index, for times that step back.
    """
    kernel = "classify_attempts"
    cdef const int64_t[::1] tv = checked_array(kernel, "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array(kernel, "channel", channel, np.uint8)
    cdef const uint8_t[::1] ov = checked_array(kernel, "outcomes", outcomes, np.uint8)
    cdef int64_t period = checked_bound(kernel, "period_ps", period_ps)
    cdef Py_ssize_t n = tv.shape[0]
    if cv.shape[0] != n:
        raise ValueError(
            f"{kernel}: found {n} times and {cv.shape[0]} channels, expected one channel a time"
        )
    check_times(kernel, "time_ps", tv)
    check_tables(kernel, places, windows_ps, outcomes, period_ps)
    cdef const int64_t[:, ::1] pv = places
    cdef const int64_t[:, ::1] wv = windows_ps
    cdef int clock = -1 if clock_channel is None else clock_channel
    cdef int64_t per_clock = attempts_per_clock
    if not -1 <= clock <= 255 or not 1 <= per_clock < 2**31:
        raise ValueError(
            f"{kernel}: found clock channel {clock_channel} and {attempts_per_clock} attempts a "
            "clock, expected a channel 0 to 255 and from 1 to 2^31 - 1 attempts"
        )
    cdef int64_t attempt = state[0], last_click = state[3], end = state[4], reached = state[5]
    cdef int64_t origin = state[6], first = state[7]
    cdef uint8_t pattern = state[1]
    cdef bint repeated = state[2]
    if clock < 0:
        origin = checked_bound(kernel, "start_ps", start_ps)
    if n and tv[0] < reached:
        raise ValueError(
            f"{kernel}: the stream goes on at {tv[0]} ps, which lies before the {int(reached)} ps "
            "that it had reached"
        )
    cdef int64_t until = reached
    if until_ps is not None:
        until = max(checked_bound(kernel, "until_ps", until_ps), until)
    cdef int64_t[::1] av
    cdef uint8_t[::1] rv, qv
    cdef int64_t[::1] hv
    out_attempt = np.empty(n + 1, dtype=np.int64)
    out_outcome = np.empty(n + 1, dtype=np.uint8)
    out_pattern = np.empty(n + 1, dtype=np.uint8)
    out_time = np.empty(n + 1, dtype=np.int64)
    av, rv, qv, hv = out_attempt, out_outcome, out_pattern, out_time
    cdef Py_ssize_t k, w, m = 0, windows = wv.shape[0]
    cdef int64_t clicks = 0, outside = 0, attempts = 0, offset, phase, place
    cdef uint8_t outcome, bit
    cdef bint watched
    with nogil:
        for k in range(n):
            if cv[k] == clock:
                if origin > -LIMIT_PS:
                    first += per_clock
                origin = tv[k]
                continue
            watched = False
            for w in range(windows):
                watched = watched or pv[cv[k], w] >= 0
            if not watched:
                continue
            place = -1
            offset = 0
            phase = 0
            if origin > -LIMIT_PS:
                offset = floor_divide(tv[k] - origin, period)
                phase = tv[k] - origin - offset * period
                if clock < 0 or offset < per_clock:
                    for w in range(windows):
                        if wv[w, 0] <= phase < wv[w, 1]:
                            place = pv[cv[k], w]
            if place < 0:
                outside += 1
                continue
            clicks += 1
            offset += first
            if pattern and offset != attempt:
                attempts += 1
                outcome = <uint8_t>REPEATED if repeated else ov[pattern]
                if outcome:
                    av[m], rv[m], qv[m], hv[m] = attempt, outcome, pattern, last_click
                    m += 1
                pattern = 0
                repeated = False
            attempt = offset
            end = tv[k] - phase + period
            bit = 1 << place
            repeated = repeated or (pattern & bit) != 0
            pattern |= bit
            last_click = tv[k]
        if n and tv[n - 1] > until:
            until = tv[n - 1]
        if pattern and until >= end:
            attempts += 1
            outcome = <uint8_t>REPEATED if repeated else ov[pattern]
            if outcome:
                av[m], rv[m], qv[m], hv[m] = attempt, outcome, pattern, last_click
                m += 1
            pattern = 0
            repeated = False
    av, rv, qv, hv = None, None, None, None
    for array in (out_attempt, out_outcome, out_pattern, out_time):
        array.resize(m, refcheck=False)
    return (
        out_attempt,
        out_outcome,
        out_pattern,
        out_time,
        (int(clicks), int(outside), int(attempts)),
        (
            int(attempt), int(pattern), bool(repeated), int(last_click), int(end), int(until),
            int(origin), int(first),
        ),
    )
