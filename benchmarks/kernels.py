"""The kernels beside numpy, pycorrelate, tomtag and ptufile on the same data in the same run.

Targets at this stage: equal results wherever the peers mean the same, and no slower than numpy.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame import CannotRunError, Row, benchmark, best_of, need
from cext.coincidence import count_pairs, match_pairs
from cext.decode import decode_picoquant_t2
from cext.histogram import difference_histogram

Times = NDArray[np.int64]

SEED = 20240
TAGS = 2_000_000
RATE_CPS = 1_000_000
CORRELATED = 0.1
JITTER_PS = 300
WINDOW_HALF_PS = 500
HISTOGRAM_LOW_PS = -100_000
HISTOGRAM_BIN_PS = 100
HISTOGRAM_BINS = 2000
REPEATS = 5
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
RECORDING = "200204_HH400_T2_320MHz_HBT.timeres"


def correlated_streams(tags: int = TAGS) -> tuple[Times, Times]:
    """Two Poisson streams of one rate, a tenth of whose tags are pairs with Gaussian jitter."""
    random = np.random.default_rng(SEED)
    span_ps = round(tags / RATE_CPS * 1e12)
    a = np.sort(random.integers(0, span_ps, tags))
    partners = a[random.random(tags) < CORRELATED]
    jitter = np.rint(random.normal(0, JITTER_PS, len(partners))).astype(np.int64)
    others = random.integers(0, span_ps, tags - len(partners))
    return a, np.sort(np.concatenate((partners + jitter, others)))


@benchmark("coincidences", "pairs in a 1 ns window of 2 x 2 M tags: numpy, pycorrelate, tomtag")
def coincidences() -> list[Row]:
    """Count all pairs and exclusive pairs, and compare counts and times."""
    pycorrelate, tomtag = need("pycorrelate"), need("tomtag")
    a, b = correlated_streams()
    low, high = -WINDOW_HALF_PS, WINDOW_HALF_PS
    ours, ours_s = best_of(REPEATS, lambda: count_pairs(a, b, low, high))
    by_numpy, numpy_s = best_of(REPEATS, lambda: _numpy_pairs(a, b, low, high))
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
    a, b = correlated_streams()
    shape = (HISTOGRAM_LOW_PS, HISTOGRAM_BIN_PS, HISTOGRAM_BINS)
    ours, ours_s = best_of(REPEATS, lambda: difference_histogram(a, b, *shape))
    by_numpy, numpy_s = best_of(REPEATS, lambda: _numpy_histogram(a, b, *shape))
    return [
        Row("pairs in the histogram", int(ours.sum()), "pairs"),
        Row("bins that differ from numpy", int((ours != by_numpy).sum()), "bins", at_most=0),
        Row("difference_histogram", (len(a) + len(b)) / ours_s / 1e6, "Mtags/s"),
        Row("difference_histogram over numpy", numpy_s / ours_s, "x", at_least=1),
    ]


@benchmark("decode", "decoding the records of a real PicoQuant T2 recording: ptufile, numpy")
def decode() -> list[Row]:
    """Decode one second of a HydraHarp 400 and compare every tag and the times."""
    ptufile = need("ptufile")
    path = Path(os.environ.get("QNODEOS_DATA", SHARED_DATA)) / RECORDING
    if not path.is_file():
        raise CannotRunError(
            f"there is no recording {path}; set QNODEOS_DATA to the folder that holds it"
        )
    with ptufile.PtuFile(path) as opened:
        records = np.ascontiguousarray(opened.read_records(), dtype=np.uint32)
        theirs, ptufile_s = best_of(REPEATS, lambda: opened.decode_records(records))
    ours, ours_s = best_of(REPEATS, lambda: decode_picoquant_t2(records, 1))
    by_numpy, numpy_s = best_of(REPEATS, lambda: _numpy_t2(records))
    is_tag = theirs["channel"] >= 0
    time_ps, channel = theirs["time"][is_tag], theirs["channel"][is_tag] + 1
    return [
        Row("tags", len(ours[0]), "tags"),
        Row("tags that differ from ptufile", _differ(ours, (time_ps, channel)), "", at_most=0),
        Row("tags that differ from numpy", _differ(ours, by_numpy), "", at_most=0),
        Row("decode_picoquant_t2", len(records) / ours_s / 1e6, "Mrecords/s"),
        Row("decode_picoquant_t2 over numpy", numpy_s / ours_s, "x", at_least=1),
        Row("decode_picoquant_t2 over ptufile", ptufile_s / ours_s, "x"),
    ]


def _differ(ours: tuple[object, ...], theirs: tuple[object, ...]) -> float:
    """Number of tags whose time or channel differs; infinite for another number of tags."""
    times, channels = np.asarray(ours[0]), np.asarray(ours[1])
    other_times, other_channels = np.asarray(theirs[0]), np.asarray(theirs[1])
    if times.shape != other_times.shape:
        return float("inf")
    return int(((times != other_times) | (channels != other_channels)).sum())


def _numpy_pairs(a: Times, b: Times, low_ps: int, high_ps: int) -> int:
    past = np.searchsorted(b, a + high_ps, side="right")
    return int((past - np.searchsorted(b, a + low_ps, side="left")).sum())


def _numpy_histogram(a: Times, b: Times, low_ps: int, bin_ps: int, bins: int) -> Times:
    """The usual vector form: one pass for each further neighbour, until none is in range."""
    counts = np.zeros(bins, dtype=np.int64)
    first = np.searchsorted(b, a + low_ps, side="left")
    past = np.searchsorted(b, a + low_ps + bins * bin_ps, side="left")
    while True:
        left = first < past
        if not left.any():
            return counts
        a, first, past = a[left], first[left], past[left]
        counts += np.bincount((b[first] - a - low_ps) // bin_ps, minlength=bins)
        first = first + 1


def _numpy_t2(records: NDArray[np.uint32]) -> tuple[Times, NDArray[np.uint8]]:
    special = records >> 31 == 1
    field = (records & 0x1FFFFFF).astype(np.int64)
    overflow = special & (records >> 25 & 63 == 63)
    turns = np.cumsum(np.where(overflow, np.maximum(field, 1), 0))
    tags = ~special
    return (turns * (1 << 25) + field)[tags], ((records[tags] >> 25) + 1).astype(np.uint8)
