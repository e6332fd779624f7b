"""The calibrations of a memory link, measured at its leading end by test rounds and heralds.

The station detects as it is told (`station_tuning`); what comes of that is all that is known here.
"""

from __future__ import annotations

import math

from link_layer.calibration import Step, Task
from link_layer.messages import Basis
from qnodeos.calibrating import Found
from qnodeos.config import MemoryCalibrationTable
from qnodeos.memory_link import MemoryLink
from qnodeos.probing import Probed
from qnodeos.station_tuning import NotTuned

EQUATOR: tuple[Basis, ...] = ("X", "Y")
"""In which the phase shows."""

USUAL: dict[str, tuple[str, ...]] = {"delay": (), "window": ("delay",), "pump": ("window",)}
PHASED = USUAL | {"phase": ("window",)}

BRIGHT = 0.1
"""The population of probes: with more of it both emit too often, with less nothing is heralded."""

DARK_S = 2.0

COARSE, FINE = 4, 16
"""Steps of a scan in a window."""

PLATEAU = 0.9
"""Delays with this share of the best rate are as good as the best, as far as can be seen."""


class MemoryBench:
    """Measures one memory link at the end that leads it."""

    def __init__(self, link: MemoryLink, table: MemoryCalibrationTable):
        self._link, self._table = link, table
        bright = link.config.bright_state
        self._bright = None if bright is None else min(max(BRIGHT, bright.lowest), bright.highest)
        tasks = table.tasks if table.tasks is not None else (USUAL if bright is None else PHASED)
        valid_s = {
            "delay": table.delay_valid_s,
            "window": table.window_valid_s,
            "pump": table.pump_valid_s,
            "phase": table.phase_valid_s,
            "dark_counts": table.dark_counts_valid_s,
            "interference": table.interference_valid_s,
        }
        self.tasks = [Task(name, valid_s[name], tuple(after)) for name, after in tasks.items()]

    @property
    def looks(self) -> int:
        """See `Bench`."""
        return self._link.prober.looks

    async def measure(self, step: Step) -> Found:
        """See `Bench`."""
        run = step.action == "run"
        try:
            now = await self._link.tuning.tune()
            match step.task:
                case "delay":
                    delay_ps, window_ps = _set(now.delay_ps, "delay"), _set(now.window_ps, "length")
                    return await self._delay(delay_ps, window_ps, run=run)
                case "window":
                    return await self._window(_set(now.window_ps, "length"))
                case "pump":
                    return await self._pump(run=run)
                case "phase":
                    return await self._phase(_set(now.phase_deg, "phase"), run=run)
                case "dark_counts":
                    return await self._dark_counts()
                case _:
                    return await self._interference()
        except NotTuned as failed:
            return Found(None, "", good=False, reason=str(failed))

    async def _delay(self, delay_ps: float, window_ps: float, *, run: bool) -> Found:
        """The rate where the window is, against the best rate on either side of it."""
        if run:
            found_ps = await self._scan(delay_ps, window_ps)
            if found_ps is None:
                await self._link.tuning.tune(delay_ps=delay_ps)
                reason = f"no heralds within {self._table.scan_ps:g} ps on either side"
                return Found(None, "of the best rate", good=False, reason=reason)
            delay_ps = found_ps
            self._link.forget_tests()
        aside_ps = window_ps / COARSE
        rounds, within_s = self._table.rounds, self._table.look_s
        here = await self._rate(rounds, within_s, delay_ps=delay_ps)
        if here <= 0:
            return Found(None, "of the best rate", good=False, reason="no heralds")
        early = await self._rate(rounds, within_s, delay_ps=delay_ps - aside_ps)
        late = await self._rate(rounds, within_s, delay_ps=delay_ps + aside_ps)
        await self._link.tuning.tune(delay_ps=delay_ps)
        value = here / max(here, early, late)
        return Found(value, "of the best rate", value >= self._table.least_of_best)

    async def _scan(self, middle_ps: float, window_ps: float) -> float | None:
        """The delay with the best rate; None: there are no heralds."""
        table, step_ps = self._table, max(window_ps, 1.0) / COARSE
        reach = math.ceil(table.scan_ps / step_ps)
        coarse = await self._rates(
            [middle_ps + step_ps * k for k in range(-reach, reach + 1)], table.scan_look_s
        )
        best_ps = max(coarse, key=lambda each: coarse[each])
        if coarse[best_ps] <= 0:
            return None
        fine_ps = window_ps / FINE
        around = range(-FINE // COARSE, FINE // COARSE + 1)
        fine = await self._rates([best_ps + fine_ps * k for k in around], table.look_s)
        top = max(fine.values())
        good = [each for each, rate in fine.items() if rate >= PLATEAU * top]
        return sum(good) / len(good)

    async def _rates(self, delays_ps: list[float], within_s: float) -> dict[float, float]:
        rounds = self._table.rounds // 4
        return {each: await self._rate(rounds, within_s, delay_ps=each) for each in delays_ps}

    async def _window(self, window_ps: float) -> Found:
        """The rate with the window as it is, against that with one twice as long."""
        table = self._table
        longer = await self._rate(table.rounds, table.look_s, window_ps=2 * window_ps)
        here = await self._rate(table.rounds, table.look_s, window_ps=window_ps)
        if longer <= 0:
            return Found(None, "of the photons", good=False, reason="no heralds")
        value = min(1.0, here / longer)
        return Found(value, "of the photons", value >= table.least_in_window)

    async def _pump(self, *, run: bool) -> Found:
        """Outcomes in Z that are wrong, beyond those that the bright-state population explains: of
        single clicks with both ends bright. A run looks for longer; nothing is set."""
        rounds = self._table.rounds * (4 if run else 1)
        found = await self._link.prober.probe(
            ("Z",), rounds, self._table.look_s, bright_population=self._bright
        )
        if not found.rounds:
            return Found(None, "excess in Z", good=False, reason="no heralds")
        unit = self._link.quality.unit
        read = (1 - 2 * unit.readout_errors[0]) * (1 - 2 * unit.readout_errors[1])
        expected = unit.model.contrasts(self._bright or 0.0)[2]
        value = max(0.0, expected - found.correlator("Z") / read) / 2
        return Found(value, "excess in Z", value <= self._table.most_excess)

    async def _dark_counts(self) -> Found:
        """What the station counts with no end attempting."""
        value = (await self._link.tuning.tune(dark_s=DARK_S)).dark_cps
        if value is None:
            return Found(None, "cps", good=False, reason="the station has counted nothing")
        return Found(value, "cps", value <= self._table.most_dark_cps)

    async def _interference(self) -> Found:
        """Hong-Ou-Mandel visibility from the station's clicks, of late."""
        await self._link.prober.probe(
            ("Z",), self._table.rounds, self._table.look_s, bright_population=self._bright
        )
        value = (await self._link.tuning.tune()).hom_visibility
        if value is None:
            reason = "the station tells no visibility: `hom`, and coincidences enough"
            return Found(None, "visibility", good=False, reason=reason)
        return Found(value, "visibility", value >= self._table.least_visibility)

    async def _phase(self, set_deg: float, *, run: bool) -> Found:
        """How far the phase is off; a run turns it back, and looks again."""
        off_deg = await self._off_deg(set_deg)
        if run and off_deg is not None:
            set_deg = math.remainder(set_deg - off_deg, 360.0)
            off_deg = await self._off_deg(set_deg)
            self._link.forget_tests()
        if off_deg is None:
            return Found(None, "deg", good=False, reason="no coherence in X and Y to tell it by")
        return Found(off_deg, "deg", abs(off_deg) <= self._table.most_phase_deg)

    async def _off_deg(self, set_deg: float) -> float | None:
        """XX and YY are A cos of the phase; a look a quarter turn further gives the sine."""
        aside = await self._probe(EQUATOR, phase_deg=set_deg + 90.0)
        here = await self._probe(EQUATOR, phase_deg=set_deg)
        cosine, sine = here.correlator(*EQUATOR), -aside.correlator(*EQUATOR)
        least = min(here.rounds, aside.rounds)
        if least == 0 or math.hypot(cosine, sine) < 4 / math.sqrt(least):
            return None
        return math.degrees(math.atan2(sine, cosine))

    async def _probe(self, bases: tuple[Basis, ...], *, phase_deg: float) -> Probed:
        await self._link.tuning.tune(phase_deg=phase_deg)
        return await self._link.prober.probe(
            bases, self._table.rounds, self._table.look_s, bright_population=self._bright
        )

    async def _rate(
        self,
        rounds: int,
        within_s: float,
        *,
        delay_ps: float | None = None,
        window_ps: float | None = None,
    ) -> float:
        """Heralds an attempt with this setting, which stays."""
        await self._link.tuning.tune(delay_ps=delay_ps, window_ps=window_ps)
        found = await self._link.prober.probe(
            ("Z",), rounds, within_s, bright_population=self._bright
        )
        return found.heralds_per_attempt


def _set(value: float | None, what: str) -> float:
    """What the station's device is set to. Raises NotTuned where it has no such thing."""
    if value is None:
        raise NotTuned(f"the {what} of the station's detection cannot be set (`tunes`)")
    return value
