"""Clicks of a Bell-state station grouped by attempt and classified.

An attempt has up to four places where a click can fall: two ports of the beam splitter, and of each
an early and a late bin, or two polarizations. Which of them clicked decides which Bell state is
heralded, by a table that the caller gives; `link_layer.click_patterns` has those of the protocols.
"""

from libc.stdint cimport int64_t, uint8_t

cimport cython
import numpy as np

from cext._common cimport check_times, checked_array, checked_bound
from cext._streams cimport check_stream

from cext.threads import checked_threads, in_threads, spans

NO_HERALD = 0
PSI_PLUS = 1
PSI_MINUS = 2
AMBIGUOUS = 3

cdef enum:
    REPEATED = 3  # AMBIGUOUS; a place that clicked twice tells nothing
    PLACES = 4

cdef int64_t LIMIT_PS = (<int64_t>1) << 62

ctypedef struct attempt_state:
    int64_t attempt, last_click, end
    uint8_t pattern
    int repeated

DTYPES = (np.int64, np.uint8, np.uint8, np.int64)

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
    *,
    threads=1,
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
    or by `until_ps`, before which no tag is to come. Pass `state` of one call to the next: the
    result does not depend, to the bit, on how the stream is cut, nor on `threads`. ValueError, with
    the index, for times that step back.
    """
    kernel = "classify_attempts"
    cdef const int64_t[::1] tv = checked_array(kernel, "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array(kernel, "channel", channel, np.uint8)
    cdef const uint8_t[::1] ov = checked_array(kernel, "outcomes", outcomes, np.uint8)
    cdef int64_t period = checked_bound(kernel, "period_ps", period_ps)
    cdef Py_ssize_t n = tv.shape[0]
    check_stream(kernel, tv, cv)
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
    reached = state[5]
    if n and tv[0] < reached:
        raise ValueError(
            f"{kernel}: the stream goes on at {tv[0]} ps, which lies before the {int(reached)} ps "
            "that it had reached"
        )
    if until_ps is not None:
        reached = max(checked_bound(kernel, "until_ps", until_ps), reached)
    if n:
        reached = max(int(tv[n - 1]), reached)
    threads = checked_threads(kernel, threads, n)
    parts = spans(n, threads)
    clocks = [(state[6] if clock >= 0 else checked_bound(kernel, "start_ps", start_ps), state[7])]
    if len(parts) > 1 and clock >= 0:
        seen = in_threads(lambda part: clocks_in(tv, cv, clock, *parts[part]), len(parts), threads)
        for count, last in seen:
            origin, first = clocks[len(clocks) - 1]
            count -= origin == -LIMIT_PS and count > 0
            clocks.append((last if last > -LIMIT_PS else origin, first + count * per_clock))
    else:
        clocks *= len(parts)

    def work(part):
        start, stop = parts[part]
        return classify_part(
            tv, cv, start, stop, pv, wv, ov, period, clock, per_clock, clocks[part]
        )

    found = in_threads(work, len(parts), threads)
    heralds = _SideBySide(outcomes, state[:5] if state[1] else None)
    for head, inner, tail, _, _ in found:
        heralds.take(head, inner, tail)
    if heralds.open is not None and reached >= heralds.open[4]:
        heralds.close()
    counts = tuple(sum(part[3][k] for part in found) for k in range(3))
    return (
        *heralds.arrays(),
        (counts[0], counts[1], counts[2] + heralds.closed),
        (*(heralds.open or START[:5]), reached, *found[len(found) - 1][4]),
    )


class _SideBySide:
    """Puts the attempts of parts side by side; one that a cut went through is whole again.

    An attempt is (number, pattern, whether a place repeated, last click, end).
    """

    def __init__(self, outcomes, open):
        self.open = open
        self.closed = 0
        self._outcomes = outcomes
        self._parts = [tuple(np.empty(0, dtype) for dtype in DTYPES)]

    def take(self, head, inner, tail):
        """The first attempt of a part, the heralds after it, the last one if that is another."""
        if head is None:
            return
        before = self.open
        if before is not None and before[0] == head[0]:
            both = before[1] & head[1]
            head = head[0], before[1] | head[1], before[2] or head[2] or both != 0, *head[3:]
        elif before is not None:
            self.close()
        self.open = head
        if tail is not None:
            self.close()
            self._parts.append(inner)
            self.open = tail

    def close(self):
        """The open attempt ends."""
        attempt, pattern, repeated, last_click, _ = self.open
        self.open = None
        self.closed += 1
        outcome = AMBIGUOUS if repeated else self._outcomes[pattern]
        if outcome:
            values = attempt, outcome, pattern, last_click
            self._parts.append(
                tuple(np.array([v], dtype) for v, dtype in zip(values, DTYPES, strict=True))
            )

    def arrays(self):
        """Attempt, outcome, pattern and time of the heralds."""
        return tuple(np.concatenate(column) for column in zip(*self._parts, strict=True))


def clocks_in(
    const int64_t[::1] times, const uint8_t[::1] channels, int clock, Py_ssize_t start,
    Py_ssize_t stop
):
    """Number of tags of the clock in a part and the time of the last, or -2^62; internal."""
    cdef Py_ssize_t k, count = 0
    cdef int64_t last = -LIMIT_PS
    with nogil:
        for k in range(start, stop):
            if channels[k] == clock:
                count += 1
                last = times[k]
    return count, last


cdef tuple classify_part(
    const int64_t[::1] tv, const uint8_t[::1] cv, Py_ssize_t start, Py_ssize_t stop,
    const int64_t[:, ::1] pv, const int64_t[:, ::1] wv, const uint8_t[::1] ov, int64_t period,
    int clock, int64_t per_clock, clocks
):
    """A part on its own: (first attempt, arrays of the heralds after it, last attempt, counts,
    (last clock, attempt that starts there)). None for attempts that are not there; the last is
    None too where it is the first."""
    cdef int64_t origin = clocks[0], first = clocks[1]
    arrays = [np.empty(stop - start, dtype) for dtype in DTYPES]
    cdef int64_t[::1] av = arrays[0], hv = arrays[3]
    cdef uint8_t[::1] rv = arrays[1], qv = arrays[2]
    cdef Py_ssize_t k, w, m = 0, windows = wv.shape[0]
    cdef int64_t clicks = 0, outside = 0, attempts = 0, offset, phase, place
    cdef int groups = 0
    cdef attempt_state now, head
    cdef uint8_t outcome, bit
    cdef bint watched
    now.pattern = 0
    with nogil:
        for k in range(start, stop):
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
            if now.pattern and offset != now.attempt:
                if groups == 0:
                    head = now
                    groups = 1
                else:
                    attempts += 1
                    outcome = <uint8_t>REPEATED if now.repeated else ov[now.pattern]
                    if outcome:
                        av[m], rv[m], qv[m], hv[m] = (
                            now.attempt, outcome, now.pattern, now.last_click
                        )
                        m += 1
                now.pattern = 0
            if not now.pattern:
                now.repeated = False
            bit = 1 << place
            now.attempt = offset
            now.end = tv[k] - phase + period
            now.repeated = now.repeated or (now.pattern & bit) != 0
            now.pattern |= bit
            now.last_click = tv[k]
    av, rv, qv, hv = None, None, None, None
    inner = tuple([array[:m] for array in arrays])
    last = listed(&now) if now.pattern else None
    if groups == 0:
        head_of, tail_of = last, None
    else:
        head_of, tail_of = listed(&head), last
    return head_of, inner, tail_of, (clicks, outside, attempts), (origin, first)


cdef tuple listed(const attempt_state *attempt):
    return (
        attempt.attempt, attempt.pattern, attempt.repeated != 0, attempt.last_click, attempt.end
    )
