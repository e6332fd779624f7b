import numpy as np
from numpy.typing import NDArray

PIECE: int

class MergedPass:
    channels: tuple[int, ...]
    def push(self, times: NDArray[np.int64], channels: NDArray[np.uint8]) -> None: ...
    def finish(self) -> None: ...
