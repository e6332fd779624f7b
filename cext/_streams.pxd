"""Checks of streams (times and channels) and of tables by channel, for the conditioning kernels."""

from libc.stdint cimport int64_t, uint8_t

import numpy as np

from cext._common cimport checked_array

cdef enum:
    CHANNELS = 256


cdef inline int check_stream(
    str kernel, const int64_t[::1] times, const uint8_t[::1] channels, str which=""
) except -1:
    """ValueError unless there is one channel a time."""
    if times.shape[0] != channels.shape[0]:
        raise ValueError(
            f"{kernel}: found {times.shape[0]} times and {channels.shape[0]} channels{which}, "
            "expected one channel a time"
        )
    return 0


cdef inline object checked_table(str kernel, str name, object table):
    """The table itself if it is int64[256] within +-2^62; else ValueError."""
    checked_array(kernel, name, table, np.int64)
    if len(table) != CHANNELS:
        raise ValueError(
            f"{kernel}: {name} has {len(table)} entries, expected {CHANNELS}, one a channel number"
        )
    if table.min() < -2**62 or table.max() > 2**62:
        raise ValueError(f"{kernel}: {name} holds a value beyond +-2^62")
    return table
