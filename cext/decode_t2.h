/* The inner loop of the PicoQuant T2 decoder.
 *
 * Tags come in runs between the few records that are none (roll-overs and markers). A bit mask of
 * 64 records tells where those are; each run is decoded in steps of 16 records without a branch,
 * which compilers turn into vector code of whatever width the target has. A step may write past
 * the end of its run: what follows overwrites it, and the arrays hold a place for every record.
 *
 * With AVX-512 sixteen records are taken at once whatever is among them: those that are no tags are
 * compressed away, and the lanes behind a roll-over get the base that follows it.
 */
#ifndef QNODEOS_DECODE_T2_H
#define QNODEOS_DECODE_T2_H

#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "decode_bits.h"
#include "dispatch.h"

enum { T2_PICOHARP = 0, T2_HYDRAHARP1 = 1, T2_GENERIC = 2 };

enum {
    T2_PICOHARP_WRAP = 210698240,
    T2_HYDRAHARP1_WRAP = 33552000,
    T2_GENERIC_WRAP = 1 << 25
};

enum { T2_GROUP = 64, T2_STEP = 16 };

/* The outputs overlap nothing, which compilers cannot see: bytes may lie anywhere in C. */
#if defined(__GNUC__)
#define T2_ALONE __restrict__
#else
#define T2_ALONE
#endif

#define T2_FIRST_NO_TAG 0x82000000u /* special source 0 is SYNC, which is a tag of channel 0 */

/* Above so many turns a stream is beyond 2^62 ps, and below them no sum of ticks leaves int64. */
#define T2_MOST_TURNS ((int64_t)1 << 38)

typedef struct {
    int64_t base_ticks; /* of all roll-overs so far */
    int64_t overflows;  /* roll-overs seen in this call */
    int64_t tags;
    int64_t markers;
    int64_t too_late; /* the roll-over record that leaves the range, or -1 */
} t2_state;

static inline int t2_is_tag(uint32_t record, int kind) {
    return kind == T2_PICOHARP ? (record >> 28) != 0xF : record < T2_FIRST_NO_TAG;
}

/* The marker bits of a record that is no tag; 0 says that it is a roll-over. */
static inline uint32_t t2_marker(uint32_t record, int kind) {
    if (kind == T2_PICOHARP)
        return record & 0xF;
    return (record >> 25) == 127 ? 0 : record >> 25 & 0x3F;
}

static inline uint32_t t2_field(uint32_t record, int kind) {
    return record & (kind == T2_PICOHARP ? 0x0FFFFFFFu : 0x01FFFFFFu);
}

static inline uint8_t t2_channel(uint32_t record, int kind) {
    if (kind == T2_PICOHARP)
        return (uint8_t)(record >> 28);
    return (uint8_t)(((record >> 25) + 1) & ((record >> 31) - 1));
}

static inline int64_t t2_turns(uint32_t record, int kind) {
    const uint32_t field = t2_field(record, kind);
    return kind == T2_GENERIC ? (int64_t)field + (field == 0) : 1;
}

static inline int64_t t2_wrap(int kind) {
    return kind == T2_PICOHARP     ? T2_PICOHARP_WRAP
           : kind == T2_HYDRAHARP1 ? T2_HYDRAHARP1_WRAP
                                   : T2_GENERIC_WRAP;
}

