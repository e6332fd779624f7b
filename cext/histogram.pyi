import numpy as np
from numpy.typing import NDArray

def difference_histogram(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    low_ps: int,
    bin_ps: int,
    bins: int,
    *,
    threads: int = 1,
    path: str | None = None,
) -> NDArray[np.int64]: ...
def difference_histogram_plainly(
    a: NDArray[np.int64], b: NDArray[np.int64], low_ps: int, bin_ps: int, bins: int
) -> NDArray[np.int64]: ...

class DifferenceHistogram:
    low_ps: int
    bin_ps: int
    bins: int
    counts: NDArray[np.int64]
    def __init__(
        self, low_ps: int, bin_ps: int, bins: int, *, threads: int = 1, path: str | None = None
    ) -> None: ...
    def push(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None: ...
