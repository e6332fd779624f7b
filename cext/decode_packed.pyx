"""The bits of one block of packed tags; `docs/packed-tags.md` has the layout."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

cimport cython
import numpy as np

from cext._common cimport checked_array
from cext._streams cimport check_stream

cdef extern from "decode_bits.h" nogil:
    int lowest_bit(uint64_t mask)
    uint64_t load_little(const uint8_t* at)
    void store_little(uint8_t* at, uint64_t value)

cdef enum:
    ESCAPE = 32
    MOST_LOW_BITS = 48
    GUARD_BYTES = 8
    GROUP = 64
    SWITCH_BITS = 6
    ONE_PUT = 56

cdef uint64_t LOW_WORD = 0xFFFFFFFF
cdef int64_t LIMIT_PS = (<int64_t>1) << 62

MOST_TAGS = 65536
"""Tags of one block."""


@cython.overflowcheck(False)  # the arithmetic is meant to wrap
cdef inline uint64_t folded(uint64_t size, bint negative, bint is_signed) noexcept nogil:
    """A difference as a number from 0; where some are negative, they take every second one."""
    return (size << 1) - negative if is_signed else size


@cython.overflowcheck(False)  # the arithmetic is meant to wrap
cdef inline int64_t unfolded(uint64_t value, bint is_signed) noexcept nogil:
    if not is_signed:
        return <int64_t>value
    return <int64_t>((value >> 1) ^ (<uint64_t>0 - (value & 1)))


cdef inline uint64_t size_of(int64_t delta) noexcept nogil:
    """Its magnitude, which is below 2^63: times lie within +-2^62."""
    return <uint64_t>(-delta if delta < 0 else delta)


cdef inline uint64_t common_divisor(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t rest
    while b:
        rest = a % b
        a = b
        b = rest
    return a


@cython.overflowcheck(False)  # the arithmetic is meant to wrap
cdef inline uint64_t odd_inverse(uint64_t odd) noexcept nogil:
    """The number whose product with `odd` is 1 modulo 2^64, by Newton's iteration."""
    cdef uint64_t inverse = odd
    cdef int k
    for k in range(5):
        inverse *= 2 - odd * inverse
    return inverse


@cython.overflowcheck(False)  # the arithmetic is meant to wrap
cdef Py_ssize_t gaps_in_steps(
    const int64_t[::1] times, uint64_t step, bint is_signed, uint64_t[::1] gaps
) noexcept nogil:
    """Fill in the folded gaps over the step; the first tag whose gap is no multiple of it, or -1.

    A product with the inverse modulo 2^64 divides without a division, and comes out small only
    where nothing remains.
    """
    cdef int twos = lowest_bit(step)
    cdef uint64_t odd = step >> twos, inverse = odd_inverse(step >> twos)
    cdef uint64_t most = ~<uint64_t>0 // odd, below = ((<uint64_t>1) << twos) - 1, size, quotient
    cdef int64_t delta
    cdef Py_ssize_t k
    gaps[0] = 0
    for k in range(1, times.shape[0]):
        delta = times[k] - times[k - 1]
        size = size_of(delta)
        quotient = (size >> twos) * inverse
        if quotient > most or size & below:
            return k
        gaps[k] = folded(quotient, delta < 0, is_signed)
    return -1


cdef inline uint64_t step_of(
    const int64_t[::1] times, bint is_signed, uint64_t[::1] gaps
) noexcept nogil:
    """The largest step below 2^32 that divides all gaps, after filling in the gaps over it."""
    cdef uint64_t step = 0
    cdef Py_ssize_t k, n = times.shape[0]
    for k in range(1, n):
        # The first gaps nearly always tell the step; what they do not tell is found below.
        if k >= GROUP and 0 < step <= LOW_WORD:
            break
        step = common_divisor(step, size_of(times[k] - times[k - 1]))
    if step == 0 or step > LOW_WORD:
        step = 1  # the header has no room for it; such a block is not worth more
    while (k := gaps_in_steps(times, step, is_signed, gaps)) >= 0:
        step = common_divisor(step, size_of(times[k] - times[k - 1]))
    return step


cdef inline int64_t bits_of(
    const uint64_t[::1] gaps, Py_ssize_t first, Py_ssize_t past, int low_bits
) noexcept nogil:
    """Bits that some gaps take with so many low bits."""
    cdef int64_t bits = 0
    cdef uint64_t high
    cdef Py_ssize_t k
    for k in range(first, past):
        high = gaps[k] >> low_bits
        bits += <int64_t>high + 1 + low_bits if high < ESCAPE else ESCAPE + 1 + 64
    return bits


