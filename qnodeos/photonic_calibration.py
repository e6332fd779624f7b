"""The calibrations of a photonic link, measured at its leading end.

The tasks are made of what the end has anyway: clocks, the histogram of coincidences, rates and test
rounds. A check only looks; a run finds the clocks anew first and looks for longer, or aligns the
polarization where there is a controller, or sets the pump where there is one. Counting in the dark
is the one that takes the light away.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from link_layer.calibration import Step, Task
from link_layer.states import BellState, qber
from qnodeos.aligning import Aligner, AlignmentFailed
from qnodeos.calibrating import LOOK_S, Found, until
from qnodeos.config import CalibrationTable, PhotonicLinkTable
from qnodeos.darkness import Darkness, NoDarkness
from qnodeos.photonic import PhotonicLink
from qnodeos.pumping import Light, Pump, PumpFailed, most_ratio
from qnodeos.status import Status

CHECK_S = 6.0
"""The rates and the histogram are over some five seconds; all of them are from this look."""

RUN_S = 12.0
LIGHT_LIMIT_S = 60.0
"""The clocks are found within this, or the task has failed."""


SHARE = "accidental share"
NOT_COMPARED = "no span of both ends' tags was compared"
NO_TESTS = "no coincidences, or no test rounds yet that tell the fidelity"
ABOVE = 1.1
"""Accidentals may be so much above those that were aimed for before the pump is set anew."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look gave: the link's status and the histogram of `WatchedDelays`."""

    status: Status
    histogram: dict[str, Any]


Judge = Callable[[_Seen], Found]


class PhotonicBench:
    """Measures one photonic link at the end that leads it."""

    def __init__(
        self,
        link: PhotonicLink,
        table: CalibrationTable,
        *,
        aligner: Aligner | None = None,
        darkness: Darkness | None = None,
        pump: Pump | None = None,
    ):
        self._table, self._aligner, self._darkness = table, aligner, darkness
        self._pump = pump
        self._link = link
        self._judges = _judges(link.config, table)
        self.tasks = [
            Task("synchronisation", table.synchronisation_valid_s),
            Task("delay", table.delay_valid_s, ("synchronisation",)),
            Task("window", table.window_valid_s, ("delay",)),
            Task("pump", table.pump_valid_s, ("window",)),
            Task("polarization", table.polarization_valid_s, ("window",)),
            *([Task("dark_counts", table.dark_counts_valid_s)] if darkness else []),
        ]

    @property
    def looks(self) -> int:
        """See `Bench`."""
        return 0 if self._aligner is None else self._aligner.looks

    async def measure(self, step: Step) -> Found:
        """See `Bench`."""
        look_s = RUN_S if step.action == "run" else CHECK_S
        if step.task == "dark_counts" and self._darkness is not None:
            return await self._dark(self._darkness)
        self._link.keep_time(LIGHT_LIMIT_S + look_s, afresh=step.action == "run")
        if not await self._tracking():
            clock = self._link.status().get("clock", "unknown")
            return Found(None, "", good=False, reason=f"the clocks are {clock}")
        if (step.task, step.action) == ("polarization", "run") and self._aligner is not None:
            return await self._align(self._aligner)
        if (step.task, step.action) == ("pump", "run") and self._pump is not None:
            return await self._set_pump(self._pump)
        seen = await self._look(look_s)
        if seen is None:
            return Found(None, "", good=False, reason=NOT_COMPARED)
        if step.task == "pump" and self._pump is not None:
            return self._pumped(self._pump, _light(seen))
        return self._judges[step.task](seen)

    async def _look(self, look_s: float) -> _Seen | None:
        for _ in range(math.ceil(look_s / LOOK_S)):
            self._link.histogram()  # it is made only while somebody looks
            await asyncio.sleep(LOOK_S)
        histogram = self._link.histogram()
        return None if histogram is None else _Seen(self._link.status(), histogram)

    async def _set_pump(self, pump: Pump) -> Found:
        """As bright as the fidelity allows; what its last look showed is the result."""

        async def look() -> Light:
            self._link.keep_time(LIGHT_LIMIT_S + RUN_S)
            seen = await self._look(RUN_S)
            light = None if seen is None else _light(seen)
            if light is None:
                raise PumpFailed(NOT_COMPARED if seen is None else NO_TESTS)
            return light

        try:
            light = await pump.run(look, self._link.light_changed)
        except PumpFailed as failed:
            return Found(None, SHARE, good=False, reason=str(failed))
        return self._pumped(pump, light, "set")

    def _pumped(self, pump: Pump, light: Light | None, reason: str = "") -> Found:
        if light is None:
            return Found(None, SHARE, good=False, reason=NO_TESTS)
        share, allowed = (
            each / (1 + each)
            for each in (light.ratio, most_ratio(pump.fidelity, light.fidelity) * ABOVE)
        )
        return Found(share, SHARE, share <= min(allowed, self._table.most_accidental), reason)

    async def _align(self, aligner: Aligner) -> Found:
        """Turn the controller; what its last look showed is the result."""
        self._link.keep_time(aligner.limit_s)
        try:
            correlators = await aligner.run(3 * (1 - 2 * self._table.most_qber))
        except AlignmentFailed as failed:
            return Found(None, "QBER", good=False, reason=str(failed))
        value = max((1 - correlators[basis]) / 2 for basis in ("Z", "X"))
        return Found(value, "QBER", value <= self._table.most_qber, "aligned")

    async def _dark(self, darkness: Darkness) -> Found:
        """Switch the light off and count."""
        self._link.keep_time(LIGHT_LIMIT_S)
        try:
            value = max(await darkness.counts_cps())
        except NoDarkness as failed:
            return Found(None, "cps", good=False, reason=str(failed))
        return Found(value, "cps", value <= self._table.most_dark_cps)

    async def _tracking(self) -> bool:
        """The clocks are found, at once or within the limit."""
        try:
            async with asyncio.timeout(LIGHT_LIMIT_S):
                await until(lambda: self._link.status().get("clock") == "tracking")
        except TimeoutError:
            return False
        return True


