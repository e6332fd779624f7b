"""Rounds of purification at one end of a link: pairs that are held to be made one of two.

The leading end names two pairs and how (`Distil`). Each end works on its own halves, tells the
other its outcome (`Distilled`), and with both outcomes knows by itself whether the kept pair is
better or to be dropped. Words are repeated until answered. A round in which the far end's outcome
does not come ends with the kept half given up, which is told, too: so no end keeps a pair whose
other half is gone.

Nothing here waits or reads a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from link_layer.messages import Distil, Distilled, Message
from link_layer.purify import TURNS, Recipe, accepts
from link_layer.states import NO_DECAY, Coherence

REPEAT_S = 0.02
"""First repetition of a word; each later one comes after twice the time."""

LIMIT_S = 0.6
"""A round that has not ended within this time is given up."""

ENDED_KEPT = 512
EARLY_KEPT = 64


@dataclass(frozen=True, slots=True)
class RawPair:
    """Our half of a pair that is raw material; `setting` is the bright population it was made with,
    `heralded_s` on the node's own clock. `coherences` are of our half and the far end's,
    `kept` is what both ways into memory have left of its correlators."""

    sequence: int
    request: int
    qubit: int
    heralded_s: float
    setting: float | None = None
    coherences: tuple[Coherence, Coherence] = (NO_DECAY, NO_DECAY)
    kept: float = 1.0


@dataclass(slots=True)
class _Round:
    order: Distil
    keep: RawPair
    spend: RawPair
    until_s: float
    repeat_s: float
    repeats: int = 0
    outcome: int | None = None
    far: int | None = None


class DistilPort(Protocol):
    """What the rounds ask of their surroundings. All of it returns at once."""

    def to_peer(self, message: Message) -> None:
        """Send to the far end; it may get lost."""
        ...

    def recipe(self, keep: RawPair, spend: RawPair, now_s: float) -> Recipe | None:
        """How to make one of these two; None: not good enough any more for their request."""
        ...

    def apply(self, gate: str, *qubits: int) -> None:
        """A gate on storage qubits; orders are carried out in their order."""
        ...

    def spend(self, pair: RawPair, into: int, done: Callable[[int, float], None]) -> None:
        """Measure this half, spent for the pair `into`, in Z; its qubit is free then. `done` gets
        outcome and instant."""
        ...

    def give_up(self, pair: RawPair, reason: str, *, tell: bool) -> None:
        """This half is lost, or useless; `tell`: so is the far end's, which does not know it."""
        ...

    def won(self, keep: RawPair, spend: RawPair, order: Distil, now_s: float) -> None:
        """Of two pairs one has been made, whose half is that of `keep`."""
        ...


