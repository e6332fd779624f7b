import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Indices = NDArray[np.int64]

def nearest_pairs(
    a: Times, b: Times, low_ps: int, high_ps: int, *, threads: int = 1
) -> tuple[Indices, Indices]: ...
def match_pairs(
    a: Times, b: Times, low_ps: int, high_ps: int, *, threads: int = 1
) -> tuple[Indices, Indices]: ...

class _PairStream:
    low_ps: int
    high_ps: int
    pairs: int
    def __init__(self, low_ps: int, high_ps: int, *, threads: int = 1) -> None: ...
    def push(self, a: Times, b: Times) -> tuple[Indices, Indices]: ...

class PairMatcher(_PairStream): ...

class NearestMatcher(_PairStream):
    def finish(self) -> tuple[Indices, Indices]: ...
