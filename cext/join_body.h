/* The block walk of join.h for one path; included once a path, so without a guard.

   QN_LANES 32-bit lanes a vector, QN_VECTORS vectors a block; QN_ISA says which intrinsics turn a
   comparison into bits; 0 needs none. */

#define QN_BLOCK (QN_LANES * QN_VECTORS)
#if defined(__GNUC__) || defined(__clang__)

typedef uint32_t QN_(qn_u32) __attribute__((vector_size(4 * QN_LANES)));
typedef int32_t QN_(qn_i32) __attribute__((vector_size(4 * QN_LANES)));

/* Low halves of t[0 .. QN_LANES) - first. */
QN_TARGET QN_INLINE QN_(qn_u32) QN_(qn_distances)(const int64_t *t, int64_t first)
{
#if QN_ISA == 2
    __m512i from = _mm512_set1_epi64(first);
    __m256i early = _mm512_cvtepi64_epi32(_mm512_sub_epi64(_mm512_loadu_si512(t), from));
    __m256i late = _mm512_cvtepi64_epi32(_mm512_sub_epi64(_mm512_loadu_si512(t + 8), from));
    return (QN_(qn_u32))_mm512_inserti64x4(_mm512_castsi256_si512(early), late, 1);
#elif QN_ISA == 1
    __m256i from = _mm256_set1_epi64x(first);
    __m256i early = _mm256_sub_epi64(_mm256_loadu_si256((const __m256i *)t), from);
    __m256i late = _mm256_sub_epi64(_mm256_loadu_si256((const __m256i *)(t + 4)), from);
    __m256 halves = _mm256_shuffle_ps((__m256)early, (__m256)late, 0x88);
    return (QN_(qn_u32))_mm256_permute4x64_epi64((__m256i)halves, 0xD8);
#else
    return (QN_(qn_u32)){
        (uint32_t)(t[0] - first), (uint32_t)(t[1] - first),
        (uint32_t)(t[2] - first), (uint32_t)(t[3] - first)};
#endif
}

#if QN_ISA == 2
#define QN_COUNT_LANES(sum, x) \
    sum = (QN_(qn_i32))_mm512_mask_add_epi32( \
        (__m512i)sum, _mm512_cmple_epu32_mask((__m512i)(x), (__m512i)width_lanes), \
        (__m512i)sum, (__m512i)one_lanes)
#else
/* Unsigned x <= width as a signed comparison: x comes with its top bit flipped. */
#define QN_COUNT_LANES(sum, x) sum -= (QN_(qn_i32))(x) < limit_lanes
#endif

/* Adds the pairs of one time of b with every lane. */
#define QN_COUNT_ONE(distance)                                              \
    do {                                                                    \
        QN_(qn_u32) seen = (uint32_t)(distance) - (QN_(qn_u32)){0};         \
        for (int v = 0; v < QN_VECTORS; v++) {                              \
            QN_(qn_u32) x = seen - lanes[v];                                \
            QN_COUNT_LANES(sums[v], x);                                     \
        }                                                                   \
    } while (0)

