import numpy as np
from numpy.typing import NDArray

from cext.decode_picoquant_t3 import decode_picoquant_t3 as decode_picoquant_t3

VARIANTS: dict[str, int]

def decode_picoquant_t2(
    records: NDArray[np.uint32],
    resolution_ps: int,
    variant: str = "generic",
    overflow_ticks: int = 0,
    out: tuple[NDArray[np.int64], NDArray[np.uint8]] | None = None,
    *,
    threads: int = 1,
    path: str | None = None,
) -> tuple[
    NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], int, int
]: ...
