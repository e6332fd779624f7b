import numpy as np
from numpy.typing import NDArray

def phase_histogram(
    times: NDArray[np.int64],
    period_ps: int,
    bin_ps: int,
    origin_ps: int = 0,
    *,
    threads: int = 1,
) -> NDArray[np.int64]: ...

class PhaseHistogram:
    period_ps: int
    bin_ps: int
    origin_ps: int
    counts: NDArray[np.int64]
    def __init__(
        self, period_ps: int, bin_ps: int, origin_ps: int = 0, *, threads: int = 1
    ) -> None: ...
    def push(self, times: NDArray[np.int64]) -> None: ...
