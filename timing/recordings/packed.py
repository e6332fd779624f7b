"""Recordings in the project's own packed form (docs/packed-tags.md)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from timing.packed import MAGIC, PackedError, unpack_tags
from timing.recordings.errors import RecordingDamaged, RecordingTruncated
from timing.recordings.ptu_header import AGAIN
from timing.recordings.recording import Recording, in_time_order

__all__ = ["MAGIC", "read_packed"]


def read_packed(path: Path) -> Recording:
    """Read a file of packed tags whose magic was seen; raises RecordingError."""
    data = path.read_bytes()
    try:
        time_ps, channel = unpack_tags(data)
    except PackedError as error:
        cut = error.at_byte >= len(data)
        kind = RecordingTruncated if cut else RecordingDamaged
        raise kind(
            path, error.found, at_byte=error.at_byte, expected=error.expected, do=AGAIN
        ) from None
    time_ps, channel, steps_back, first = in_time_order(time_ps, channel)
    note = f"{steps_back} tags lay before their predecessor, first tag {first}; sorted"
    return Recording(
        path=path,
        format="packed tags",
        instrument="unknown, packed tags do not say",
        time_ps=time_ps,
        channel=channel,
        marker_ps=np.empty(0, np.int64),
        marker=np.empty(0, np.uint8),
        start_ps=int(time_ps[0]) if len(time_ps) else 0,
        stop_ps=int(time_ps[-1]) + 1 if len(time_ps) else 1,
        resolution_ps=Fraction(1),
        overflows=0,
        gaps=steps_back,
        notes=(note,) if steps_back else (),
        header={"bytes": len(data)},
    )