QN_TARGET QN_NOINLINE int64_t QN_(qn_count_blocks)(
    const int64_t *a, ptrdiff_t start, ptrdiff_t stop,
    const int64_t *b, ptrdiff_t *first, ptrdiff_t m, qn_sink *sink)
{
    ptrdiff_t i = start, j = *first;
    uint32_t width = (uint32_t)(sink->high - sink->low);
    QN_(qn_i32) sums[QN_VECTORS];
    int64_t total = 0;
#if QN_ISA == 2
    QN_(qn_u32) width_lanes = width - (QN_(qn_u32)){0};
    QN_(qn_i32) one_lanes = 1 - (QN_(qn_i32)){0};
    const uint32_t flip = 0;
#else
    QN_(qn_i32) limit_lanes = (int32_t)(width + 1 + 0x80000000u) - (QN_(qn_i32)){0};
    const uint32_t flip = 0x80000000u;
#endif
    for (int v = 0; v < QN_VECTORS; v++) sums[v] = (QN_(qn_i32)){0};
    for (; i + QN_BLOCK < stop && j < m; i += QN_BLOCK) {
        int64_t base = a[i] + sink->low, next = a[i + QN_BLOCK] + sink->low;
        int64_t last = a[i + QN_BLOCK - 1] + sink->high;
        if (QN_UNLIKELY(next - base >= QN_SPAN_LIMIT)) {
            qn_two_cursors(a, i, i + QN_BLOCK, b, m, &j, sink);
            continue;
        }
        while (j < m && b[j] < base) j++;
        QN_(qn_u32) lanes[QN_VECTORS];
        for (int v = 0; v < QN_VECTORS; v++) lanes[v] = QN_(qn_distances)(a + i + v * QN_LANES, a[i]) + flip;
        for (; j < m && b[j] < next; j++) QN_COUNT_ONE(b[j] - base);
        /* These are within reach of this block and belong to the next one too. */
        for (ptrdiff_t k = j; k < m && b[k] <= last; k++) QN_COUNT_ONE(b[k] - base);
    }
    for (int v = 0; v < QN_VECTORS; v++)
        for (int k = 0; k < QN_LANES; k++) total += sums[v][k];
    sink->total += total;
    *first = j;
    return i;
}

#if QN_ISA == 2
#define QN_LANES_HIT(bits, v, x) \
    bits |= (uint32_t)_mm512_cmple_epu32_mask((__m512i)(x), (__m512i)width_lanes) << (v * QN_LANES)
#elif QN_ISA == 1
#define QN_LANES_HIT(bits, v, x) \
    bits |= (uint32_t)_mm256_movemask_ps((__m256)((QN_(qn_i32))(x) < limit_lanes)) << (v * QN_LANES)
#else
#define QN_LANES_HIT(bits, v, x) hit |= ((QN_(qn_i32))(x) < limit_lanes) & (one_bits << (v * QN_LANES))
#endif

/* Without an instruction for it, a lane leaves its bit where its mask meets a power of two. */
#if QN_ISA == 0
#define QN_BITS_START QN_(qn_i32) hit = {0}
#define QN_BITS(bits)                                   \
    do {                                                \
        uint64_t halves[2];                             \
        memcpy(halves, &hit, sizeof halves);            \
        halves[0] |= halves[1];                         \
        bits = (uint32_t)(halves[0] | halves[0] >> 32); \
    } while (0)
#else
#define QN_BITS_START (void)0
#define QN_BITS(bits) (void)0
#endif

/* Notes a time of b and the lanes it pairs with; without a branch on whether there are any. */
#define QN_NOTE_ONE(distance, at)                                           \
    do {                                                                    \
        QN_(qn_u32) seen = (uint32_t)(distance) - (QN_(qn_u32)){0};         \
        uint32_t bits = 0;                                                  \
        QN_BITS_START;                                                      \
        for (int v = 0; v < QN_VECTORS; v++) {                              \
            QN_(qn_u32) x = seen - lanes[v];                                \
            QN_LANES_HIT(bits, v, x);                                       \
        }                                                                   \
        QN_BITS(bits);                                                      \
        hits[count] = QN_HIT((at) - from_b, block, bits);                   \
        count += bits != 0;                                                 \
    } while (0)

