/* The C bodies of the kernels against plain loops, with no Python around: for machines that the
   tests do not run on. Prints a sum over all results, which is the same on every machine. */
#include <inttypes.h>
#include <stdio.h>

#include "decode_t2.h"
#include "fold.h"
#include "fold_find.h"
#include "join.h"
#include "merged_tail.h"
#include "phase.h"
#include "quiet.h"
#include "tail.h"

enum { TAGS = 20000, BINS = 50, CHANNELS = 5 };

static uint64_t seed = 20240;
static uint64_t sum_of_all;

static uint64_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void check(const char *what, int64_t found, int64_t expected)
{
    sum_of_all = sum_of_all * 1099511628211u + (uint64_t)found;
    if (found == expected) return;
    printf("%s: found %" PRId64 ", expected %" PRId64 "\n", what, found, expected);
    exit(1);
}

static void ascending(int64_t *t, int64_t start, uint64_t gap)
{
    for (int k = 0; k < TAGS; k++) t[k] = start += (int64_t)(next() % gap);
}

static void pairs(int path, const int64_t *a, const int64_t *b, int64_t low, int64_t bin)
{
    int64_t high = low + BINS * bin - 1, counts[BINS] = {0}, plain[BINS] = {0}, total = 0;
    qn_sink sink = {0};
    for (int i = 0, j = 0; i < TAGS; i++) {
        while (j < TAGS && b[j] < a[i] + low) j++;
        for (int k = j; k < TAGS && b[k] <= a[i] + high; k++, total++)
            plain[(b[k] - a[i] - low) / bin]++;
    }
    sink.low = low;
    sink.high = high;
    qn_join(path, a, 0, TAGS, b, TAGS, 0, TAGS, &sink);
    check("pairs", sink.total, total);
    sink.kind = QN_HISTOGRAM;
    sink.bin = (uint64_t)bin;
    sink.reciprocal = qn_reciprocal((uint64_t)bin, (uint64_t)(BINS * bin));
    sink.counts = counts;
    qn_verdict verdict = qn_join(path, a, 0, TAGS, b, TAGS, 0, TAGS, &sink);
    check("order", verdict.bad_a + verdict.bad_b, -2);
    for (int k = 0; k < BINS; k++) check("histogram", counts[k], plain[k]);
}

static void folds(int path, const int64_t *t, const uint8_t *channel, int64_t reach)
{
    static qn_fold f;
    int64_t counted[CHANNELS * CHANNELS] = {0}, plain[CHANNELS * CHANNELS] = {0}, found[10] = {0};
    int64_t triples = 0;
    memset(&f, 0, sizeof f);
    memset(f.row, QN_NO_CHANNEL, sizeof f.row);
    for (int c = 0; c < CHANNELS; c++) f.row[c] = (uint8_t)c;
    for (int n = 0; n <= QN_MOST_CHANNELS; n++)
        for (int k = 0; k <= QN_MOST_FOLD; k++)
            f.choose[n][k] = k == 0 ? 1 : n == 0 ? 0 : f.choose[n - 1][k - 1] + f.choose[n - 1][k];
    f.channels = CHANNELS;
    f.reach = f.high = f.spread = reach;
    f.low = -reach;
    f.fold = 3;
    f.pairs = counted;
    f.folds = found;
    check("bad times", qn_fold_run(&f, path, t, channel, 0, TAGS), -1);
    for (int j = 0; j < TAGS; j++)
        for (int i = j - 1; i >= 0 && t[j] - t[i] <= reach; i--) {
            plain[channel[i] * CHANNELS + channel[j]]++;
            plain[channel[j] * CHANNELS + channel[i]]++;
            for (int h = i - 1; h >= 0 && t[j] - t[h] <= reach; h--)
                triples += channel[h] != channel[i] && channel[i] != channel[j] &&
                           channel[h] != channel[j];
        }
    for (int k = 0; k < CHANNELS * CHANNELS; k++) check("pair matrix", counted[k], plain[k]);
    int64_t total = 0;
    for (int k = 0; k < 10; k++) total += found[k];
    check("folds", total, triples);
    qn_finder finder = {0};
    finder.row = f.row;
    finder.fold = 3;
    finder.spread = reach;
    finder.times = t;
    finder.channels = channel;
    qn_find_run(&finder, path, 0, TAGS);
    check("folds found", finder.count, triples);
    for (ptrdiff_t k = 0; k < 3 * finder.count; k++) sum_of_all = sum_of_all * 31 + (uint64_t)finder.found[k];
    free(finder.found);
}

static void order(int path, int64_t *t)
{
    for (int at = 1; at < TAGS; at += 777) {
        int64_t kept = t[at];
        t[at] = t[at - 1] - 1;
        check("step back", qn_first_bad_time(path, t, 0, TAGS), at);
        t[at] = kept;
    }
    check("in order", qn_first_bad_time(path, t, 0, TAGS), -1);
}

