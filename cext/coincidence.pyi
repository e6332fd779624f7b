import numpy as np
from numpy.typing import NDArray

def count_pairs(a: NDArray[np.int64], b: NDArray[np.int64], low_ps: int, high_ps: int) -> int: ...
def match_pairs(
    a: NDArray[np.int64], b: NDArray[np.int64], low_ps: int, high_ps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
