"""The interlock of a link: signs of an intruder at either end stop it at both.

    closed ──signs──> tripped ──acknowledged (latch), or no signs (auto)──> closed
       └──cannot tell──> unknown ──can tell──> closed

While it is not closed nothing is delivered, and what the end's table names in `stops` is held in
its safe state, by the same hold as an interlock of the node. What was delivered since the signs may
have begun is withdrawn at both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from drivers.supervisor import Supervisor
from link_layer.messages import GuardSeen, GuardState
from link_layer.queue import Request
from qnodeos.context import NodeContext
from qnodeos.status import Status
from qnodeos.withdrawing import RecentPairs

REPEAT_S = 0.5
"""What the far end has not seen is told again after this time."""

Own = Literal["closed", "unknown", "tripped"]
State = Literal[Own, "tripped-there"]


class LinkGuard:
    """One end's half. `changed` is told why nothing may be delivered, "" when it may again, and
    what has been withdrawn of each request, in words."""

    def __init__(
        self,
        link: str,
        peer: str,
        context: NodeContext,
        *,
        changed: Callable[[str, dict[int, str]], None],
        stops: Sequence[Supervisor] = (),
        latch: bool = True,
    ):
        self._link, self._peer, self._context = link, peer, context
        self._changed, self._stops, self._latch = changed, tuple(stops), latch
        self._recent = RecentPairs(context.clock)
        self._own: Own = "closed"
        self._reason = self._signs = self._far = ""
        self._number = self._seen = 0
        self._after_pair = 0
        self._repeat_s = 0.0
        self._far_number = -1
        self._told = ""

    @property
    def state(self) -> State:
        """Of this end; `tripped-there` where only the far end is not closed."""
        return "tripped-there" if self._own == "closed" and self._far else self._own

    @property
    def reason(self) -> str:
        """Why nothing may be delivered; "" when it may."""
        own = self._reason
        if self._own == "tripped" and not self._signs:
            own += f"; to be acknowledged as {self._link}.guard"
        far = f"{self._peer}: {self._far}" if self._far else ""
        return "; ".join(each for each in (own, far) if each)

    def status(self) -> Status:
        """State and reason."""
        said: Status = {"guard": self.state}
        if self.reason:
            said["guard_reason"] = self.reason
        return said

    def delivered(self, request: Request, first: int, pairs: int) -> None:
        """Pairs were delivered: they may have to be withdrawn."""
        self._recent.add(request, first, pairs)

    def judge(self, signs: str, *, known: bool, since_s: float) -> None:
        """What speaks of an intruder now, "" for nothing. `known` False: that cannot be told.

        They may have begun at `since_s`, on the node's own clock.
        """
        self._signs = signs
        if self._own == "tripped" and (self._latch or signs):
            self._tell()
        elif not signs:
            self._set("closed", "", since_s)
        else:
            self._set("tripped" if known else "unknown", signs, since_s)

    def acknowledge(self) -> str:
        """Close it on a person's word; why not, or "" when it is closed."""
        if self._own == "tripped":
            if self._signs:
                return f"the reason is still there: {self._signs}"
            self._set("closed", "", self._context.clock())
        return self.reason

    def handle(self, message: GuardState | GuardSeen) -> None:
        """Take a message of the far end."""
        if isinstance(message, GuardSeen):
            self._seen = max(self._seen, message.number)
            return
        self._context.send(self._peer, GuardSeen(self._link, message.number))
        if message.number <= self._far_number:
            return
        self._far_number, self._far = message.number, message.reason
        self._journal(self.state, message.reason)
        if message.reason:
            self._tell(self._withdraw(message.after_pair, self.reason))
        else:
            self._tell()

    def peer_changed(self, *, up: bool, restarted: bool) -> None:
        """The far end appeared, vanished, or is a new process, which knows of nothing."""
        if restarted:
            self._far, self._far_number, self._seen = "", -1, 0
            self._recent.forget()
            self._tell()
        if up:
            self._repeat_s = 0.0

    def tick(self) -> None:
        """Say again what was not seen; to be called a few times a second."""
        now_s = self._context.clock()
        if self._seen < self._number and now_s >= self._repeat_s:
            self._repeat_s = now_s + REPEAT_S
            state = GuardState(self._link, self._number, self._reason, self._after_pair)
            self._context.send(self._peer, state)

    def _set(self, state: Own, text: str, since_s: float) -> None:
        if (state, text) == (self._own, self._reason):
            return
        begins = state != self._own
        self._own, self._reason = state, text
        if not begins:
            self._tell()
            return
        self._number += 1
        self._repeat_s = 0.0
        withdrawn: dict[int, str] = {}
        if text:
            self._after_pair = self._recent.before(since_s)
            withdrawn = self._withdraw(self._after_pair, text)
        self.tick()
        self._journal(state, text)
        self._tell(withdrawn)

    def _journal(self, state: State, text: str) -> None:
        self._context.store.event("guard", {"link": self._link, "state": state, "trouble": text})

    def _withdraw(self, above: int, reason: str) -> dict[int, str]:
        told = {}
        for each in self._recent.take(above):
            self._context.withdrawals.add(self._link, each, reason)
            self._context.store.event(
                "withdrawn",
                {
                    "link": self._link,
                    "request": str(each.request),
                    "purpose": each.purpose,
                    "first": each.first,
                    "last": each.last,
                    "pairs": each.pairs,
                    "reason": reason,
                },
            )
            told[each.request] = f"{each.pairs} of its pairs are withdrawn, from {each.first} on"
        return told

    def _tell(self, withdrawn: dict[int, str] | None = None) -> None:
        """Whoever has to know of a change, if there is one."""
        reason, before = self.reason, self._told
        if reason == before and not withdrawn:
            return
        self._told = reason
        alarm, key = f"guard-{self._link}", f"guard {self._link}"
        if not reason:
            self._context.bus.clear_alarm(alarm)
        else:
            self._context.bus.alarm(alarm, reason)
        for supervisor in self._stops if bool(reason) != bool(before) else ():
            if reason:
                supervisor.hold_safe(key, f"guard of link '{self._link}': {reason}")
            else:
                supervisor.let_go(key)
        self._changed(reason, withdrawn or {})
