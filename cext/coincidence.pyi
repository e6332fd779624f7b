from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cext.match import NearestMatcher as NearestMatcher
from cext.match import PairMatcher as PairMatcher
from cext.match import match_pairs as match_pairs
from cext.match import nearest_pairs as nearest_pairs

def count_pairs(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    low_ps: int,
    high_ps: int,
    *,
    threads: int = 1,
    path: str | None = None,
) -> int: ...
def count_pairs_at(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    low_ps: int,
    high_ps: int,
    shifts_ps: Sequence[int],
    *,
    threads: int = 1,
    path: str | None = None,
) -> NDArray[np.int64]: ...
def count_pairs_plainly(
    a: NDArray[np.int64], b: NDArray[np.int64], low_ps: int, high_ps: int
) -> int: ...
def all_pairs(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    low_ps: int,
    high_ps: int,
    *,
    threads: int = 1,
    path: str | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...

class PairCounter:
    low_ps: int
    high_ps: int
    shifts_ps: tuple[int, ...]
    counts: NDArray[np.int64]
    def __init__(
        self,
        low_ps: int,
        high_ps: int,
        shifts_ps: Sequence[int] = (0,),
        *,
        threads: int = 1,
        path: str | None = None,
    ) -> None: ...
    def push(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None: ...
