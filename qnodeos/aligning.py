"""Turns a polarization controller until both ends of a photonic link mean the same by a basis."""

from __future__ import annotations

import math

from drivers.devices import PolarizationController
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from link_layer.alignment import MOST_LOOKS, Aligned, Paddle, Squeezer, align
from link_layer.fidelity import CorrelatorCounts
from qnodeos.config import PolarizationTable
from qnodeos.photonic import PhotonicLink
from qnodeos.store import Store

LOOK_LIMIT_S = 120.0
"""For the test rounds of one look."""


class AlignmentFailed(Exception):
    """Nothing could be aligned; the text says why."""


class Aligner:
    """Aligns one link by the controller at the end that leads it."""

    def __init__(
        self, link: PhotonicLink, table: PolarizationTable, supervisor: Supervisor, store: Store
    ):
        self._link, self._table = link, table
        self._supervisor, self._store = supervisor, store
        self._last: dict[str, CorrelatorCounts] = {}
        self.looks = 0
        """All that it has taken, in any run."""

    @property
    def limit_s(self) -> float:
        """It takes no longer."""
        return MOST_LOOKS * LOOK_LIMIT_S

    async def run(self, enough: float) -> dict[str, float]:
        """Climb, once more if the first ends below `enough` of 4 F - 1; the correlators at the end
        by basis, each with the sign that makes 1 the best. Raises AlignmentFailed."""
        try:
            controller = self._controller()
            actuators = self._actuators(controller.drive_unit, await controller.drive_ranges())
            start = await controller.drives()
            found = await align(actuators, start, self._look, enough=enough)
        except InstrumentProblem as problem:
            self._supervisor.report(problem)
            raise AlignmentFailed(f"{self._table.controller}: {problem}") from problem
        except TimeoutError as late:
            raise AlignmentFailed(
                f"fewer than {self._table.rounds} test rounds a basis in {LOOK_LIMIT_S:g} s"
            ) from late
        except ValueError as error:
            raise AlignmentFailed(f"{self._table.controller}: {error}") from error
        finally:
            self._link.forget_tests()
        self._note(start, found)
        return {basis: counts.net for basis, counts in self._last.items()}

    def _actuators(
        self, unit: str, ranges: tuple[tuple[float, float], ...]
    ) -> list[Squeezer] | list[Paddle]:
        """What the controller's channels are. Raises AlignmentFailed, ValueError."""
        if unit == "deg":
            return [Paddle(low, high) for low, high in ranges]
        turn_mv = self._table.turn_mv
        if turn_mv is None:
            raise AlignmentFailed(
                f"{self._table.controller} has squeezers: `turn_mv` has to say what drive makes a "
                "full turn"
            )
        return [Squeezer(low, high, turn_mv) for low, high in ranges]

    def _controller(self) -> PolarizationController:
        controller = self._supervisor.instrument
        if not isinstance(controller, PolarizationController):
            raise NotConnected(f"{type(controller).__name__} is not a polarization controller")
        return controller

    async def _look(self, drives: tuple[float, ...]) -> float:
        await self._controller().set_drives(drives)
        self._last = await self._link.fresh_tests(self._table.rounds, LOOK_LIMIT_S)
        self.looks += 1
        value = sum(counts.net for counts in self._last.values())
        if not math.isfinite(value):
            raise AlignmentFailed("all coincidences are accidental")
        return value

    def _note(self, start: tuple[float, ...], found: Aligned) -> None:
        self._store.event(
            "aligned",
            {
                "link": self._link.name,
                "controller": self._table.controller,
                "drives_before": list(start),
                "drives": list(found.drives),
                "fidelity_before": (1 + found.before) / 4,
                "fidelity": (1 + found.value) / 4,
                "looks": found.looks,
            },
        )
