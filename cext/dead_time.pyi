import numpy as np
from numpy.typing import NDArray

def veto_after_clicks(
    time_ps: NDArray[np.int64],
    channel: NDArray[np.uint8],
    veto_ps: NDArray[np.int64],
    last_ps: NDArray[np.int64],
    extended: bool = False,
    *,
    threads: int = 1,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]: ...
