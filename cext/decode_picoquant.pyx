"""Decoders of PicoQuant's T2 and T3 records to integer picoseconds and channels."""

from fractions import Fraction

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

import numpy as np

from cext._common cimport checked_array

cdef extern from "decode_t2.h" nogil:
    enum:
        T2_PICOHARP
        T2_HYDRAHARP1
        T2_GENERIC
    ctypedef struct t2_state:
        int64_t base_ticks
        int64_t overflows
        int64_t tags
        int64_t markers
        int64_t too_late
    bint t2_is_tag(uint32_t record, int kind)
    uint32_t t2_marker(uint32_t record, int kind)
    uint32_t t2_field(uint32_t record, int kind)
    int64_t t2_turns(uint32_t record, int kind)
    int64_t t2_wrap(int kind)
    void t2_decode(
        const uint32_t* records, int64_t count, int kind, uint32_t resolution,
        int64_t limit_ticks, int64_t* time_ps, uint8_t* channel, t2_state* state
    )

cdef extern from "decode_fixed_point.h" nogil:
    uint64_t high_product(uint64_t a, uint64_t b)

cdef enum:
    T3_PICOHARP_WRAP = 65536
    T3_WRAP = 1024
    T3_OVERFLOW = 63

cdef int64_t LIMIT_PS = (<int64_t>1) << 62

VARIANTS = {"picoharp": T2_PICOHARP, "hydraharp1": T2_HYDRAHARP1, "generic": T2_GENERIC}


cdef int checked_kind(str kernel, object variant) except -1:
    if variant not in VARIANTS:
        raise ValueError(
            f"{kernel}: unknown variant {variant!r}, expected one of {sorted(VARIANTS)}"
        )
    return VARIANTS[variant]


def decode_picoquant_t2(
    records, resolution_ps, variant="generic", overflow_ticks=0, out=None
):
    """Tags of PicoQuant T2 records.

    Returns (time_ps int64[n], channel uint8[n], marker_ps int64[m], marker uint8[m], overflows,
    overflow_ticks). Channel 0 is SYNC, channel c + 1 is input c; `marker` holds marker bits 1..15.
    `overflows` counts roll-overs of the 25-bit (PicoHarp 28-bit) time field, not lost data.
    `variant` is "picoharp" (channel 15 is special; its low four bits are 0 for an overflow and else
    marker bits; channels 0 to 4 as printed on it), "hydraharp1" (each overflow record is one turn
    of 33552000) or "generic" (the tag field of an overflow record is the number of turns of 2^25, 0
    meaning 1). Pass `overflow_ticks` of one call to the next: the result does not depend on how a
    stream is cut. With `out`, two arrays (int64, uint8) of at least one place a record, the tags are
    written there and time_ps and channel are views of them; what lies behind them is overwritten.
    ValueError where an overflow leads beyond 2^62 ps.
    """
    cdef const uint32_t[::1] rv = checked_array(
        "decode_picoquant_t2", "records", records, np.uint32
    )
    cdef int kind = checked_kind("decode_picoquant_t2", variant)
    if not 0 < resolution_ps < 2**31 or not 0 <= overflow_ticks <= LIMIT_PS // resolution_ps:
        raise ValueError(
            f"decode_picoquant_t2: found resolution {resolution_ps} ps and overflow_ticks "
            f"{overflow_ticks}, expected 1 .. 2^31 - 1 ps and ticks from 0 to 2^62 ps"
        )
    cdef uint32_t resolution = resolution_ps
    cdef int64_t limit = LIMIT_PS // resolution
    cdef Py_ssize_t n = rv.shape[0]
    cdef t2_state state = t2_state(overflow_ticks, 0, 0, 0, -1)
    if out is None:
        time_ps, channel = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.uint8)
    else:
        time_ps = checked_array("decode_picoquant_t2", "out[0]", out[0], np.int64)
        channel = checked_array("decode_picoquant_t2", "out[1]", out[1], np.uint8)
        if len(time_ps) < n or len(channel) < n:
            raise ValueError(
                f"decode_picoquant_t2: out has room for {len(time_ps)} times and {len(channel)} "
                f"channels, expected at least {n}, one a record"
            )
    cdef int64_t[::1] tv = time_ps
    cdef uint8_t[::1] cv = channel
    if n:
        with nogil:
            t2_decode(&rv[0], n, kind, resolution, limit, &tv[0], &cv[0], &state)
    if state.too_late >= 0:
        raise ValueError(
            f"decode_picoquant_t2: the overflow record {state.too_late} brings the time beyond "
            "2^62 ps"
        )
    tv = None
    cv = None
    if out is None:
        # How many tags there are shows only now; giving room back costs less than counting first.
        time_ps.resize(state.tags, refcheck=False)
        channel.resize(state.tags, refcheck=False)
    else:
        time_ps, channel = time_ps[: state.tags], channel[: state.tags]
    if state.markers:
        marker_ps, marker = t2_markers(rv, kind, resolution, overflow_ticks, state.markers)
    else:
        marker_ps, marker = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
    return time_ps, channel, marker_ps, marker, state.overflows, state.base_ticks


