"""Decoders of S-Fifteen's TDC1 words and TDC2 events to integer picoseconds and channels.

Each part of the words is surveyed first: how many tags it has and, where there are several, how far
it takes the clock. The sums tell each part where to write and from which time on.
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
    int64_t time, uint32_t pattern, int64_t *times, uint8_t *channels, Py_ssize_t at
) noexcept nogil:
    """One tag a channel bit, channels from 1; the place for the next."""
    cdef int bit
    for bit in range(4):
        if pattern >> bit & 1:
            times[at] = time
            channels[at] = bit + 1
            at += 1
    return at


cdef Py_ssize_t tags_in(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, int stride, int offset
):
    """Tags of the words, or of the low words of events."""
    cdef Py_ssize_t k, tags = 0
    cdef uint32_t word
    with nogil:
        for k in range(start, stop):
            word = words[stride * k + offset]
            tags += 0 if word & MARKER_BIT else channels_in(word & PATTERN_MASK)
    return tags


cdef tuple room_for(Py_ssize_t tags):
    """Arrays for the tags, of at least one place, so that there is a first."""
    return np.empty(max(tags, 1), dtype=np.int64), np.empty(max(tags, 1), dtype=np.uint8)


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

    def count(part):
        start, stop = parts[part]
        return tags_in(wv, start, stop, 1, 0)

    def wrapped(part):
        start, stop = parts[part]
        return tdc1_wraps(wv, start, stop, before(part))

    def decode(part):
        start, stop = parts[part]
        return tdc1_part(
            wv, start, stop, before(part), turns[part], time_ps, channel, places[part]
        )

    places = running(0, in_threads(count, len(parts), threads))
    turns = [wraps]
    if len(parts) > 1:
        turns = running(wraps, in_threads(wrapped, len(parts), threads))
        if turns[len(parts)] > TDC1_MOST_WRAPS:
            # One walk finds the word that leads too far, and raises.
            return decode_tdc1(words, wraps, last_raw)
    time_ps, channel = room_for(places[len(parts)])
    done = in_threads(decode, len(parts), threads)
    late, reached = done[len(done) - 1]
    if late >= 0:
        raise ValueError(f"decode_tdc1: word {late} brings the time beyond 2^62 ps")
    tags = places[len(parts)]
    return time_ps[:tags], channel[:tags], reached, int(wv[n - 1] >> 5) if n else last_raw


cdef int64_t tdc1_wraps(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, uint32_t previous
):
    """How often the counter wraps in the part."""
    cdef Py_ssize_t k
    cdef int64_t turns = 0
    with nogil:
        for k in range(start, stop):
            turns += words[k] >> 5 < previous
            previous = words[k] >> 5
    return turns


cdef tuple tdc1_part(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, uint32_t previous, int64_t turns,
    int64_t[::1] times, uint8_t[::1] channels, Py_ssize_t at
):
    """Decode one part: the word with one wrap too many or -1, and the wraps after it."""
    cdef int64_t *to_times = &times[0]
    cdef uint8_t *to_channels = &channels[0]
    cdef Py_ssize_t k, late = -1
    cdef uint32_t word
    with nogil:
        for k in range(start, stop):
            word = words[k]
            if word >> 5 < previous:
                turns += 1
                if turns > TDC1_MOST_WRAPS:
                    late = k
                    break
            previous = word >> 5
            if not word & MARKER_BIT:
                at = put(
                    (turns * TDC1_RANGE + <int64_t>previous) * TDC1_LSB_PS, word & PATTERN_MASK,
                    to_times, to_channels, at,
                )
    return late, turns


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

    def count(part):
        start, stop = parts[part]
        return tags_in(wv, start, stop, 2, low_at)

    def survey(part):
        start, stop = parts[part]
        return tdc2_way(wv, start, stop, low_at, before(part))

    def decode(part):
        start, stop = parts[part]
        return tdc2_part(wv, start, stop, low_at, ticks[part], time_ps, channel, places[part])

    places = running(0, in_threads(count, len(parts), threads))
    ticks = [start_ticks]
    if len(parts) > 1:
        ways = in_threads(survey, len(parts), threads)
        ticks = running(start_ticks, [way for way, _, _ in ways])
        for before_it, (_, least, most) in zip(ticks[: len(parts)], ways, strict=True):
            if before_it + least < -TDC2_LIMIT or before_it + most > TDC2_LIMIT:
                # One walk finds the event that leads too far, and raises.
                return decode_tdc2(words, high_first, last_ticks)
    time_ps, channel = room_for(places[len(parts)])
    done = in_threads(decode, len(parts), threads)
    late, _, reached = done[len(done) - 1]
    if late >= 0:
        raise ValueError(f"decode_tdc2: event {late} brings the time beyond +-2^62 ps")
    tags = places[len(parts)]
    return time_ps[:tags], channel[:tags], sum(markers for _, markers, _ in done), reached


cdef inline int64_t tdc2_raw(const uint32_t[::1] words, Py_ssize_t k, int low_at) noexcept nogil:
    return ((<int64_t>words[2 * k + 1 - low_at]) << 22) + (words[2 * k + low_at] >> 10)


cdef inline int64_t tdc2_step(int64_t raw, int64_t ticks) noexcept nogil:
    """From these ticks to the nearest turn of the raw time."""
    cdef int64_t step = (raw - ticks) & (TDC2_TURN - 1)
    return step if step < TDC2_TURN // 2 else step - TDC2_TURN


cdef tuple tdc2_way(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, int low_at, int64_t previous
):
    """How far the part takes the ticks, and the least and most on the way.

    `previous` need only be right up to whole turns. It ends early where that leads out of range.
    """
    cdef Py_ssize_t k
    cdef int64_t way = 0, least = 0, most = 0, raw
    with nogil:
        for k in range(start, stop):
            raw = tdc2_raw(words, k, low_at)
            way += tdc2_step(raw, previous)
            previous = raw
            least = way if way < least else least
            most = way if way > most else most
            if most - least > 4 * TDC2_LIMIT:
                break
    return way, least, most


cdef tuple tdc2_part(
    const uint32_t[::1] words, Py_ssize_t start, Py_ssize_t stop, int low_at, int64_t ticks,
    int64_t[::1] times, uint8_t[::1] channels, Py_ssize_t at
):
    """Decode one part: the event out of range or -1, the markers, and the ticks after it."""
    cdef int64_t *to_times = &times[0]
    cdef uint8_t *to_channels = &channels[0]
    cdef Py_ssize_t k, late = -1
    cdef int64_t markers = 0
    cdef uint32_t low
    with nogil:
        for k in range(start, stop):
            ticks += tdc2_step(tdc2_raw(words, k, low_at), ticks)
            if ticks > TDC2_LIMIT or ticks < -TDC2_LIMIT:
                late = k
                break
            low = words[2 * k + low_at]
            if low & MARKER_BIT:
                markers += 1
                continue
            # 1/256 ns = 125/32 ps; whole and rest apart, so that the product stays in int64.
            at = put(
                (ticks >> 5) * 125 + (((ticks & 31) * 125 + 16) >> 5), low & PATTERN_MASK,
                to_times, to_channels, at,
            )
    return late, markers, ticks
