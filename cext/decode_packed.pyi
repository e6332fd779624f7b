import numpy as np
from numpy.typing import NDArray

MOST_TAGS: int

def pack_payload(
    time_ps: NDArray[np.int64], channel: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], int, int, int, bool]: ...
def unpack_payload(
    payload: NDArray[np.uint8],
    count: int,
    first_ps: int,
    step_ps: int,
    channels: int,
    low_bits: int,
    is_signed: bool,
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]: ...
