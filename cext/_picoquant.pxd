"""The kinds of PicoQuant records, and the walk over T2 records in decode_t2.h."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

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
        int64_t limit_ticks, int64_t room, int64_t* time_ps, uint8_t* channel, t2_state* state,
        int path
    )
    void t2_survey(const uint32_t* records, int64_t count, int kind, t2_state* state)


cdef inline int kind_of(str kernel, object variant) except -1:
    if variant == "picoharp":
        return T2_PICOHARP
    if variant == "hydraharp1":
        return T2_HYDRAHARP1
    if variant == "generic":
        return T2_GENERIC
    raise ValueError(
        f"{kernel}: unknown variant {variant!r}, expected one of "
        "['generic', 'hydraharp1', 'picoharp']"
    )