cdef inline int best_low_bits(
    const uint64_t[::1] gaps, Py_ssize_t first, Py_ssize_t past, int64_t* least
) noexcept nogil:
    """The number of low bits with which some gaps take the fewest bits, and how many."""
    cdef double total = 0
    cdef int64_t bits
    cdef int low_bits = 0, way
    cdef Py_ssize_t k
    for k in range(first, past):
        total += <double>gaps[k]
    # For the exponential gaps of light the shortest code has about log2 of the mean.
    total /= past - first
    while total >= 2 and low_bits < MOST_LOW_BITS:
        total /= 2
        low_bits += 1
    least[0] = bits_of(gaps, first, past, low_bits)
    # Bursts among long gaps want fewer; few long gaps, as escapes, can want more.
    for way in range(-1, 2, 2):
        while 0 <= low_bits + way <= MOST_LOW_BITS:
            bits = bits_of(gaps, first, past, low_bits + way)
            if bits >= least[0]:
                break
            least[0] = bits
            low_bits += way
    return low_bits


ctypedef struct BitWriter:
    # Puts bits into a buffer, lowest first; the buffer has the guard bytes as room to spare.
    Py_ssize_t at
    uint64_t waiting
    int count


@cython.overflowcheck(False)
cdef inline void put(uint8_t[::1] to, BitWriter* writer, uint64_t value, int bits) noexcept nogil:
    """Up to 56 bits."""
    writer.waiting |= value << writer.count
    writer.count += bits
    store_little(&to[writer.at], writer.waiting)
    writer.at += writer.count >> 3
    writer.waiting >>= writer.count & ~7
    writer.count &= 7


@cython.overflowcheck(False)
cdef inline void put_gap(
    uint8_t[::1] to, BitWriter* writer, uint64_t gap, int low_bits
) noexcept nogil:
    cdef uint64_t high = gap >> low_bits
    cdef uint64_t low = gap & (((<uint64_t>1) << low_bits) - 1)
    if high >= ESCAPE:
        put(to, writer, (<uint64_t>1) << ESCAPE, ESCAPE + 1)
        put(to, writer, gap & LOW_WORD, 32)
        put(to, writer, gap >> 32, 32)
    elif <int>high + 1 + low_bits <= ONE_PUT:
        put(to, writer, (low << 1 | 1) << high, <int>high + 1 + low_bits)
    else:
        put(to, writer, (<uint64_t>1) << high, <int>high + 1)
        put(to, writer, low, low_bits)