def _light(seen: _Seen) -> Light | None:
    """Accidentals over the other coincidences, and what F the pairs have at least; None before that
    is known."""
    status = seen.status
    true_cps = float(status.get("coincidences_cps", 0.0)) - float(status.get("accidentals_cps", 0))
    fidelity = status.get("fidelity_low")
    if true_cps <= 0 or fidelity is None:
        return None
    return Light(float(status["accidentals_cps"]) / true_cps, float(fidelity))


def _judges(config: PhotonicLinkTable, table: CalibrationTable) -> dict[str, Judge]:
    """How each task makes its figure of a look, and when that is in spec."""
    half_ps = config.window_ps / 2

    def synchronisation(seen: _Seen) -> Found:
        value = float(seen.status.get("clock_uncertainty_ps", math.inf))
        good = value <= table.most_uncertainty * half_ps
        return Found(value if math.isfinite(value) else None, "ps", good)

    def delay(seen: _Seen) -> Found:
        centres, net = _peak(seen.histogram)
        if net.sum() <= 0:
            return Found(None, "ps", good=False, reason="no peak of coincidences")
        value = float((centres * net).sum() / net.sum())
        return Found(value, "ps", abs(value) <= table.most_delay * half_ps)

    def window(seen: _Seen) -> Found:
        centres, net = _peak(seen.histogram)
        if net.sum() <= 0:
            return Found(None, "", good=False, reason="no peak of coincidences")
        value = float(net[np.abs(centres) <= half_ps].sum() / net.sum())
        return Found(value, "of the peak", value >= table.least_in_window)

    def pump(seen: _Seen) -> Found:
        status = seen.status
        coincidences = float(status.get("coincidences_cps", 0.0))
        if coincidences <= 0:
            return Found(None, "", good=False, reason="no coincidences")
        value = float(status["accidentals_cps"]) / coincidences
        return Found(value, "accidental share", value <= table.most_accidental)

    def polarization(seen: _Seen) -> Found:
        errors = []
        for basis in ("Z", "X"):
            correlator = seen.status.get(f"correlator_{basis.lower() * 2}")
            if correlator is None:
                return Found(None, "QBER", good=False, reason=f"no test rounds in {basis * 2} yet")
            errors.append(qber(BellState[config.bell_state], basis, float(correlator)))
        value = max(errors)
        return Found(value, "QBER", value <= table.most_qber)

    return {
        "synchronisation": synchronisation,
        "delay": delay,
        "window": window,
        "pump": pump,
        "polarization": polarization,
    }


def _peak(histogram: dict[str, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Centres of the bins, in ps, and counts in them less the accidentals of the outer quarter."""
    counts = np.asarray(histogram["counts"], float)
    centres = histogram["low_ps"] + histogram["bin_ps"] * (np.arange(len(counts)) + 0.5)
    outer = np.abs(centres) > 0.75 * np.abs(centres).max()
    return centres, counts - counts[outer].mean()
