import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]
Keep = NDArray[np.bool_]

def veto_after_clicks(
    time_ps: Times, channel: Channels, veto_ps: Times, last_ps: Times, extended: bool = False
) -> tuple[Keep, Times]: ...
def gate_after_marker(
    time_ps: Times,
    channel: Channels,
    marker_channel: int,
    delay_ps: int,
    length_ps: int,
    markers_ps: Times,
) -> tuple[Keep, Times]: ...
def gate_between_markers(
    time_ps: Times, channel: Channels, open_channel: int, close_channel: int, is_open: bool = False
) -> tuple[Keep, bool]: ...
def keep_one_in(channel: Channels, divisors: Times, counts: Times) -> tuple[Keep, Times]: ...
