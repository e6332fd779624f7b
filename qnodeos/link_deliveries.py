"""From a half that both ends have agreed on to what an application gets, or what a test shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from link_layer.distil import RawPair
from link_layer.egp_plan import Half
from link_layer.messages import MeasuredBasis, PairHeld, Place
from link_layer.queue import Request
from link_layer.states import BellState, correlator_sign, flips, pauli_to_phi_plus
from qnodeos.context import NodeContext
from qnodeos.keeping import PairKeeper
from qnodeos.measured import MeasuredPairs
from qnodeos.memory import StoredPair
from qnodeos.memory_map import COMMUNICATION_QUBIT
from qnodeos.memory_quality import MemoryQuality
from qnodeos.pair import Pair
from qnodeos.requests import Desk


class Deliveries:
    """The last step of a round at one end of a memory link. `leads`: it is the leading end.

    `stored_tested` is told of test rounds that were stored, and whether they were right.
    """

    def __init__(
        self,
        link: str,
        context: NodeContext,
        *,
        leads: bool,
        desk: Desk[Any],
        keeper: PairKeeper,
        quality: MemoryQuality,
        counters: Counter[str],
        stored_tested: Callable[[Half, PairHeld, bool], None],
    ):
        self._stored_tested = stored_tested
        self._link, self._context, self._leads = link, context, leads
        self._desk, self._keeper, self._quality = desk, keeper, quality
        self._counters = counters

    def deliver(self, half: Half, request: Request, far: PairHeld) -> None:
        """Hand the pair to whoever asked."""
        stored = self._stored(half, far.place)
        if half.plan.qubit is None:
            self._deliver_outcome(half, request, stored)
            return
        self._keeper.store(stored)
        prepared = None
        if request.create.kind == "R" and far.basis is not None and far.outcome is not None:
            prepared = far.basis, far.outcome
        self.hand_over(stored, request, prepared)

    def keep_raw(self, half: Half, request: Request, far: PairHeld) -> RawPair:
        """The pair is one of two that are to be purified."""
        stored = self._stored(half, far.place)
        self._keeper.store(stored)
        return RawPair(
            stored.sequence,
            request.id,
            stored.qubit,
            stored.heralded_s,
            half.attempt.bright_population,
            stored.coherences,
            _kept(half.place, far.place),
        )

    def hand_over(
        self,
        stored: StoredPair,
        request: Request,
        prepared: tuple[MeasuredBasis, int] | None = None,
    ) -> None:
        """A pair that lies in memory is its application's."""
        pair = Pair(stored, self._keeper, prepared)
        if request.create.window_s is not None and self._leads:
            self._drop_older(request, stored.heralded_s - request.create.window_s)
        if not self._desk.deliver(request.id, stored.sequence, pair):
            self._keeper.give_up(stored, "nobody takes it")

    def _drop_older(self, request: Request, than_s: float) -> None:
        """Those of a packet that do not fit into one window with the newest are made anew."""
        for pair in self._desk.held_back(request.id):
            if isinstance(pair, Pair) and pair.heralded_s < than_s:
                pair.give_up("older than the window of its packet")

    def tested(self, half: Half, far: PairHeld) -> None:
        """Both outcomes of a test round are known."""
        heralded, basis = half.heralded, half.attempt.test_basis
        if basis is None or half.outcome is None or far.outcome is None:
            return
        if half.attempt.held_s is not None:
            same = half.outcome == far.outcome
            right = same is (correlator_sign(heralded.bell_state, basis) > 0)
            self._stored_tested(half, far, right)
        else:
            self._quality.unit.add(
                basis,
                heralded.bell_state,
                half.outcome,
                far.outcome,
                half.attempt.bright_population or 0.0,
            )
            self._counters["test_rounds"] += 1
        self._context.store.event(
            "test-round",
            {
                "link": self._link,
                "sequence": heralded.sequence,
                "slot": heralded.slot,
                "bell_state": heralded.bell_state.name,
                "basis": basis,
                "outcomes": [half.outcome, far.outcome],
            },
        )

    def told_and_lost(self, half: Half, reason: str) -> None:
        """The far end may have used its half of this pair: what became of ours is in the journal
        here too, or only one of the two would know of it."""
        stored = self._stored(half, None)
        role = "measured" if half.plan.qubit is None else "keep"
        self._context.store.pair_held(stored, role)
        self._context.store.pair_ended(stored, "discarded", reason)

    def void(self, sequence: int, reason: str) -> None:
        """The far end has lost its half of a pair that was delivered here."""
        if not self._keeper.dropped_by_peer(sequence, reason):
            # Its owner has used it meanwhile; that cannot be undone, but it is not hidden.
            self._counters["voided_after_use"] += 1
            self._context.store.event(
                "pair-void", {"link": self._link, "sequence": sequence, "reason": reason}
            )

    def _stored(self, half: Half, far_place: Place | None) -> StoredPair:
        heralded, plan = half.heralded, half.plan
        known = self._quality.at(half.attempt.bright_population)
        coherences = self._quality.coherences_of(half.place, far_place)
        goodness = known.goodness.shrunk(_kept(half.place, far_place))
        lifetime_s = self._quality.lifetime_s(goodness.fidelity, coherences)
        return StoredPair(
            link=self._link,
            sequence=heralded.sequence,
            slot=heralded.slot,
            bell_state=BellState.PHI_PLUS if plan.as_phi_plus else heralded.bell_state,
            fidelity=goodness.fidelity,
            request=half.attempt.request,
            qubit=COMMUNICATION_QUBIT if plan.qubit is None else plan.qubit,
            heralded_s=half.herald_s,
            deadline_s=half.herald_s + lifetime_s,
            goodness=goodness,
            coherences=coherences,
        )

    def _deliver_outcome(self, half: Half, request: Request, stored: StoredPair) -> None:
        basis, outcome = half.plan.basis, half.outcome
        assert basis is not None
        assert outcome is not None
        if request.create.kind == "M" and request.create.corrected and not self._leads:
            # As if the pair had been turned into Phi+ here before it was measured.
            outcome ^= flips(pauli_to_phi_plus(half.heralded.bell_state), basis)
        store = self._context.store
        store.pair_held(stored, "measured")
        store.pair_delivered(stored, self._context.name)
        measured = MeasuredPairs(
            self._link,
            basis,
            np.array([stored.sequence]),
            np.array([outcome], np.uint8),
            stored.fidelity,
            stored.bell_state,
        )
        self._counters["delivered"] += self._desk.deliver(request.id, stored.sequence, measured)


def _kept(near: Place | None, far: Place | None) -> float:
    """What both ways into memory have left of the correlators."""
    kept = 1.0
    for place in (near, far):
        kept *= 1.0 if place is None else place.kept
    return kept