class Distiller:
    """The raw pairs and rounds of one link at one end."""

    def __init__(self, link: str, port: DistilPort, *, leads: bool, counters: Counter[str]):
        self._link, self._port, self._leads, self._counters = link, port, leads, counters
        self._held: dict[int, RawPair] = {}
        self._rounds: dict[int, _Round] = {}
        self._early: dict[int, Distil] = {}
        self._ended: dict[int, Distilled] = {}
        self.in_work: Counter[int] = Counter()
        """Rounds of each request."""

    @property
    def busy(self) -> bool:
        """A round waits for an answer."""
        return bool(self._rounds)

    def hold(self, pair: RawPair, now_s: float) -> None:
        """Both ends hold the halves of this pair."""
        self._held[pair.sequence] = pair
        if self._leads:
            self._pair_up(pair.request, now_s)
        else:
            for order in list(self._early.values()):
                self._follow(order, now_s)

    def from_peer(self, message: Distil | Distilled, now_s: float) -> None:
        """Take a word of the far end."""
        round_ = self._rounds.get(message.keep)
        said = self._ended.get(message.keep)
        match message:
            case Distil() if self._leads:
                self._counters["stale_messages"] += 1
            case Distil() if round_ is None and said is None:
                self._follow(message, now_s)
            case Distil():
                if round_ is not None and round_.outcome is not None:
                    said = Distilled(self._link, message.keep, round_.outcome)
                if said is not None:
                    self._port.to_peer(said)
            case Distilled(outcome=outcome, asks=asks):
                if round_ is not None:
                    round_.far = outcome
                    if asks and round_.outcome is not None:
                        self._port.to_peer(Distilled(self._link, message.keep, round_.outcome))
                    self._settle(round_, now_s)
                elif asks and said is not None:
                    self._port.to_peer(said)

    def lost(self, sequence: int) -> None:
        """Our half of a pair is gone."""
        self._held.pop(sequence, None)
        self._close(sequence)

    def far_lost(self, sequence: int, reason: str) -> bool:
        """The far end has lost its half of a pair that is spent here; False if none is."""
        for round_ in list(self._rounds.values()):
            if round_.spend.sequence == sequence:
                self._close(round_.keep.sequence)
                self._port.give_up(round_.keep, f"that it was purified with: {reason}", tell=True)
                return True
        return False

    def over(self, request: int) -> None:
        """A request has ended: its raw pairs are for nobody."""
        for pair in [each for each in self._held.values() if each.request == request]:
            del self._held[pair.sequence]
            self._port.give_up(pair, "its request is over", tell=True)

    def clear(self) -> None:
        """The far end, or the device, is gone, and all halves with it."""
        self._held.clear()
        self._early.clear()
        self._ended.clear()
        for sequence in list(self._rounds):
            self._close(sequence)

    def tick(self, now_s: float) -> None:
        """Time has passed."""
        for round_ in list(self._rounds.values()):
            if now_s >= round_.until_s:
                self._close(round_.keep.sequence)
                self._counters["purifications_lost"] += 1
                self._port.give_up(round_.keep, "its purification was not answered", tell=True)
            elif now_s >= round_.repeat_s:
                round_.repeats += 1
                round_.repeat_s = now_s + REPEAT_S * 2**round_.repeats
                if self._leads and round_.far is None:
                    self._port.to_peer(round_.order)
                if round_.outcome is not None:
                    keep = round_.keep.sequence
                    self._port.to_peer(Distilled(self._link, keep, round_.outcome, asks=True))

    def _pair_up(self, request: int, now_s: float) -> None:
        """Two of a request, the newer of which lives on; one that is too old for it is dropped."""
        waiting = sorted(
            (pair for pair in self._held.values() if pair.request == request),
            key=lambda pair: pair.heralded_s,
        )
        while len(waiting) > 1:
            spend, keep = waiting[0], waiting[1]
            recipe = self._port.recipe(keep, spend, now_s)
            if recipe is not None:
                order = Distil(
                    self._link, keep.sequence, spend.sequence, recipe.method, recipe.axis
                )
                self._port.to_peer(order)
                self._begin(order, keep, spend, now_s)
                return
            del self._held[spend.sequence]
            self._port.give_up(spend, "too old to be purified with", tell=True)
            del waiting[0]

    def _follow(self, order: Distil, now_s: float) -> None:
        keep, spend = self._held.get(order.keep), self._held.get(order.spend)
        if keep is not None and spend is not None and keep is not spend:
            self._early.pop(order.keep, None)
            self._begin(order, keep, spend, now_s)
            return
        # The words by which the two ends agree on a pair may be late; if a half is gone, the
        # leading end is told by whoever lost it.
        self._early[order.keep] = order
        if len(self._early) > EARLY_KEPT:
            del self._early[next(iter(self._early))]

    def _begin(self, order: Distil, keep: RawPair, spend: RawPair, now_s: float) -> None:
        del self._held[keep.sequence], self._held[spend.sequence]
        self._rounds[order.keep] = _Round(order, keep, spend, now_s + LIMIT_S, now_s + REPEAT_S)
        self.in_work[keep.request] += 1
        for gate in TURNS[order.axis][0 if self._leads else 1]:
            self._port.apply(gate, keep.qubit)
            self._port.apply(gate, spend.qubit)
        self._port.apply("CNOT", keep.qubit, spend.qubit)
        self._port.spend(spend, order.keep, partial(self._measured, order.keep))

    def _measured(self, keep: int, outcome: int, now_s: float) -> None:
        round_ = self._rounds.get(keep)
        if round_ is None:
            return
        round_.outcome = outcome
        self._port.to_peer(Distilled(self._link, keep, outcome))
        self._settle(round_, now_s)

    def _settle(self, round_: _Round, now_s: float) -> None:
        ours, far = round_.outcome, round_.far
        if ours is None or far is None:
            return
        keep = round_.keep
        self._close(keep.sequence)
        self._ended[keep.sequence] = Distilled(self._link, keep.sequence, ours)
        if len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]
        outcomes = (ours, far) if self._leads else (far, ours)
        self._counters["purifications"] += 1
        if accepts(round_.order.method, *outcomes):
            self._port.won(keep, round_.spend, round_.order, now_s)
        else:
            self._counters["purifications_failed"] += 1
            # The far end knows it by the same two outcomes.
            self._port.give_up(keep, "its purification failed", tell=False)

    def _close(self, keep: int) -> None:
        round_ = self._rounds.pop(keep, None)
        if round_ is None:
            return
        self.in_work[round_.keep.request] -= 1
        if not self.in_work[round_.keep.request]:
            del self.in_work[round_.keep.request]
