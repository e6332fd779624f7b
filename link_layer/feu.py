"""The fidelity estimation unit of a link: how good pairs are, with which setting, how sure that is.

Test rounds of any setting speak of the same thing, the link's own errors, through the model of the
setting; so a change of setting forgets nothing. Taking a round in is an addition; the estimate is
renewed in steps, which together take two to three milliseconds, outside the path of a herald.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from link_layer.feu_beta import Floats
from link_layer.feu_chance import Chance
from link_layer.feu_filter import BASES, ResidualFilter
from link_layer.feu_model import (
    Contrasts,
    Fixed,
    SettingModel,
    best_setting,
    fidelity_at,
    largest_setting,
)
from link_layer.states import BellState, correlator_sign, shrunk_fidelity

SAMPLES = 2048

IDLE_S = 10.0
"""Without test rounds the interval grows in steps of this time."""


@dataclass(frozen=True, slots=True)
class Goodness:
    """F of a pair with its 95 % credible interval, and when that was known (node's clock, s)."""

    fidelity: float
    low: float
    high: float
    at_s: float

    @property
    def half_width(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2

    def shrunk(self, kept: float) -> Goodness:
        """After depolarising that leaves this share of the correlators."""
        if kept == 1.0:
            return self
        fidelity, low, high = (
            shrunk_fidelity(each, kept) for each in (self.fidelity, self.low, self.high)
        )
        return Goodness(fidelity, low, high, self.at_s)


class FidelityUnit:
    """Test rounds in, goodness out. `clock` is in seconds.

    `readout_error_*` are the devices' own, undone in the estimate as they are no property of the
    pair.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        model: SettingModel | None = None,
        readout_error_a: float = 0.0,
        readout_error_b: float = 0.0,
    ):
        self.model: SettingModel = model or Fixed()
        self.readout_errors = (readout_error_a, readout_error_b)
        self._clock = clock
        self._filter = ResidualFilter()
        self._waiting: defaultdict[tuple[str, float, bool], float] = defaultdict(float)
        self._chance = {basis: Chance() for basis in BASES}
        self._moved_s = clock()
        self._left: Floats | None = None
        self._best = np.ones(len(BASES))
        self.rounds = dict.fromkeys(BASES, 0.0)
        """Test rounds taken in, by basis."""

    def add(
        self,
        basis: str,
        bell_state: BellState,
        outcome_a: int,
        outcome_b: int,
        setting: float = 0.0,
    ) -> None:
        """One round measured in the same basis at both ends, of a pair made with a setting.

        Raises ValueError for an outcome other than 0 and 1, or another basis.
        """
        if outcome_a not in (0, 1) or outcome_b not in (0, 1) or basis not in BASES:
            raise ValueError(f"test round: found {outcome_a}, {outcome_b} in basis {basis!r}")
        same = outcome_a == outcome_b
        right = same is (correlator_sign(bell_state, basis) > 0)
        self._waiting[basis, setting, right] += 1

    def add_counts(
        self,
        basis: str,
        bell_state: BellState,
        same: float,
        different: float,
        *,
        chance_same: float = 0.0,
        chance_different: float = 0.0,
        setting: float = 0.0,
    ) -> None:
        """Many rounds at once, and how many of them accidentals are expected to be."""
        if correlator_sign(bell_state, basis) < 0:
            same, different = different, same
            chance_same, chance_different = chance_different, chance_same
        self._chance[basis].add(same + different, chance_same, chance_different)
        self._waiting[basis, setting, True] += same
        self._waiting[basis, setting, False] += different

    def forget(self) -> None:
        """The link is another than it was."""
        self._waiting.clear()
        self._filter.forget()
        self._left = None
        self._best = np.ones(len(BASES))
        self._chance = {basis: Chance() for basis in BASES}
        self.rounds = dict.fromkeys(BASES, 0.0)

    def forget_chance(self) -> None:
        """The light is brighter or darker than it was: accidentals are as many as they are now."""
        self._chance = {basis: Chance() for basis in BASES}

    def renew(self) -> bool:
        """Take in what has come and let time go by; False if there is nothing to do yet."""
        return sum(1 for _ in self.renewing()) > 0

    def renewing(self) -> Iterator[None]:
        """The same in steps of a tenth of a millisecond, between which heralds may come; no step if
        there is nothing to do. What was known before holds until the last."""
        now_s = self._clock()
        passed_s = now_s - self._moved_s
        if not self._waiting and (self._left is None or passed_s < IDLE_S):
            return
        waiting, self._waiting = self._waiting, defaultdict(float)
        self._moved_s = now_s
        yield from self._filter.passing(passed_s)
        readout = (1 - 2 * self.readout_errors[0]) * (1 - 2 * self.readout_errors[1])
        groups = {(basis, setting) for basis, setting, _ in waiting}
        for basis, setting in sorted(groups):
            yield
            right, wrong = (waiting[basis, setting, each] for each in (True, False))
            share, against = self._chance[basis].shares()
            of_model = self.model.contrasts(setting)[BASES.index(basis)]
            self._filter.hears(
                basis,
                right,
                wrong,
                contrast=(1 - share) * of_model * readout,
                extra=against - share / 2,
            )
            self.rounds[basis] += right + wrong
        for chance in self._chance.values():
            chance.fade(passed_s)
        left = np.empty((len(BASES), SAMPLES))
        for axis, first, drawn in self._filter.drawing(SAMPLES):
            left[axis, first : first + drawn.size] = 1 - 2 * drawn
            yield
        self._left = left
        self._best = 1 - 2 * self._filter.expected()

    def goodness(self, setting: float = 0.0) -> Goodness | None:
        """Of a pair made with a setting; None before there were test rounds in all bases."""
        correlators = self.samples(setting)
        if correlators is None:
            return None
        samples = (1 + correlators.sum(axis=0)) / 4
        low, high = (_share(float(each)) for each in np.quantile(samples, (0.025, 0.975)))
        # The best estimate is that of all regimes, the interval that of those it relies on.
        return Goodness(min(max(self.predicted(setting), low), high), low, high, self._moved_s)

    def samples(self, setting: float = 0.0) -> Floats | None:
        """What the test rounds leave possible for the correlators in X, Y and Z of a pair made with
        a setting: an array (3, SAMPLES); None before there were rounds in all bases."""
        if self._left is None or min(self.rounds.values()) <= 0:
            return None
        return np.array(self.model.contrasts(setting))[:, None] * self._left

    def setting_for(self, fidelity: float) -> float:
        """The largest setting whose predicted F meets this, else the one with the highest.

        Before there are test rounds the model alone decides.
        """
        found = largest_setting(self.model, fidelity, self.left)
        return self.best if found is None else found

    @property
    def best(self) -> float:
        """The setting with the highest predicted F."""
        return best_setting(self.model, self.left)

    def predicted(self, setting: float) -> float:
        """F at a setting, by the model and what test rounds have shown."""
        return fidelity_at(self.model, setting, self.left)

    @property
    def left(self) -> Contrasts:
        """What the link's own errors leave of each correlator."""
        x, y, z = self._best.tolist()
        return x, y, z

    @property
    def unrest(self) -> tuple[float, float, float]:
        """Variance that each error gains a second; see `ResidualFilter.unrest`."""
        x, y, z = self._filter.unrest.tolist()
        return x, y, z


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
