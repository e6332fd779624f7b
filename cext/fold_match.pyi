from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def match_folds(
    streams: Sequence[NDArray[np.int64]],
    spread_ps: int,
    delays_ps: Sequence[int] | None = None,
    *,
    threads: int = 1,
) -> NDArray[np.int64]: ...

class FoldMatcher:
    spread_ps: int
    delays_ps: list[int]
    folds: int
    def __init__(
        self,
        streams: int,
        spread_ps: int,
        delays_ps: Sequence[int] | None = None,
        *,
        threads: int = 1,
    ) -> None: ...
    def push(self, streams: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]: ...
