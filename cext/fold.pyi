from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

MOST_CHANNELS: int
MOST_FOLD: int
MOST_FOLDS: int
PIECE: int

def fold_rank(rows: Iterable[int]) -> int: ...
def match_folds(
    streams: Sequence[NDArray[np.int64]], spread_ps: int, delays_ps: Sequence[int] | None = None
) -> NDArray[np.int64]: ...

class _MergedPass:
    channels: tuple[int, ...]
    def push(self, times: NDArray[np.int64], channels: NDArray[np.uint8]) -> None: ...
    def finish(self) -> None: ...

class FoldCounter(_MergedPass):
    low_ps: int
    high_ps: int
    spread_ps: int
    fold: int
    pairs: NDArray[np.int64]
    folds: NDArray[np.int64] | None
    accidentals: NDArray[np.int64] | None
    def __init__(
        self,
        channels: Iterable[int],
        low_ps: int,
        high_ps: int,
        *,
        fold: int = 0,
        spread_ps: int | None = None,
        accidental_shift_ps: int | None = None,
        delays_ps: Sequence[int] | NDArray[np.int64] | None = None,
        threads: int = 1,
        path: str | None = None,
    ) -> None: ...

class PairHistograms(_MergedPass):
    pairs: tuple[tuple[int, int], ...]
    low_ps: int
    bin_ps: int
    counts: NDArray[np.int64]
    def __init__(
        self,
        pairs: Iterable[tuple[int, int]],
        low_ps: int,
        bin_ps: int,
        bins: int,
        *,
        delays_ps: Sequence[int] | NDArray[np.int64] | None = None,
        threads: int = 1,
        path: str | None = None,
    ) -> None: ...
