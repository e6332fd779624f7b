"""How good fresh pairs of a memory link are, and how long they stay useful."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.devices import DeviceCapabilities
from link_layer.fidelity import FidelityEstimate, estimate_fidelity
from link_layer.messages import LinkHello
from link_layer.recent import RecentTests
from link_layer.states import Coherence, useful_lifetime_s
from qnodeos.status import Status

ESTIMATE_EVERY_S = 0.5

ROUNDS_NEEDED = 10
"""In each basis, before the rounds are believed more than the device's own figure."""


class MemoryQuality:
    """Test rounds with the devices' own numbers; `near` and `far` are those of the two ends.

    The estimate and the lifetime take milliseconds to compute, so they are renewed now and then and
    not while a herald waits.
    """

    def __init__(self, minimum_useful_fidelity: float, clock: Callable[[], float]):
        self.tests = RecentTests(clock)
        self.near: DeviceCapabilities | None = None
        self.far: LinkHello | None = None
        self.minimum = minimum_useful_fidelity
        """A pair is of use while its fidelity is above this."""
        self._estimate: FidelityEstimate | None = None
        self._lifetime: tuple[tuple[float, ...], float] = ((), 0.0)

    @property
    def known(self) -> bool:
        """Both ends' devices have told their numbers."""
        return self.near is not None and self.far is not None

    @property
    def fidelity(self) -> float:
        """The estimate for a fresh pair: from test rounds, before those the device's own figure."""
        if self._estimate is not None:
            return self._estimate.value
        return self.near.initial_fidelity if self.near is not None else 0.0

    @property
    def highest(self) -> float:
        """The best that the test rounds leave possible: what a request may ask for.

        A few unlucky rounds must not end all requests, and with them all further rounds.
        """
        return self._estimate.interval_high if self._estimate is not None else self.fidelity

    @property
    def lifetime_s(self) -> float:
        """How long a fresh pair stays above the useful fidelity in both memories."""
        near, far = self.near, self.far
        if near is None or far is None:
            return 0.0
        given = (self.fidelity, self.minimum, near.t1_s, near.t2_s, far.t1_s, far.t2_s)
        if self._lifetime[0] != given:
            lifetime_s = useful_lifetime_s(
                self.fidelity,
                self.minimum,
                Coherence(near.t1_s, near.t2_s),
                Coherence(far.t1_s, far.t2_s),
            )
            self._lifetime = (given, lifetime_s)
        return self._lifetime[1]

    def status(self) -> Status:
        """The estimate; nothing before there is one."""
        if self._estimate is None:
            return {}
        return {
            "fidelity": self._estimate.value,
            "fidelity_error": self._estimate.standard_error,
            "fidelity_low": self._estimate.interval_low,
            "fidelity_high": self._estimate.interval_high,
            "lifetime_s": self.lifetime_s,
        }

    async def run(self, renewed: Callable[[FidelityEstimate], None]) -> None:
        """Renew the estimate when the test rounds have changed, until cancelled."""
        seen = 0.0
        while True:
            await asyncio.sleep(ESTIMATE_EVERY_S)
            rounds = self.tests.rounds
            if rounds == seen or self.near is None or self.far is None:
                continue
            seen = rounds
            counts = self.tests.counts
            if min(basis.total for basis in counts.values()) < ROUNDS_NEEDED:
                self._estimate = None
                continue
            self._estimate = estimate_fidelity(
                counts,
                readout_error_a=self.near.readout_error,
                readout_error_b=self.far.readout_error,
            )
            if self._estimate is not None and self.lifetime_s >= 0:
                renewed(self._estimate)