def pack_payload(time_ps, channel):
    """The payload of a block of 1 to 65536 tags, in any order of time.

    Returns (payload uint8[n], step_ps, channels, low_bits, is_signed) as the block's header names
    them. ValueError, with the index, for times beyond +-2^62 ps.
    """
    cdef const int64_t[::1] tv = checked_array("pack_payload", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("pack_payload", "channel", channel, np.uint8)
    check_stream("pack_payload", tv, cv)
    cdef Py_ssize_t k, first, past, group, bad = -1, n = tv.shape[0]
    if not 1 <= n <= MOST_TAGS:
        raise ValueError(f"pack_payload: found {n} tags, expected 1 to {MOST_TAGS}")
    cdef bint is_signed = False
    with nogil:
        for k in range(n):
            if tv[k] <= -LIMIT_PS or tv[k] >= LIMIT_PS:
                bad = k
                break
            is_signed |= k > 0 and tv[k] < tv[k - 1]
    if bad >= 0:
        raise ValueError(
            f"pack_payload: time_ps[{bad}] = {tv[bad]} ps, expected values within +-2^62 ps"
        )
    used = np.zeros(256, dtype=np.uint8)
    cdef uint8_t[::1] uv = used
    with nogil:
        for k in range(n):
            uv[cv[k]] = 1
    table = np.flatnonzero(used).astype(np.uint8)
    cdef int channel_bits = (len(table) - 1).bit_length()
    index = np.zeros(256, dtype=np.uint8)
    index[table] = np.arange(len(table))
    cdef const uint8_t[::1] iv = index
    cdef uint64_t[::1] gaps = np.empty(n, dtype=np.uint64)
    cdef uint8_t[::1] low_bits = np.empty((n + GROUP - 1) // GROUP, dtype=np.uint8)
    cdef int64_t bits = n * <int64_t>channel_bits, least = 0, kept
    cdef uint64_t step
    cdef int best
    with nogil:
        step = step_of(tv, is_signed, gaps)
        for group in range(low_bits.shape[0]):
            first = group * GROUP
            past = min(n, first + GROUP)
            best = best_low_bits(gaps, first, past, &least)
            if group:
                bits += 1
                kept = bits_of(gaps, first, past, low_bits[group - 1])
                if kept <= least + SWITCH_BITS:
                    best = low_bits[group - 1]
                    least = kept
                else:
                    bits += SWITCH_BITS
            low_bits[group] = best
            bits += least
    payload = np.zeros(len(table) + (bits + 7) // 8 + GUARD_BYTES, dtype=np.uint8)
    payload[: len(table)] = table
    cdef uint8_t[::1] to = payload[len(table) :]
    cdef BitWriter writer = BitWriter(0, 0, 0)
    with nogil:
        for group in range(low_bits.shape[0]):
            best = low_bits[group]
            if group:
                if best == low_bits[group - 1]:
                    put(to, &writer, 0, 1)
                else:
                    put(to, &writer, <uint64_t>best << 1 | 1, 1 + SWITCH_BITS)
            for k in range(group * GROUP, min(n, (group + 1) * GROUP)):
                put_gap(to, &writer, gaps[k], best)
                if channel_bits:
                    put(to, &writer, iv[cv[k]], channel_bits)
    return payload, int(step), len(table), int(low_bits[0]), bool(is_signed)


def unpack_payload(payload, count, first_ps, step_ps, channels, low_bits, is_signed):
    """The tags of a payload and its header's values: (time_ps int64[count], channel uint8[count]).

    ValueError, with the tag, for bits that `pack_payload` cannot have written.
    """
    cdef const uint8_t[::1] pv = checked_array("unpack_payload", "payload", payload, np.uint8)
    if (
        not 1 <= count <= MOST_TAGS
        or not -2**62 < first_ps < 2**62
        or not 1 <= step_ps < 2**63
        or not 1 <= channels <= 256
        or not 0 <= low_bits <= MOST_LOW_BITS
        or len(payload) < channels + GUARD_BYTES
    ):
        raise ValueError(
            f"unpack_payload: found {count} tags from {first_ps} ps in steps of {step_ps} ps, "
            f"{channels} channels, {low_bits} low bits and {len(payload)} bytes, which no packer "
            "writes together"
        )
    cdef Py_ssize_t k, n = count, bad = -1, at, used
    # The last place from which eight bytes can be read.
    cdef Py_ssize_t last = pv.shape[0] - 8
    cdef int low = low_bits, channel_bits = (channels - 1).bit_length(), names = channels
    cdef int64_t bit = 8 * <int64_t>channels, time = first_ps, delta, span = 2 * (LIMIT_PS - 1)
    cdef int64_t step = step_ps, most = span // step_ps
    cdef uint64_t window, value, low_mask = ((<uint64_t>1) << low) - 1
    cdef uint64_t channel_mask = ((<uint64_t>1) << channel_bits) - 1
    cdef bint folds = is_signed
    cdef int zeros
    time_ps = np.empty(n, dtype=np.int64)
    channel = np.empty(n, dtype=np.uint8)
    cdef int64_t[::1] tv = time_ps
    cdef uint8_t[::1] cv = channel
    with nogil:
        for k in range(n):
            bad = k
            at = bit >> 3
            if at > last:
                break
            window = load_little(&pv[at]) >> (bit & 7)
            if k % GROUP == 0 and k:
                # At most 7 of at least 57 bits; 34 are needed below.
                bit += 1
                if window & 1:
                    low = window >> 1 & ((1 << SWITCH_BITS) - 1)
                    if low > MOST_LOW_BITS:
                        break
                    low_mask = ((<uint64_t>1) << low) - 1
                    window >>= SWITCH_BITS
                    bit += SWITCH_BITS
                window >>= 1
            zeros = lowest_bit(window | (<uint64_t>1) << (ESCAPE + 1))
            if zeros > ESCAPE:
                break
            bit += zeros + 1
            at = bit >> 3
            if at > last:
                break
            window = load_little(&pv[at]) >> (bit & 7)
            if zeros < ESCAPE:
                # At least 57 bits are in the window: those of the value and of the channel.
                value = <uint64_t>zeros << low | (window & low_mask)
                window >>= low
                bit += low
            else:
                value = window & LOW_WORD
                bit += 32
                at = bit >> 3
                if at > last:
                    break
                value |= (load_little(&pv[at]) >> (bit & 7) & LOW_WORD) << 32
                bit += 32
                at = bit >> 3
                if at > last:
                    break
                window = load_little(&pv[at]) >> (bit & 7)
            delta = unfolded(value, folds)
            if delta > most or delta < -most or (delta < 0 and not folds):
                break
            # Both terms are within +-2^63 and of no more than 2^62 together, or the tag is bad.
            delta *= step
            if delta > LIMIT_PS - 1 - time or delta < -(LIMIT_PS - 1) - time:
                break
            time += delta
            value = window & channel_mask
            bit += channel_bits
            if <int>value >= names:
                break
            tv[k] = time
            cv[k] = pv[value]
            bad = -1
    if bad >= 0:
        raise ValueError(f"unpack_payload: tag {bad} of {n} makes no sense, the bytes are damaged")
    used = (bit + 7 >> 3) + GUARD_BYTES
    if used != pv.shape[0]:
        raise ValueError(
            f"unpack_payload: {n} tags take {used} bytes, found a payload of {pv.shape[0]}"
        )
    return time_ps, channel
