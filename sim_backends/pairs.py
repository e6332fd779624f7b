"""The truth about heralded pairs: what each was worth when its owner first used it."""

from __future__ import annotations

from dataclasses import dataclass

from sim_backends.held_states import XPair
from sim_backends.midpoint import Herald
from sim_backends.register import QubitKey, QubitRegister
from sim_backends.states import BELL_NAMES, BellName
from sim_backends.truth import TruthLog

__all__ = ["PairBook", "heralded_weights"]


@dataclass(slots=True)
class _Pair:
    link: str
    slot: int
    bell_state: BellName
    keys: list[QubitKey]


def heralded_weights(herald: Herald, visibility: float) -> tuple[float, float, float, float]:
    """Probabilities of (Phi+, Phi-, Psi+, Psi-) of a fresh pair.

    Photons that interfere with visibility V leave the heralded Psi state with probability
    (1 + V)/2 and the one of opposite phase otherwise; a false herald leaves anything.
    A herald that knows its pair leaves that.
    """
    if herald.pair is not None:
        return herald.pair
    if not herald.real:
        return 0.25, 0.25, 0.25, 0.25
    right, wrong = (1.0 + visibility) / 2.0, (1.0 - visibility) / 2.0
    return (0.0, 0.0, right, wrong) if herald.bell_state == "PSI_PLUS" else (0.0, 0.0, wrong, right)


class PairBook:
    """Follows the two halves of each pair until one is operated on or given up."""

    def __init__(self, register: QubitRegister, truth: TruthLog) -> None:
        self._register = register
        self._truth = truth
        self._pair_of: dict[QubitKey, _Pair] = {}

    def heralded(
        self, link: str, herald: Herald, visibility: float, keys: list[QubitKey], time_s: float
    ) -> None:
        """Put a fresh pair into two qubits."""
        weights = heralded_weights(herald, visibility)
        self._register.add(keys, XPair.bell_diagonal(weights), time_s)
        pair = _Pair(link, herald.slot, herald.bell_state, list(keys))
        for key in keys:
            self._pair_of[key] = pair
        if not self._truth.kept:
            return
        self._truth.record(
            "herald",
            link=link,
            slot=herald.slot,
            bell_state=herald.bell_state,
            t_s=time_s,
            fidelity_to_heralded=weights[BELL_NAMES.index(herald.bell_state)],
            real=herald.real,
        )

    def moved(self, source: QubitKey, target: QubitKey) -> None:
        """A half is in another qubit now."""
        pair = self._pair_of.pop(source, None)
        if pair is not None:
            pair.keys[pair.keys.index(source)] = target
            self._pair_of[target] = pair

    def used(self, key: QubitKey, time_s: float) -> None:
        """A half is about to be operated on: record what the pair is worth now."""
        pair = self._forget(key)
        if pair is not None and self._truth.kept:
            self._truth.record(
                "pair_fidelity",
                link=pair.link,
                slot=pair.slot,
                t_s=time_s,
                fidelity=self._register.pair_fidelity(pair.keys, pair.bell_state, time_s),
            )

    def lost(self, key: QubitKey, time_s: float) -> None:
        """A half is about to be given up before use."""
        pair = self._forget(key)
        if pair is not None:
            self._truth.record("lost", link=pair.link, slot=pair.slot, t_s=time_s, device=key[0])

    def _forget(self, key: QubitKey) -> _Pair | None:
        pair = self._pair_of.get(key)
        if pair is not None:
            for half in pair.keys:
                del self._pair_of[half]
        return pair
