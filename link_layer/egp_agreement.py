"""Both ends say which pair they hold; only what both have said in the same words is a pair.

A word is repeated until the far end's own has come, and an end that has given its half up says so
until that is seen. So a lost message costs time, and the ends can differ about a pair only while
they cannot speak with each other at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from link_layer.egp_plan import EndPort, Half
from link_layer.heralding import Mismatch, MismatchKind
from link_layer.messages import Attempt, PairDropped, PairDroppedSeen, PairHeld

REPEAT_S = 0.03
"""First repetition of a word; each later one comes after twice the time."""

AGREEMENT_LIMIT_S = 0.6
"""Half a pair whose other half is not heard of within this time is given up."""

ROUNDS_KNOWN = 512
WORDS_KEPT = 64
DROPS_KEPT = 4096


class Agreement:
    """Halves that wait for the far end's word, and how past rounds have ended.

    `agreed` is called with a half and the far end's word, `lost` with a half that has no other.
    """

    def __init__(
        self,
        link: str,
        port: EndPort,
        counters: Counter[str],
        *,
        agreed: Callable[[Half, PairHeld, float], None],
        lost: Callable[[Half, str, float], None],
    ):
        self._link, self._port, self._counters = link, port, counters
        self._agreed, self._lost = agreed, lost
        self._mine: dict[int, Half] = {}
        self._far: dict[int, PairHeld] = {}
        self._ended: dict[int, PairHeld | None] = {}
        self._drops: dict[int, tuple[PairDropped, int, float]] = {}
        self._gone: dict[int, None] = {}
        self.waiting: Counter[int] = Counter()
        """Halves of each request that wait for the far end's word."""

    @property
    def busy(self) -> bool:
        """Something waits for an answer."""
        return bool(self._mine or self._drops)

    def hold(self, half: Half, now_s: float) -> None:
        """Our half is stored or measured: say so."""
        heralded, plan = half.heralded, half.plan
        if heralded.sequence in self._gone:
            # Its drop came while ours was still worked on, perhaps after a word that we keep.
            self._far.pop(heralded.round, None)
            self._note(heralded.round, None)
            self._lost(half, "the far end has given it up", now_s)
            return
        half.place = self._port.place(half)
        half.said = PairHeld(
            self._link,
            heralded.round,
            heralded.sequence,
            heralded.slot,
            heralded.bell_state,
            test=plan.test,
            basis=plan.basis if plan.discloses else None,
            outcome=half.outcome if plan.discloses else None,
            place=half.place,
        )
        half.repeat_s, half.until_s = now_s + REPEAT_S, now_s + AGREEMENT_LIMIT_S
        self._mine[heralded.round] = half
        if not plan.test:
            self.waiting[half.attempt.request] += 1
        self._port.to_peer(half.said)
        word = self._far.pop(heralded.round, None)
        if word is not None:
            self._meet(half, word, now_s)

    def heard(self, word: PairHeld, *, later: bool, now_s: float) -> None:
        """The far end's word. `later`: of a round in progress, or not begun here yet."""
        half = self._mine.get(word.round)
        if half is not None:
            self._meet(half, word, now_s)
        elif word.round in self._ended:
            self._counters["repeated_words"] += 1
            said = self._ended[word.round]
            if said is None:
                self.drop(word.sequence, "its round is over here", now_s)
            elif word.asks:
                self._port.to_peer(said)
        elif later and not (word.asks and word.round in self._far):
            self._far[word.round] = word
            if len(self._far) > WORDS_KEPT:
                del self._far[next(iter(self._far))]
        elif not later:
            self.drop(word.sequence, "its round is not known here", now_s)

    def round_over(self, attempt: Attempt, now_s: float) -> None:
        """A round has ended here without a half: the far end may have one."""
        self._note(attempt.round, None)
        word = self._far.pop(attempt.round, None)
        if word is not None:
            self.drop(word.sequence, "its round is over here", now_s)

    def far_round_over(self, number: int, reason: str, now_s: float) -> None:
        """The far end has ended a round without a half."""
        half = self._mine.get(number)
        if half is not None:
            self._give_up(half, reason, now_s)
            self._drops.pop(half.heralded.sequence, None)  # it knows

    def far_dropped(self, message: PairDropped, now_s: float) -> bool:
        """The far end has given its half up; False if ours does not wait for it any more."""
        self._port.to_peer(PairDroppedSeen(self._link, message.sequence))
        self._gone[message.sequence] = None
        if len(self._gone) > ROUNDS_KNOWN:
            del self._gone[next(iter(self._gone))]
        for half in self._mine.values():
            if half.heralded.sequence == message.sequence:
                self._forget(half)
                self._lost(half, message.reason, now_s)
                return True
        return False

    def drop(self, sequence: int, reason: str, now_s: float) -> None:
        """Say that our half of a pair is gone, until that is seen."""
        if sequence in self._drops:
            return
        message = PairDropped(self._link, sequence, reason)
        self._drops[sequence] = message, 0, now_s + REPEAT_S
        if len(self._drops) > DROPS_KEPT:
            del self._drops[next(iter(self._drops))]
            self._counters["drops_forgotten"] += 1
        self._port.to_peer(message)

    def drop_seen(self, sequence: int) -> None:
        """The far end knows that our half of a pair is gone."""
        self._drops.pop(sequence, None)

    def drop_all(self, reason: str, now_s: float, *, tell: bool) -> None:
        """All halves that wait are useless; `tell` False: the far end has lost its own anyway."""
        for half in list(self._mine.values()):
            if tell:
                self._give_up(half, reason, now_s)
            else:
                self._forget(half)
                self._lost(half, reason, now_s)
        if not tell:
            self._far.clear()
            self._drops.clear()
            self._gone.clear()

    def tick(self, now_s: float) -> None:
        """Repeat what has had no answer, give up what has waited too long."""
        for half in list(self._mine.values()):
            if now_s >= half.until_s:
                self._give_up(half, "the far end has not said that it holds it", now_s)
            elif now_s >= half.repeat_s and half.said is not None:
                half.repeats += 1
                half.repeat_s = now_s + REPEAT_S * 2**half.repeats
                self._port.to_peer(_asking(half.said))
        for sequence, (message, count, at_s) in list(self._drops.items()):
            if now_s >= at_s:
                pause_s = REPEAT_S * 2 ** min(count + 1, 6)
                self._drops[sequence] = message, count + 1, now_s + pause_s
                self._port.to_peer(message)

    def _meet(self, half: Half, word: PairHeld, now_s: float) -> None:
        mismatch = _mismatch(half, word)
        if mismatch is not None:
            mismatch.counted(self._counters)
            self._give_up(half, str(mismatch), now_s)
            if word.sequence != half.heralded.sequence:
                self.drop(word.sequence, str(mismatch), now_s)
            return
        said = half.said
        self._forget(half)
        self._note(word.round, said)
        if word.asks and said is not None:
            self._port.to_peer(said)  # it may not have heard the first
        self._agreed(half, word, now_s)

    def _give_up(self, half: Half, reason: str, now_s: float) -> None:
        self._forget(half)
        self.drop(half.heralded.sequence, reason, now_s)
        self._lost(half, reason, now_s)

    def _forget(self, half: Half) -> None:
        """Take a half off the list; as far as is known here its round has ended without a pair."""
        del self._mine[half.heralded.round]
        self._note(half.heralded.round, None)
        if not half.plan.test:
            self.waiting[half.attempt.request] -= 1
            if not self.waiting[half.attempt.request]:
                self.waiting.pop(half.attempt.request)

    def _note(self, number: int, said: PairHeld | None) -> None:
        self._ended[number] = said
        if len(self._ended) > ROUNDS_KNOWN:
            del self._ended[next(iter(self._ended))]