/* One bit a record: 1 where it is no tag. */
static inline uint64_t t2_no_tags(const uint32_t *records, int kind) {
    uint64_t mask = 0;
    int j;
#ifdef __SSE2__
    const __m128i last_tag = _mm_set1_epi32((int32_t)(T2_FIRST_NO_TAG - 1));
    for (j = 0; j < T2_GROUP; j += 4) {
        const __m128i four = _mm_loadu_si128((const __m128i *)(records + j));
        __m128i none;
        if (kind == T2_PICOHARP) {
            none = _mm_and_si128(four, _mm_slli_epi32(four, 1));
            none = _mm_and_si128(none, _mm_slli_epi32(none, 2));
        } else {
            /* As signed numbers the specials are negative, and the comparison keeps its sense. */
            none = _mm_and_si128(four, _mm_cmpgt_epi32(four, last_tag));
        }
        mask |= (uint64_t)_mm_movemask_ps(_mm_castsi128_ps(none)) << j;
    }
#else
    for (j = 0; j < T2_GROUP; j++)
        mask |= (uint64_t)!t2_is_tag(records[j], kind) << j;
#endif
    return mask;
}

/* Sixteen records as if all were tags; written out for SSE2, which every x86-64 has. */
static inline void t2_sixteen(const uint32_t *records, uint64_t base_ps, uint32_t resolution,
                              int kind, int64_t *T2_ALONE time_ps, uint8_t *T2_ALONE channel) {
    int j;
#ifdef __SSE2__
    const __m128i base = _mm_set1_epi64x((int64_t)base_ps);
    const __m128i step = _mm_set1_epi32((int32_t)resolution);
    const __m128i field = _mm_set1_epi32((int32_t)t2_field(0xFFFFFFFFu, kind));
    __m128i channels[4];
    for (j = 0; j < 4; j++) {
        const __m128i four = _mm_loadu_si128((const __m128i *)(records + 4 * j));
        const __m128i ticks = _mm_and_si128(four, field);
        const __m128i even = _mm_mul_epu32(ticks, step);
        const __m128i odd = _mm_mul_epu32(_mm_srli_epi64(ticks, 32), step);
        __m128i *to = (__m128i *)(time_ps + 4 * j);
        _mm_storeu_si128(to, _mm_add_epi64(base, _mm_unpacklo_epi64(even, odd)));
        _mm_storeu_si128(to + 1, _mm_add_epi64(base, _mm_unpackhi_epi64(even, odd)));
        if (kind == T2_PICOHARP)
            channels[j] = _mm_srli_epi32(four, 28);
        else
            channels[j] = _mm_andnot_si128(
                _mm_srai_epi32(four, 31),
                _mm_add_epi32(_mm_srli_epi32(four, 25), _mm_set1_epi32(1)));
    }
    _mm_storeu_si128((__m128i *)channel,
                     _mm_packus_epi16(_mm_packs_epi32(channels[0], channels[1]),
                                      _mm_packs_epi32(channels[2], channels[3])));
#else
    for (j = 0; j < T2_STEP; j++)
        time_ps[j] = (int64_t)(base_ps + (uint64_t)t2_field(records[j], kind) * resolution);
    for (j = 0; j < T2_STEP; j++)
        channel[j] = t2_channel(records[j], kind);
#endif
}

/* Takes in a record that is no tag; 0 where it is a roll-over that leads beyond the limit. */
static inline int t2_special(uint32_t record, int kind, int64_t limit_ticks, t2_state *state) {
    int64_t turns;
    if (t2_marker(record, kind)) {
        state->markers++;
        return 1;
    }
    turns = t2_turns(record, kind);
    state->overflows += turns;
    state->base_ticks += turns * t2_wrap(kind);
    return state->base_ticks <= limit_ticks;
}

#if QN_HAS_X86_PATHS
/* Decodes sixteen records at a time as far as there are sixteen; returns how many records, or -1
 * where a roll-over leads beyond the limit. */
