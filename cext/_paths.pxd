"""Which compiled path a kernel takes, and the C walk over two arrays that several kernels share."""

from libc.stdint cimport int64_t, uint64_t

cdef extern from "dispatch.h" nogil:
    int qn_best_path()
    enum:
        QN_PORTABLE
        QN_AVX2
        QN_AVX512

cdef extern from "order.h" nogil:
    Py_ssize_t qn_first_bad_time(
        int path, const int64_t *t, Py_ssize_t start, Py_ssize_t stop
    )

cdef extern from "join.h" nogil:
    enum:
        QN_COUNT
        QN_HISTOGRAM
        QN_INDICES

    ctypedef struct qn_sink:
        int kind
        int mirrored
        int64_t low, high, total
        int64_t *counts
        uint64_t bin, reciprocal
        int64_t *of_a
        int64_t *of_b
        int64_t room, offset_a, offset_b
        int no_memory

    ctypedef struct qn_verdict:
        Py_ssize_t bad_a, bad_b

    uint64_t qn_reciprocal(uint64_t bin, uint64_t span)
    uint64_t qn_bin_of(uint64_t d, uint64_t bin, uint64_t reciprocal)
    Py_ssize_t qn_gallop(const int64_t *t, Py_ssize_t start, Py_ssize_t stop, int64_t value)
    void qn_two_cursors(
        const int64_t *a, Py_ssize_t start, Py_ssize_t stop, const int64_t *b, Py_ssize_t m,
        Py_ssize_t *first, qn_sink *sink
    )
    qn_verdict qn_join(
        int path, const int64_t *a, Py_ssize_t start, Py_ssize_t stop,
        const int64_t *b, Py_ssize_t m, Py_ssize_t start_b, Py_ssize_t stop_b, qn_sink *sink
    )

cdef extern from "tail.h" nogil:
    ctypedef struct qn_tail:
        int64_t *times
        Py_ssize_t count, room

    int qn_tail_reserve(qn_tail *tail, Py_ssize_t more)
    int qn_tail_keep(qn_tail *tail, const int64_t *times, Py_ssize_t n, int64_t earliest)
    void qn_tail_pairs(
        int path, const qn_tail *tail, const int64_t *times, Py_ssize_t n, qn_sink *sink
    )
