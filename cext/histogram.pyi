import numpy as np
from numpy.typing import NDArray

def difference_histogram(
    a: NDArray[np.int64], b: NDArray[np.int64], low_ps: int, bin_ps: int, bins: int
) -> NDArray[np.int64]: ...
