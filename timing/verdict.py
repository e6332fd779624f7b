"""Tracking, holdover or lost: what the spans of a tracked clock add up to."""

from __future__ import annotations

from timing.clock import ClockState

_OUTLIERS_ALLOWED = 5
_MISSES_IN_DOUBT = 2


class Verdict:
    """The state of a tracked clock, span by span.

    `in_doubt`: tags were lost, or the clock was just found again; the next spans have to show the
    peak. `interrupted`: tags were lost since the peak was last where it should be.
    """

    def __init__(self, patience_ps: int):
        self.state = ClockState.TRACKING
        self.in_doubt = self.interrupted = False
        self._patience_ps = patience_ps
        self._outliers = self._misses = self._unexplained_ps = 0

    @property
    def lost(self) -> bool:
        """Only `found_again` leads back from it."""
        return self.state is ClockState.LOST

    def good(self) -> None:
        """The peak was where it should be."""
        self._outliers = self._misses = self._unexplained_ps = 0
        self.in_doubt = self.interrupted = False
        self.state = ClockState.TRACKING

    def outlier(self) -> None:
        """There was a peak, elsewhere."""
        self._misses = self._unexplained_ps = 0
        self._outliers += 1
        # One odd batch is a burst; several are a clock or a path that has moved.
        moved = self._outliers >= _OUTLIERS_ALLOWED or self.in_doubt
        self.state = ClockState.LOST if moved else ClockState.HOLDOVER

    def missed(self, span_ps: int, wait_ps: int, *, lit: bool, too_unsure: bool) -> None:
        """There was no peak in a span.

        `wait_ps` is how long that is no news; `lit`, that both ends counted as usual; `too_unsure`,
        that the clock may be off by more than the window allows.
        """
        self._misses += 1
        if lit:
            self._unexplained_ps += span_ps
        overdue = self._misses * span_ps >= wait_ps
        if (
            too_unsure
            or (self.in_doubt and self._misses >= _MISSES_IN_DOUBT and overdue)
            # The light is there, its pairs are not where they should be: the clock has jumped.
            or self._unexplained_ps >= max(self._patience_ps, wait_ps)
        ):
            self.state = ClockState.LOST
        elif overdue:
            self.state = ClockState.HOLDOVER

    def doubt(self) -> None:
        """Tags were lost at one end: a counter may have lost time with them."""
        self.interrupted = True
        if not self.lost:
            self.state = ClockState.HOLDOVER
            self.in_doubt = True
            self._misses = 0

    def found_again(self) -> None:
        """A lost clock's peak was seen once."""
        self._outliers = self._misses = self._unexplained_ps = 0
        self.state = ClockState.HOLDOVER
        self.in_doubt = True

    def idle(self, *, too_unsure: bool, silent: bool) -> None:
        """Time passes without common tags; `silent`: for long."""
        if too_unsure:
            self.state = ClockState.LOST
        elif silent and not self.lost:
            self.state = ClockState.HOLDOVER
