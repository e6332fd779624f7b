"""Takes measured pairs (type M) of a photonic link, as a key exchange or a sensor would."""

from __future__ import annotations

import asyncio
from collections import Counter

from qnodeos.measured import MeasuredPairs
from qnodeos.photonic import PhotonicLink
from qnodeos.requests import RequestEnded
from qnodeos.status import Status
from qnodeos.store import Store

PURPOSE = "correlations"
REQUEST_LIMIT_S = 10.0
RETRY_S = 0.25


class Asker:
    """Asks for measured pairs again and again."""

    def __init__(
        self, link: PhotonicLink, store: Store, *, pairs_per_request: int, fidelity: float
    ):
        self.counters: Counter[str] = Counter()
        self._link, self._store = link, store
        self._number, self._fidelity = pairs_per_request, fidelity

    def status(self) -> Status:
        """What it has done so far."""
        return {**self.counters}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not self._link.ready:
                await asyncio.sleep(RETRY_S)
                continue
            try:
                pairs = self._link.desk.ask(
                    kind="M",
                    number=self._number,
                    minimum_fidelity=self._fidelity,
                    within_s=REQUEST_LIMIT_S,
                    purpose=PURPOSE,
                )
                async for measured in pairs:
                    self._take(measured)
            except RequestEnded as ended:
                self.counters["requests_ended_early"] += 1
                self._store.event("request-ended", {"app": PURPOSE, "reason": str(ended)})
                await asyncio.sleep(RETRY_S)

    def _take(self, measured: MeasuredPairs) -> None:
        self.counters["pairs"] += len(measured)


class Taker:
    """Takes this end's outcomes of the pairs that the far end asked for."""

    def __init__(self, link: PhotonicLink):
        self.counters: Counter[str] = Counter()
        self._inbox = link.desk.accept(PURPOSE)

    def status(self) -> Status:
        """What it has done so far."""
        return {**self.counters}

    async def run(self) -> None:
        """Until cancelled."""
        async for measured in self._inbox:
            self.counters["pairs"] += len(measured)
