"""Which clicks at a Bell-state station herald which Bell state.

Linear optics tells Psi+ and Psi- apart; every other coincidence is ambiguous. With two photons
the two clicks have to differ in what carries the qubit (time bin or polarization):
both at one port of the beam splitter herald Psi+, at different ports Psi- (Barrett and Kok 2005,
Phys. Rev. A 71, 060310; Braunstein and Mann 1995, Phys. Rev. A 51, R1727). With one photon the port
that clicked gives the sign (Cabrillo et al. 1999, Phys. Rev. A 59, 1025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cext.pattern import AMBIGUOUS, NO_HERALD, PSI_MINUS, PSI_PLUS, START, classify_attempts
from link_layer.states import BellState
from timing.tags import Channels, TimesPs

WindowPs = tuple[int, int]
"""From the first to before the second, ps after the attempt's start."""

HERALDED: dict[int, BellState] = {PSI_PLUS: BellState.PSI_PLUS, PSI_MINUS: BellState.PSI_MINUS}
"""Bell states by their number in `Heralds.outcome`; AMBIGUOUS has none."""


@dataclass(frozen=True, slots=True, eq=False)
class ClickPattern:
    """A station's protocol as the tables of `cext.pattern.classify_attempts`."""

    places: NDArray[np.int64]
    windows_ps: NDArray[np.int64]
    outcomes: NDArray[np.uint8]


def single_click(plus: int, minus: int, window_ps: WindowPs) -> ClickPattern:
    """One click on channel `plus` heralds Psi+, on `minus` Psi-; more than one is ambiguous."""
    outcomes = np.full(16, AMBIGUOUS, np.uint8)
    outcomes[:3] = NO_HERALD, PSI_PLUS, PSI_MINUS
    return ClickPattern(_places(plus, minus), _windows(window_ps), outcomes)


def time_bins(port_a: int, port_b: int, early_ps: WindowPs, late_ps: WindowPs) -> ClickPattern:
    """Two clicks, one early and one late: on one channel Psi+, on both Psi-."""
    early, late = _places(port_a, port_b), _places(port_a, port_b, first=2)
    return ClickPattern(np.hstack((early, late)), _windows(early_ps, late_ps), _two_clicks())


def polarization(
    port_a: tuple[int, int], port_b: tuple[int, int], window_ps: WindowPs
) -> ClickPattern:
    """Two clicks, one H and one V: at one port Psi+, at both Psi-; a port is (H, V) channels."""
    places = _places(port_a[0], port_b[0], port_a[1], port_b[1])
    return ClickPattern(places, _windows(window_ps), _two_clicks())


def _places(*channels: int, first: int = 0) -> NDArray[np.int64]:
    """The channels' places in one window, counted from `first`."""
    if len(set(channels)) < len(channels):
        raise ValueError(f"click pattern: found channels {channels}, expected different ones")
    places = np.full((256, 1), -1, np.int64)
    for place, channel in enumerate(channels, first):
        if not 0 <= channel <= 255:
            raise ValueError(f"click pattern: found channel {channel}, expected 0 to 255")
        places[channel] = place
    return places


def _windows(*windows_ps: WindowPs) -> NDArray[np.int64]:
    return np.array(windows_ps, np.int64)


def _two_clicks() -> NDArray[np.uint8]:
    """Places 0 and 1 are the ports in the first mode (early or H), 2 and 3 in the second."""
    outcomes = np.full(16, AMBIGUOUS, np.uint8)
    outcomes[[0b0000, 0b0001, 0b0010, 0b0100, 0b1000]] = NO_HERALD
    outcomes[[0b0101, 0b1010]] = PSI_PLUS
    outcomes[[0b1001, 0b0110]] = PSI_MINUS
    return outcomes


@dataclass(frozen=True, slots=True, eq=False)
class Heralds:
    """Attempts with a herald, ascending; all arrays of shape (n,).

    `attempt` is the number, `outcome` PSI_PLUS, PSI_MINUS or AMBIGUOUS, `pattern` the bits of the
    places that clicked, `herald_ps` the last click.
    """

    attempt: NDArray[np.int64]
    outcome: NDArray[np.uint8]
    pattern: NDArray[np.uint8]
    herald_ps: TimesPs

    def __len__(self) -> int:
        return len(self.attempt)


class HeraldStream:
    """Classifies a station's tags as they come, in any pieces.

    Attempt k starts at start_ps + k period_ps; or, with `clock_channel`, attempts are counted from
    that channel's tags, `attempts_per_clock` a tag. `clicks` and `outside` count the clicks in and
    outside the windows, `attempts` those that ended with at least one click. `threads` share large
    pieces.
    """

    def __init__(
        self,
        pattern: ClickPattern,
        period_ps: int,
        *,
        start_ps: int = 0,
        clock_channel: int | None = None,
        attempts_per_clock: int = 1,
        threads: int = 1,
    ) -> None:
        self.clicks = 0
        self.outside = 0
        self.attempts = 0
        self._pattern = pattern
        self._count = period_ps, start_ps, clock_channel, attempts_per_clock
        self._threads = threads
        self._state = START

    def feed(self, time_ps: TimesPs, channel: Channels, until_ps: int | None = None) -> Heralds:
        """The heralds of the attempts that have ended; no tag before `until_ps` is to come."""
        pattern = self._pattern
        attempt, outcome, bits, herald_ps, counts, self._state = classify_attempts(
            time_ps,
            channel,
            pattern.places,
            pattern.windows_ps,
            pattern.outcomes,
            *self._count,
            until_ps,
            self._state,
            threads=self._threads,
        )
        self.clicks += counts[0]
        self.outside += counts[1]
        self.attempts += counts[2]
        return Heralds(attempt, outcome, bits, herald_ps)
