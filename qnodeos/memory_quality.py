"""How good fresh pairs of a memory link are, and how long they stay useful."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from drivers.devices import DeviceCapabilities
from link_layer.feu import FidelityUnit, Goodness
from link_layer.feu_beta import Floats
from link_layer.feu_model import SettingModel
from link_layer.messages import Create, LinkHello, Place
from link_layer.states import Coherence, shrunk_fidelity, useful_lifetime_s
from qnodeos.memory_map import MemoryMap
from qnodeos.status import Status

ESTIMATE_EVERY_S = 0.5

ROUNDS_NEEDED = 10
"""In each basis, before the rounds are believed more than the device's own figure."""

SETTINGS_KEPT = 16

CHOSEN_KEPT = 4
"""Fidelities whose settings are chosen ahead."""


@dataclass(frozen=True, slots=True)
class Known:
    """Of fresh pairs made with one setting: F with its interval, and how long they are of use."""

    goodness: Goodness
    lifetime_s: float


class MemoryQuality:
    """Test rounds with the devices' own numbers; `map` and `far` are those of the two ends.

    What a herald needs is looked up. It is computed, which takes milliseconds, now and then, in
    short steps between which heralds are heard, and once for a setting that is new.
    """

    def __init__(
        self,
        minimum_useful_fidelity: float,
        clock: Callable[[], float],
        model: SettingModel | None = None,
    ):
        self.unit = FidelityUnit(clock, model=model)
        self.map: MemoryMap | None = None
        self.far: LinkHello | None = None
        self.minimum = minimum_useful_fidelity
        """A pair is of use while its fidelity is above this."""
        self.settable = model is not None
        """The link has a setting that is chosen for each request."""
        self.renewals = 0
        """Times the estimate was renewed: what was chosen by it before is to be chosen anew."""
        self._clock = clock
        self._known: dict[tuple[object, ...], Known] = {}
        self._chosen: dict[float, float] = {}
        self._highest: float | None = None
        self._of_late: Known | None = None

    @property
    def near(self) -> DeviceCapabilities | None:
        """The numbers of this end's device."""
        return None if self.map is None else self.map.device

    @property
    def known(self) -> bool:
        """Both ends' devices have told their numbers."""
        return self.near is not None and self.far is not None

    @property
    def tested(self) -> bool:
        """There are test rounds enough to believe them."""
        return min(self.unit.rounds.values()) >= ROUNDS_NEEDED

    @property
    def coherences(self) -> tuple[Coherence, Coherence]:
        """How halves decay at the two ends; for ever good where a device has told nothing."""
        near, far = self.near, self.far
        return (
            _coherence(near.t1_s, near.t2_s) if near is not None else Coherence(),
            _coherence(far.t1_s, far.t2_s) if far is not None else Coherence(),
        )

    def coherences_of(
        self, ours: Place | None, theirs: Place | None
    ) -> tuple[Coherence, Coherence]:
        """How the halves of one pair decay, by where they lie."""
        if ours is None and theirs is None:
            return self.coherences
        near, far = self.coherences
        return (
            near if ours is None else _coherence(ours.t1_s, ours.t2_s),
            far if theirs is None else _coherence(theirs.t1_s, theirs.t2_s),
        )

    def at(self, setting: float | None = None) -> Known:
        """What is known of pairs made with a setting; None is that of a link without, or the
        largest."""
        if setting is None and self.settable:
            setting = self.unit.model.highest
        near, far = self.near, self.far
        ours = () if near is None else (near.t1_s, near.t2_s, near.initial_fidelity)
        theirs = () if far is None else (far.t1_s, far.t2_s)
        key = (setting, self.minimum, *ours, *theirs)
        known = self._known.get(key)
        if known is None:
            goodness = self._goodness(setting)
            known = self._known[key] = Known(goodness, self.lifetime_s(goodness.fidelity))
            if len(self._known) > SETTINGS_KEPT:
                del self._known[next(iter(self._known))]
        return known

    @property
    def highest(self) -> float:
        """The best that the test rounds leave possible: what a request may ask for.

        A few unlucky rounds must not end all requests, and with them all further rounds.
        """
        if self._highest is None:
            goodness = self.at(self.unit.best if self.settable else None).goodness
            self._highest = goodness.high if self.tested else goodness.fidelity
        return self._highest

    def kept_for(self, create: Create) -> float:
        """What both ways into memory leave of the correlators of a request's pairs, on average over
        the places and the heralds; 1 where they are measured at once (M).

        Of type R one half is stored, at the end that did not ask: the worse way is taken.
        """
        near, far = self.near, self.far
        if create.kind == "M" or self.map is None or near is None or far is None:
            return 1.0
        kept = self.map.kept * far.kept if create.kind == "K" else min(self.map.kept, far.kept)
        if create.corrected:
            ours = sum(near.error_of(gate) for gate in ("X", "Y", "Z")) / 3
            kept *= 1 - max(ours, far.gate_error)
        return kept

    def fresh_for(self, create: Create) -> float:
        """F that fresh pairs need to be as good as a request asks once they are stored."""
        kept = self.kept_for(create)
        return shrunk_fidelity(create.minimum_fidelity, 1 / kept) if kept > 0 else 1.0

    def setting_for(self, fidelity: float) -> float | None:
        """The largest setting that gives this fidelity, or the best there is; None without one."""
        if not self.settable:
            return None
        setting = self._chosen.get(fidelity)
        if setting is None:
            if len(self._chosen) >= CHOSEN_KEPT:
                self._chosen.clear()
            setting = self._chosen[fidelity] = self.unit.setting_for(fidelity)
        return setting

    def status(self) -> Status:
        """The estimate for the setting of late; nothing before there is one."""
        known = self._of_late
        if known is None or not self.tested:
            return {}
        goodness = known.goodness
        return {
            "fidelity": goodness.fidelity,
            "fidelity_low": goodness.low,
            "fidelity_high": goodness.high,
            "fidelity_error": goodness.half_width / 1.96,
            "lifetime_s": known.lifetime_s,
        }

    async def run(self, renewed: Callable[[Goodness], None]) -> None:
        """Renew the estimate when the test rounds have changed, until cancelled."""
        while True:
            await asyncio.sleep(ESTIMATE_EVERY_S)
            if self.near is None or self.far is None:
                continue
            self.unit.readout_errors = self.near.readout_error, self.far.readout_error
            steps = 0
            for _ in self.unit.renewing():
                steps += 1
                await asyncio.sleep(0)
            if not steps or not self.tested:
                continue
            asked = list(self._chosen)
            self.renewals += 1
            self._known.clear()
            self._chosen.clear()
            self._highest = None
            known = self.at(None)
            for fidelity in asked:  # before a herald needs it
                await asyncio.sleep(0)
                known = self.at(self.setting_for(fidelity))
            self._of_late = known
            await asyncio.sleep(0)
            renewed(known.goodness)

    def forget(self) -> None:
        """The link is another than it was: no test round speaks of it."""
        self.unit.forget()
        self._known.clear()
        self._chosen.clear()
        self._highest = self._of_late = None

    def _goodness(self, setting: float | None) -> Goodness:
        found = self.unit.goodness(setting or 0.0) if self.tested else None
        if found is not None:
            return found
        stated = self.near.initial_fidelity if self.near is not None else 0.0
        if self.settable and setting is not None:
            stated = self.unit.predicted(setting)
        return Goodness(stated, 0.0, 1.0, self._clock())

    def expected(self, settings: Floats) -> Floats:
        """Correlators in X, Y and Z of fresh pairs made with each of these settings: (3, n)."""
        if not self.tested and not self.settable:
            return np.tile(self._stated[:, None], settings.size)
        contrasts = np.array([self.unit.model.contrasts(each) for each in settings.tolist()]).T
        left: Floats = np.array(self.unit.left)[:, None]
        return contrasts * left

    def samples(self, setting: float | None) -> Floats:
        """What is left possible for them with one setting: (3, n)."""
        found = self.unit.samples(setting or 0.0) if self.tested else None
        return self.expected(np.array([setting or 0.0])) if found is None else found

    @property
    def _stated(self) -> Floats:
        """Of a pair with white noise, as good as the device says."""
        fidelity = self.near.initial_fidelity if self.near is not None else 0.25
        return np.full(3, (4 * fidelity - 1) / 3)

    def lifetime_s(
        self, fidelity: float, coherences: tuple[Coherence, Coherence] | None = None
    ) -> float:
        """How long a pair of a fidelity is of use, whose halves decay like this; None: as all of
        their devices. Work on it has to wait until the device has come from another qubit."""
        near = self.near
        if near is None or self.far is None:
            return 0.0
        useful_s = _useful_s(fidelity, self.minimum, *(coherences or self.coherences))
        return max(0.0, useful_s - near.switching_time_s)


@lru_cache(maxsize=64)
def _useful_s(fidelity: float, minimum: float, near: Coherence, far: Coherence) -> float:
    return useful_lifetime_s(fidelity, minimum, near, far)


@lru_cache(maxsize=64)
def _coherence(t1_s: float, t2_s: float) -> Coherence:
    return Coherence(t1_s, t2_s)