QN_INLINE QN_TARGET_AVX512 int64_t t2_walk_avx512(const uint32_t *records, int64_t count, int kind,
                                                  uint32_t resolution, int64_t limit_ticks,
                                                  int64_t room, int64_t *T2_ALONE time_ps,
                                                  uint8_t *T2_ALONE channel, t2_state *state) {
    const __m512i field = _mm512_set1_epi32((int32_t)t2_field(0xFFFFFFFFu, kind));
    const __m512i step = _mm512_set1_epi64(resolution);
    const __m512i first_no_tag =
        _mm512_set1_epi32((int32_t)(kind == T2_PICOHARP ? 0xF0000000u : T2_FIRST_NO_TAG));
    int64_t at = 0, k = 0;
    for (; k + T2_STEP <= count && at + T2_STEP <= room; k += T2_STEP) {
        __m512i sixteen = _mm512_loadu_si512(records + k);
        const __mmask16 no_tags = _mm512_cmpge_epu32_mask(sixteen, first_no_tag);
        __m512i low = _mm512_set1_epi64((int64_t)((uint64_t)state->base_ticks * resolution));
        __m512i high = low, ticks, channels;
        int gone = 0;
        if (no_tags) {
            uint32_t left = no_tags;
            sixteen = _mm512_maskz_compress_epi32((__mmask16)~no_tags, sixteen);
            for (; left; left &= left - 1, gone++) {
                const int place = QN_LOWEST_BIT(left);
                if (!t2_special(records[k + place], kind, limit_ticks, state)) {
                    state->too_late = k + place;
                    return -1;
                }
                const uint32_t behind = 0xFFFFu << (place - gone);
                const __m512i base =
                    _mm512_set1_epi64((int64_t)((uint64_t)state->base_ticks * resolution));
                low = _mm512_mask_mov_epi64(low, (__mmask8)behind, base);
                high = _mm512_mask_mov_epi64(high, (__mmask8)(behind >> 8), base);
            }
        }
        ticks = _mm512_and_si512(sixteen, field);
        low = _mm512_add_epi64(
            low, _mm512_mul_epu32(_mm512_cvtepu32_epi64(_mm512_castsi512_si256(ticks)), step));
        high = _mm512_add_epi64(
            high,
            _mm512_mul_epu32(_mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(ticks, 1)), step));
        _mm512_storeu_si512(time_ps + at, low);
        _mm512_storeu_si512(time_ps + at + 8, high);
        if (kind == T2_PICOHARP)
            channels = _mm512_srli_epi32(sixteen, 28);
        else
            channels = _mm512_andnot_si512(
                _mm512_srai_epi32(sixteen, 31),
                _mm512_add_epi32(_mm512_srli_epi32(sixteen, 25), _mm512_set1_epi32(1)));
        _mm_storeu_si128((__m128i *)(channel + at), _mm512_cvtepi32_epi8(channels));
        at += T2_STEP - gone;
    }
    state->tags = at;
    return k;
}

QN_NOINLINE QN_TARGET_AVX512 int64_t t2_decode_avx512(const uint32_t *records, int64_t count,
                                                      int kind, uint32_t resolution,
                                                      int64_t limit_ticks, int64_t room,
                                                      int64_t *T2_ALONE time_ps,
                                                      uint8_t *T2_ALONE channel, t2_state *state) {
    if (kind == T2_PICOHARP)
        return t2_walk_avx512(records, count, T2_PICOHARP, resolution, limit_ticks, room, time_ps,
                              channel, state);
    if (kind == T2_HYDRAHARP1)
        return t2_walk_avx512(records, count, T2_HYDRAHARP1, resolution, limit_ticks, room,
                              time_ps, channel, state);
    return t2_walk_avx512(records, count, T2_GENERIC, resolution, limit_ticks, room, time_ps,
                          channel, state);
}
#endif

