"""Sums along all straight lines of a table of segments and lags.

A pair of clocks with a skew moves its peak by a constant number of lags from segment to segment.
All S lines of drift 0 to S - 1 over S segments are summed in S log2 S additions a lag instead of
S^2, by joining neighbouring segments two by two (J. H. Taylor, Astron. Astrophys. Suppl. 15, 367
(1974), for the dispersion of pulsars).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]


def drifting_sums(table: Table, most: int) -> Iterator[tuple[int, int, Table]]:
    """(drift, ahead, sums) for every drift from -most to most lags between first and last segment.

    `table` is float32 of shape (segments, lags), segments a power of two above `most`, lags
    circular. `sums[l]` is the sum along the line that passes lag l + ahead in the middle of the
    table, to within a lag.
    """
    for drift, sums in enumerate(_tree(table, most)):
        yield drift, drift // 2, sums
    for drift, sums in enumerate(_tree(table[::-1], most)):
        if drift > 0:
            yield -drift, drift // 2, sums


def _tree(rows: Table, most: int) -> Table:
    """Sums for drifts 0 to most, shape (most + 1, lags), by the lag of the first row."""
    segments, lags = rows.shape
    blocks = rows[:, np.newaxis, :]
    width = 1
    while width < segments:
        width *= 2
        # A block of this width sees its share of the whole drift, and a lag for rounding.
        drifts = min(width, most * width // segments + 3, most + 1)
        joined = np.empty((len(blocks) // 2, drifts, lags), dtype=np.float32)
        for pair, into in enumerate(joined):
            first, second = blocks[2 * pair], blocks[2 * pair + 1]
            for drift in range(drifts):
                half = drift // 2
                shift = (drift - half) % lags
                cut = lags - shift
                np.add(first[half][:cut], second[half][shift:], out=into[drift][:cut])
                np.add(first[half][cut:], second[half][:shift], out=into[drift][cut:])
        blocks = joined
    sums: Table = blocks[0]
    return sums
