"""When to acquire, what, and whether a result still counts."""

from __future__ import annotations

from timing.acquire import Acquisition, NoCorrelation, Search
from timing.ends import Ends
from timing.reacquire import AcquisitionInput, search_near
from timing.track import ClockTracker

_MOST_PATIENCE = 6


class Acquiring:
    """Acquisitions of one pair of ends, one at a time, of the last `record_ps` of both."""

    def __init__(self, search: Search, record_ps: int):
        self.record_ps = record_ps
        self.acquisitions = self.failures = 0
        self.last_failure = ""
        self._search = search
        self._generation = self._attempts = 0
        self._pending = False
        self._not_before_ps: int | None = None

    def request(self, ends: Ends, lost: ClockTracker | None) -> AcquisitionInput | None:
        """The next one, if it is time and there is enough data.

        For a lost clock it is narrow at first, and seldom while it stays dark: looking again near
        where the clock should be sees the light come back.
        """
        local_stop_ps, remote_stop_ps = ends.local.buffer.stop_ps, ends.remote.buffer.stop_ps
        if self._pending or local_stop_ps is None or remote_stop_ps is None:
            return None
        if self._not_before_ps is not None and local_stop_ps < self._not_before_ps:
            return None
        if ends.span_ps < self.record_ps:
            return None
        local_ps = ends.local.latest(self.record_ps)
        remote_ps = ends.remote.latest(self.record_ps)
        # After a failure half of the next record is to be new.
        wait_ps, search = self.record_ps // 2, self._search
        if lost is not None:
            expected = lost.predicted(remote_stop_ps - self.record_ps // 2)
            search = search_near(search, expected, self._attempts)
            if not lost.lit((len(local_ps), len(remote_ps)), self.record_ps):
                wait_ps *= 2 ** min(self._attempts, _MOST_PATIENCE)
            self._attempts += 1
        self._not_before_ps = local_stop_ps + wait_ps
        self._pending = True
        return AcquisitionInput(local_ps, remote_ps, search, self._generation)

    def settled(self, request: AcquisitionInput, result: Acquisition | NoCorrelation) -> bool:
        """Count a result; False if an end has restarted since it was asked."""
        if request.generation != self._generation or not self._pending:
            return False
        self._pending = False
        if isinstance(result, NoCorrelation):
            self.failures += 1
            self.last_failure = result.reason
        else:
            self.acquisitions += 1
        return True

    def at_latest(self, local_ps: int) -> None:
        """There is light: do not wait beyond an instant, local scale."""
        if self._not_before_ps is not None:
            self._not_before_ps = min(self._not_before_ps, local_ps)

    def forget(self) -> None:
        """What is under way is about data that no longer count."""
        self._generation += 1
        self._pending = False

    def begin_again(self) -> None:
        """The next one need not wait, and is the first of its kind."""
        self.forget()
        self._not_before_ps = None
        self._attempts = 0
