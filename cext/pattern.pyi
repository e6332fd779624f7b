import numpy as np
from numpy.typing import NDArray

NO_HERALD: int
PSI_PLUS: int
PSI_MINUS: int
AMBIGUOUS: int

State = tuple[int, int, bool, int, int, int, int, int]
START: State

def classify_attempts(
    time_ps: NDArray[np.int64],
    channel: NDArray[np.uint8],
    places: NDArray[np.int64],
    windows_ps: NDArray[np.int64],
    outcomes: NDArray[np.uint8],
    period_ps: int,
    start_ps: int = 0,
    clock_channel: int | None = None,
    attempts_per_clock: int = 1,
    until_ps: int | None = None,
    state: State = ...,
    *,
    threads: int = 1,
) -> tuple[
    NDArray[np.int64],
    NDArray[np.uint8],
    NDArray[np.uint8],
    NDArray[np.int64],
    tuple[int, int, int],
    State,
]: ...