cdef tuple t2_markers(
    const uint32_t[::1] rv, int kind, int64_t resolution, int64_t base, int64_t count
):
    """Times and bits of the markers; a pass of its own, as most recordings have none."""
    marker_ps = np.empty(count, dtype=np.int64)
    marker = np.empty(count, dtype=np.uint8)
    cdef int64_t[::1] mtv = marker_ps
    cdef uint8_t[::1] mv = marker
    cdef Py_ssize_t k, at = 0
    cdef uint32_t bits
    with nogil:
        for k in range(rv.shape[0]):
            if t2_is_tag(rv[k], kind):
                continue
            bits = t2_marker(rv[k], kind)
            if bits == 0:
                base += t2_turns(rv[k], kind) * t2_wrap(kind)
            else:
                mtv[at] = (base + t2_field(rv[k], kind)) * resolution
                mv[at] = bits
                at += 1
    return marker_ps, marker


def decode_picoquant_t3(
    records, sync_period_ps, resolution_ps, variant="generic", overflow_syncs=0
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
    cdef int kind = checked_kind("decode_picoquant_t3", variant)
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
    cdef uint64_t part = int(fixed) & (2**64 - 1)
    # Room for one turn of the counter, a delay of 15 bits and the rounding.
    cdef int64_t limit = (LIMIT_PS // <int64_t>(whole + 1))
    if not 0 <= overflow_syncs <= limit:
        raise ValueError(
            f"decode_picoquant_t3: found overflow_syncs {overflow_syncs}, "
            f"expected 0 to {limit}, which is 2^62 ps"
        )
    cdef int64_t resolution = resolution_ps, base = overflow_syncs, turns, pulse, overflows = 0
    cdef int64_t wrap = T3_PICOHARP_WRAP if kind == T2_PICOHARP else T3_WRAP
    cdef Py_ssize_t k, n = rv.shape[0], tags = 0, marks = 0, too_late = -1
    cdef uint32_t record, source, field, delay
    with nogil:
        for k in range(n):
            if not is_special(rv[k], kind):
                tags += 1
            elif t3_source(rv[k], kind) != T3_OVERFLOW:
                marks += 1
    time_ps = np.empty(tags, dtype=np.int64)
    channel = np.empty(tags, dtype=np.uint8)
    sync = np.empty(tags, dtype=np.int64)
    dtime = np.empty(tags, dtype=np.uint16)
    marker_ps = np.empty(marks, dtype=np.int64)
    marker = np.empty(marks, dtype=np.uint8)
    cdef int64_t[::1] tv = time_ps
    cdef uint8_t[::1] cv = channel
    cdef int64_t[::1] sv = sync
    cdef uint16_t[::1] dv = dtime
    cdef int64_t[::1] mtv = marker_ps
    cdef uint8_t[::1] mv = marker
    tags = 0
    marks = 0
    with nogil:
        for k in range(n):
            record = rv[k]
            field = record & (0xFFFF if kind == T2_PICOHARP else 0x3FF)
            pulse = base + field
            if not is_special(record, kind):
                delay = record >> 16 & 0xFFF if kind == T2_PICOHARP else record >> 10 & 0x7FFF
                tv[tags] = sync_time(pulse, whole, part) + delay * resolution
                cv[tags] = record >> 28 if kind == T2_PICOHARP else (record >> 25) + 1
                sv[tags] = pulse
                dv[tags] = delay
                tags += 1
                continue
            source = t3_source(record, kind)
            if source == T3_OVERFLOW:
                turns = field if kind == T2_GENERIC and field else 1
                overflows += turns
                base += turns * wrap
                if base > limit:
                    too_late = k
                    break
            else:
                mtv[marks] = sync_time(pulse, whole, part)
                mv[marks] = source
                marks += 1
    if too_late >= 0:
        raise ValueError(
            f"decode_picoquant_t3: the overflow record {too_late} brings the time beyond 2^62 ps"
        )
    return time_ps, channel, sync, dtime, marker_ps, marker, int(overflows), int(base)


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
