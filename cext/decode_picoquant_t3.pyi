from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

def decode_picoquant_t3(
    records: NDArray[np.uint32],
    sync_period_ps: int | float | Fraction,
    resolution_ps: int,
    variant: str = "generic",
    overflow_syncs: int = 0,
    *,
    threads: int = 1,
) -> tuple[
    NDArray[np.int64],
    NDArray[np.uint8],
    NDArray[np.int64],
    NDArray[np.uint16],
    NDArray[np.int64],
    NDArray[np.uint8],
    int,
    int,
]: ...
