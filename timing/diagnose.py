"""What can be wrong with two recordings that are to be synchronised, told before or after a search.

Pure functions on ascending int64 arrays. A `Finding` is one sentence for the operator: what was
found, where, and what to do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from timing.acquire import Acquisition, Search, acquire
from timing.clock import ClockModel
from timing.tags import PS_PER_S, TimesPs

Kind = Literal[
    "empty",
    "same",
    "no-overlap",
    "unit",
    "silence",
    "gap",
    "step",
    "swapped",
    "wide",
]

_UNITS_PS = {
    10**12: "1 s",
    10**9: "1 ms",
    10**6: "1 us",
    1000: "1 ns",
    2000: "2 ns",
    125: "125 ps",
    100: "100 ps",
    80: "80 ps",
    25: "25 ps",
    16: "16 ps",
    4: "4 ps",
}
_DECIMAL_PS = (10**12, 10**9, 10**6, 1000)
# Two recordings started and stopped by hand last as long as each other within this factor.
_SAME_LENGTH = 1.6
_SAME_COUNTS = 30.0
_CONFIRM_S = 4
_SILENCE_CHANCE = 1e-12
_LEAST_SILENCE_PS = PS_PER_S // 1000
_STEP_SIGMA = 6.0
_WIDEST_JITTER_PS = 20_000.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, as one sentence. `fatal`: no search can succeed as things are."""

    kind: Kind
    text: str
    fatal: bool = False


def examine(
    a: TimesPs, b: TimesPs, max_offset_ps: int, names: tuple[str, str] = ("A", "B")
) -> list[Finding]:
    """What two streams show to be wrong before any search; in the order of gravity."""
    found = [
        Finding("empty", f"{name} holds no tags; check the file and the channels chosen", True)
        for times, name in zip((a, b), names, strict=True)
        if len(times) == 0
    ]
    if found:
        return found
    if (shift := same_stream(a, b)) is not None:
        shifted = f", {shift} ps apart" if shift else ""
        return [
            Finding(
                "same",
                f"{names[0]} and {names[1]} hold the very same {len(a)} tags{shifted}: one file "
                "was given twice, or copied; choose the far end's",
                True,
            )
        ]
    unit = suspected_unit(a, b)
    if unit is not None and unit[1] in _DECIMAL_PS:
        found.append(Finding("unit", _unit_text(a, b, *unit, names, sure=False)))
    if (apart := apart_ps(a, b)) > max_offset_ps and not found:
        spans = " and ".join(
            f"{name} covers {_seconds(int(times[0]))} to {_seconds(int(times[-1]))}"
            for times, name in zip((a, b), names, strict=True)
        )
        found.append(
            Finding(
                "no-overlap",
                f"the recordings do not overlap in time: {spans}, and no offset within "
                f"{max_offset_ps / PS_PER_S:g} s brings them together; if their clocks start at "
                f"different times, allow offsets of {math.ceil(apart / PS_PER_S) + 1} s or more",
                True,
            )
        )
    for times, name in zip((a, b), names, strict=True):
        if silent := silences(times):
            longest = max(silent, key=lambda span: span[1] - span[0])
            total_s = sum(stop - start for start, stop in silent) / PS_PER_S
            found.append(
                Finding(
                    "silence",
                    f"{name} is silent {_times(len(silent))}, {total_s:.3g} s in all, longest "
                    f"{(longest[1] - longest[0]) / PS_PER_S:.3g} s from {_seconds(longest[0])} on, "
                    "which its rate does not explain: an overflow, or light that was cut",
                )
            )
    return found


def same_stream(a: TimesPs, b: TimesPs) -> int | None:
    """b - a if both are one stream, moved or not; else None."""
    if len(a) != len(b) or len(a) == 0:
        return None
    shift = int(b[0] - a[0])
    return shift if bool(np.array_equal(b - a, np.full(len(a), shift))) else None


def apart_ps(a: TimesPs, b: TimesPs) -> int:
    """Time between the end of one recording and the start of the other; 0 where they overlap."""
    return max(0, int(b[0]) - int(a[-1]), int(a[0]) - int(b[-1]))


def suspected_unit(a: TimesPs, b: TimesPs) -> tuple[int, int] | None:
    """(0 for a or 1 for b, unit in ps) of the stream whose times look like that unit's, or None.

    Two recordings of one light last about as long and hold comparable numbers of tags; a stream in
    another unit seems shorter, and its rate higher, by the same large factor.
    """
    if min(len(a), len(b)) < 2:
        return None
    spans = [float(times[-1] - times[0]) for times in (a, b)]
    if min(spans) <= 0 or not 1 / _SAME_COUNTS < len(a) / len(b) < _SAME_COUNTS:
        return None
    which = 0 if spans[0] < spans[1] else 1
    ratio = spans[1 - which] / spans[which]
    near = [u for u in _UNITS_PS if u / _SAME_LENGTH < ratio < u * _SAME_LENGTH]
    decimal = [unit for unit in near if unit in _DECIMAL_PS]
    likely = min(decimal or near, key=lambda unit: abs(math.log(ratio / unit)), default=None)
    return None if likely is None else (which, likely)


