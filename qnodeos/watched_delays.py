"""The coincidence histogram of a photonic link, made only while somebody looks at it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cext.histogram import difference_histogram
from timing.spans import Overlap
from timing.tags import PS_PER_S

LOOKED_AT_S = 3.0
"""Who looks asks at least so often; after that nothing is counted."""

SPANS = 50
"""As many spans as the rates are over."""

BINS_EACH_SIDE = 60
WINDOWS_SHOWN = 2.0
"""The histogram reaches so many half windows to each side: what lies beyond is the accidentals."""


class WatchedDelays:
    """Delays of our tags after the far end's, over the last spans; `window_ps` is the full window.

    A link calls `add` for each span, which costs a comparison while nobody looks.
    """

    def __init__(self, window_ps: int, clock: Callable[[], float]):
        self._clock = clock
        self._until_s = -1.0
        self._bin_ps = max(1, round(WINDOWS_SHOWN * window_ps / 2 / BINS_EACH_SIDE))
        # Odd in number, the middle bin centred on 0.
        self._low_ps = -BINS_EACH_SIDE * self._bin_ps - self._bin_ps // 2
        self._spans: deque[tuple[float, int, NDArray[np.int64]]] = deque(maxlen=SPANS)

    def add(self, overlap: Overlap) -> None:
        """Take in one span, if somebody looks."""
        if self._clock() >= self._until_s:
            return
        counts = difference_histogram(
            overlap.remote_mapped_ps,
            overlap.local.time_ps,
            self._low_ps,
            self._bin_ps,
            2 * BINS_EACH_SIDE + 1,
        )
        length_s = (overlap.stop_ps - overlap.start_ps) / PS_PER_S
        self._spans.append((length_s, overlap.window_ps, counts))

    def look(self) -> dict[str, Any] | None:
        """Counts a bin over the last `span_s`; None before the first span since somebody looks.

        `low_ps` is where the first bin starts, `window_ps` the full window of the latest span.
        """
        now_s = self._clock()
        if now_s >= self._until_s:
            self._spans.clear()
        self._until_s = now_s + LOOKED_AT_S
        if not self._spans:
            return None
        return {
            "low_ps": self._low_ps,
            "bin_ps": self._bin_ps,
            "counts": np.sum([counts for _, _, counts in self._spans], axis=0).tolist(),
            "span_s": sum(length_s for length_s, _, _ in self._spans),
            "window_ps": self._spans[-1][1],
        }
