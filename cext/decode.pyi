import numpy as np
from numpy.typing import NDArray

from cext.decode_picoquant import VARIANTS as VARIANTS
from cext.decode_picoquant import decode_picoquant_t2 as decode_picoquant_t2
from cext.decode_picoquant import decode_picoquant_t3 as decode_picoquant_t3
from cext.decode_sfifteen import decode_tdc1 as decode_tdc1
from cext.decode_sfifteen import decode_tdc2 as decode_tdc2

def decode_id900(
    words: NDArray[np.uint64],
    channel: int,
    period_ps: int = 0,
    reference_index: int = 0,
    with_index: bool = False,
    *,
    threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int]: ...
