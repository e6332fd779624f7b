"""What the programs of one end do while nodes are killed around them: ask, hold, use, and note.

They reach their node through two things only, so that the same programs run beside a rehearsed node
in virtual time and beside a real one: `ask` gives the pairs of a request, `taken` those of the far
end's requests.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from benchmarks.kill_audit import BASES, ClientLog, Told, Use
from drivers.errors import InstrumentProblem
from qnodeos.client import NodeError, NodeGone
from qnodeos.memory import PairExpired
from qnodeos.requests import RequestEnded

MOST_PAIRS = 8
WITHIN_S = (0.1, 0.5, 1.0)
PAUSE_S = 0.02
"""After a request that failed."""

LONGEST_HOLD_S = 6.0
"""Longer than pairs are of use, and than a death goes unnoticed."""

HOLDERS = 4
"""Pairs that the programs of one end hold on to at a time, so that qubits are left to work with."""

CLOSED = "connection closed"
"""How a request ends whose node does."""

HOLD_SHARE, RELEASE_SHARE, CANCEL_SHARE = 0.1, 0.04, 0.1

Times = Callable[[Any], tuple[float, float]]
"""Of a pair that has just been given: herald and deadline, seconds since 1970."""


class Programs:
    """All programs of one end. `wall`: seconds since 1970; no request is begun after `over`."""

    def __init__(
        self,
        log: ClientLog,
        rng: random.Random,
        *,
        ask: Callable[[int, float], AsyncGenerator[Any, None]],
        taken: AsyncIterator[Any],
        times: Times,
        wall: Callable[[], float],
        over: asyncio.Event,
    ):
        self._log, self._rng, self._over = log, rng, over
        self._ask, self._taken, self._times, self._wall = ask, taken, times, wall
        self._holders: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled, or the node is gone."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_asking())
                tasks.create_task(self._take(self._taken))
        except* NodeGone:
            pass
        finally:
            for holder in self._holders:
                holder.cancel()
            await asyncio.gather(*self._holders, return_exceptions=True)

    async def _keep_asking(self) -> None:
        while not self._over.is_set():
            self._log.asked += 1
            number, within_s = self._rng.randint(1, MOST_PAIRS), self._rng.choice(WITHIN_S)
            most = 1 if self._rng.random() < CANCEL_SHARE else number
            try:
                async with aclosing(self._ask(number, within_s)) as pairs:
                    await self._take(pairs, most)
                self._log.ends.append("done" if most == number else "left")
            except NodeGone:
                self._log.ends.append(CLOSED)
                raise
            except (RequestEnded, NodeError) as ended:
                self._log.ends.append(_why(ended))
                await asyncio.sleep(PAUSE_S)

    async def _take(self, pairs: AsyncIterator[Any], most: float = math.inf) -> None:
        """Use most of what comes at once, hold on to some beside that, give some up; leave after
        so many."""
        taken = 0
        async for pair in pairs:
            taken += 1
            heralded_s, deadline_s = self._times(pair)
            told = Told(pair.link, pair.sequence, pair.slot, _name(pair.bell_state))
            self._log.told.append(told)
            chance = self._rng.random()
            if chance < RELEASE_SHARE:
                await _spared(pair.release())
            elif chance < RELEASE_SHARE + HOLD_SHARE and len(self._holders) < HOLDERS:
                work = self._hold(pair, told, heralded_s, deadline_s)
                holder = asyncio.create_task(work)
                self._holders.add(holder)
                holder.add_done_callback(self._holders.discard)
            else:
                await self._use(pair, told, heralded_s, deadline_s)
            if taken >= most:
                return

    async def _hold(self, pair: Any, told: Told, heralded_s: float, deadline_s: float) -> None:
        await asyncio.sleep(self._rng.uniform(0, LONGEST_HOLD_S))
        await self._use(pair, told, heralded_s, deadline_s)

    async def _use(self, pair: Any, told: Told, heralded_s: float, deadline_s: float) -> None:
        used_s = self._wall()
        outcome = await _spared(pair.measure(BASES[pair.sequence % 3]))
        if outcome is not None:
            self._log.uses.append(Use(told, outcome, heralded_s, deadline_s, used_s))


async def _spared(work: Any) -> Any:
    """What it gives; None where the pair is not to be had any more."""
    try:
        return await work
    except (PairExpired, InstrumentProblem, NodeError):
        return None


def _why(ended: RequestEnded | NodeError) -> str:
    return ended.error.name if isinstance(ended, RequestEnded) else ended.text.partition(":")[0]


def _name(bell_state: Any) -> str:
    return bell_state if isinstance(bell_state, str) else str(bell_state.name)
