import numpy as np
from numpy.typing import NDArray

def decode_tdc1(
    words: NDArray[np.uint32], wraps: int = 0, last_raw: int = 0, *, threads: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int, int]: ...
def decode_tdc2(
    words: NDArray[np.uint32],
    high_first: bool = False,
    last_ticks: int | None = None,
    *,
    threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int, int | None]: ...
