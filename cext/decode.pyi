import numpy as np
from numpy.typing import NDArray

from cext.decode_picoquant import VARIANTS as VARIANTS
from cext.decode_picoquant import decode_picoquant_t2 as decode_picoquant_t2
from cext.decode_picoquant import decode_picoquant_t3 as decode_picoquant_t3

def decode_tdc1(
    words: NDArray[np.uint32], wraps: int = 0, last_raw: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int, int]: ...
def decode_tdc2(
    words: NDArray[np.uint32], high_first: bool = False, last_ticks: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int, int | None]: ...
def decode_id900(
    words: NDArray[np.uint64],
    channel: int,
    period_ps: int = 0,
    reference_index: int = 0,
    with_index: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int]: ...
