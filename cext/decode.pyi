import numpy as np
from numpy.typing import NDArray

VARIANTS: dict[str, int]

def decode_tdc1(
    words: NDArray[np.uint32], wraps: int = 0, last_raw: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int, int]: ...
def decode_tdc2(
    words: NDArray[np.uint32], high_first: bool = False, last_ticks: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int, int | None]: ...
def decode_picoquant_t2(
    records: NDArray[np.uint32],
    resolution_ps: int,
    variant: str = "generic",
    overflow_ticks: int = 0,
) -> tuple[
    NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], int, int
]: ...