def _asking(said: PairHeld) -> PairHeld:
    return PairHeld(
        said.link,
        said.round,
        said.sequence,
        said.slot,
        said.bell_state,
        test=said.test,
        basis=said.basis,
        outcome=said.outcome,
        asks=True,
        place=said.place,
    )


def _mismatch(half: Half, word: PairHeld) -> Mismatch | None:
    """How the far end's word contradicts ours; None if it does not."""
    mine = half.heralded
    kind: MismatchKind | None = None
    if mine.sequence != word.sequence:
        kind = "sequence"
    elif mine.slot != word.slot:
        kind = "time"
    elif mine.bell_state != word.bell_state:
        kind = "state"
    if kind is not None:
        return Mismatch(
            kind,
            f"the station says {_named(mine.sequence, mine.slot, mine.bell_state.name)}, "
            f"the far end {_named(word.sequence, word.slot, word.bell_state.name)}",
        )
    if half.plan.test is not word.test:
        return Mismatch("queue", "one end took this pair for a test round, the other did not")
    if word.test and word.basis != half.plan.basis:
        return Mismatch(
            "queue", f"a test round in {half.plan.basis} here, in {word.basis} at the far end"
        )
    return None


def _named(sequence: int, slot: int, bell_state: str) -> str:
    return f"pair {sequence} in slot {slot} as {bell_state}"
