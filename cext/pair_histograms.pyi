from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cext.merged_pass import MergedPass

class PairHistograms(MergedPass):
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
