"""The kernels beside their peers on the same data in the same run.

`kernels` holds the targets; `coincidences` and `histogram` are short looks at two of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.decoding import decode_rows
from benchmarks.frame import Row, benchmark, best_of, need
from benchmarks.kernel_data import correlated_streams
from benchmarks.kernel_folds import fold_rows
from benchmarks.kernel_histograms import histogram_rows, numpy_histogram
from benchmarks.kernel_pairs import numpy_pairs, pair_rows
from benchmarks.kernel_threads import thread_rows
from cext.coincidence import count_pairs, match_pairs
from cext.histogram import difference_histogram

TAGS = 2_000_000
WINDOW_HALF_PS = 500
HISTOGRAM_LOW_PS = -100_000
HISTOGRAM_BIN_PS = 100
HISTOGRAM_BINS = 2000
REPEATS = 5


@benchmark("kernels", "all kernels and their targets: pairs, folds, histograms, decoding; minutes")
def kernels() -> list[Row]:
    """Rows (a) pairs, (b) 16 channels, (c) histograms, (d) decoding, (e) the others in threads;
    each group is one run."""
    return [
        *pair_rows(),
        *fold_rows(),
        *histogram_rows(),
        *_labelled("(d)", decode_rows()),
        *thread_rows(),
    ]


def _labelled(label: str, rows: list[Row]) -> list[Row]:
    return [replace(row, what=f"{label} {row.what}") for row in rows]


@benchmark("coincidences", "pairs in a 1 ns window of 2 x 2 M tags: numpy, pycorrelate, tomtag")
def coincidences() -> list[Row]:
    """Count all pairs and exclusive pairs, and compare counts and times."""
    pycorrelate, tomtag = need("pycorrelate"), need("tomtag")
    a, b = correlated_streams(TAGS)
    low, high = -WINDOW_HALF_PS, WINDOW_HALF_PS
    ours, ours_s = best_of(REPEATS, lambda: count_pairs(a, b, low, high))
    by_numpy, numpy_s = best_of(REPEATS, lambda: numpy_pairs(a, b, low, high))
    edges = np.array([low, high + 1])
    pycorrelate.pcorrelate(a[:9], b[:9], edges)  # compiles outside the measured time
    density, pycorrelate_s = best_of(REPEATS, lambda: pycorrelate.pcorrelate(a, b, edges))
    by_pycorrelate = round(float(density[0]) * (high + 1 - low))
    exclusive, exclusive_s = best_of(REPEATS, lambda: len(match_pairs(a, b, low, high)[0]))
    by_tomtag, tomtag_s = best_of(
        REPEATS, lambda: tomtag.count_twofolds(a, b, len(a), len(b), WINDOW_HALF_PS)
    )
    tags = len(a) + len(b)
    return [
        Row("count_pairs, all pairs", ours, "pairs"),
        Row("difference from numpy searchsorted", abs(ours - by_numpy), "pairs", at_most=0),
        Row("difference from pycorrelate", abs(ours - by_pycorrelate), "pairs", at_most=0),
        Row("match_pairs, each tag once", exclusive, "pairs"),
        Row("difference from tomtag", abs(exclusive - by_tomtag), "pairs", at_most=0),
        Row("count_pairs", tags / ours_s / 1e6, "Mtags/s"),
        Row("match_pairs", tags / exclusive_s / 1e6, "Mtags/s"),
        Row("count_pairs over numpy", numpy_s / ours_s, "x", at_least=1),
        Row("count_pairs over pycorrelate", pycorrelate_s / ours_s, "x"),
        Row("match_pairs over tomtag, which only counts", tomtag_s / exclusive_s, "x"),
    ]


@benchmark("histogram", "difference histogram, 2000 bins of 100 ps, of 2 x 2 M tags: numpy")
def histogram() -> list[Row]:
    """Count all differences in +-100 ns and compare bins and times."""
    a, b = correlated_streams(TAGS)
    shape = (HISTOGRAM_LOW_PS, HISTOGRAM_BIN_PS, HISTOGRAM_BINS)
    ours, ours_s = best_of(REPEATS, lambda: difference_histogram(a, b, *shape))
    by_numpy, numpy_s = best_of(REPEATS, lambda: numpy_histogram(a, b, *shape))
    return [
        Row("pairs in the histogram", int(ours.sum()), "pairs"),
        Row("bins that differ from numpy", int((ours != by_numpy).sum()), "bins", at_most=0),
        Row("difference_histogram", (len(a) + len(b)) / ours_s / 1e6, "Mtags/s"),
        Row("difference_histogram over numpy", numpy_s / ours_s, "x", at_least=1),
    ]
