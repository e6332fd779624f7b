"""The analyzer of a photonic link at one end: which basis holds for which tags."""

from __future__ import annotations

from collections.abc import Callable

from drivers.devices import Analyzer, Basis
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor

TURNING = -1
"""The epoch of tags taken while the optics move, or may have moved."""

SETTLE_S = 0.25
"""Tags that arrive sooner after a turn may have been taken during it: taggers deliver in bursts."""


class TurningAnalyzer:
    """Turns the basis and says which epoch the tags that arrive now belong to.

    An epoch is a number for "both analyzers stand in this basis since then". Tags that arrive
    before a turn begins were taken before it; those a little after its end were taken after.
    """

    def __init__(self, supervisor: Supervisor, clock: Callable[[], float]):
        self._supervisor = supervisor
        self._clock = clock
        self._epoch = TURNING
        self._since_s = 0.0
        self._connects = 0

    @property
    def epoch(self) -> int:
        """Epoch of a batch of tags that has just arrived."""
        status = self._supervisor.status
        if status.state != "online" or status.connects != self._connects:
            return TURNING  # a connection begins with homing
        if self._clock() < self._since_s + SETTLE_S:
            return TURNING
        return self._epoch

    def spoil(self) -> None:
        """From now on nobody knows how the optics stand."""
        self._epoch = TURNING

    async def turn(self, basis: Basis, epoch: int) -> None:
        """Turn to a basis and begin an epoch; raises InstrumentProblem."""
        self._epoch = TURNING
        try:
            analyzer = self._supervisor.instrument
            if not isinstance(analyzer, Analyzer):
                raise NotConnected(f"{type(analyzer).__name__} is not an analyzer")
            connects = self._supervisor.status.connects
            await analyzer.set_basis(basis)
        except InstrumentProblem as problem:
            self._supervisor.report(problem)
            raise
        self._epoch, self._since_s, self._connects = epoch, self._clock(), connects