static void phase(const int64_t *t, int64_t period, int64_t bin)
{
    int64_t counts[1000] = {0}, plain[1000] = {0};
    qn_phase_histogram(t, TAGS, 17, (uint64_t)period, (uint64_t)bin, counts);
    for (int k = 0; k < TAGS; k++) plain[((t[k] - 17) % period + period) % period / bin]++;
    for (int k = 0; k < (period + bin - 1) / bin; k++) check("phase", counts[k], plain[k]);
}

static void t2(int path, int kind)
{
    static uint32_t records[TAGS];
    static int64_t times[TAGS], plain[TAGS];
    static uint8_t channels[TAGS];
    int64_t base = 0, tags = 0, turns = 0;
    for (int k = 0; k < TAGS; k++) {
        uint64_t roll = next();
        records[k] = (uint32_t)(roll >> 9) & 0x1FFFFFF;
        records[k] |= (uint32_t)(roll % 5) << (kind == T2_PICOHARP ? 28 : 25);
        if (roll % 97 == 0) records[k] = kind == T2_PICOHARP ? 0xF0000000u : 0xFE000001u;
    }
    for (int k = 0; k < TAGS; k++)
        if (t2_is_tag(records[k], kind)) plain[tags++] = (base + t2_field(records[k], kind)) * 4;
        else base += t2_turns(records[k], kind) * t2_wrap(kind), turns++;
    t2_state survey = {0, 0, 0, 0, -1}, state = {0, 0, 0, 0, -1};
    t2_survey(records, TAGS, kind, &survey);
    check("surveyed tags", survey.tags, tags);
    t2_decode(records, TAGS, kind, 4, (int64_t)1 << 60, survey.tags, times, channels, &state,
              path);
    check("tags", state.tags, tags);
    check("turns", state.overflows, turns);
    for (int k = 0; k < tags; k++) {
        check("time", times[k], plain[k]);
        sum_of_all = sum_of_all * 31 + channels[k];
    }
}

static void quiet(const int64_t *a, const int64_t *b, int64_t reach)
{
    qn_streams streams = {{a, b}, {TAGS, TAGS}, {0, 0}, 2};
    ptrdiff_t at[2] = {0, 0};
    int gaps = 0;
    for (; qn_quiet_gap(&streams, (uint64_t)reach, at); gaps++) {
        int64_t before = INT64_MIN, after = a[at[0]] < b[at[1]] ? a[at[0]] : b[at[1]];
        for (int k = 0; k < 2; k++)
            if (at[k] && streams.times[k][at[k] - 1] > before) before = streams.times[k][at[k] - 1];
        check("a gap", after - before > reach, 1);
        at[a[at[0]] <= b[at[1]] ? 0 : 1]++;
    }
    check("there are gaps", gaps > 10, 1);
    sum_of_all = sum_of_all * 31 + (uint64_t)gaps;
}

static void delays(const int64_t *t, const uint8_t *channel)
{
    static int64_t moved[TAGS], spare_t[TAGS];
    static uint8_t channels[TAGS], spare_c[TAGS];
    int64_t sum = 0, sorted = 0;
    for (int k = 0; k < TAGS; k++) {
        moved[k] = t[k] + 1000 * channel[k];
        channels[k] = channel[k];
        sum += moved[k] ^ channel[k];
    }
    qn_sort_nearly(moved, channels, TAGS, spare_t, spare_c);
    for (int k = 0; k < TAGS; k++) {
        sorted += moved[k] ^ channels[k];
        if (k) check("sorted", moved[k - 1] <= moved[k], 1);
    }
    check("none lost", sorted, sum);
}

int main(void)
{
    static int64_t a[TAGS], b[TAGS];
    static uint8_t channel[TAGS];
    const uint64_t gaps[] = {3, 200, 40000, 1u << 31};
    for (int path = 0; path <= qn_best_path(); path++) {
        seed = 20240;
        sum_of_all = 0;
        for (int g = 0; g < 4; g++) {
            ascending(a, -1000000, gaps[g]);
            ascending(b, -1000000, gaps[g] + gaps[g] / 3);
            for (int k = 0; k < TAGS; k++) channel[k] = (uint8_t)(next() % CHANNELS);
            pairs(path, a, b, g ? -500 : -20, g ? 20 : 1);
            pairs(path, a, b, g ? -3 * (int64_t)gaps[g] : 0, g ? (int64_t)gaps[g] / 7 + 1 : 1);
            folds(path, a, channel, g ? (int64_t)gaps[g] / 2 : 2);
            order(path, a);
            phase(a, 9973, 10);
            phase(b, 1000, 7);
            delays(a, channel);
            if (g) quiet(a, b, (int64_t)gaps[g] / 4);
        }
        for (int kind = T2_PICOHARP; kind <= T2_GENERIC; kind++) t2(path, kind);
        printf("path %d: %016" PRIx64 "\n", path, sum_of_all);
    }
    return 0;
}