QN_TARGET QN_INLINE void QN_(qn_spend)(
    const int64_t *a, ptrdiff_t start, const int64_t *b, ptrdiff_t from_b,
    const qn_hit *hits, int count, qn_sink *sink)
{
    if (sink->kind == QN_HISTOGRAM && sink->reciprocal && !sink->mirrored) {
        /* What the histogram itself cannot overwrite stays in registers. */
        int64_t *counts = sink->counts, low = sink->low;
        uint64_t bin = sink->bin, reciprocal = sink->reciprocal;
        for (int h = 0; h < count; h++) {
            const int64_t *from = a + start + QN_BLOCK * (hits[h] >> 16 & 0xFFFF);
            int64_t at = b[from_b + (ptrdiff_t)(hits[h] >> 32)] - low;
            uint32_t bits = hits[h] & 0xFFFF;
            do {
                counts[qn_bin_of((uint64_t)(at - from[QN_LOWEST_BIT(bits)]), bin, reciprocal)]++;
                bits &= bits - 1;
            } while (bits);
        }
        return;
    }
    for (int h = 0; h < count; h++) {
        ptrdiff_t i = start + (ptrdiff_t)(QN_BLOCK * (hits[h] >> 16 & 0xFFFF));
        ptrdiff_t j = from_b + (ptrdiff_t)(hits[h] >> 32);
        uint32_t bits = hits[h] & 0xFFFF;
        do {
            qn_take(sink, a, b, i + QN_LOWEST_BIT(bits), j);
            bits &= bits - 1;
        } while (bits);
    }
}

QN_TARGET QN_NOINLINE int64_t QN_(qn_note_blocks)(
    const int64_t *a, ptrdiff_t start, ptrdiff_t stop,
    const int64_t *b, ptrdiff_t *first, ptrdiff_t m, qn_sink *sink)
{
    ptrdiff_t i = start, j = *first;
    const ptrdiff_t from_b = j;
    uint32_t block = 0;
    uint32_t width = (uint32_t)(sink->high - sink->low);
    qn_hit hits[QN_HITS];
    int count = 0;
#if QN_ISA == 2
    QN_(qn_u32) width_lanes = width - (QN_(qn_u32)){0};
    const uint32_t flip = 0;
#else
    QN_(qn_i32) limit_lanes = (int32_t)(width + 1 + 0x80000000u) - (QN_(qn_i32)){0};
    const uint32_t flip = 0x80000000u;
#endif
#if QN_ISA == 0
    const QN_(qn_i32) one_bits = {1, 2, 4, 8};
#endif
    for (; i + QN_BLOCK < stop && j < m; i += QN_BLOCK, block++) {
        int64_t base = a[i] + sink->low, next = a[i + QN_BLOCK] + sink->low;
        int64_t last = a[i + QN_BLOCK - 1] + sink->high;
        if (QN_UNLIKELY(next - base >= QN_SPAN_LIMIT)) {
            qn_two_cursors(a, i, i + QN_BLOCK, b, m, &j, sink);
            continue;
        }
        while (j < m && b[j] < base) j++;
        QN_(qn_u32) lanes[QN_VECTORS];
        for (int v = 0; v < QN_VECTORS; v++) lanes[v] = QN_(qn_distances)(a + i + v * QN_LANES, a[i]) + flip;
        for (; j < m && b[j] < next; j++) {
            QN_NOTE_ONE(b[j] - base, j);
            if (QN_UNLIKELY(count == QN_HITS)) {
                QN_(qn_spend)(a, start, b, from_b, hits, count, sink);
                count = 0;
            }
        }
        for (ptrdiff_t k = j; k < m && b[k] <= last; k++) {
            QN_NOTE_ONE(b[k] - base, k);
            if (QN_UNLIKELY(count == QN_HITS)) {
                QN_(qn_spend)(a, start, b, from_b, hits, count, sink);
                count = 0;
            }
        }
    }
    QN_(qn_spend)(a, start, b, from_b, hits, count, sink);
    *first = j;
    return i;
}

#if QN_ISA == 2
/* For a histogram a pair is no more than its distance: those in range are pushed together in a
   register and stored one behind the other, and a loop without a question bins them. Compressed in
   the register, since compressing to memory is microcoded on Zen 4. */
#define QN_KEEP_ONE(distance)                                                                 \
    do {                                                                                      \
        __m512i x = _mm512_sub_epi32(_mm512_set1_epi32((int)(distance)), lanes);              \
        __mmask16 in_range = _mm512_cmple_epu32_mask(x, width_lanes);                         \
        _mm512_storeu_si512(kept + count, _mm512_maskz_compress_epi32(in_range, x));          \
        count += _mm_popcnt_u32(in_range);                                                    \
        if (QN_UNLIKELY(count > QN_HITS)) {                                                   \
            QN_(qn_bin_all)(kept, count, sink);                                               \
            count = 0;                                                                        \
        }                                                                                     \
    } while (0)

