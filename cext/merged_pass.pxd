"""What the passes over a merged stream share; fold.h, gap.h and merged_tail.h do the work."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from "fold.h" nogil:
    enum:
        QN_NO_CHANNEL
        QN_MOST_CHANNELS
        QN_MOST_FOLD

    ctypedef struct qn_fold:
        uint8_t row[256]
        int channels
        int64_t reach, low, high
        int64_t *pairs
        int fold
        int64_t spread
        int64_t *folds
        int64_t choose[65][9]
        int64_t shift
        int64_t *delayed
        const int32_t *of_pair
        int64_t histogram_low, histogram_span, bins
        unsigned long long bin, reciprocal
        int64_t *histograms

    Py_ssize_t qn_fold_run(
        qn_fold *f, int path, const int64_t *t, const uint8_t *channel, Py_ssize_t start,
        Py_ssize_t n
    )
    void qn_delayed_run(
        qn_fold *f, const int64_t *t, const uint8_t *channel, Py_ssize_t start, Py_ssize_t n
    )

cdef extern from "merged_tail.h" nogil:
    ctypedef struct qn_tags:
        int64_t *times
        uint8_t *channels
        Py_ssize_t count, room

    int qn_tags_reserve(qn_tags *tags, Py_ssize_t more)
    int qn_tags_append(
        qn_tags *tags, const int64_t *times, const uint8_t *channels, Py_ssize_t n
    )
    void qn_tags_drop(qn_tags *tags, Py_ssize_t n)
    Py_ssize_t qn_tail_start(const int64_t *t, Py_ssize_t n, int64_t earliest)
    void qn_sort_nearly(
        int64_t *t, uint8_t *c, Py_ssize_t n, int64_t *spare_t, uint8_t *spare_c
    )


cdef class MergedPass:
    cdef readonly tuple channels
    cdef qn_fold f
    cdef qn_tags tail, pending, spare
    cdef int64_t keep, last, last_raw, least_delay
    cdef int64_t delay_of[256]
    cdef bint started, raw_started, delayed_channels, broken
    cdef int level
    cdef object threads, tables
    cdef str label

    cdef int set_up(self, channels, delays_ps, threads, path) except -1
    cdef int delay(
        self, const int64_t *t, const uint8_t *c, Py_ssize_t start, Py_ssize_t stop, times
    ) except -1
    cdef int count(self, const int64_t *t, const uint8_t *c, Py_ssize_t n, times) except -1
    cdef Py_ssize_t count_shared(
        self, const int64_t *t, const uint8_t *c, Py_ssize_t head, Py_ssize_t far_head, Py_ssize_t n
    ) except -2

cdef void point(qn_fold *f, tables)