/* From record `k` on, with `state->tags` tags before it. */
static inline void t2_decode_kind(const uint32_t *records, int64_t k, int64_t count, int kind,
                                  uint32_t resolution, int64_t limit_ticks, int64_t room,
                                  int64_t *T2_ALONE time_ps, uint8_t *T2_ALONE channel,
                                  t2_state *state) {
    int64_t at = state->tags;
    for (; k + T2_GROUP + T2_STEP <= count && at + T2_GROUP + T2_STEP <= room; k += T2_GROUP) {
        const uint32_t *group = records + k;
        uint64_t no_tags = t2_no_tags(group, kind);
        int from = 0;
        for (;;) {
            const uint64_t base_ps = (uint64_t)state->base_ticks * resolution;
            const int end = no_tags ? lowest_bit(no_tags) : T2_GROUP;
            int j;
            for (j = 0; j < end - from; j += T2_STEP)
                t2_sixteen(group + from + j, base_ps, resolution, kind, time_ps + at + j,
                           channel + at + j);
            at += end - from;
            if (!no_tags)
                break;
            if (!t2_special(group[end], kind, limit_ticks, state)) {
                state->too_late = k + end;
                return;
            }
            from = end + 1;
            no_tags &= no_tags - 1;
        }
    }
    for (; k < count; k++) {
        if (t2_is_tag(records[k], kind)) {
            time_ps[at] = (state->base_ticks + (int64_t)t2_field(records[k], kind)) * resolution;
            channel[at] = t2_channel(records[k], kind);
            at++;
        } else if (!t2_special(records[k], kind, limit_ticks, state)) {
            state->too_late = k;
            return;
        }
    }
    state->tags = at;
}

/* Decodes into arrays of `room` places, no fewer than there are tags; `limit_ticks` leaves room for
 * one turn more. */
static void t2_decode(const uint32_t *records, int64_t count, int kind, uint32_t resolution,
                      int64_t limit_ticks, int64_t room, int64_t *T2_ALONE time_ps,
                      uint8_t *T2_ALONE channel, t2_state *state, int path) {
    int64_t k = 0;
#if QN_HAS_X86_PATHS
    if (path >= QN_AVX512)
        k = t2_decode_avx512(records, count, kind, resolution, limit_ticks, room, time_ps, channel,
                             state);
    if (k < 0)
        return;
#else
    (void)path;
#endif
    /* One copy of the loop for each kind, so that the kind is no question inside. */
    if (kind == T2_PICOHARP)
        t2_decode_kind(records, k, count, T2_PICOHARP, resolution, limit_ticks, room, time_ps,
                       channel, state);
    else if (kind == T2_HYDRAHARP1)
        t2_decode_kind(records, k, count, T2_HYDRAHARP1, resolution, limit_ticks, room, time_ps,
                       channel, state);
    else
        t2_decode_kind(records, k, count, T2_GENERIC, resolution, limit_ticks, room, time_ps,
                       channel, state);
}

/* Counts tags, markers and roll-overs without decoding; ends early beyond T2_MOST_TURNS. */
static inline void t2_survey_kind(const uint32_t *records, int64_t count, int kind,
                                  t2_state *state) {
    int64_t k = 0;
    for (; k + T2_GROUP <= count && state->overflows <= T2_MOST_TURNS; k += T2_GROUP) {
        uint64_t no_tags = t2_no_tags(records + k, kind);
        state->tags += T2_GROUP;
        for (; no_tags; no_tags &= no_tags - 1) {
            const uint32_t record = records[k + lowest_bit(no_tags)];
            state->tags--;
            if (t2_marker(record, kind))
                state->markers++;
            else
                state->overflows += t2_turns(record, kind);
        }
    }
    for (; k < count && state->overflows <= T2_MOST_TURNS; k++) {
        if (t2_is_tag(records[k], kind))
            state->tags++;
        else if (t2_marker(records[k], kind))
            state->markers++;
        else
            state->overflows += t2_turns(records[k], kind);
    }
}

static void t2_survey(const uint32_t *records, int64_t count, int kind, t2_state *state) {
    if (kind == T2_PICOHARP)
        t2_survey_kind(records, count, T2_PICOHARP, state);
    else if (kind == T2_HYDRAHARP1)
        t2_survey_kind(records, count, T2_HYDRAHARP1, state);
    else
        t2_survey_kind(records, count, T2_GENERIC, state);
}

#endif
