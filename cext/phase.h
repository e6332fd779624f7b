/* Times modulo a period, into a histogram. */
#ifndef QN_PHASE_H
#define QN_PHASE_H

#include "join.h"

/* Adds (t - origin) mod period to bins of that width; |t|, |origin| < 2^62 and 0 < period < 2^62.
   The quotient from the rounded-down reciprocal is at most one too small, which one step mends. */
QN_NOINLINE void qn_phase_histogram(
    const int64_t *t, ptrdiff_t n, int64_t origin, uint64_t period, uint64_t bin, int64_t *counts)
{
    /* A whole number of periods that makes every difference positive. */
    uint64_t lift = ((((uint64_t)1 << 63) - 1) / period) * period;
    uint64_t reciprocal = UINT64_MAX / period;
    uint64_t for_bins = qn_reciprocal(bin, period);
    for (ptrdiff_t k = 0; k < n; k++) {
        int64_t since = t[k] - origin;
        uint64_t u = since >= 0 ? (uint64_t)since : (uint64_t)since + lift;
        if (QN_UNLIKELY((int64_t)u < 0)) u += period; /* below -lift, by less than one period */
#if defined(__SIZEOF_INT128__)
        uint64_t phase = u - (uint64_t)(((unsigned __int128)u * reciprocal) >> 64) * period;
        phase = phase >= period ? phase - period : phase;
#else
        uint64_t phase = u % period;
#endif
        counts[qn_bin_of(phase, bin, for_bins)]++;
    }
    (void)reciprocal;
}

#endif
