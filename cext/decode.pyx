"""Decoders from recorded or streamed time-tag words to integer picoseconds and channels.

All of them are found here; those of PicoQuant, of S-Fifteen and of the packed form have their own
files.
"""

from libc.stdint cimport int64_t, uint64_t

import numpy as np

from cext._common cimport checked_array

from cext.decode_picoquant import VARIANTS, decode_picoquant_t2, decode_picoquant_t3
from cext.decode_sfifteen import decode_tdc1, decode_tdc2
from cext.threads import checked_threads, in_threads, spans

__all__ = [
    "VARIANTS",
    "decode_id900",
    "decode_picoquant_t2",
    "decode_picoquant_t3",
    "decode_tdc1",
    "decode_tdc2",
]


def decode_id900(
    words, channel, period_ps=0, reference_index=0, with_index=False, *, threads=1
):
    """Tags of one stream of an ID900 or ID1000: (time_ps int64[n], channel uint8[n], last_index).

    `words` are uint64 picoseconds that restart at every sub-acquisition (reference) of `period_ps`:
    time = word + period_ps * index. The index is `reference_index`, the number of the message that
    brought the words; or, `with_index`, the words are pairs of time and index, and
    `reference_index` is only given back where there are none. `channel` is the input that the stream
    belongs to. No state but the index: the result does not depend on how a stream is cut.
    ValueError, with the place, for a time beyond 2^62 ps and for half a pair.
    """
    cdef const uint64_t[::1] wv = checked_array("decode_id900", "words", words, np.uint64)
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
    cdef Py_ssize_t n = wv.shape[0] // stride
    threads = checked_threads("decode_id900", threads, n)
    parts = spans(n, threads)
    time_ps = np.empty(n, dtype=np.int64)

    def decode(part):
        start, stop = parts[part]
        return id900_part(wv, start, stop, stride, period_ps, reference_index, time_ps)

    for late in in_threads(decode, len(parts), threads):
        if late >= 0:
            index = words[2 * late + 1] if with_index else reference_index
            raise ValueError(
                f"decode_id900: tag {late}, {int(words[stride * late])} ps after reference "
                f"{int(index)} of {period_ps} ps, lies beyond 2^62 ps"
            )
    index = words[2 * n - 1] if with_index and n else reference_index
    return time_ps, np.full(n, channel, dtype=np.uint8), int(index)


cdef Py_ssize_t id900_part(
    const uint64_t[::1] words, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t stride,
    uint64_t period, uint64_t index, int64_t[::1] times
):
    """Decode one part; the first tag of it that lies too late, or -1."""
    cdef uint64_t limit = (<uint64_t>1) << 62, word
    cdef uint64_t most = limit // period if period else limit
    cdef Py_ssize_t k, late = -1
    with nogil:
        for k in range(start, stop):
            word = words[stride * k]
            if stride == 2:
                index = words[2 * k + 1]
            if index > most or word > limit - index * period:
                late = k
                break
            times[k] = <int64_t>(word + index * period)
    return late
