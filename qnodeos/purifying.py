"""Purification on a memory link: when it is worth it, what comes of it, and its device orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from link_layer.distil import Distiller, RawPair
from link_layer.egp_plan import Half
from link_layer.feu import Goodness
from link_layer.feu_model import ladder
from link_layer.messages import Create, Distil, Message, PairHeld, PurifyMethod
from link_layer.purify import Errors, PairState, Recipe, TiltCount, chosen, gates_for, purified
from link_layer.queue import Request, RequestQueue
from link_layer.states import Coherence, flips, pauli_to_phi_plus, shrunk_fidelity
from qnodeos.keeping import PairKeeper
from qnodeos.link_device import LinkDevice
from qnodeos.memory import StoredPair
from qnodeos.memory_quality import MemoryQuality

HELD_TOGETHER = 2
"""Storage qubits that purification takes at once."""

CHOICES_KEPT = 16


class Purifier:
    """The purification of one memory link at one end.

    `deliver` is called with each pair that was made of two, `pace` tells the raw pairs a second of
    late, None while that is not known. It is the `DistilPort` of its `rounds`.
    """

    def __init__(
        self,
        link: str,
        *,
        leads: bool,
        device: LinkDevice,
        keeper: PairKeeper,
        quality: MemoryQuality,
        queue: RequestQueue,
        send: Callable[[Message], object],
        deliver: Callable[[StoredPair, Request], None],
        pace: Callable[[], float | None],
        counters: Counter[str],
    ):
        self.tilt = TiltCount()
        self.rounds = Distiller(link, self, leads=leads, counters=counters)
        self._leads = leads
        self._device, self._keeper, self._quality = device, keeper, quality
        self._queue, self._send, self._deliver, self._pace = queue, send, deliver, pace
        self._choices: dict[tuple[float, str], Recipe | str | None] = {}
        self._chosen_of = -1

    # When.

    def choice(self, create: Create) -> Recipe | str | None:
        """How each pair of a request is to be made of two; None: it is better as it comes; a text:
        why it cannot be made."""
        if create.purify == "no":
            return None
        if self._chosen_of != self._quality.renewals:
            self._chosen_of = self._quality.renewals
            self._choices.clear()
        key = create.minimum_fidelity, create.purify
        if key not in self._choices:
            if len(self._choices) >= CHOICES_KEPT:
                self._choices.clear()
            self._choices[key] = self._choose(create)
        return self._choices[key]

    def raw_per_pair(self, create: Create) -> float:
        """Heralded pairs that each pair of a request takes."""
        recipe = self.choice(create)
        return recipe.raw_per_pair if isinstance(recipe, Recipe) else 1.0

    def bright_population(self, recipe: Recipe) -> float | None:
        """With which raw pairs for a recipe are made; None where the link has no choice."""
        return self._settings[recipe.setting] if self._quality.settable else None

    @property
    def _settings(self) -> list[float]:
        return ladder(self._quality.unit.model)

    def _choose(self, create: Create) -> Recipe | str | None:
        wanted = create.minimum_fidelity
        settings = np.array(self._settings)
        kept = self._quality.kept_for(create)
        raw = self._raw(settings).shrunk(kept)
        pace = self._pace()
        aged = raw.aged(1 / pace, *self._coherences) if pace else raw
        speed = settings if self._quality.settable else np.ones(1)
        method = _method(create)
        recipe = chosen(raw, aged, self._errors, wanted, method, speed)
        lacking = self._lacking(method)
        if lacking and isinstance(recipe, Recipe):
            recipe = f"the device cannot purify: it has no {', '.join(lacking)}"
        if method is not None:
            return recipe
        good = np.atleast_1d(raw.fidelity) >= wanted
        direct = float(np.max(np.where(good, speed, 0.0)))
        if isinstance(recipe, str):
            highest = shrunk_fidelity(self._quality.highest, kept)
            return None if direct or wanted <= highest else recipe
        made = recipe.probability / 2 * float(speed[recipe.setting])
        return recipe if made > direct else None

    def _lacking(self, method: PurifyMethod | None) -> list[str]:
        """Gates of a method that this end's device has not got."""
        near = self._quality.near
        return [gate for gate in gates_for(method) if near is not None and gate not in near.gates]

    def _raw(self, settings: NDArray[np.float64]) -> PairState:
        """What is expected of fresh pairs, one number for each setting."""
        x, y, z = self._quality.expected(settings)
        return self.tilt.on(PairState(x, y, z))

    @property
    def _coherences(self) -> tuple[Coherence, Coherence]:
        return self._by_lead(self._quality.coherences)

    def _by_lead(self, ends: tuple[Coherence, Coherence]) -> tuple[Coherence, Coherence]:
        """The leading end's first."""
        near, far = ends
        return (near, far) if self._leads else (far, near)

    @property
    def _errors(self) -> Errors:
        near, far = self._quality.near, self._quality.far
        if near is None or far is None:
            return Errors()
        ours = near.gate_error, near.two_qubit_gate_error, near.readout_error
        theirs = far.gate_error, far.two_qubit_gate_error, far.readout_error
        ends = (ours, theirs) if self._leads else (theirs, ours)
        gate, cnot, readout = zip(*ends, strict=True)
        return Errors(gate, cnot, readout)

    def tested(self, half: Half, far: PairHeld) -> None:
        """A test round in Z tells, besides how often, which way the pairs contradict."""
        if half.attempt.test_basis != "Z" or half.outcome is None or far.outcome is None:
            return
        turned = pauli_to_phi_plus(half.heralded.bell_state)
        ours, theirs = half.outcome, far.outcome
        near, other = (ours, theirs) if self._leads else (theirs, ours)
        self.tilt.add(near, other ^ flips(turned, "Z"))

    # The port of the rounds.

    def to_peer(self, message: Message) -> None:
        """Send to the far end."""
        self._send(message)

    def recipe(self, keep: RawPair, spend: RawPair, now_s: float) -> Recipe | None:
        """The best for two pairs of these ages."""
        request = self._queue.get(keep.request)
        if request is None:
            return None
        create = request.create
        one, two = (self._mean(each, now_s) for each in (keep, spend))
        found = chosen(one, two, self._errors, create.minimum_fidelity, _method(create))
        return None if isinstance(found, str) else found

    def apply(self, gate: str, *qubits: int) -> None:
        """A gate on storage qubits."""
        self._device.apply(gate, *qubits)

    def spend(self, pair: RawPair, into: int, done: Callable[[int, float], None]) -> None:
        """Measure the half that is spent for another, by which its qubit is free."""
        self._device.read(pair.qubit, done)
        self._keeper.spent(pair.sequence, into)

    def give_up(self, pair: RawPair, reason: str, *, tell: bool) -> None:
        """A raw half is lost."""
        self._keeper.lose(pair.sequence, reason, tell=tell)

    def won(self, keep: RawPair, spend: RawPair, order: Distil, now_s: float) -> None:
        """Enter what the two have become, and hand it over."""
        request = self._queue.get(keep.request)
        goodness = self._goodness(keep, spend, order, now_s)
        lifetime_s = self._quality.lifetime_s(goodness.fidelity, keep.coherences)
        better = self._keeper.improve(
            keep.sequence,
            lambda pair: replace(
                pair,
                fidelity=goodness.fidelity,
                goodness=goodness,
                heralded_s=now_s,
                deadline_s=now_s + lifetime_s,
            ),
        )
        if better is None:
            return
        if request is None:
            self._keeper.give_up(better, "its request is over")
        else:
            self._deliver(better, request)

    def _mean(self, pair: RawPair, now_s: float) -> PairState:
        state = self._raw(np.array([pair.setting or 0.0]))
        age_s = max(0.0, now_s - pair.heralded_s)
        one = PairState(*(float(np.ravel(each)[0]) for each in (state.x, state.y, state.z)))
        return self.tilt.on(one).shrunk(pair.kept).aged(age_s, *self._by_lead(pair.coherences))

    def _sampled(self, pair: RawPair, now_s: float) -> PairState:
        x, y, z = self._quality.samples(pair.setting)
        age_s = max(0.0, now_s - pair.heralded_s)
        state = self.tilt.on(PairState(x, y, z)).shrunk(pair.kept)
        return state.aged(age_s, *self._by_lead(pair.coherences))

    def _goodness(self, keep: RawPair, spend: RawPair, order: Distil, now_s: float) -> Goodness:
        """Of the pair that two have become: what test rounds leave possible, through the map."""
        one, two = (self._sampled(each, now_s) for each in (keep, spend))
        made = purified(one, two, order.method, order.axis, self._errors).state.fidelity
        mean = float(np.mean(made))
        if not self._quality.tested:
            return Goodness(mean, 0.0, 1.0, now_s)
        low, high = np.quantile(made, (0.025, 0.975))
        return Goodness(mean, float(low), float(high), now_s)


def _method(create: Create) -> PurifyMethod | None:
    """The one that is asked for; None: whichever is best."""
    return create.purify if create.purify in ("dejmps", "epl") else None
