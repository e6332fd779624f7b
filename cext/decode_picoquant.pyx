"""Decoder of PicoQuant's T2 records to integer picoseconds and channels; T3 has its own file."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

import numpy as np

from cext._common cimport checked_array
from cext._picoquant cimport (
    T2_GENERIC,
    T2_HYDRAHARP1,
    T2_PICOHARP,
    kind_of,
    t2_decode,
    t2_field,
    t2_is_tag,
    t2_marker,
    t2_state,
    t2_survey,
    t2_turns,
    t2_wrap,
)

from cext.decode_picoquant_t3 import decode_picoquant_t3
from cext.paths import path_level
from cext.threads import checked_threads, in_threads, running, spans

__all__ = ["VARIANTS", "decode_picoquant_t2", "decode_picoquant_t3"]

cdef int64_t LIMIT_PS = (<int64_t>1) << 62

VARIANTS = {"picoharp": T2_PICOHARP, "hydraharp1": T2_HYDRAHARP1, "generic": T2_GENERIC}


def decode_picoquant_t2(
    records, resolution_ps, variant="generic", overflow_ticks=0, out=None, *, threads=1, path=None
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
    `path` is one of `cext.paths.available_paths()`; AVX2 adds nothing to the portable one here.
    ValueError where an overflow leads beyond 2^62 ps.
    """
    cdef const uint32_t[::1] rv = checked_array(
        "decode_picoquant_t2", "records", records, np.uint32
    )
    cdef int kind = kind_of("decode_picoquant_t2", variant)
    cdef int level = path_level(path)
    if not 0 < resolution_ps < 2**31 or not 0 <= overflow_ticks <= LIMIT_PS // resolution_ps:
        raise ValueError(
            f"decode_picoquant_t2: found resolution {resolution_ps} ps and overflow_ticks "
            f"{overflow_ticks}, expected 1 .. 2^31 - 1 ps and ticks from 0 to 2^62 ps"
        )
    cdef uint32_t resolution = resolution_ps
    cdef int64_t limit = LIMIT_PS // resolution
    cdef Py_ssize_t n = rv.shape[0]
    threads = checked_threads("decode_picoquant_t2", threads, n)
    parts = spans(n, threads) if threads > 1 else [(0, n)]
    # One walk knows its base and where to write as it goes; of several, each has to be told.
    places, bases = [0, n], [overflow_ticks]
    if len(parts) > 1:
        surveys = in_threads(lambda part: survey(rv, kind, *parts[part]), len(parts), threads)
        places = running(0, [tags for tags, _ in surveys])
        bases = running(overflow_ticks, [turns * t2_wrap(kind) for _, turns in surveys])
        if bases[len(parts)] > limit:
            # One walk finds the record that leads too far, and raises.
            parts, places, threads = spans(n, 1), [0, n], 1
    if out is None:
        time_ps = np.empty(places[len(parts)], dtype=np.int64)
        channel = np.empty(places[len(parts)], dtype=np.uint8)
    else:
        time_ps = checked_array("decode_picoquant_t2", "out[0]", out[0], np.int64)
        channel = checked_array("decode_picoquant_t2", "out[1]", out[1], np.uint8)
        if len(time_ps) < n or len(channel) < n:
            raise ValueError(
                f"decode_picoquant_t2: out has room for {len(time_ps)} times and {len(channel)} "
                f"channels, expected at least {n}, one a record"
            )

    if len(parts) == 1:
        tags, markers, overflows, base, too_late = t2_part(
            rv, kind, resolution, limit, overflow_ticks, time_ps[:n], channel[:n], level
        )
    else:

        def decode(part):
            start, stop = parts[part]
            room = slice(places[part], places[part + 1])
            return t2_part(
                rv[start:stop], kind, resolution, limit, bases[part], time_ps[room],
                channel[room], level,
            )

        found = in_threads(decode, len(parts), threads)
        tags, markers, overflows = (sum(column) for column in list(zip(*found, strict=True))[:3])
        _, _, _, base, too_late = found[len(parts) - 1]
    if too_late >= 0:
        raise ValueError(
            f"decode_picoquant_t2: the overflow record {too_late} brings the time beyond 2^62 ps"
        )
    if out is None and tags < len(time_ps):
        # How many tags there are shows only now; giving room back costs less than counting first.
        time_ps.resize(tags, refcheck=False)
        channel.resize(tags, refcheck=False)
    elif out is not None:
        time_ps, channel = time_ps[:tags], channel[:tags]
    if markers:
        marker_ps, marker = t2_markers(rv, kind, resolution, overflow_ticks, markers)
    else:
        marker_ps, marker = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
    return time_ps, channel, marker_ps, marker, overflows, base


def survey(const uint32_t[::1] records, int kind, Py_ssize_t start, Py_ssize_t stop):
    """Tags and turns of records[start .. stop); internal."""
    cdef t2_state state = t2_state(0, 0, 0, 0, -1)
    if start < stop:
        with nogil:
            t2_survey(&records[start], stop - start, kind, &state)
    return state.tags, state.overflows


cdef tuple t2_part(
    const uint32_t[::1] records, int kind, uint32_t resolution, int64_t limit, int64_t base,
    int64_t[::1] times, uint8_t[::1] channels, int level
):
    """Decode one part: its tags, markers and roll-overs, the base after it, the record too late."""
    cdef t2_state state = t2_state(base, 0, 0, 0, -1)
    cdef int64_t no_time = 0
    cdef uint8_t no_channel = 0
    cdef int64_t room = times.shape[0]
    cdef int64_t *to_time = &times[0] if room else &no_time
    cdef uint8_t *to_channel = &channels[0] if room else &no_channel
    if records.shape[0]:
        with nogil:
            t2_decode(
                &records[0], records.shape[0], kind, resolution, limit, room, to_time, to_channel,
                &state, level,
            )
    return state.tags, state.markers, state.overflows, state.base_ticks, state.too_late


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
