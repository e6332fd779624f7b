from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cext.merged_pass import MergedPass

MOST_CHANNELS: int
MOST_FOLD: int
MOST_FOLDS: int

def fold_rank(rows: Iterable[int]) -> int: ...

class FoldCounter(MergedPass):
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
