"""Decoders of S-Fifteen's TDC1 words and TDC2 events to integer picoseconds and channels.

Each part of the words is surveyed first: how many tags it has and how far it takes the clock. The
sums tell each part where to write and from which time on, so that threads can share the decoding.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

import numpy as np

from cext._common cimport checked_array

from cext.threads import checked_threads, in_threads, running, spans

cdef enum:
    TDC1_RANGE = 134217728  # 2^27
    TDC1_LSB_PS = 2000
    # 2^62 ps / (2^27 * 2000 ps); a stream gets there after 53 days.
    TDC1_MOST_WRAPS = 17179869
    MARKER_BIT = 0x10
    PATTERN_MASK = 0x0F

cdef int64_t TDC2_TURN = (<int64_t>1) << 54
# 2^62 ps in units of 1/256 ns.
cdef int64_t TDC2_LIMIT = ((<int64_t>1) << 62) // 125 * 32


cdef inline int channels_in(uint32_t pattern) noexcept nogil:
    return (pattern & 1) + (pattern >> 1 & 1) + (pattern >> 2 & 1) + (pattern >> 3 & 1)


cdef inline Py_ssize_t put(
    int64_t time, uint32_t pattern, int64_t[::1] times, uint8_t[::1] channels, Py_ssize_t at
) noexcept nogil:
    """One tag a channel bit, channels from 1; the place for the next."""
    cdef int bit
    for bit in range(4):
        if pattern >> bit & 1:
            times[at] = time
            channels[at] = bit + 1
            at += 1
    return at


def decode_tdc1(words, wraps=0, last_raw=0, *, threads=1):
    """Tags of S-Fifteen TDC1 words: (time_ps int64[n], channel uint8[n], wraps, last_raw).

    A word holds a 27-bit time of 2 ns per LSB, a marker bit and four channel bits. Each channel bit
    gives one tag, channels from 1, ascending within a word; words keep their order. A word whose
    time lies before its predecessor's means that the counter wrapped; marker words give no tag but
    take part in this. Pass `wraps` and `last_raw` of one call to the next: the result does not
    depend on how a stream is cut. ValueError where a word leads beyond 2^62 ps.
    """
    cdef const uint32_t[::1] wv = checked_array("decode_tdc1", "words", words, np.uint32)
    cdef Py_ssize_t k, n = wv.shape[0]
    if not 0 <= wraps <= TDC1_MOST_WRAPS or not 0 <= last_raw < TDC1_RANGE:
        raise ValueError(
            f"decode_tdc1: found wraps {wraps} and last_raw {last_raw}, expected wraps from 0 to "
            f"{TDC1_MOST_WRAPS}, which is 2^62 ps, and 0 <= last_raw < {TDC1_RANGE}"
        )
    threads = checked_threads("decode_tdc1", threads, n)
    parts = spans(n, threads)

    def before(part):
        start = parts[part][0]
        return wv[start - 1] >> 5 if start else last_raw

    def survey(part):
        start, stop = parts[part]
        return tdc1_survey(wv, start, stop, before(part))

    def decode(part):
        start, stop = parts[part]
        tdc1_part(wv, start, stop, before(part), turns[part], time_ps, channel, places[part])

    surveys = in_threads(survey, len(parts), threads)
    places = running(0, [tags for tags, _ in surveys])
    turns = running(wraps, [wrapped for _, wrapped in surveys])
    if turns[len(parts)] > TDC1_MOST_WRAPS:
        raise ValueError(
            f"decode_tdc1: word {tdc1_too_late(wv, last_raw, wraps)} brings the time beyond 2^62 ps"
        )
    time_ps = np.empty(places[len(parts)], dtype=np.int64)
    channel = np.empty(places[len(parts)], dtype=np.uint8)
    in_threads(decode, len(parts), threads)
    return time_ps, channel, turns[len(parts)], int(wv[n - 1] >> 5) if n else last_raw


cdef tuple tdc1_survey(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, uint32_t previous
):
    """Tags of the part, and wraps of the counter in it."""
    cdef Py_ssize_t k
    cdef int64_t tags = 0, turns = 0
    with nogil:
        for k in range(start, stop):
            turns += words[k] >> 5 < previous
            previous = words[k] >> 5
            if not words[k] & MARKER_BIT:
                tags += channels_in(words[k] & PATTERN_MASK)
    return tags, turns


cdef Py_ssize_t tdc1_too_late(const uint32_t[::1] words, uint32_t previous, int64_t turns):
    """The word whose wrap is one too many."""
    cdef Py_ssize_t k
    for k in range(words.shape[0]):
        turns += words[k] >> 5 < previous
        previous = words[k] >> 5
        if turns > TDC1_MOST_WRAPS:
            break
    return k


cdef int tdc1_part(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, uint32_t previous, int64_t turns,
    int64_t[::1] times, uint8_t[::1] channels, Py_ssize_t at
) except -1:
    cdef Py_ssize_t k
    cdef uint32_t word
    with nogil:
        for k in range(start, stop):
            word = words[k]
            turns += word >> 5 < previous
            previous = word >> 5
            if not word & MARKER_BIT:
                at = put(
                    (turns * TDC1_RANGE + <int64_t>previous) * TDC1_LSB_PS, word & PATTERN_MASK,
                    times, channels, at,
                )
    return 0


def decode_tdc2(words, high_first=False, last_ticks=None, *, threads=1):
    """Tags of S-Fifteen TDC2 events: (time_ps int64[n], channel uint8[n], markers, last_ticks).

    `words` are two uint32 an event, low word first or (legacy) high word first. The 54-bit time in
    units of 1/256 ns is unwrapped to the turn nearest the event before it, so a step back stays a
    step back, and is rounded to integer ps, ties up. Marker events give no tag and are counted.
    Pass `last_ticks` of one call to the next: the result does not depend on how a stream is cut.
    ValueError where an event leads beyond +-2^62 ps.
    """
    cdef const uint32_t[::1] wv = checked_array("decode_tdc2", "words", words, np.uint32)
    if wv.shape[0] % 2:
        raise ValueError(f"decode_tdc2: found {wv.shape[0]} words, expected two an event")
    if last_ticks is not None and not -TDC2_LIMIT <= last_ticks <= TDC2_LIMIT:
        raise ValueError(
            f"decode_tdc2: found last_ticks {last_ticks}, expected a value within +-2^62 ps, "
            f"which is {TDC2_LIMIT} ticks"
        )
    cdef Py_ssize_t n = wv.shape[0] // 2
    cdef int low_at = 1 if high_first else 0
    threads = checked_threads("decode_tdc2", threads, n)
    if n == 0:
        return np.empty(0, np.int64), np.empty(0, np.uint8), 0, last_ticks
    start_ticks = tdc2_raw(wv, 0, low_at) if last_ticks is None else last_ticks
    parts = spans(n, threads)

    def before(part):
        start = parts[part][0]
        return tdc2_raw(wv, start - 1, low_at) if start else start_ticks

    def survey(part):
        start, stop = parts[part]
        return tdc2_survey(wv, start, stop, low_at, before(part))

    def decode(part):
        start, stop = parts[part]
        tdc2_part(wv, start, stop, low_at, ticks[part], time_ps, channel, places[part])

    surveys = in_threads(survey, len(parts), threads)
    ticks = running(start_ticks, [found[2] for found in surveys])
    for part, (_, _, _, least, most) in enumerate(surveys):
        if ticks[part] + least < -TDC2_LIMIT or ticks[part] + most > TDC2_LIMIT:
            late = tdc2_too_late(wv, parts[part][0], low_at, ticks[part])
            raise ValueError(f"decode_tdc2: event {late} brings the time beyond +-2^62 ps")
    places = running(0, [found[0] for found in surveys])
    time_ps = np.empty(places[len(parts)], dtype=np.int64)
    channel = np.empty(places[len(parts)], dtype=np.uint8)
    in_threads(decode, len(parts), threads)
    return time_ps, channel, sum(found[1] for found in surveys), ticks[len(parts)]


cdef inline int64_t tdc2_raw(const uint32_t[::1] words, Py_ssize_t k, int low_at) noexcept nogil:
    return ((<int64_t>words[2 * k + 1 - low_at]) << 22) + (words[2 * k + low_at] >> 10)


cdef inline int64_t tdc2_step(int64_t raw, int64_t ticks) noexcept nogil:
    """From these ticks to the nearest turn of the raw time."""
    cdef int64_t step = (raw - ticks) & (TDC2_TURN - 1)
    return step if step < TDC2_TURN // 2 else step - TDC2_TURN


cdef tuple tdc2_survey(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, int low_at, int64_t previous
):
    """Tags and markers of the part, how far it takes the ticks, and the least and most on the way.

    `previous` need only be right up to whole turns. It ends early where that leads out of range.
    """
    cdef Py_ssize_t k
    cdef int64_t tags = 0, markers = 0, sum = 0, least = 0, most = 0, raw
    cdef uint32_t low
    with nogil:
        for k in range(start, stop):
            raw = tdc2_raw(words, k, low_at)
            sum += tdc2_step(raw, previous)
            previous = raw
            if sum < least:
                least = sum
                if sum < -2 * TDC2_LIMIT:
                    break
            elif sum > most:
                most = sum
                if sum > 2 * TDC2_LIMIT:
                    break
            low = words[2 * k + low_at]
            if low & MARKER_BIT:
                markers += 1
            else:
                tags += channels_in(low & PATTERN_MASK)
    return tags, markers, sum, least, most


cdef Py_ssize_t tdc2_too_late(
    const uint32_t[::1] words, Py_ssize_t start, int low_at, int64_t ticks
):
    """The first event from `start` on that leads out of range."""
    cdef Py_ssize_t k
    for k in range(start, words.shape[0] // 2):
        ticks += tdc2_step(tdc2_raw(words, k, low_at), ticks)
        if ticks > TDC2_LIMIT or ticks < -TDC2_LIMIT:
            break
    return k


cdef int tdc2_part(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, int low_at, int64_t ticks,
    int64_t[::1] times, uint8_t[::1] channels, Py_ssize_t at
) except -1:
    cdef Py_ssize_t k
    cdef uint32_t low
    with nogil:
        for k in range(start, stop):
            ticks += tdc2_step(tdc2_raw(words, k, low_at), ticks)
            low = words[2 * k + low_at]
            if not low & MARKER_BIT:
                # 1/256 ns = 125/32 ps; whole and rest apart, so that the product stays in int64.
                at = put(
                    (ticks >> 5) * 125 + (((ticks & 31) * 125 + 16) >> 5), low & PATTERN_MASK,
                    times, channels, at,
                )
    return 0
