"""Decoders from recorded or streamed time-tag words to integer picoseconds and channels.

All of them are found here; those of PicoQuant's records and of the packed form have their own files.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

import numpy as np

from cext._common cimport checked_array

from cext.decode_picoquant import VARIANTS, decode_picoquant_t2, decode_picoquant_t3

__all__ = [
    "VARIANTS",
    "decode_id900",
    "decode_picoquant_t2",
    "decode_picoquant_t3",
    "decode_tdc1",
    "decode_tdc2",
]

cdef enum:
    TDC1_RANGE = 134217728  # 2^27
    TDC1_LSB_PS = 2000
    # 2^62 ps / (2^27 * 2000 ps); a stream gets there after 53 days.
    TDC1_MOST_WRAPS = 17179869
    MARKER_BIT = 0x10
    PATTERN_MASK = 0x0F


cdef inline int channels_in(uint32_t pattern) noexcept nogil:
    return (pattern & 1) + (pattern >> 1 & 1) + (pattern >> 2 & 1) + (pattern >> 3 & 1)


def decode_tdc1(words, wraps=0, last_raw=0):
    """Tags of S-Fifteen TDC1 words: (time_ps int64[n], channel uint8[n], wraps, last_raw).

    A word holds a 27-bit time of 2 ns per LSB, a marker bit and four channel bits. Each channel bit
    gives one tag, channels from 1, ascending within a word; words keep their order. A word whose
    time lies before its predecessor's means that the counter wrapped; marker words give no tag but
    take part in this. Pass `wraps` and `last_raw` of one call to the next: the result does not
    depend on how a stream is cut. ValueError where a word leads beyond 2^62 ps.
    """
    cdef const uint32_t[::1] wv = checked_array("decode_tdc1", "words", words, np.uint32)
    cdef Py_ssize_t k, n = wv.shape[0], count = 0
    cdef Py_ssize_t too_late = -1
    cdef uint32_t word, pattern
    cdef int bit
    if not 0 <= wraps <= TDC1_MOST_WRAPS or not 0 <= last_raw < TDC1_RANGE:
        raise ValueError(
            f"decode_tdc1: found wraps {wraps} and last_raw {last_raw}, expected wraps from 0 to "
            f"{TDC1_MOST_WRAPS}, which is 2^62 ps, and 0 <= last_raw < {TDC1_RANGE}"
        )
    cdef int64_t turns = wraps, previous = last_raw, raw, time
    with nogil:
        for k in range(n):
            if not wv[k] & MARKER_BIT:
                count += channels_in(wv[k] & PATTERN_MASK)
    time_ps = np.empty(count, dtype=np.int64)
    channel = np.empty(count, dtype=np.uint8)
    cdef int64_t[::1] tv = time_ps
    cdef uint8_t[::1] cv = channel
    count = 0
    with nogil:
        for k in range(n):
            word = wv[k]
            raw = word >> 5
            if raw < previous:
                if turns == TDC1_MOST_WRAPS:
                    too_late = k
                    break
                turns += 1
            previous = raw
            if word & MARKER_BIT:
                continue
            pattern = word & PATTERN_MASK
            time = (turns * TDC1_RANGE + raw) * TDC1_LSB_PS
            for bit in range(4):
                if pattern >> bit & 1:
                    tv[count] = time
                    cv[count] = bit + 1
                    count += 1
    if too_late >= 0:
        raise ValueError(f"decode_tdc1: word {too_late} brings the time beyond 2^62 ps")
    return time_ps, channel, int(turns), int(previous)


def decode_tdc2(words, high_first=False, last_ticks=None):
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
    cdef Py_ssize_t k, n = wv.shape[0] // 2, count = 0
    cdef Py_ssize_t low_at = 1 if high_first else 0
    cdef uint32_t low, high, pattern
    cdef int64_t raw, delta, ticks, time, markers = 0
    cdef int64_t full = (<int64_t>1) << 54
    cdef int64_t half = (<int64_t>1) << 53
    # 2^62 ps in units of 1/256 ns.
    cdef int64_t limit = ((<int64_t>1) << 62) // 125 * 32
    cdef Py_ssize_t too_late = -1
    cdef bint started = last_ticks is not None
    cdef int bit
    if started and not -limit <= last_ticks <= limit:
        raise ValueError(
            f"decode_tdc2: found last_ticks {last_ticks}, expected a value within +-2^62 ps, "
            f"which is {limit} ticks"
        )
    ticks = last_ticks if started else 0
    with nogil:
        for k in range(n):
            low = wv[2 * k + low_at]
            if not low & MARKER_BIT:
                count += channels_in(low & PATTERN_MASK)
    time_ps = np.empty(count, dtype=np.int64)
    channel = np.empty(count, dtype=np.uint8)
    cdef int64_t[::1] tv = time_ps
    cdef uint8_t[::1] cv = channel
    count = 0
    with nogil:
        for k in range(n):
            low = wv[2 * k + low_at]
            high = wv[2 * k + 1 - low_at]
            raw = ((<int64_t>high) << 22) + (low >> 10)
            if started:
                delta = (raw - ticks) & (full - 1)
                ticks += delta if delta < half else delta - full
                if ticks > limit or ticks < -limit:
                    too_late = k
                    break
            else:
                ticks = raw
                started = True
            if low & MARKER_BIT:
                markers += 1
                continue
            pattern = low & PATTERN_MASK
            # 1/256 ns = 125/32 ps; whole and remainder apart, so that the product stays in int64.
            time = (ticks >> 5) * 125 + (((ticks & 31) * 125 + 16) >> 5)
            for bit in range(4):
                if pattern >> bit & 1:
                    tv[count] = time
                    cv[count] = bit + 1
                    count += 1
    if too_late >= 0:
        raise ValueError(f"decode_tdc2: event {too_late} brings the time beyond +-2^62 ps")
    return time_ps, channel, int(markers), int(ticks) if started else None


def decode_id900(words, channel, period_ps=0, reference_index=0, with_index=False):
    """Tags of one stream of an ID900 or ID1000: (time_ps int64[n], channel uint8[n], last_index).

    `words` are uint64 picoseconds that restart at every sub-acquisition (reference) of `period_ps`:
    time = word + period_ps * index. The index is `reference_index`, the number of the message that
    brought the words; or, `with_index`, the words are pairs of time and index, and
    `reference_index` is only given back where there are none. `channel` is the input that the stream
    belongs to. No state but the index: the result does not depend on how a stream is cut.
    ValueError, with the place, for a time beyond 2^62 ps and for half a pair.
    """
    cdef const uint64_t[::1] wv = checked_array("decode_id900", "words", words, np.uint64)
    cdef uint64_t limit = (<uint64_t>1) << 62
    cdef object span = 2**62
    if not 0 <= channel <= 255:
        raise ValueError(f"decode_id900: found channel {channel}, expected 0 to 255")
    if not 0 <= period_ps <= span or not 0 <= reference_index * max(period_ps, 1) <= span:
        raise ValueError(
            f"decode_id900: found period {period_ps} ps and reference_index {reference_index}, "
            "expected neither negative and their product at most 2^62 ps"
        )
    cdef Py_ssize_t stride = 2 if with_index else 1
    if wv.shape[0] % stride:
        raise ValueError(f"decode_id900: found {wv.shape[0]} words, expected two a tag")
    cdef Py_ssize_t k, n = wv.shape[0] // stride, too_late = -1
    cdef uint64_t period = period_ps, index = reference_index, word
    cdef uint64_t most = limit // period if period else limit
    time_ps = np.empty(n, dtype=np.int64)
    cdef int64_t[::1] tv = time_ps
    with nogil:
        for k in range(n):
            word = wv[stride * k]
            if stride == 2:
                index = wv[2 * k + 1]
            if index > most or word > limit - index * period:
                too_late = k
                break
            tv[k] = <int64_t>(word + index * period)
    if too_late >= 0:
        raise ValueError(
            f"decode_id900: tag {too_late}, {int(word)} ps after reference {int(index)} of "
            f"{period_ps} ps, lies beyond 2^62 ps"
        )
    return time_ps, np.full(n, channel, dtype=np.uint8), int(index)
