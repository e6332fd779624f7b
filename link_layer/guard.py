"""Signs in a detector's count rate that somebody else drives it.

A detector blinded by bright light clicks only when the intruder wants (Lydersen et al., Nature
Photonics 4, 686, 2010): between that it loses even its dark counts, which no darkness can take
away. Both bounds are tested with Chernoff's bound of the Poisson distribution, so false alarms are
at most as frequent as stated, whatever the rate of light within the bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

S_PER_YEAR = 31_557_600.0


def improbability(count: int, mean: float) -> float:
    """Upper bound of the probability of a Poisson number at least as far on its side of the mean.

    exp(-(m - n + n ln(n/m))): Mitzenmacher and Upfal, Probability and Computing, theorem 5.4.
    """
    if count == 0:
        return math.exp(-mean)
    return math.exp(min(0.0, count - mean - count * math.log(count / mean)))


def means(count: int, improbable: float) -> tuple[float, float]:
    """The least and the largest mean of which a Poisson number is not too improbable."""

    def edge(far: float) -> float:
        near = float(count)
        for _ in range(60):
            middle = (near + far) / 2
            likely = improbability(count, middle) >= improbable if middle > 0 else count == 0
            near, far = (middle, far) if likely else (near, middle)
        return near

    # exp(-(m - n + n ln(n/m))) is below `improbable` at the far ends.
    reach = -math.log(improbable)
    return edge(0.0), edge(count + 2 * reach + 2 * math.sqrt(2 * reach * (count + reach)))


@dataclass(frozen=True, slots=True)
class FlashBand:
    """What a flash of known light surely adds to a detector's rate, and what it may add at most.

    A blinded detector does not see it (self-tests against blinding: Lydersen et al., Optics Express
    18, 27938, 2010). `improbable`: the largest probability of a false alarm of one flash.
    """

    least_cps: float
    most_cps: float
    improbable: float

    def trouble(self, before: int, before_s: float, lit: int, lit_s: float) -> str:
        """What speaks against the detector, of counts before the flash and within it; "" for none.

        Whatever the rate without the flash is: its interval is from the counts before.
        """
        least, most = means(before, self.improbable / 4)
        low = lit_s * (least / before_s + self.least_cps)
        high = lit_s * (most / before_s + self.most_cps)
        limit = self.improbable / 4
        below = lit < low and improbability(lit, low) < limit
        if below or (lit > high and improbability(lit, high) < limit):
            added_cps = lit / lit_s - before / before_s
            band = f"{self.least_cps:g} to {self.most_cps:g}"
            return f"a flash added {added_cps:.0f} cps, expected {band}"
        return ""

    def can_tell(self, before: int, before_s: float, lit_s: float) -> bool:
        """A flash that is not seen at all would be told, at this rate without it."""
        return self.trouble(before, before_s, round(before * lit_s / before_s), lit_s) != ""


class RateGuard:
    """One detector: clicks at least `dark_cps` and at most `most_cps`, on windows of `window_s`.

    `dark_cps` is to be what the detector surely has when dark. False alarms are fewer than
    `false_alarms_per_year`, of a detector that counts all the time.
    """

    def __init__(
        self, dark_cps: float, most_cps: float, *, window_s: float, false_alarms_per_year: float
    ):
        self._low, self._high = dark_cps, most_cps
        self._window_s = window_s
        # Two tests each window.
        self._limit = false_alarms_per_year * window_s / S_PER_YEAR / 2
        self._length_s = 0.0
        self._count = 0
        self.trouble = ""
        """What is wrong with the rate of the last whole window; "" while it is in its bounds."""

    @property
    def can_tell(self) -> bool:
        """A window without any click would be improbable enough to be told."""
        return improbability(0, self._low * self._window_s) < self._limit

    def add(self, length_s: float, count: int) -> bool:
        """Take in a stretch; whether it completed a window, so that `trouble` is new."""
        self._length_s += length_s
        self._count += count
        if self._length_s < self._window_s:
            return False
        rate_cps = self._count / self._length_s
        low, high = self._low * self._length_s, self._high * self._length_s
        self.trouble = ""
        if self._count < low and improbability(self._count, low) < self._limit:
            self.trouble = f"{rate_cps:.0f} cps, fewer than its dark counts ({self._low:g} cps)"
        elif self._count > high and improbability(self._count, high) < self._limit:
            self.trouble = f"{rate_cps:.0f} cps, more than it may have ({self._high:g} cps)"
        self._length_s, self._count = 0.0, 0
        return True
