"""Verification by the calendar: each link as often as its table says, when it hurts least.

When a link was verified last is read from the journal, so a restart neither repeats nor forgets
one; what was missed while the node was down is made up for once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from qnodeos.config import MidpointTable, VerifyTable
from qnodeos.errors import UserError
from qnodeos.journal import last_results
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import NodeParts
from qnodeos.requests import RequestEnded
from qnodeos.status import Status
from qnodeos.verifying import Verifier

LOOK_S = 10.0
RETRY_S = 600.0
"""Pause after a verification that could not be made."""

OVERDUE = 1.1
"""Beyond this many intervals it is made even though others ask for pairs."""


@dataclass(slots=True)
class _Plan:
    table: VerifyTable
    last_s: float
    """Seconds since 1970; of any verification, and of one with tomography."""
    last_state_s: float
    not_before_s: float = 0.0


class VerifyCalendar:
    """The plans of all links of a node that have one."""

    def __init__(self, parts: NodeParts, verifier: Verifier):
        self._parts, self._verifier = parts, verifier
        self._failed = 0
        self._plans: dict[str, _Plan] = {}
        for name, link in parts.config.links.items():
            if isinstance(link, MidpointTable) or link.verify is None:
                continue
            plain, state = last_results(parts.store.path, f"verify:{name}")
            self._plans[name] = _Plan(link.verify, plain, state)

    @property
    def links(self) -> tuple[str, ...]:
        """Links that are verified by the calendar."""
        return tuple(self._plans)

    def status(self) -> Status:
        """Hours until each link is due, and verifications that could not be made."""
        now_s = self._parts.wall()
        due = {
            f"{name}_due_h": plan.table.every_h - (now_s - plan.last_s) / 3600
            for name, plan in self._plans.items()
        }
        return {"failed": self._failed, **due}

    async def run(self) -> None:
        """Verify what is due until cancelled, one link after the other."""
        while True:
            for name, plan in self._plans.items():
                if self._due(name, plan):
                    await self._verify(name, plan)
            await asyncio.sleep(LOOK_S)

    def _due(self, name: str, plan: _Plan) -> bool:
        now_s, link = self._parts.wall(), self._parts.links[name]
        if isinstance(link, Midpoint) or not link.ready or now_s < plan.not_before_s:
            return False
        intervals = (now_s - plan.last_s) / (3600 * plan.table.every_h)
        return intervals >= (OVERDUE if len(link.desk.queue) else 1.0)

    async def _verify(self, name: str, plan: _Plan) -> None:
        table, began_s = plan.table, self._parts.wall()
        every_h = table.tomography_every_h
        state = every_h is not None and began_s - plan.last_state_s >= 3600 * every_h
        try:
            await self._verifier.verify(
                name,
                pairs=table.tomography_pairs if state else table.pairs,
                within_s=table.within_s,
                tomography=state,
                progress=lambda done, text: None,
            )
        except (RequestEnded, UserError) as problem:
            self._failed += 1
            plan.not_before_s = began_s + RETRY_S
            self._parts.store.event("verify-failed", {"link": name, "reason": str(problem)})
            return
        plan.last_s = began_s
        if state:
            plan.last_state_s = began_s
