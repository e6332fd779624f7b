import numpy as np
from numpy.typing import NDArray

from cext.dead_time import veto_after_clicks as veto_after_clicks

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]
Keep = NDArray[np.bool_]

def gate_after_marker(
    time_ps: Times,
    channel: Channels,
    marker_channel: int,
    delay_ps: int,
    length_ps: int,
    markers_ps: Times,
    *,
    threads: int = 1,
) -> tuple[Keep, Times]: ...
def gate_between_markers(
    time_ps: Times,
    channel: Channels,
    open_channel: int,
    close_channel: int,
    is_open: bool = False,
    *,
    threads: int = 1,
) -> tuple[Keep, bool]: ...
def keep_one_in(
    channel: Channels, divisors: Times, counts: Times, *, threads: int = 1
) -> tuple[Keep, Times]: ...
