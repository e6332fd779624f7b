"""Whether stored pairs decay as the devices' T2 has it: an intruder at a memory shows in that.

Test rounds in X or Y are measured soon after their halves were stored, or some time later. What
moving, measuring and the pair itself spoil is the same in both, so the ratio of their correlators
is that of the decay alone, exp(-t (1/T2 + 1/T2')).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from link_layer.guard import S_PER_YEAR


def shares(wrong: int, rounds: int, improbable: float) -> tuple[float, float]:
    """The least and the largest probability to which a count is not too improbable: outside of
    them Chernoff's bound of a count as far off, on its side, is below `improbable`.

    exp(-n D(k/n || p)): Mitzenmacher and Upfal, Probability and Computing, chapter 4.
    """
    seen, limit = wrong / rounds, -math.log(improbable) / rounds

    def edge(far: float) -> float:
        near = seen
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if _divergence(seen, middle) <= limit else (near, middle)
        return near

    return edge(0.0), edge(1.0)


def _divergence(seen: float, p: float) -> float:
    found = 0.0
    for share, of in ((seen, p), (1 - seen, 1 - p)):
        if share > 0:
            found += math.inf if of <= 0 else share * math.log(share / of)
    return found


@dataclass(slots=True)
class _Ages:
    """Rounds of one kind: how many, how many against the Bell state, their ages in all."""

    rounds: int = 0
    wrong: int = 0
    held_s: float = 0.0

    def correlators(self, improbable: float) -> tuple[float, float]:
        least, most = shares(self.wrong, self.rounds, improbable)
        return max(0.0, 1 - 2 * most), max(0.0, 1 - 2 * least)


class CoherenceWatch:
    """Windows of `rounds` each of the young and of the old. False alarms are fewer than
    `false_alarms_per_year`, whatever the fidelity of the pairs.
    """

    def __init__(self, rounds: int, false_alarms_per_year: float, now_s: float):
        self._rounds, self._per_year = rounds, false_alarms_per_year
        self.began_s = now_s
        """When the present window began, on the clock of `now_s`."""
        self._young, self._old = _Ages(), _Ages()
        self.rate_hz: tuple[float, float] | None = None
        """What the last window leaves possible for the decay rate; None before there was one."""
        self.trouble = ""
        """How the last whole window contradicts the devices' T2; "" if it does not."""

    def add(self, *, old: bool, right: bool, held_s: float, stated_hz: float, now_s: float) -> bool:
        """Take in a round held for so long; whether it completed a window. `stated_hz` is the sum
        of both devices' 1/T2."""
        kind = self._old if old else self._young
        kind.rounds += 1
        kind.wrong += not right
        kind.held_s += held_s
        if min(self._young.rounds, self._old.rounds) < self._rounds:
            return False
        window_s = max(now_s - self.began_s, 1e-3)
        # Four bounds, each of which may be broken by chance.
        improbable = min(0.05, self._per_year * window_s / S_PER_YEAR / 4)
        young, old_ = self._young.correlators(improbable), self._old.correlators(improbable)
        apart_s = self._old.held_s / self._old.rounds - self._young.held_s / self._young.rounds
        self.began_s, self._young, self._old = now_s, _Ages(), _Ages()
        if apart_s <= 0:
            return False
        least = _rate(young[0], old_[1], apart_s)
        most = _rate(young[1], old_[0], apart_s) if young[1] > 0 else math.inf
        self.rate_hz = least, most
        self.trouble = ""
        if not least <= stated_hz <= most:
            how = "faster" if stated_hz < least else "more slowly"
            self.trouble = (
                f"stored pairs decay {how} than the devices say: {least:.3g} to {most:.3g} /s, "
                f"by their T2 {stated_hz:.3g} /s"
            )
        return True


def _rate(before: float, after: float, apart_s: float) -> float:
    if after <= 0:
        return math.inf if before > 0 else -math.inf
    return math.log(before / after) / apart_s if before > 0 else -math.inf
