from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

def find_folds(
    times: NDArray[np.int64],
    channels: NDArray[np.uint8],
    asked: Iterable[int],
    fold: int,
    spread_ps: int,
    *,
    delays_ps: Sequence[int] | NDArray[np.int64] | None = None,
    threads: int = 1,
    path: str | None = None,
) -> NDArray[np.int64]: ...

class FoldFinder:
    channels: tuple[int, ...]
    fold: int
    spread_ps: int
    delays_ps: tuple[int, ...]
    folds: int
    def __init__(
        self,
        channels: Iterable[int],
        fold: int,
        spread_ps: int,
        *,
        delays_ps: Sequence[int] | NDArray[np.int64] | None = None,
        threads: int = 1,
        path: str | None = None,
    ) -> None: ...
    def push(self, times: NDArray[np.int64], channels: NDArray[np.uint8]) -> NDArray[np.int64]: ...
    def finish(self) -> NDArray[np.int64]: ...
