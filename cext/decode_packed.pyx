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

cdef uint64_t LOW_WORD = 0xFFFFFFFF
cdef int64_t LIMIT_PS = (<int64_t>1) << 62

MOST_TAGS = 65536
"""Tags of one block."""


@cython.overflowcheck(False)  # the arithmetic is meant to wrap
cdef inline uint64_t folded(int64_t delta, bint is_signed) noexcept nogil:
    """A difference as a number from 0; where some are negative, they take every second one."""
    if not is_signed:
        return <uint64_t>delta
    return (<uint64_t>delta << 1) ^ (<uint64_t>0 - <uint64_t>(delta < 0))


@cython.overflowcheck(False)  # the arithmetic is meant to wrap
cdef inline int64_t unfolded(uint64_t value, bint is_signed) noexcept nogil:
    if not is_signed:
        return <int64_t>value
    return <int64_t>((value >> 1) ^ (<uint64_t>0 - (value & 1)))


cdef inline int64_t bits_of(uint64_t value, int low_bits) noexcept nogil:
    cdef uint64_t high = value >> low_bits
    return <int64_t>high + 1 + low_bits if high < ESCAPE else ESCAPE + 1 + 64


cdef class BitWriter:
    """Puts bits into a buffer, lowest first; the buffer has the guard bytes as room to spare."""

    cdef uint8_t[::1] to
    cdef Py_ssize_t at
    cdef uint64_t waiting
    cdef int count

    def __init__(self, to):
        self.to = to

    @cython.overflowcheck(False)
    cdef inline int put(self, uint64_t value, int bits) noexcept nogil:
        """Up to 32 bits."""
        self.waiting |= value << self.count
        self.count += bits
        store_little(&self.to[self.at], self.waiting)
        self.at += self.count >> 3
        self.waiting >>= self.count & ~7
        self.count &= 7
        return 0

    @cython.overflowcheck(False)
    cdef inline int put_long(self, uint64_t value, int bits) noexcept nogil:
        """Up to 64 bits."""
        if bits > 32:
            self.put(value & LOW_WORD, 32)
            value >>= 32
            bits -= 32
        self.put(value & (((<uint64_t>1) << bits) - 1), bits)
        return 0


def pack_payload(time_ps, channel):
    """The payload of a block of 1 to 65536 tags, in any order of time.

    Returns (payload uint8[n], step_ps, channels, low_bits, is_signed) as the block's header names
    them. ValueError, with the index, for times beyond +-2^62 ps.
    """
    cdef const int64_t[::1] tv = checked_array("pack_payload", "time_ps", time_ps, np.int64)
    cdef const uint8_t[::1] cv = checked_array("pack_payload", "channel", channel, np.uint8)
    check_stream("pack_payload", tv, cv)
    cdef Py_ssize_t k, n = tv.shape[0]
    if not 1 <= n <= MOST_TAGS:
        raise ValueError(f"pack_payload: found {n} tags, expected 1 to {MOST_TAGS}")
    if time_ps.min() <= -2**62 or time_ps.max() >= 2**62:
        k = int(np.argmax((time_ps <= -2**62) | (time_ps >= 2**62)))
        raise ValueError(
            f"pack_payload: time_ps[{k}] = {tv[k]} ps, expected values within +-2^62 ps"
        )
    deltas = np.diff(time_ps, prepend=time_ps[:1])
    cdef bint is_signed = bool((deltas < 0).any())
    # One tick of the instrument divides all differences; the numerator of its step costs no bits.
    cdef int64_t step = int(np.gcd.reduce(deltas)) or 1
    if step >= 2**32:
        step = 1  # the header has no room for it; such a block is not worth more
    if step > 1:
        deltas //= step
    cdef const int64_t[::1] dv = deltas
    table = np.unique(channel)
    cdef int channel_bits = (len(table) - 1).bit_length()
    index = np.zeros(256, dtype=np.uint8)
    index[table] = np.arange(len(table))
    cdef const uint8_t[::1] iv = index
    cdef double total = 0
    cdef int64_t bits = n * <int64_t>channel_bits
    cdef int low_bits
    cdef uint64_t value, high
    with nogil:
        for k in range(n):
            total += <double>folded(dv[k], is_signed)
    # For the exponential gaps of light the shortest code has about log2 of the mean as low bits.
    low_bits = min(max(int(total / n).bit_length() - 1, 0), MOST_LOW_BITS)
    with nogil:
        for k in range(n):
            bits += bits_of(folded(dv[k], is_signed), low_bits)
    payload = np.zeros(len(table) + (bits + 7) // 8 + GUARD_BYTES, dtype=np.uint8)
    payload[: len(table)] = table
    cdef BitWriter writer = BitWriter(payload[len(table) :])
    with nogil:
        for k in range(n):
            value = folded(dv[k], is_signed)
            high = value >> low_bits
            if high < ESCAPE:
                writer.put((<uint64_t>1) << high, <int>high + 1)
                writer.put_long(value & (((<uint64_t>1) << low_bits) - 1), low_bits)
            else:
                writer.put(0, ESCAPE)
                writer.put(1, 1)
                writer.put_long(value, 64)
            writer.put(iv[cv[k]], channel_bits)
    return payload, int(step), len(table), int(low_bits), bool(is_signed)


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
