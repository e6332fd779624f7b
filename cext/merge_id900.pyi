from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_STREAMS: int

def merge_id900(
    words: Sequence[NDArray[np.uint64]],
    channels: Sequence[int],
    offset_ps: int,
    limit_ps: int,
    time_ps: NDArray[np.int64],
    channel: NDArray[np.uint8],
) -> None: ...
