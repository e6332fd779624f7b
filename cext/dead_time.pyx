"""Dead time and after-pulse veto of a tag stream.

A tag that is not vetoed starts the next dead time, so whether one is kept depends on those before
it. Threads each begin their part as if nothing had clicked; then, part by part, the truth is walked
from the part's start only until it meets the guess: a channel's first tag that both keep, or a
pause as long as its dead time, ends all difference between them.
"""

from libc.stdint cimport int64_t, uint8_t

import numpy as np

from cext._common cimport check_times, checked_array
from cext._streams cimport check_stream, checked_table

from cext.threads import checked_threads, in_threads, spans

cdef int64_t LIMIT = (<int64_t>1) << 62
cdef int64_t NEVER = -LIMIT


def veto_after_clicks(time_ps, channel, veto_ps, last_ps, extended=False, *, threads=1):
    """Which tags of an ascending stream lie outside the dead time of their channel.

    Returns (keep bool[n], last_ps int64[256]). A tag is kept if it lies at least `veto_ps[channel]`
    (int64[256], 0 for none) after the last kept tag of its channel; `extended`, after the last tag
    of its channel whether kept or not, which also removes trains of after-pulses. `last_ps` are the
    times of those tags, `condition.NEVER_PS` at first; pass the returned one to the next call.
    """
    cdef const int64_t[::1] tv = checked_array("veto_after_clicks", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("veto_after_clicks", "channel", channel, np.uint8)
    cdef const int64_t[::1] dv = checked_table("veto_after_clicks", "veto_ps", veto_ps)
    cdef bint every = extended
    check_stream("veto_after_clicks", tv, cv)
    check_times("veto_after_clicks", "time_ps", tv)
    if veto_ps.min() < 0:
        raise ValueError(f"veto_after_clicks: veto_ps holds {veto_ps.min()} ps, expected 0 or more")
    now = checked_table("veto_after_clicks", "last_ps", last_ps).copy()
    threads = checked_threads("veto_after_clicks", threads, tv.shape[0])
    parts = spans(tv.shape[0], threads)
    keep = np.empty(tv.shape[0], dtype=np.uint8)

    def guess(part):
        start, stop = parts[part]
        last = np.full(256, NEVER, dtype=np.int64) if part else now.copy()
        veto_part(tv, cv, start, stop, dv, last, every, keep)
        return last

    guessed = in_threads(guess, len(parts), threads)
    now = guessed[0]
    for (start, stop), last in zip(parts[1:], guessed[1:], strict=True):
        meet_guess(tv, cv, start, stop, dv, now, last, every, keep)
    return keep.view(np.bool_), now


cdef int veto_part(
    const int64_t[::1] times, const uint8_t[::1] channels, Py_ssize_t start, Py_ssize_t stop,
    const int64_t[::1] veto, int64_t[::1] last, bint every, uint8_t[::1] keep
) except -1:
    cdef Py_ssize_t k
    cdef bint kept
    cdef uint8_t c
    with nogil:
        for k in range(start, stop):
            c = channels[k]
            kept = last[c] == NEVER or times[k] - last[c] >= veto[c]
            keep[k] = kept
            if kept or every:
                last[c] = times[k]
    return 0


cdef int meet_guess(
    const int64_t[::1] times, const uint8_t[::1] channels, Py_ssize_t start, Py_ssize_t stop,
    const int64_t[::1] veto, int64_t[::1] now, int64_t[::1] guessed, bint every, uint8_t[::1] keep
) except -1:
    """Mend a guessed part from the true last clicks `now`, which become those after the part."""
    # 0 for a channel that goes as guessed, 1 for one that has not clicked yet, 2 for one that differs.
    cdef uint8_t[256] differs
    cdef Py_ssize_t k
    cdef int c, left = 0
    cdef int64_t over = NEVER, end
    cdef bint kept, guess
    if start == stop:
        return 0
    with nogil:
        for c in range(256):
            differs[c] = now[c] != NEVER and times[start] - now[c] < veto[c]
            left += differs[c]
            if differs[c]:
                end = now[c] + veto[c] if now[c] < LIMIT - veto[c] else LIMIT
                over = end if end > over else over
        for k in range(start, stop):
            if times[k] >= over:
                # No dead time from before the part is left: the next click remains, as guessed.
                over = LIMIT
                for c in range(256):
                    if differs[c] == 1:
                        differs[c] = 0
                        left -= 1
            if left == 0:
                break
            c = channels[k]
            if not differs[c]:
                continue
            kept = times[k] - now[c] >= veto[c]
            guess = keep[k]
            keep[k] = kept
            differs[c] = 2
            if kept or every:
                now[c] = times[k]
            if every or (kept and guess):
                differs[c] = 0
                left -= 1
        for c in range(256):
            if not differs[c] and guessed[c] != NEVER:
                now[c] = guessed[c]
    return 0
