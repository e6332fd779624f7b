"""Takes measured pairs (type M) of a photonic link, as a key exchange or a sensor would."""

from __future__ import annotations

from collections import Counter

from qnodeos.apps.asking import keep_asking
from qnodeos.photonic import PhotonicLink
from qnodeos.status import Status
from qnodeos.store import Store

PURPOSE = "correlations"


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
        asked = keep_asking(
            self._link,
            self._store,
            self.counters,
            kind="M",
            number=self._number,
            fidelity=self._fidelity,
            purpose=PURPOSE,
        )
        async for measured in asked:
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
