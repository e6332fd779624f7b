"""From the bytes of a TDC1 stream to tag batches, also when the USB line has lost bytes.

After a lost byte the words are out of step: their times jump at random, and the stream seems to
run hundreds of times faster than the clock on the wall. So wherever more stream time has gone by
than a little more than the time that passed, or a word says neither tag nor marker, the four ways
to cut the bytes into words are compared; the point and the shift with the least stream time win.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cext.decode import decode_tdc1
from timing.tags import TagBatch

LSB_PS = 2000
TURN = 1 << 27
DISORDER = 500
"""Steps back of up to this many LSB (1 us) are disorder, not a turn of the counter."""

_MARKER = 0x10
_SLACK_S = 0.1  # stream time that may wait in buffers and arrive at once, beyond the time passed
_MIN_WORDS = 8  # fewer words hardly tell a slip from chance; they wait for more
_HOLD_S = 1.0  # but not for longer
_SURE = 0.2  # a slip explains the words if it leaves less than this share of their stream time
_EMPTY_WEIGHS = 16 * TURN  # a word with neither tag nor marker hardly exists
_TAIL = 8  # a slip within the last words of a chunk shows only with the next one
_GAP = 500_000  # LSB (1 ms)

Words = NDArray[np.uint32]
Ticks = NDArray[np.int64]


class WordStream:
    """Decodes one stream; feed it with bytes as they come. `slips` counts where bytes were lost.

    A loss of whole words leaves no trace in the bytes and is not found.
    """

    def __init__(self) -> None:
        self.slips = 0
        self._bytes = b""
        self._started = False
        self._waited_s = 0.0
        self._raw = 0  # time field of the last word
        self._was_marker = False
        self._turns = 0
        self._stop_ps = 0

    def feed(self, data: bytes, elapsed_s: float) -> TagBatch | None:
        """The tags of the words that are complete; None when no word proves that time went on.

        `elapsed_s` is the time since the last call.
        """
        self._waited_s += elapsed_s
        self._bytes += data
        pieces, lost = self._in_step()
        words = np.concatenate(pieces) if pieces else _cut(b"", 0)
        if not len(words):
            return None
        self._waited_s = 0.0
        return self._batch(words, lost)

    def _in_step(self) -> tuple[list[Words], bool]:
        """Runs of words in step, taken from the bytes; between two runs bytes were lost."""
        pieces: list[Words] = []
        before = self._raw if self._started else None
        lost = False
        while len(words := _cut(self._bytes, 0)):
            steps = _steps(words, before)
            shift = 0
            if not self._suspicious(words, steps):
                at = _before_gap(steps)
                hold = True
            else:
                patient = self._waited_s < _HOLD_S
                at, shift = self._first_slip(words, steps, before)
                hold = patient and len(words) - at < _MIN_WORDS
                if hold and len(words) < _MIN_WORDS:
                    at = 0
            if at:
                pieces.append(words[:at])
                before = int(words[at - 1] >> 5)
            self._bytes = self._bytes[4 * at :]
            if hold:
                break
            if shift:
                self._bytes = self._bytes[shift:]
                self.slips += 1
                lost = True
        return pieces, lost

    def _first_slip(self, words: Words, steps: Ticks, before: int | None) -> tuple[int, int]:
        """(words to take, bytes to skip after them); (some words, 0) where no slip explains them.

        Where one slip does not explain all, there may be more of them: so also looks at ever
        shorter beginnings, and at last takes the longest that runs much slower than the whole.
        """
        count = len(words)
        while count >= _MIN_WORDS or count == len(words):
            at, shift = _find_slip(self._bytes, words[:count], steps[:count], before)
            if shift:
                return at, shift
            if steps[:count].sum() * len(words) < _SURE * steps.sum() * count:
                return count, 0
            count //= 2
        return len(words), 0

    def _suspicious(self, words: Words, steps: Ticks) -> bool:
        advance_s = float(steps.sum()) * LSB_PS * 1e-12
        return bool(((words & 0x1F) == 0).any()) or advance_s > 1.5 * self._waited_s + _SLACK_S

    def _batch(self, words: Words, lost: bool) -> TagBatch:
        if self._started:
            words, late = _in_order(words, self._raw)
        else:
            words, late = _in_order(words, None)
            self._started = True
            self._raw = int(words[0] >> 5)
            self._stop_ps = self._raw * LSB_PS
        start_ps = self._stop_ps
        times = [np.empty(0, np.int64)]
        channels = [np.empty(0, np.uint8)]
        for run, extra_turns in _runs(words, self._raw, self._was_marker):
            time_ps, channel, self._turns, self._raw = decode_tdc1(
                run, self._turns + extra_turns, self._raw
            )
            times.append(time_ps)
            channels.append(channel)
            self._was_marker = bool(run[-1] & _MARKER)
            self._stop_ps = (self._turns * TURN + self._raw + 1) * LSB_PS
        return TagBatch(
            time_ps=np.concatenate(times),
            channel=np.concatenate(channels),
            start_ps=start_ps,
            stop_ps=self._stop_ps,
            lost=lost or late > 0,
            lost_tags=late,
        )


def _cut(data: bytes, offset: int) -> Words:
    count = max(0, (len(data) - offset) // 4)
    return np.frombuffer(data, dtype=np.uint32, count=count, offset=offset if count else 0)


def _steps(words: Words, before: int | None) -> Ticks:
    """Ticks from each word's predecessor to it, forward within one turn or slightly back."""
    raw = (words >> 5).astype(np.int64)
    first = int(raw[0]) if before is None and len(raw) else before or 0
    steps: Ticks = np.diff(raw, prepend=first) & (TURN - 1)
    steps[steps > TURN - DISORDER] -= TURN
    return steps


