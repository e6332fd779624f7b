"""Verification of a link on request: pairs measured in all bases at both ends, and what they say.

The end that is asked makes the request; at the far end a resident half measures too and tells its
outcomes. Results go into the journal under `verify:LINK` and are shown by `qnodeos link history`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from link_layer.messages import Measuring
from link_layer.states import BellState
from link_layer.tomography import BASES, SETTINGS, Counts, Setting
from link_layer.verification import Verification, assess
from qnodeos.apps.channel import Body, Channel
from qnodeos.errors import UserError
from qnodeos.measured import MeasuredPairs
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import NodeParts
from qnodeos.photonic import PhotonicLink
from qnodeos.requests import RequestEnded
from qnodeos.status import Status
from qnodeos.worker import worker_process

PURPOSE = "verify"
ALL_BASES = Measuring(("X", "Y", "Z"), (1 / 3, 1 / 3, 1 / 3))
WORD_LIMIT_S = 5.0
"""The far end's outcomes have to come within this time of our own."""

MOST_WAITING = 200_000

Verified = MemoryLink | PhotonicLink


class Verifier:
    """Verification of all links of a node: asks, and takes part where the far end asks."""

    def __init__(self, parts: NodeParts):
        self._parts = parts
        self._links: dict[str, Verified] = {
            name: link for name, link in parts.links.items() if not isinstance(link, Midpoint)
        }
        self._words = {name: self._channel(name, link) for name, link in self._links.items()}
        self._running: set[str] = set()
        self._done = 0

    @property
    def links(self) -> tuple[str, ...]:
        """Links that can be verified here."""
        return tuple(self._links)

    def status(self) -> Status:
        """Verifications done, and those in progress."""
        return {"done": self._done, "running": len(self._running)}

    async def run(self) -> None:
        """Take part in the far ends' verifications until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, link in self._links.items():
                tasks.create_task(self._take_part(link, self._words[name]))

    async def verify(
        self,
        name: str,
        *,
        pairs: int,
        within_s: float,
        progress: Callable[[float, str], None],
        tomography: bool = True,
    ) -> Verification:
        """Verify a link with so many pairs. Raises UserError, RequestEnded."""
        link = self._link(name)
        if name in self._running:
            raise UserError("a verification runs already", where=f"link {name}")
        self._running.add(name)
        try:
            counts, state = await self._count(link, self._words[name], pairs, within_s, progress)
            progress(1.0, "the most likely state")
            found = await self._assessed(counts, state, tomography)
        finally:
            self._running.discard(name)
        self._done += 1
        self._parts.store.result(f"verify:{name}", found.as_json())
        return found

    def _link(self, name: str) -> Verified:
        link = self._links.get(name)
        if link is None:
            raise UserError(
                f"there is no link '{name}' to verify",
                where=f"node {self._parts.name}",
                expected=", ".join(self._links) or "a node that is an end of a link",
            )
        return link

    def _channel(self, name: str, link: Verified) -> Channel:
        peer = link.config.peer
        channel = Channel(f"{PURPOSE}-{name}", lambda message: self._parts.wire.send(peer, message))
        self._parts.channels[channel.app] = channel
        return channel

    async def _take_part(self, link: Verified, words: Channel) -> None:
        inbox = link.desk.accept(PURPOSE)
        try:
            async for measured in inbox:
                # A lost word costs its pairs, which the asking end does not count then.
                words.send(_told(measured))
        finally:
            link.desk.leave(PURPOSE)

    async def _count(
        self,
        link: Verified,
        words: Channel,
        pairs: int,
        within_s: float,
        progress: Callable[[float, str], None],
    ) -> tuple[dict[Setting, Counts], BellState]:
        """Outcomes of both ends, by setting, and the Bell state they belong to."""
        merge = _Merge()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        hearing = asyncio.create_task(_hear(words, merge))
        asked = pairs
        try:
            while not merge.covers(pairs) and (left_s := until_s - loop.time()) > 0:
                try:
                    await self._collect(link, merge, asked, left_s, pairs, progress)
                except RequestEnded:
                    if not merge.taken:
                        raise
                    until_s = loop.time()
                await merge.complete(WORD_LIMIT_S)
                asked = max(1, pairs // 3)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
        if not merge.counts:
            raise UserError(
                "no pair was told by both ends",
                where=f"link {link.name}",
                found=f"{merge.taken} pairs here, none with outcomes of {link.config.peer}",
                do="see whether that node runs the same version",
            )
        return merge.counts, merge.bell_state

    async def _collect(
        self,
        link: Verified,
        merge: _Merge,
        number: int,
        within_s: float,
        pairs: int,
        progress: Callable[[float, str], None],
    ) -> None:
        """So many pairs more, of `pairs` in all; raises RequestEnded."""
        wishes: dict[str, Any] = {}
        if isinstance(link, MemoryLink):
            wishes = {"near": ALL_BASES, "far": ALL_BASES}
        inbox = link.desk.ask(
            kind="M",
            number=number,
            minimum_fidelity=0.25,  # whatever it is: that is what is to be found out
            within_s=within_s,
            purpose=PURPOSE,
            **wishes,
        )
        try:
            async for measured in inbox:
                merge.near(measured)
                progress(min(1.0, merge.taken / pairs), f"{merge.taken} of {pairs} pairs")
        finally:
            link.desk.cancel(inbox)

    async def _assessed(
        self, counts: dict[Setting, Counts], state: BellState, tomography: bool
    ) -> Verification:
        """In a process: the error bars take seconds, and the links go on meanwhile."""
        rng = np.random.default_rng(self._parts.rng.getrandbits(64))
        work = partial(assess, counts, state, rng, tomography=tomography)
        loop = asyncio.get_running_loop()
        if self._parts.executor is not None:
            return await loop.run_in_executor(self._parts.executor, work)
        with worker_process() as process:
            return await loop.run_in_executor(process, work)


class _Merge:
    """Outcomes of the two ends, put together by the pairs' identities."""

    def __init__(self) -> None:
        self.counts: dict[Setting, Counts] = {}
        self.bell_state = BellState.PHI_PLUS
        self.taken = 0
        self._near: dict[int, tuple[str, int]] = {}
        self._far: dict[int, tuple[str, int]] = {}
        self._news = asyncio.Event()

    def near(self, measured: MeasuredPairs) -> None:
        """Our outcomes."""
        self.bell_state = measured.bell_state
        self.taken += len(measured)
        for pair, outcome in zip(measured.pairs.tolist(), measured.outcomes.tolist(), strict=True):
            self._near[pair] = measured.basis, outcome
            self._meet(pair)

    def far(self, body: Body) -> None:
        """The far end's outcomes, as `_told`."""
        basis = str(body["basis"])
        pairs = np.frombuffer(bytes.fromhex(str(body["pairs"])), "<i8").tolist()
        outcomes = bytes.fromhex(str(body["outcomes"]))
        if len(self._far) + len(pairs) > MOST_WAITING:
            self._far.clear()  # of another time: nobody here has asked
        for pair, outcome in zip(pairs, outcomes, strict=True):
            self._far[pair] = basis, outcome
            self._meet(pair)

    def covers(self, pairs: int) -> bool:
        """Each basis has a tenth of its share of so many pairs at least.

        A photonic link measures in one basis for a while, and may serve a request meanwhile.
        """
        counted = (int(self.counts.get((basis, basis), np.zeros(1)).sum()) for basis in BASES)
        return self.taken >= pairs and min(counted) >= pairs // 90

    async def complete(self, limit_s: float) -> None:
        """Wait until each of our pairs has met its other half, or the time is up."""
        try:
            async with asyncio.timeout(limit_s):
                while self._near:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # what is missing is not counted, and the figures say how many were

    def _meet(self, pair: int) -> None:
        if pair not in self._near or pair not in self._far:
            return
        (basis, outcome), (far_basis, far_outcome) = self._near.pop(pair), self._far.pop(pair)
        setting = basis, far_basis
        if setting in SETTINGS and outcome in (0, 1) and far_outcome in (0, 1):
            counts = self.counts.setdefault(setting, np.zeros((2, 2), np.int64))
            counts[outcome, far_outcome] += 1
        self._news.set()


async def _hear(words: Channel, merge: _Merge) -> None:
    while True:
        body = await words.receive()
        try:
            merge.far(body)
        except (KeyError, ValueError):
            continue  # not what our half says: its pairs stay without an answer


def _told(measured: MeasuredPairs) -> Body:
    return {
        "basis": measured.basis,
        "pairs": measured.pairs.astype("<i8").tobytes().hex(),
        "outcomes": measured.outcomes.astype(np.uint8).tobytes().hex(),
    }
