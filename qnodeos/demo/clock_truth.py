"""Was the clock right? The nodes' map of bob's tags against the true times of photon pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qnodeos.demo.truth import Record, Truth, nearest
from qnodeos.journal import Journal

TURN_PS = 2**28 * 1000
"""A TDC1 counts 2^28 ns and starts anew: a stream's times are known up to whole turns of it."""

SETTLED_S = 2.0
"""The filter has this long after an acquisition before its residual counts."""


@dataclass(frozen=True, slots=True)
class ClockCheck:
    """The last clock of a run. `residual_rms_ps` is over all journalled maps once settled."""

    acquired_after_s: float
    offset_s: float
    skew: float
    true_skew: float
    residual_rms_ps: float
    bound_ps: float
    maps: int


def check_clock(journal: Journal, truth: Truth, local: str, remote: str) -> ClockCheck | None:
    """Compare; None if there is nothing to compare."""
    start_s = float(journal.of_kind("start")[-1].data["clock_s"])
    maps = [e.data for e in journal.of_kind("clock") if e.data["clock_s"] >= start_s]
    tracked = [m for m in maps if m["state"] == "tracking"]
    settled = [m for m in tracked if m["clock_s"] >= tracked[0]["clock_s"] + SETTLED_S]
    pairs = [r for r in truth.of("pair_time") if {local, remote} <= set(r["times_ps"])]
    if not settled or len(pairs) < 2:
        return None
    times_s = [truth.started_s + pair["t_s"] for pair in pairs]
    residuals = []
    for one in settled:
        at = nearest(times_s, one["clock_s"], 2.0)
        if at is not None:
            residuals.append(_residual_ps(one, pairs, at, local, remote))
    first, last = pairs[0]["times_ps"], pairs[-1]["times_ps"]
    true_skew = (last[local] - first[local]) / (last[remote] - first[remote]) - 1
    final = settled[-1]
    return ClockCheck(
        acquired_after_s=tracked[0]["clock_s"] - start_s,
        offset_s=(final["offset_whole_ps"] + final["offset_ps"]) * 1e-12,
        skew=final["skew"],
        true_skew=true_skew,
        residual_rms_ps=math.sqrt(sum(r * r for r in residuals) / len(residuals)),
        bound_ps=max(m["bound_ps"] for m in settled),
        maps=len(residuals),
    )


def _residual_ps(one: Record, pairs: list[Record], at: int, local: str, remote: str) -> float:
    """Mapped minus true local time of the pair emitted nearest to the map's epoch.

    The driver's count of turns differs from the counter's own by a whole number at either end. A
    pair that fits only with the wrong number of turns shows a residual of skew times a turn, which
    is microseconds; so the right ones are those that fit far better than that.
    """
    found: list[tuple[float, float]] = []
    # The tags of the map's epoch were taken a little before it was written down.
    for index in range(max(0, at - 12), at + 1):
        times = pairs[index]["times_ps"]
        turns = round((one["epoch_ps"] - times[remote]) / TURN_PS)
        remote_ps = times[remote] + turns * TURN_PS
        ahead_ps = remote_ps - one["epoch_ps"]
        shift_ps = one["offset_ps"] + one["skew"] * ahead_ps
        difference_ps = remote_ps + one["offset_whole_ps"] - times[local]
        rest_ps = difference_ps - round(difference_ps / TURN_PS) * TURN_PS + shift_ps
        found.append((abs(ahead_ps), rest_ps))
    right = abs(one["skew"]) * TURN_PS / 4
    fitting = [entry for entry in found if abs(entry[1]) < right]
    return min(fitting or found)[1]
