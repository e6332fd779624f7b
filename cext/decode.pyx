"""Decoders from recorded or streamed time-tag words to integer picoseconds and channels."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

import numpy as np

from cext._common cimport checked_array

cdef enum:
    TDC1_RANGE = 1 << 27
    TDC1_LSB_PS = 2000
    MARKER_BIT = 0x10
    PATTERN_MASK = 0x0F

    PICOHARP = 0
    HYDRAHARP1 = 1
    GENERIC = 2

    PICOHARP_WRAP = 210698240
    HYDRAHARP1_WRAP = 33552000
    GENERIC_WRAP = 1 << 25

    OVERFLOW = 63
    NOT_SPECIAL = 64

VARIANTS = {"picoharp": PICOHARP, "hydraharp1": HYDRAHARP1, "generic": GENERIC}


cdef inline int channels_in(uint32_t pattern) noexcept nogil:
    return (pattern & 1) + (pattern >> 1 & 1) + (pattern >> 2 & 1) + (pattern >> 3 & 1)


def decode_tdc1(words, wraps=0, last_raw=0):
    """Tags of S-Fifteen TDC1 words: (time_ps int64[n], channel uint8[n], wraps, last_raw).

    A word holds a 27-bit time of 2 ns per LSB, a marker bit and four channel bits. Each channel bit
    gives one tag, channels from 1, ascending within a word; words keep their order. A word whose
    time lies before its predecessor's means that the counter wrapped; marker words give no tag but
    take part in this. Pass `wraps` and `last_raw` of one call to the next: the result does not
    depend on how a stream is cut.
    """
    cdef const uint32_t[::1] wv = checked_array("decode_tdc1", "words", words, np.uint32)
    cdef Py_ssize_t k, n = wv.shape[0], count = 0
    cdef uint32_t word, pattern
    cdef int bit
    if wraps < 0 or not 0 <= last_raw < TDC1_RANGE:
        raise ValueError(
            f"decode_tdc1: found wraps {wraps} and last_raw {last_raw}, "
            f"expected wraps >= 0 and 0 <= last_raw < {TDC1_RANGE}"
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
    return time_ps, channel, int(turns), int(previous)


def decode_tdc2(words, high_first=False, last_ticks=None):
    """Tags of S-Fifteen TDC2 events: (time_ps int64[n], channel uint8[n], markers, last_ticks).

    `words` are two uint32 an event, low word first or (legacy) high word first. The 54-bit time in
    units of 1/256 ns is unwrapped to the turn nearest the event before it, so a step back stays a
    step back, and is rounded to integer ps, ties up. Marker events give no tag and are counted.
    Pass `last_ticks` of one call to the next: the result does not depend on how a stream is cut.
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
    cdef bint started = last_ticks is not None
    cdef int bit
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
    return time_ps, channel, int(markers), int(ticks) if started else None


def decode_picoquant_t2(records, resolution_ps, variant="generic", overflow_ticks=0):
    """Tags of PicoQuant T2 records.

    Returns (time_ps int64[n], channel uint8[n], marker_ps int64[m], marker uint8[m], overflows,
    overflow_ticks). Channel 0 is SYNC, channel c + 1 is input c; `marker` holds marker bits 1..15.
    `overflows` counts roll-overs of the 25-bit (PicoHarp 28-bit) time field, not lost data.
    `variant` is "picoharp" (channel 15 is special; its low four bits are 0 for an overflow and else
    marker bits; channels 0 to 4 as printed on it), "hydraharp1" (each overflow record is one turn of 33552000) or "generic" (the tag
    field of an overflow record is the number of turns of 2^25, 0 meaning 1). Pass `overflow_ticks`
    of one call to the next.
    """
    cdef const uint32_t[::1] rv = checked_array(
        "decode_picoquant_t2", "records", records, np.uint32
    )
    if variant not in VARIANTS:
        raise ValueError(
            f"decode_picoquant_t2: unknown variant {variant!r}, expected one of {sorted(VARIANTS)}"
        )
    if not 0 < resolution_ps < 2**31 or overflow_ticks < 0:
        raise ValueError(
            f"decode_picoquant_t2: found resolution {resolution_ps} ps and overflow_ticks "
            f"{overflow_ticks}, expected 1 .. 2^31 - 1 ps and at least 0"
        )
    cdef int kind = VARIANTS[variant]
    cdef int64_t resolution = resolution_ps, base = overflow_ticks
    cdef int64_t limit = ((<int64_t>1) << 62) // resolution
    cdef Py_ssize_t k, n = rv.shape[0], tags = 0, marks = 0, too_late = -1
    cdef uint32_t record, field, source
    cdef int64_t overflows = 0, time
    with nogil:
        for k in range(n):
            if is_special(rv[k], kind):
                source = special_source(rv[k], kind)
                if source == 0:
                    tags += 1
                elif source != OVERFLOW:
                    marks += 1
            else:
                tags += 1
    time_ps = np.empty(tags, dtype=np.int64)
    channel = np.empty(tags, dtype=np.uint8)
    marker_ps = np.empty(marks, dtype=np.int64)
    marker = np.empty(marks, dtype=np.uint8)
    cdef int64_t[::1] tv = time_ps
    cdef uint8_t[::1] cv = channel
    cdef int64_t[::1] mtv = marker_ps
    cdef uint8_t[::1] mv = marker
    tags = 0
    marks = 0
    with nogil:
        for k in range(n):
            record = rv[k]
            field = record & (0x0FFFFFFF if kind == PICOHARP else 0x01FFFFFF)
            source = NOT_SPECIAL
            if is_special(record, kind):
                source = special_source(record, kind)
            if source == OVERFLOW:
                if kind == GENERIC:
                    overflows += field if field else 1
                    base += GENERIC_WRAP * <int64_t>(field if field else 1)
                else:
                    overflows += 1
                    base += PICOHARP_WRAP if kind == PICOHARP else HYDRAHARP1_WRAP
                if base > limit:
                    too_late = k
                    break
                continue
            time = (base + field) * resolution
            if source == NOT_SPECIAL or source == 0:
                tv[tags] = time
                if source == 0:
                    cv[tags] = 0
                elif kind == PICOHARP:
                    cv[tags] = record >> 28
                else:
                    cv[tags] = (record >> 25) + 1
                tags += 1
            else:
                mtv[marks] = time
                mv[marks] = source
                marks += 1
    if too_late >= 0:
        raise ValueError(
            f"decode_picoquant_t2: the overflow record {too_late} brings the time beyond 2^62 ps"
        )
    return time_ps, channel, marker_ps, marker, int(overflows), int(base)


cdef inline bint is_special(uint32_t record, int kind) noexcept nogil:
    return (record >> 28) == 0xF if kind == PICOHARP else (record >> 31) == 1


cdef inline uint32_t special_source(uint32_t record, int kind) noexcept nogil:
    """What a special record tells: 0 is SYNC, 1 to 62 marker bits, OVERFLOW a roll-over."""
    if kind == PICOHARP:
        return record & 0xF if record & 0xF else OVERFLOW
    return record >> 25 & 0x3F
