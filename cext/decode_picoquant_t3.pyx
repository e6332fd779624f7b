"""Decoder of PicoQuant's T3 records to integer picoseconds, channels, pulse numbers and delays."""

from fractions import Fraction

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

import numpy as np

from cext._common cimport checked_array
from cext._picoquant cimport T2_GENERIC, T2_PICOHARP, kind_of

from cext.threads import checked_threads, in_threads, running, spans

cdef extern from "decode_fixed_point.h" nogil:
    uint64_t high_product(uint64_t a, uint64_t b)

cdef enum:
    T3_PICOHARP_WRAP = 65536
    T3_WRAP = 1024
    T3_OVERFLOW = 63

cdef int64_t LIMIT_PS = (<int64_t>1) << 62
# So many turns are beyond 2^62 ps at any period.
cdef int64_t MOST_TURNS = (<int64_t>1) << 52


def decode_picoquant_t3(
    records, sync_period_ps, resolution_ps, variant="generic", overflow_syncs=0, *, threads=1
):
    """Tags of PicoQuant T3 records, whose time is a number of SYNC pulses and a delay after it.

    Returns (time_ps int64[n], channel uint8[n], sync int64[n], dtime uint16[n], marker_ps int64[m],
    marker uint8[m], overflows, overflow_syncs). `sync` counts SYNC pulses from 0, `dtime` is the
    delay after the pulse in steps of `resolution_ps`, and time_ps = floor(sync * sync_period_ps) +
    dtime * resolution_ps, which need not ascend. `sync_period_ps` is an int, float or Fraction,
    rounded up to a multiple of 2^-64 ps. Channel c + 1 is input c, as for T2; for "picoharp" the
    channels are as printed. `overflows` counts roll-overs of the pulse counter (2^10 pulses,
    PicoHarp 2^16). Variants as for T2. Pass `overflow_syncs` of one call to the next: the result
    does not depend on how a stream is cut. ValueError where the time leads beyond 2^62 ps.
    """
    cdef const uint32_t[::1] rv = checked_array(
        "decode_picoquant_t3", "records", records, np.uint32
    )
    cdef int kind = kind_of("decode_picoquant_t3", variant)
    if not 0 < resolution_ps < 2**31:
        raise ValueError(
            f"decode_picoquant_t3: found resolution {resolution_ps} ps, expected 1 .. 2^31 - 1 ps"
        )
    # A nan or an infinity fails this comparison, so that Fraction gets numbers only.
    if not 1 <= sync_period_ps < 2**40:
        raise ValueError(
            f"decode_picoquant_t3: found sync period {sync_period_ps} ps, expected 1 ps to 2^40 ps"
        )
    fixed = -(-(Fraction(sync_period_ps) * 2**64) // 1)
    cdef uint64_t whole = int(fixed) >> 64
    cdef uint64_t fraction = int(fixed) & (2**64 - 1)
    # Room for one turn of the counter, a delay of 15 bits and the rounding.
    cdef int64_t limit = (LIMIT_PS // <int64_t>(whole + 1))
    if not 0 <= overflow_syncs <= limit:
        raise ValueError(
            f"decode_picoquant_t3: found overflow_syncs {overflow_syncs}, "
            f"expected 0 to {limit}, which is 2^62 ps"
        )
    cdef Py_ssize_t n = rv.shape[0]
    cdef int64_t wrap = T3_PICOHARP_WRAP if kind == T2_PICOHARP else T3_WRAP
    threads = checked_threads("decode_picoquant_t3", threads, n)
    parts = spans(n, threads)
    surveys = in_threads(lambda part: survey(rv, kind, *parts[part]), len(parts), threads)
    tags = running(0, [found[0] for found in surveys])
    marks = running(0, [found[1] for found in surveys])
    syncs = running(overflow_syncs, [found[2] * wrap for found in surveys])
    if syncs[len(parts)] > limit:
        late = too_late(rv, kind, overflow_syncs, wrap, limit)
        raise ValueError(
            f"decode_picoquant_t3: the overflow record {late} brings the time beyond 2^62 ps"
        )
    time_ps = np.empty(tags[len(parts)], dtype=np.int64)
    channel = np.empty(tags[len(parts)], dtype=np.uint8)
    sync = np.empty(tags[len(parts)], dtype=np.int64)
    dtime = np.empty(tags[len(parts)], dtype=np.uint16)
    marker_ps = np.empty(marks[len(parts)], dtype=np.int64)
    marker = np.empty(marks[len(parts)], dtype=np.uint8)

    def decode(part):
        start, stop = parts[part]
        of_tags = slice(tags[part], tags[part + 1])
        of_marks = slice(marks[part], marks[part + 1])
        t3_part(
            rv[start:stop], kind, whole, fraction, resolution_ps, syncs[part], wrap,
            time_ps[of_tags], channel[of_tags], sync[of_tags], dtime[of_tags],
            marker_ps[of_marks], marker[of_marks],
        )

    in_threads(decode, len(parts), threads)
    overflows = sum(found[2] for found in surveys)
    return time_ps, channel, sync, dtime, marker_ps, marker, overflows, syncs[len(parts)]


def survey(const uint32_t[::1] records, int kind, Py_ssize_t start, Py_ssize_t stop):
    """Tags, markers and turns of records[start .. stop); ends early where all is too late; internal.
    """
    cdef Py_ssize_t k
    cdef int64_t tags = 0, marks = 0, turns = 0
    with nogil:
        for k in range(start, stop):
            if not is_special(records[k], kind):
                tags += 1
            elif t3_source(records[k], kind) != T3_OVERFLOW:
                marks += 1
            else:
                turns += t3_turns(records[k], kind)
                if turns > MOST_TURNS:
                    break
    return tags, marks, turns


cdef Py_ssize_t too_late(
    const uint32_t[::1] records, int kind, int64_t base, int64_t wrap, int64_t limit
):
    """The roll-over record that leads beyond the limit."""
    cdef Py_ssize_t k
    for k in range(records.shape[0]):
        if is_special(records[k], kind) and t3_source(records[k], kind) == T3_OVERFLOW:
            base += t3_turns(records[k], kind) * wrap
            if base > limit:
                break
    return k


cdef int t3_part(
    const uint32_t[::1] records, int kind, uint64_t whole, uint64_t part, int64_t resolution,
    int64_t base, int64_t wrap, int64_t[::1] times, uint8_t[::1] channels, int64_t[::1] syncs,
    uint16_t[::1] delays, int64_t[::1] marker_times, uint8_t[::1] markers
) except -1:
    """Decode one part into arrays that have just the room for it."""
    cdef Py_ssize_t k, tags = 0, marks = 0
    cdef uint32_t record, source, delay
    cdef int64_t pulse
    with nogil:
        for k in range(records.shape[0]):
            record = records[k]
            pulse = base + t3_field(record, kind)
            if not is_special(record, kind):
                delay = record >> 16 & 0xFFF if kind == T2_PICOHARP else record >> 10 & 0x7FFF
                times[tags] = sync_time(pulse, whole, part) + delay * resolution
                channels[tags] = record >> 28 if kind == T2_PICOHARP else (record >> 25) + 1
                syncs[tags] = pulse
                delays[tags] = delay
                tags += 1
                continue
            source = t3_source(record, kind)
            if source == T3_OVERFLOW:
                base += t3_turns(record, kind) * wrap
            else:
                marker_times[marks] = sync_time(pulse, whole, part)
                markers[marks] = source
                marks += 1
    return 0


cdef inline uint32_t t3_field(uint32_t record, int kind) noexcept nogil:
    return record & (0xFFFF if kind == T2_PICOHARP else 0x3FF)


cdef inline int64_t t3_turns(uint32_t record, int kind) noexcept nogil:
    cdef uint32_t field = t3_field(record, kind)
    return field if kind == T2_GENERIC and field else 1


cdef inline bint is_special(uint32_t record, int kind) noexcept nogil:
    return (record >> 28) == 0xF if kind == T2_PICOHARP else (record >> 31) == 1


cdef inline uint32_t t3_source(uint32_t record, int kind) noexcept nogil:
    """Marker bits of a special record, or T3_OVERFLOW."""
    if kind == T2_PICOHARP:
        # The delay field holds the marker bits and is zero for a roll-over.
        return record >> 16 & 0xF if record >> 16 & 0xFFF else T3_OVERFLOW
    return record >> 25 & 0x3F


cdef inline int64_t sync_time(int64_t pulse, uint64_t whole, uint64_t part) noexcept nogil:
    return <int64_t>(<uint64_t>pulse * whole + high_product(<uint64_t>pulse, part))