QN_TARGET QN_INLINE void QN_(qn_bin_all)(const uint32_t *kept, int count, qn_sink *sink)
{
    int64_t *counts = sink->counts;
    uint64_t bin = sink->bin, reciprocal = sink->reciprocal;
    /* Mirrored, the distance is counted from the other end: width - d, which is ~d + width + 1. */
    uint32_t flip = sink->mirrored ? UINT32_MAX : 0;
    uint32_t lift = sink->mirrored ? (uint32_t)(sink->high - sink->low) + 1 : 0;
    if (reciprocal)
        for (int k = 0; k < count; k++)
            counts[((unsigned __int128)((kept[k] ^ flip) + lift) * reciprocal) >> 64]++;
    else
        for (int k = 0; k < count; k++) counts[qn_bin_of((kept[k] ^ flip) + lift, bin, 0)]++;
}

QN_TARGET QN_NOINLINE int64_t QN_(qn_bin_blocks)(
    const int64_t *a, ptrdiff_t start, ptrdiff_t stop,
    const int64_t *b, ptrdiff_t *first, ptrdiff_t m, qn_sink *sink)
{
    ptrdiff_t i = start, j = *first;
    __m512i width_lanes = _mm512_set1_epi32((int)(uint32_t)(sink->high - sink->low));
    uint32_t kept[QN_HITS + 2 * QN_BLOCK];
    int count = 0;
    for (; i + QN_BLOCK < stop && j < m; i += QN_BLOCK) {
        int64_t base = a[i] + sink->low, next = a[i + QN_BLOCK] + sink->low;
        int64_t last = a[i + QN_BLOCK - 1] + sink->high;
        if (QN_UNLIKELY(next - base >= QN_SPAN_LIMIT)) {
            qn_two_cursors(a, i, i + QN_BLOCK, b, m, &j, sink);
            continue;
        }
        while (j < m && b[j] < base) j++;
        __m512i lanes = (__m512i)QN_(qn_distances)(a + i, a[i]);
        for (; j < m && b[j] < next; j++) QN_KEEP_ONE(b[j] - base);
        for (ptrdiff_t k = j; k < m && b[k] <= last; k++) QN_KEEP_ONE(b[k] - base);
    }
    QN_(qn_bin_all)(kept, count, sink);
    *first = j;
    return i;
}
#undef QN_KEEP_ONE
#endif

QN_TARGET QN_NOINLINE void QN_(qn_blocks)(
    const int64_t *a, ptrdiff_t start, ptrdiff_t stop,
    const int64_t *b, ptrdiff_t j, ptrdiff_t m, qn_sink *sink)
{
    ptrdiff_t i;
    if (sink->kind == QN_COUNT) i = QN_(qn_count_blocks)(a, start, stop, b, &j, m, sink);
#if QN_ISA == 2
    else if (sink->kind == QN_HISTOGRAM) i = QN_(qn_bin_blocks)(a, start, stop, b, &j, m, sink);
#endif
    else i = QN_(qn_note_blocks)(a, start, stop, b, &j, m, sink);
    qn_two_cursors(a, i, stop, b, m, &j, sink);
}

#undef QN_COUNT_LANES
#undef QN_COUNT_ONE
#undef QN_LANES_HIT
#undef QN_BITS_START
#undef QN_BITS
#undef QN_NOTE_ONE

#else /* a compiler without vector types */

QN_NOINLINE void QN_(qn_blocks)(
    const int64_t *a, ptrdiff_t start, ptrdiff_t stop,
    const int64_t *b, ptrdiff_t j, ptrdiff_t m, qn_sink *sink)
{
    qn_two_cursors(a, start, stop, b, m, &j, sink);
}

#endif

#undef QN_BLOCK
#undef QN_
#undef QN_TARGET
#undef QN_LANES
#undef QN_VECTORS
#undef QN_ISA
