"""How fast a link has served of late, and whether a request can still be met in its time."""

from __future__ import annotations

import math
from collections.abc import Iterable

from link_layer.queue import Request

MEMORY_S = 5.0
"""Of time in which the link was wanted; what lies longer back is forgotten with this constant."""

LEAST_PAIRS = 8.0
"""Before so many pairs the rate is not known well enough to refuse anybody."""


class ServedRate:
    """Pairs per second of the time in which somebody wanted pairs. Instants are seconds."""

    def __init__(self) -> None:
        self._pairs = 0.0
        self._wanted_s = 0.0
        self._since_s: float | None = None

    def wanted(self, now_s: float, wanted: bool) -> None:
        """From now on somebody wants pairs, or nobody does."""
        self._pass(now_s)
        self._since_s = now_s if wanted else None

    def served(self, now_s: float, pairs: int = 1) -> None:
        """Pairs were made."""
        self._pass(now_s)
        self._pairs += pairs

    def pairs_per_s(self, now_s: float) -> float | None:
        """The rate; None while it is not known."""
        self._pass(now_s)
        if self._pairs < LEAST_PAIRS or self._wanted_s <= 0:
            return None
        return self._pairs / self._wanted_s

    def _pass(self, now_s: float) -> None:
        if self._since_s is None or now_s <= self._since_s:
            return
        elapsed_s, self._since_s = now_s - self._since_s, now_s
        kept = math.exp(-elapsed_s / MEMORY_S)
        self._pairs *= kept
        self._wanted_s = self._wanted_s * kept + MEMORY_S * (1 - kept)


def too_late(
    number: int,
    within_s: float,
    priority: int,
    ahead: Iterable[Request],
    pairs_per_s: float | None,
) -> str:
    """Why so many pairs cannot be expected within the time, with the sum; "" if they can.

    Those before it are of the same or a higher priority.
    """
    if pairs_per_s is None:
        return ""
    before = [request.missing for request in ahead if request.create.priority >= priority]
    wait_s, own_s = sum(before) / pairs_per_s, number / pairs_per_s
    if wait_s + own_s <= within_s:
        return ""
    return (
        f"{number} pairs at {pairs_per_s:.3g} a second take {own_s:.3g} s, after {sum(before)} "
        f"pairs of {len(before)} requests before them ({wait_s:.3g} s): {wait_s + own_s:.3g} s, "
        f"{within_s:.3g} s are allowed"
    )


def too_wide(
    number: int, window_s: float | None, together: bool, room: int, pairs_per_s: float | None
) -> str:
    """Why so many pairs can never be there at once, with the numbers; "" if they can.

    `room`: pairs that the memory holds at once. Of a packet, n pairs within a window, the gaps
    between n - 1 successes have to fit.
    """
    if together and number > room:
        return f"{number} pairs are asked to be in memory together, it has room for {room}"
    if window_s is None or pairs_per_s is None or number < 2:
        return ""
    span_s = (number - 1) / pairs_per_s
    if span_s <= 4 * window_s:
        return ""
    return (
        f"{number} pairs at {pairs_per_s:.3g} a second span {span_s:.3g} s on average, which comes "
        f"down to the {window_s:.3g} s of the window too seldom"
    )