def confirmed_unit(
    a: TimesPs, b: TimesPs, search: Search, names: tuple[str, str] = ("A", "B")
) -> Finding | None:
    """The wrong unit, proved by a correlation that appears once the times are scaled; else None."""
    suspect = suspected_unit(a, b)
    if suspect is None:
        return None
    which, likely = suspect
    streams = [times - times[0] for times in (a, b)]
    ratio = float(streams[1 - which][-1]) / float(streams[which][-1])
    for unit in sorted(_UNITS_PS, key=lambda unit: (unit != likely, unit)):
        if not unit / _SAME_LENGTH < ratio < unit * _SAME_LENGTH:
            continue
        if float(streams[which][-1]) * unit >= 2**62:
            continue
        scaled = list(streams)
        scaled[which] = streams[which] * unit
        middle_ps = int(min(scaled[0][-1], scaled[1][-1])) // 2
        low, high = np.searchsorted(
            scaled[0], [middle_ps - _CONFIRM_S * PS_PER_S // 2, middle_ps + _CONFIRM_S * PS_PER_S]
        )
        if isinstance(acquire(scaled[0][low:high], scaled[1], search), Acquisition):
            return Finding("unit", _unit_text(a, b, which, unit, names, sure=True), True)
    return None


def _unit_text(
    a: TimesPs, b: TimesPs, which: int, unit: int, names: tuple[str, str], *, sure: bool
) -> str:
    spans = [float(times[-1] - times[0]) / PS_PER_S for times in (a, b)]
    how = "are" if sure else "look like they are"
    proof = "; so scaled, the two correlate" if sure else ""
    return (
        f"{names[which]}'s times {how} in units of {_UNITS_PS[unit]}, not 1 ps: it lasts "
        f"{spans[which]:.4g} s, {names[1 - which]} {spans[1 - which]:.4g} s, with {len(a)} and "
        f"{len(b)} tags{proof}; multiply its times by {unit}"
    )


def silences(times: TimesPs) -> list[tuple[int, int]]:
    """Spans (start, stop) of a millisecond or more without tags, too long for chance.

    A gap g at rate r occurs by chance n exp(-r g) times among n. The rate is that of the 32 gaps
    before or of those after, whichever is lower: bursts and swings are no silence.
    """
    if len(times) < 100:
        return []
    gaps = np.diff(times)
    unlikely = math.log(len(gaps)) - math.log(_SILENCE_CHANCE)
    found = []
    worth_ps = max(_LEAST_SILENCE_PS, float(np.median(gaps)) * unlikely)
    for k in np.flatnonzero(gaps > worth_ps).tolist():
        sides = gaps[max(0, k - 32) : k], gaps[k + 1 : k + 33]
        mean_ps = max(float(side.mean()) for side in sides if len(side))
        if gaps[k] > mean_ps * unlikely:
            found.append((int(times[k]), int(times[k + 1])))
    return found


def clock_step(
    before: ClockModel, after: ClockModel, remote_ps: int, noise_1s: float
) -> tuple[float, float] | None:
    """(step, its standard deviation) in ps, if a clock has jumped between two models; else None.

    Both are extrapolated to the remote instant between them; over the time between their epochs
    clocks of white frequency noise `noise_1s` may wander by that times its square root.
    """
    between_s = abs(after.epoch_ps - before.epoch_ps) / PS_PER_S
    wander_ps = noise_1s * math.sqrt(max(between_s, 0.1)) * PS_PER_S
    step_ps = after.instant_to_local(remote_ps) - before.instant_to_local(remote_ps)
    sigma_ps = math.sqrt(
        before.uncertainty_ps(remote_ps) ** 2 + after.uncertainty_ps(remote_ps) ** 2 + wander_ps**2
    )
    return (float(step_ps), sigma_ps) if abs(step_ps) > _STEP_SIGMA * sigma_ps else None


def swapped(
    offset_s: float, expected_s: float, names: tuple[str, str] = ("A", "B")
) -> Finding | None:
    """The files are in the wrong order: the offset found is the expected one's negative."""
    tolerance_s = abs(expected_s) / 10
    if abs(offset_s + expected_s) > tolerance_s or abs(offset_s - expected_s) <= tolerance_s:
        return None
    return Finding(
        "swapped",
        f"{names[0]} and {names[1]} look swapped: the offset is {offset_s:+.6f} s where "
        f"{expected_s:+.6f} s was expected; give them in the other order",
    )


def wide_peak(jitter_ps: float) -> Finding | None:
    """A peak too wide for detectors: it is the light that fluctuates, not pairs."""
    if jitter_ps < _WIDEST_JITTER_PS:
        return None
    return Finding(
        "wide",
        f"the peak is {jitter_ps / 1000:,.1f} ns wide, far more than the jitter of detectors: "
        "light that fluctuates at both ends alike correlates so, without pairs; times are no "
        "better",
    )


def _seconds(time_ps: int) -> str:
    return f"{time_ps / PS_PER_S:.6g} s"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
