"""Hong-Ou-Mandel visibility from the times of a station's clicks, without scanning a delay.

Photons in the same mode (time bin or polarization) leave a beam splitter by different ports with
(1 - V)/2 of the pairs, photons in different modes with 1/2, however alike they are. Qubits that are
sent in both modes equally make both kinds equally often, so that

    V = 1 - C_same/C_different

of coincidences between the two ports within one attempt, whatever the two ends' efficiencies are.
That is what the reference with photons of other attempts would need to be told: of two emitters
C(0)/C(k) = 2 a b/(a + b)^2 (1 - V), with a and b the probabilities of a click of either end.
As in Legero et al., Phys. Rev. Lett. 93, 070503 (2004), the times of the clicks themselves show the
dip: at no delay nothing but dark counts is left, whatever the photons' frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
"""Channels whose clicks are a coincidence: one of either port."""

DRAWS = 4000
"""Values drawn for an interval: its limits are then good to a twentieth of an error."""

LEAST_SIGMAS = 4.0
"""The reference, without accidentals, has to be so many standard errors above nothing."""

BINS = 50
"""Bins of the histogram in a window."""


@dataclass(frozen=True, slots=True)
class HomCounts:
    """Coincidences of the same and of different modes, and between their peaks.

    `floor` counts what accidentals make in `floor_windows` windows as `same` has one of;
    `different` has `different_windows` of them.
    """

    same: int
    different: int
    floor: int
    floor_windows: float
    different_windows: float = 2.0

    @property
    def coincidences(self) -> int:
        """All that the visibility rests on."""
        return self.same + self.different


@dataclass(frozen=True, slots=True)
class HomFigures:
    """The visibility with its standard error and 95 % interval; above 1 only by chance."""

    visibility: float
    error: float
    low: float
    high: float
    coincidences: int
    accidentals: float


@dataclass(frozen=True, slots=True)
class HomSettings:
    """Which coincidences are of which kind, and where their peaks are.

    `ports` are the channels of either port: one each for time bins that are `apart_ps`, or H and V
    each for polarization, where `apart_ps` is 0. `window_ps` is the full width of a peak,
    `resolution_ps` the steps in which the tagger tells times.
    """

    ports: tuple[tuple[int, ...], tuple[int, ...]]
    window_ps: int
    apart_ps: int = 0
    resolution_ps: int = 1

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs of channels to count: first those of the same mode, then of different ones."""
        (a, *more), (b, *others) = self.ports
        if not more:
            return ((a, b),)
        return (a, b), (more[0], others[0]), (a, others[0]), (more[0], b)

    @property
    def bin_ps(self) -> int:
        """Width of the histogram's bins: an odd number of the tagger's steps, as each bin then has
        as many of them as its neighbours, and no step lies on a border."""
        steps = max(1, self.window_ps // (BINS * self.resolution_ps))
        return self.resolution_ps * (steps - 1 + steps % 2)

    @property
    def bins(self) -> int:
        """How many bins there are: an odd number about no delay, peaks and floor."""
        reach_ps = self.apart_ps + self.window_ps if self.apart_ps else 2 * self.window_ps
        return 2 * math.ceil(reach_ps / self.bin_ps) + 1

    @property
    def low_ps(self) -> int:
        """Where the first bin begins."""
        return -(self.bins * self.bin_ps // 2)

    @property
    def delay_ps(self) -> NDArray[np.float64]:
        """The middles of the bins."""
        middles: NDArray[np.float64] = np.arange(self.bins, dtype=np.float64) + 0.5
        return self.low_ps + self.bin_ps * middles

    def counts(self, pairs: Mapping[Pair, NDArray[np.int64]]) -> HomCounts:
        """What the histograms of all `pairs` say, shape (bins,) each."""
        delay_ps, half_ps = self.delay_ps, self.window_ps / 2
        center = np.abs(delay_ps) <= half_ps
        histograms = [pairs[each] for each in self.pairs]
        if self.apart_ps:
            (histogram,) = histograms
            side = np.abs(np.abs(delay_ps) - self.apart_ps) <= half_ps
            floor = (np.abs(delay_ps) > half_ps) & (np.abs(delay_ps) < self.apart_ps - half_ps)
            return HomCounts(
                int(histogram[center].sum()),
                int(histogram[side].sum()),
                int(histogram[floor].sum()),
                float(floor.sum() / center.sum()),
                float(side.sum() / center.sum()),
            )
        same, different = histograms[0] + histograms[1], histograms[2] + histograms[3]
        return HomCounts(
            int(same[center].sum()),
            int(different[center].sum()),
            int((same + different)[~center].sum()),
            float(2 * (~center).sum() / center.sum()),
            1.0,
        )


def hom_figures(counts: HomCounts, rng: np.random.Generator) -> HomFigures | None:
    """The visibility of these counts; None where too few are above the accidentals for one.

    The counts are Poisson, so each mean is a gamma variable with the shape n + 1/2 (Jeffreys'
    prior); error and interval are of the visibilities of `DRAWS` such means.
    """
    floor, windows = counts.floor / counts.floor_windows, counts.different_windows
    reference = counts.different - windows * floor
    variance = counts.different + (windows / counts.floor_windows) ** 2 * counts.floor
    if reference <= LEAST_SIGMAS * math.sqrt(variance):
        return None
    same, different, between = (
        rng.gamma(count + 0.5, size=DRAWS)
        for count in (counts.same, counts.different, counts.floor)
    )
    between /= counts.floor_windows
    different -= windows * between
    drawn = 1.0 - (same - between) / np.where(different > 0.0, different, np.nan)
    low, below, above, high = np.nanpercentile(drawn, [2.5, 15.87, 84.13, 97.5])
    return HomFigures(
        visibility=1.0 - (counts.same - floor) / reference,
        error=float(above - below) / 2,
        low=float(low),
        high=float(high),
        coincidences=counts.coincidences,
        accidentals=floor * (1.0 + windows),
    )
