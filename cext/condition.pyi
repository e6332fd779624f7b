import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]
Keep = NDArray[np.bool_]

NEVER_PS: int

def merge_two(
    time_a_ps: Times,
    channel_a: Channels,
    time_b_ps: Times,
    channel_b: Channels,
    *,
    threads: int = 1,
) -> tuple[Times, Channels]: ...
def find_disorder(
    time_ps: Times,
    bound_ps: int,
    previous_ps: int = ...,
    latest_ps: int = ...,
    *,
    threads: int = 1,
) -> tuple[int, int, int, int, Keep | None, int]: ...
def delay_channels(
    time_ps: Times, channel: Channels, delay_ps: Times, *, threads: int = 1
) -> Times: ...
def select_tags(
    time_ps: Times, channel: Channels, keep: Keep, *, threads: int = 1
) -> tuple[Times, Channels]: ...
