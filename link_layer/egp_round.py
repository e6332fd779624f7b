"""One round at one end: from the opened attempt to a half that is stored or measured.

idle --begin--> attempting --device and station agree--> working --done--> idle
                    \\______ contradiction, silence, EndRound, fault ______/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from link_layer.egp_plan import EndPort, Half, Plan
from link_layer.heralding import Mismatch, Round
from link_layer.messages import Attempt, Heralded
from link_layer.states import pauli_to_phi_plus

ROUND_LIMIT_S = 2.0
"""A round without a herald is given up after this time; it only bounds a loss of messages."""

LEAST_ROUND_S = 0.1

WITNESS_LIMIT_S = 0.2
"""After one witness of a herald has spoken, the other must within this time."""


class Rounds:
    """At most one round is in progress.

    `ready` is called with a half that is stored or measured, `over` with the round and the reason
    when it ends without one.
    """

    def __init__(
        self,
        port: EndPort,
        counters: Counter[str],
        *,
        ready: Callable[[Half, float], None],
        over: Callable[[Attempt, str, float], None],
    ):
        self._port, self._counters = port, counters
        self._ready, self._over = ready, over
        self._witnesses: Round | None = None
        self._attempt: Attempt | None = None
        self._plan = Plan()
        self._half: Half | None = None
        self._herald_s = 0.0
        self._began_s = 0.0
        self._wait_s: float | None = None
        self._ripe_s: float | None = None
        self.limit_s = 0.0
        """When it is given up."""

    @property
    def attempt(self) -> Attempt | None:
        """What opened the round in progress."""
        return self._attempt

    @property
    def working(self) -> bool:
        """There was a herald, and its half is being corrected, stored or measured."""
        return self._half is not None

    def goes_on(self, number: int) -> bool:
        """The round of this number is in progress."""
        return self._attempt is not None and self._attempt.round == number

    def begin(self, attempt: Attempt, plan: Plan, now_s: float) -> None:
        """Attempt; to be called only when no round is in progress."""
        self._attempt, self._plan = attempt, plan
        self._witnesses = Round(attempt.round, attempt.request)
        self._half = None
        self._began_s = now_s
        usual_s = ROUND_LIMIT_S if self._wait_s is None else 20 * self._wait_s
        # Twenty times the usual wait: chance makes a herald later than that once in 10^8.
        self.limit_s = now_s + min(ROUND_LIMIT_S, max(LEAST_ROUND_S, usual_s))
        self._port.device.start(attempt.bright_population)

    def overtaken(self, now_s: float) -> None:
        """The leading end has its half and goes on, so ours comes soon or not at all."""
        if self._attempt is not None:
            self.limit_s = min(self.limit_s, now_s + WITNESS_LIMIT_S)

    def device_heralded(self, slot: int, now_s: float) -> None:
        """This end's device has stopped with a success."""
        if self._witnesses is None or self._half is not None:
            self._counters["stale_heralds"] += 1
            return
        self._counters["heralds"] += 1
        self._herald_s = now_s
        waited_s = now_s - self._began_s
        self._wait_s = waited_s if self._wait_s is None else 0.9 * self._wait_s + 0.1 * waited_s
        self._hear(partial(self._witnesses.device, slot), now_s)

    def station_heralded(self, heralded: Heralded, now_s: float) -> None:
        """The station tells of a success in this round."""
        if self._witnesses is not None:
            self._hear(partial(self._witnesses.station, heralded), now_s)

    def end(self, reason: str, now_s: float) -> None:
        """Give the round up, if there is one: the device idle, the storage qubit free."""
        attempt, plan = self._attempt, self._plan
        if attempt is None:
            return
        self._attempt = self._witnesses = self._half = self._ripe_s = None
        self._counters["rounds_failed"] += 1
        self._port.device.stop()
        for qubit in (plan.qubit, plan.ages_in):
            if qubit is not None:
                self._port.free(qubit)
        self._over(attempt, reason, now_s)

    def tick(self, now_s: float) -> None:
        """Give up what takes too long."""
        half, ripe_s = self._half, self._ripe_s
        if half is not None and ripe_s is not None and now_s >= ripe_s:
            self._ripe_s = None
            assert half.plan.ages_in is not None
            assert half.plan.basis is not None
            done = partial(self._done, half)
            self._port.device.read(half.plan.ages_in, done, half.plan.basis)
        elif self._attempt is not None and now_s >= self.limit_s:
            self.end(f"no progress within {now_s - self._began_s:.3g} s", now_s)

    def _hear(self, witness: Callable[[], None], now_s: float) -> None:
        round_, attempt = self._witnesses, self._attempt
        assert round_ is not None
        assert attempt is not None
        try:
            witness()
        except Mismatch as mismatch:
            mismatch.counted(self._counters)
            self.end(str(mismatch), now_s)
            return
        heralded = round_.held
        if heralded is None:
            kept_back_s = 2 * attempt.announce_period_s
            self.limit_s = min(self.limit_s + kept_back_s, now_s + WITNESS_LIMIT_S + kept_back_s)
        elif self._half is None:
            # The device's own limits are shorter.
            self.limit_s = now_s + ROUND_LIMIT_S + (attempt.held_s or 0.0)
            self._half = Half(attempt, self._plan, heralded, self._herald_s)
            self._port.device.joint_from(heralded.first_slot)
            self._work(self._half)

    def _work(self, half: Half) -> None:
        gate = pauli_to_phi_plus(half.heralded.bell_state)
        if half.plan.corrects and gate != "I" and half.plan.qubit is not None:
            # What follows is ordered at once: the device does one after the other, and a half that
            # was corrected too late is given up wherever it is.
            self._port.device.gate(gate, partial(self._corrected, half))
        if half.plan.qubit is not None:
            self._port.device.move(half.plan.qubit, partial(self._done, half, None))
        elif half.plan.ages_in is not None:
            self._port.device.move(half.plan.ages_in, partial(self._ages, half))
        else:
            assert half.plan.basis is not None
            self._port.device.measure(half.plan.basis, partial(self._done, half))

    def _corrected(self, half: Half, now_s: float) -> None:
        if half is self._half and not self._port.corrected(half.herald_s, now_s):
            self.end("the correction came after the deadline", now_s)

    def _ages(self, half: Half, now_s: float) -> None:
        if half is self._half:
            self._ripe_s = half.herald_s + (half.attempt.held_s or 0.0)
            self.tick(now_s)

    def _done(self, half: Half, outcome: int | None, now_s: float) -> None:
        if half is not self._half:
            return
        half.outcome, half.age_s = outcome, now_s - half.herald_s
        if half.plan.ages_in is not None:
            self._port.free(half.plan.ages_in)
        self._attempt = self._witnesses = self._half = None
        self._ready(half, now_s)
