/* Quiet gaps: where streams that are matched tag by tag may be cut and give what the whole gives.

   A matching uses tags up, so what a tag meets depends on all before it. But in a gap longer than
   anything reaches across, every tag ahead of it is used or passed over before any behind it is
   looked at: the walk comes through such a gap with its cursors at the gap, whatever came before. */
#ifndef QN_QUIET_H
#define QN_QUIET_H

#include "dispatch.h"

/* Ascending streams, each with a delay that is added to its times; both within +-2^62. */
typedef struct {
    const int64_t *times[64];
    ptrdiff_t length[64];
    int64_t delay[64];
    int count;
} qn_streams;

/* Moves the cursors `at` on to the next place where a gap of all streams together exceeds `reach`;
   0 where there is none ahead of the end of some stream. The cursors must stand at one instant. */
QN_INLINE int qn_quiet_gap(const qn_streams *s, uint64_t reach, ptrdiff_t *at)
{
    int64_t before = 0;
    int any = 0;
    for (int k = 0; k < s->count; k++)
        if (at[k] > 0) {
            int64_t time = s->times[k][at[k] - 1] + s->delay[k];
            if (!any || time > before) before = time;
            any = 1;
        }
    for (;;) {
        int next = 0;
        int64_t after = 0;
        for (int k = 0; k < s->count; k++) {
            if (at[k] == s->length[k]) return 0;
            int64_t time = s->times[k][at[k]] + s->delay[k];
            if (k == 0 || time < after) {
                after = time;
                next = k;
            }
        }
        if (any && (uint64_t)after - (uint64_t)before > reach) return 1;
        before = after;
        any = 1;
        at[next]++;
    }
}

#endif
