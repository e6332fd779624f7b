"""How fast a link has served of late, and whether a request can still be met in its time."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import NormalDist

from link_layer.messages import Create
from link_layer.queue_load import Load, load_of

MEMORY_S = 5.0
"""Of the time in which the link was wanted: what it made in it is what counts ..."""

MEMORY_PAIRS = 64
"""... and of a slow link the last so many pairs, whenever they were ..."""

MOST_PAIRS = 4096
"""... and of a fast one no more than these."""

LEAST_PAIRS = 8
"""Before so many pairs the rate is not known well enough to refuse anybody."""

PROMISED = 0.995
"""Probability with which a request that is admitted shall be met in its time. Under overload all
that are admitted are just so: the 99 % of issue 8, with half of the 1 % for what is not known."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Heralded pairs per second that become somebody's, known from so many `pairs`.

    `taken_per_s` go to requests of a higher priority that come meanwhile, `taken_at_once` at a
    time, on average over the pairs.
    """

    pairs_per_s: float
    pairs: float
    taken_per_s: float = 0.0
    taken_at_once: float = 1.0

    @property
    def left_per_s(self) -> float:
        """What is left for the request."""
        return self.pairs_per_s - self.taken_per_s


class ServedRate:
    """Pairs per second of the time in which somebody wanted pairs. Instants are seconds."""

    def __init__(self) -> None:
        self._wanted_s = 0.0
        self._since_s: float | None = None
        self._refusing_since_s: float | None = None
        self._made_s = deque([0.0])
        """When pairs were made, on a clock that runs while some are wanted; the first is where the
        count begins."""

    def wanted(self, now_s: float, wanted: bool) -> None:
        """From now on somebody wants pairs, or nobody does."""
        self._pass(now_s)
        self._since_s = now_s if wanted else None
        if wanted:
            self._refusing_since_s = None

    def refused(self, now_s: float) -> None:
        """Somebody was refused for this rate.

        Who refuses everybody never learns that he has become faster, as when light is back: what
        was learnt is believed no longer than it took to learn, or MEMORY_S if that is longer.
        """
        if self._since_s is None and self._refusing_since_s is None:
            self._refusing_since_s = now_s

    def served(self, now_s: float, pairs: int = 1) -> None:
        """Pairs were made."""
        self._pass(now_s)
        self._made_s.extend(self._wanted_s for _ in range(pairs))

    def rate(self, now_s: float) -> Rate | None:
        """How fast it serves; None while that is not known."""
        self._pass(now_s)
        pairs, in_s = len(self._made_s) - 1, self._wanted_s - self._made_s[0]
        refusing_s = self._refusing_since_s
        if refusing_s is not None and now_s >= refusing_s + max(MEMORY_S, in_s):
            self._refusing_since_s = None
            self._made_s = deque([self._wanted_s])
            return None
        if pairs < LEAST_PAIRS or in_s <= 0:
            return None
        return Rate(pairs / in_s, pairs)

    def pairs_per_s(self, now_s: float) -> float | None:
        """The rate as a number; None while it is not known."""
        rate = self.rate(now_s)
        return None if rate is None else rate.pairs_per_s

    def _pass(self, now_s: float) -> None:
        if self._since_s is not None and now_s > self._since_s:
            self._wanted_s += now_s - self._since_s
            self._since_s = now_s
        made_s = self._made_s
        while len(made_s) > MEMORY_PAIRS + 1 and (
            made_s[0] < self._wanted_s - MEMORY_S or len(made_s) > MOST_PAIRS + 1
        ):
            made_s.popleft()


def needed_s(load: Load, rate: Rate, probability: float = PROMISED) -> float:
    """The time in which a load is served with this probability, at this rate.

    Heralds come by chance, the rate is known from n pairs only, and of requests of a higher
    priority a random number comes meanwhile. With l the rate, h of it taken by those, b at a time,
    and V the load's variance, the time for R heralded pairs (the first passage of a random walk
    with the drift l - h) has the mean R/(l - h) and the relative variance

        (V l + R h b)/((l - h) R²) + (l/(l - h))²/n.

    It is taken for lognormal, whose tail is a little longer than that of the true distribution:
    for one pair 6.0 instead of 5.3 times the mean, for a hundred 1.29 instead of 1.28 times.
    """
    if load.raw <= 0:
        return 0.0
    left = rate.left_per_s
    if left <= 0:
        return math.inf
    by_chance = load.variance * rate.pairs_per_s + load.raw * rate.taken_per_s * rate.taken_at_once
    spread = by_chance / (left * load.raw**2) + (rate.pairs_per_s / left) ** 2 / rate.pairs
    width = math.sqrt(math.log1p(spread))
    return load.raw / left * math.exp(NormalDist().inv_cdf(probability) * width - width**2 / 2)


def too_late(create: Create, ahead: Load, rate: Rate | None, raw_per_pair: float = 1.0) -> str:
    """Why a request cannot be expected to be met in its time, with the sum; "" if it can.

    `ahead` is the work of the same or a higher priority, `raw_per_pair` how many heralded pairs
    each of its own takes.
    """
    if rate is None:
        return ""
    own = load_of(create.number, raw_per_pair)
    within_s, needs_s = create.max_time_s, needed_s(ahead + own, rate)
    if needs_s <= within_s:
        return ""
    taken = rate.taken_per_s
    said = f", of which higher priorities take {taken:.3g}," if taken else ""
    at = f"at {rate.pairs_per_s:.3g} heralded pairs a second{said}"
    if rate.left_per_s <= 0:
        return f"{_amount(own)} {at} are never served"
    wait_s, own_s = (each.raw / rate.left_per_s for each in (ahead, own))
    return (
        f"{_amount(own)} {at} take {own_s:.3g} s, after {_amount(ahead)} of {ahead.requests} "
        f"requests before them ({wait_s:.3g} s): {wait_s + own_s:.3g} s on average, in "
        f"{100 * PROMISED:g} % of cases less than {needs_s:.3g} s; {within_s:.3g} s are allowed"
    )


def _amount(load: Load) -> str:
    made = f" made of {load.raw:.3g}" if load.raw > load.pairs else ""
    return f"{load.pairs} pairs{made}"


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
