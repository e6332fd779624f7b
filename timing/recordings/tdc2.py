"""S-Fifteen TDC2 (timestamp7) event files: 64-bit events, no header, no magic.

Such a file can only be told by its content, so it must pass every test below in exactly one of its
two word orders; anything else is refused.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cext.decode import decode_tdc2
from timing.recordings.errors import NotATagFile, RecordingDamaged, RecordingTruncated
from timing.recordings.ptu_header import AGAIN
from timing.recordings.recording import Recording, in_time_order
from timing.tags import TimesPs

EVENT_BYTES = 8
RESOLUTION_PS = Fraction(125, 32)
TICKS_PER_S = 256 * 10**9
TURN_TICKS = 1 << 54
MARKER_BIT = 0x10
PATTERN_MASK = 0xF
RESERVED_BITS = (6, 7, 8, 9)
RESERVED_MASK = 0x3C0

HEAD_EVENTS = 4096
LEAST_TAGS = 16
# Hardware steps back by up to 0.1 ms in half a percent of the events where its buffers interleave.
MOST_STEPS_BACK = 0.02
LARGEST_STEP_BACK_TICKS = TICKS_PER_S
MOST_EMPTY_EVENTS = 0.01
MOST_ODD_EVENTS = 0.1
# The low 22 bits of true times are as good as random over 16 us; high words in their place repeat.
LEAST_DISTINCT_TIMES = 0.5
BLOCK_EVENTS = 512

Words = NDArray[np.uint32]
SUPPORTED = (
    "a PicoQuant T2 or T3 recording (.ptu), S-Fifteen TDC2 events (.ts, .a1), packed tags or "
    "recorded segments (.tags)"
)


def read_tdc2(path: Path, size: int) -> Recording:
    """Read a file of TDC2 events of `size` bytes; raises RecordingError where it is none."""
    words = np.fromfile(path, dtype="<u4", count=size // EVENT_BYTES * 2).astype(
        np.uint32, copy=False
    )
    high_first = _word_order(path, words[: 2 * HEAD_EVENTS])
    if size % EVENT_BYTES:
        raise RecordingTruncated(
            path,
            f"{size % EVENT_BYTES} bytes of a TDC2 event, then the end of the file",
            at_byte=size // EVENT_BYTES * EVENT_BYTES,
            expected=f"whole events of {EVENT_BYTES} bytes",
            do=AGAIN,
        )
    low, raw = _split(words, high_first)
    step = _steps(raw)
    _check_all(path, low, step)
    time_ps, channel, markers, _ = decode_tdc2(words, high_first)
    time_ps, channel, steps_back, first = in_time_order(time_ps, channel)
    notes = []
    if steps_back:
        worst_us = -int(step.min()) / (TICKS_PER_S / 1e6)
        notes.append(
            f"{steps_back} tags lay before their predecessor, first tag {first}, "
            f"by up to {worst_us:.1f} us; sorted"
        )
    if empty := int(np.count_nonzero(low & (MARKER_BIT | PATTERN_MASK) == 0)):
        notes.append(f"{empty} events with neither a channel nor a roll-over marker were not used")
    ticks = raw[0] + np.concatenate(([0], np.cumsum(step)))
    return Recording(
        path=path,
        format=f"S-Fifteen TDC2 ({'high' if high_first else 'low'} word first)",
        instrument="S-Fifteen TDC2",
        time_ps=time_ps,
        channel=channel,
        marker_ps=np.empty(0, dtype=np.int64),
        marker=np.empty(0, dtype=np.uint8),
        start_ps=_ps(int(ticks.min())),
        stop_ps=_ps(int(ticks.max())) + 1,
        resolution_ps=RESOLUTION_PS,
        overflows=markers,
        gaps=steps_back,
        notes=tuple(notes),
        header={"events": len(words) // 2, "high_word_first": high_first},
    )


def _word_order(path: Path, head: Words) -> bool:
    """Whether the high word comes first; NotATagFile unless exactly one order makes sense."""
    low_first, high_first = _objection(head, False), _objection(head, True)
    if (low_first is None) != (high_first is None):
        return high_first is None
    if low_first is None:
        found = "events that make sense with either word first"
    else:
        found = f"no TDC2 events ({low_first}), and no known signature"
    raise NotATagFile(
        path,
        found,
        at_byte=0,
        expected=SUPPORTED,
        do="check that this is the recording, or export it from the maker's software",
    )


def _objection(head: Words, high_first: bool) -> str | None:
    """Why these words are no TDC2 events in this order, or None if they can be."""
    low, raw = _split(head, high_first)
    is_tag = (low & MARKER_BIT == 0) & (low & PATTERN_MASK != 0)
    tags = int(np.count_nonzero(is_tag))
    if tags < LEAST_TAGS:
        return f"{tags} tags in the first {len(low)} words, too few to be sure"
    if np.count_nonzero(low & (MARKER_BIT | PATTERN_MASK) == 0) > MOST_EMPTY_EVENTS * len(low):
        return "words with no channel"
    step = _steps(raw)
    if np.count_nonzero(step < 0) > MOST_STEPS_BACK * len(step):
        return "times that do not ascend"
    if step.min() < -LARGEST_STEP_BACK_TICKS or step.astype(float).sum() > TURN_TICKS:
        return "times that jump by hours"
    if _first_repeating(low) >= 0:
        return "times that repeat in their low bits"
    shares = [float(np.mean(low[is_tag] >> bit & 1)) for bit in RESERVED_BITS]
    if all(0.25 < share < 0.75 for share in shares):
        return "random reserved bits"
    return None


def _check_all(path: Path, low: Words, step: TimesPs) -> None:
    """RecordingDamaged where the rest of the file does not go on as its head began."""
    findings: list[tuple[int, str]] = []
    jumps = np.flatnonzero(step < -LARGEST_STEP_BACK_TICKS) + 1
    if len(jumps):
        back_s = -int(step[jumps[0] - 1]) / TICKS_PER_S
        findings.append((int(jumps[0]), f"a time {back_s:.3g} s before that of the event before"))
    # What the bits 6 to 9 mean is not published; within a file of one device they stay the same.
    reserved = low & RESERVED_MASK
    if np.all(reserved[:HEAD_EVENTS] == reserved[0]):
        odd = np.flatnonzero(reserved != reserved[0])
        if len(odd) and len(odd) > MOST_ODD_EVENTS * (len(low) - odd[0]):
            findings.append((int(odd[0]), "other reserved bits than in all events before"))
    back = np.flatnonzero(step < 0) + 1
    if len(back) > MOST_STEPS_BACK * len(step):
        findings.append(
            (int(back[0]), f"the first of {len(back)} times that lie before their predecessor")
        )
    empty = np.flatnonzero(low & (MARKER_BIT | PATTERN_MASK) == 0)
    if len(empty) > MOST_EMPTY_EVENTS * len(low):
        text = f"the first of {len(empty)} events with neither a channel nor a marker"
        findings.append((int(empty[0]), text))
    if (repeating := _first_repeating(low)) >= 0:
        text = f"times that repeat in their low bits, within {BLOCK_EVENTS} events from there"
        findings.append((repeating, text))
    if findings:
        at, found = min(findings)
        raise RecordingDamaged(
            path,
            found,
            at_byte=at * EVENT_BYTES,
            expected="TDC2 events in order of time, as at the start of the file",
            do="bytes were lost there: record again, or cut the file before this byte",
        )


def _first_repeating(low: Words) -> int:
    """First event of the first block whose tags share too few low time words, or -1."""
    size = min(BLOCK_EVENTS, len(low))
    is_tag = (low & MARKER_BIT == 0) & (low & PATTERN_MASK != 0)
    # Marker words repeat by design: all of them get the one value that no tag can have.
    times = np.where(is_tag, (low >> 10).astype(np.int64), -1)
    starts = np.append(np.arange(0, len(low) - size + 1, size), len(low) - size)
    blocks = np.sort(times[starts[:, None] + np.arange(size)], axis=1)
    is_new = (np.diff(blocks, axis=1, prepend=-1) > 0) & (blocks >= 0)
    tags = np.count_nonzero(blocks >= 0, axis=1)
    too_few = np.count_nonzero(is_new, axis=1) < LEAST_DISTINCT_TIMES * tags
    repeating = np.flatnonzero(too_few & (tags >= LEAST_TAGS))
    return int(starts[repeating[0]]) if len(repeating) else -1


def _split(words: Words, high_first: bool) -> tuple[Words, TimesPs]:
    """Low words and 54-bit raw times, in ticks of 1/256 ns."""
    pairs = words[: len(words) // 2 * 2].reshape(-1, 2)
    low, high = (pairs[:, 1], pairs[:, 0]) if high_first else (pairs[:, 0], pairs[:, 1])
    raw: TimesPs = (high.astype(np.int64) << 22) + (low >> 10)
    return low, raw


def _ps(ticks: int) -> int:
    return (ticks * 125 + 16) // 32


def _steps(raw: TimesPs) -> TimesPs:
    """Differences of successive times, each the nearer of the two ways round the 54-bit turn."""
    half = TURN_TICKS // 2
    steps: TimesPs = (np.diff(raw) + half) % TURN_TICKS - half
    return steps