def _find_slip(data: bytes, words: Words, steps: Ticks, before: int | None) -> tuple[int, int]:
    """(words before the slip, bytes to skip there), or (all words, 0) where no slip explains them.

    Weighs each point and shift by the stream time that it leaves, and words that say nothing.
    """

    def weight(some: Words, their_steps: Ticks) -> Ticks:
        weighed: Ticks = np.abs(their_steps) + _EMPTY_WEIGHS * ((some & 0x1F) == 0)
        return weighed

    total = np.concatenate(([0], np.cumsum(weight(words, steps))))
    best = (int(_SURE * total[-1]), len(words), 0)
    raw_before = np.concatenate(([before if before is not None else -1], words >> 5))
    for shift in (1, 2, 3, 5, 6, 7):  # above 4: the loss goes across two words
        shifted = _cut(data[: 4 * len(words) + shift], shift)
        if not len(shifted):
            continue
        weights = weight(shifted, _steps(shifted, None))
        # From word k on, without the step into word k, which then comes from the word before.
        rest = np.concatenate((np.cumsum(weights[::-1])[::-1][1:], [0]))
        own = _EMPTY_WEIGHS * ((shifted & 0x1F) == 0)
        joint = ((shifted >> 5).astype(np.int64) - raw_before[: len(shifted)]) & (TURN - 1)
        if before is None:
            joint[0] = 0
        left = total[: len(shifted)] + joint + own + rest
        at = int(np.argmin(left))
        if left[at] < best[0]:
            best = (int(left[at]), at, shift)
    return best[1], best[2]


def _before_gap(steps: Ticks) -> int:
    """How many words to take now: not those after a sudden gap among the last, which may be the
    first ones out of step; with the next chunk that shows."""
    if len(steps) <= 2 * _TAIL:
        return len(steps)
    tail = steps[-_TAIL:]
    gaps = np.flatnonzero(tail > max(_GAP, 20 * int(np.median(steps))))
    return len(steps) - _TAIL + int(gaps[0]) if len(gaps) else len(steps)


def _in_order(words: Words, before: int | None) -> tuple[Words, int]:
    """Words by time, and the number of tag words dropped as they lie in the span already told."""
    steps = _steps(words, before)
    if (before is not None and steps[0] <= 0) or (steps < 0).any():
        ticks = np.cumsum(steps)
        order = np.argsort(ticks, kind="stable")
        words, ticks = words[order], ticks[order]
        if before is not None:
            is_marker = (words & _MARKER) != 0
            kept = np.where(is_marker, ticks >= 0, ticks > 0)
            return words[kept], int(np.count_nonzero(~kept & ~is_marker))
    return words, 0


def _runs(words: Words, raw: int, was_marker: bool) -> Iterator[tuple[Words, int]]:
    """Runs of words, each with the turns that passed unseen before it.

    Between two markers of the same time field there was one whole turn without a tag.
    """
    raws = (words >> 5).astype(np.int64)
    markers = (words & _MARKER) != 0
    again = markers & np.concatenate(([was_marker], markers[:-1]))[: len(words)]
    again &= np.diff(raws, prepend=raw) == 0
    edges = [0, *np.flatnonzero(again).tolist(), len(words)]
    for turns, (start, stop) in enumerate(pairwise(edges)):
        if start < stop:
            yield words[start:stop], min(turns, 1)
