"""Sets the pump of a photonic link as bright as the fidelity that is asked for allows.

Pairs come in proportion to the pump's power P and accidentals to its square, so accidentals over
true coincidences are proportional to P: r = k (P - P0), P0 where the laser begins to shine, in
whatever unit it is set. Coincidences of which a share a = r/(1 + r) is accidental have
F = (1 - a) F0 + a/4, F0 being that of the pairs themselves; see docs/physics.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from drivers.devices import DiodeCurrent, Laser, OutputPower
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from qnodeos.config import PumpTable
from qnodeos.store import Store

MOST_LOOKS = 6
CLOSE = 0.8
"""So near below the ratio that is allowed is near enough: the next look has noise, too."""

STEP = 0.005
"""The least change that tells two looks apart, as a share of the range."""


class PumpFailed(Exception):
    """The pump was not set; the text says why."""


@dataclass(frozen=True, slots=True)
class Light:
    """What a look gave: accidentals over true coincidences, and the F that the pairs themselves
    have at least: the lower end of its interval, so that what was not seen is not spent."""

    ratio: float
    fidelity: float


def most_ratio(fidelity: float, of_pairs: float) -> float:
    """Accidentals over true coincidences at which pairs of `of_pairs` make this F; 0 or less where
    even none is too many."""
    return (of_pairs - fidelity) / (fidelity - 0.25)


class Pump:
    """The laser that pumps a link's source, at the end that leads the link."""

    def __init__(self, link: str, table: PumpTable, supervisor: Supervisor, store: Store):
        self._link, self._table = link, table
        self._supervisor, self._store = supervisor, store
        self.unit = ""

    @property
    def fidelity(self) -> float:
        """What coincidences are to have, accidentals among them."""
        return self._table.fidelity

    async def run(self, look: Callable[[], Awaitable[Light]], changed: Callable[[], None]) -> Light:
        """Set it, by a few looks; the last one. `changed` is called when it was set. Raises
        PumpFailed, and then it is as it was."""
        before = None
        try:
            before = at = await self._setting()
            light = await look()
            seen = {at: light.ratio}
            while len(seen) < MOST_LOOKS:
                allowed = most_ratio(self.fidelity, light.fidelity)
                if allowed <= 0:
                    raise PumpFailed(
                        f"its pairs have F {light.fidelity:.3f} without any accidentals, as far as "
                        f"is sure, {self.fidelity:g} is asked for"
                    )
                to = self._next(seen, allowed)
                if CLOSE * allowed <= light.ratio <= allowed or self._same(to, at):
                    break
                at = to
                await self._set(at)
                changed()
                # The pairs themselves are the same: what brighter light made sure of them holds.
                sure = light.fidelity
                light = await look()
                light = replace(light, fidelity=max(sure, light.fidelity))
                seen[at] = light.ratio
        except (InstrumentProblem, PumpFailed) as problem:
            if isinstance(problem, InstrumentProblem):
                self._supervisor.report(problem)
            elif before is not None:
                await self._set(before)
            raise PumpFailed(f"{self._table.laser}: {problem}") from problem
        self._store.event(
            "pumped",
            {
                "link": self._link,
                "laser": self._table.laser,
                "unit": self.unit,
                "before": before,
                "setting": at,
                "accidental_share": light.ratio / (1 + light.ratio),
                "fidelity": self._table.fidelity,
            },
        )
        return light

    def _next(self, seen: dict[float, float], allowed: float) -> float:
        """Where the ratio would be a little below the one allowed, on the line by two looks."""
        low, high = self._table.lowest, self._table.highest
        (one, ratio), *others = sorted(seen.items(), key=lambda each: abs(each[1] - allowed))
        wanted = (1 + CLOSE) / 2 * allowed
        dark, below = (low, 0.0) if not others else others[0]
        if ratio == below or one == dark:
            return high if ratio < wanted else low
        return min(max(one + (wanted - ratio) * (one - dark) / (ratio - below), low), high)

    def _same(self, one: float, other: float) -> bool:
        return abs(one - other) < STEP * (self._table.highest - self._table.lowest)

    async def _setting(self) -> float:
        laser = self._laser()
        if not await laser.emission():
            raise PumpFailed("it does not emit")
        if isinstance(laser, OutputPower):
            self.unit = "mW"
            return await laser.power_mw()
        if isinstance(laser, DiodeCurrent):
            self.unit = "mA"
            return await laser.current_ma()
        raise PumpFailed(f"{type(laser).__name__} has neither a power nor a current to be set")

    async def _set(self, value: float) -> None:
        laser = self._laser()
        if isinstance(laser, OutputPower):
            await laser.set_power_mw(value)
        elif isinstance(laser, DiodeCurrent):
            await laser.set_current_ma(value)

    def _laser(self) -> Laser:
        laser = self._supervisor.instrument
        if not isinstance(laser, Laser):
            raise NotConnected(f"{type(laser).__name__} is not a laser")
        return laser
