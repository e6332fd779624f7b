"""One misfortune at every point of a short run in virtual time, one after the other.

A point is a message that is handed to the wire, bytes to or from a device, or an entry of a
journal. Chance finds a fault that needs one instant in ten thousand once in a while; this goes
through all of them, with a run for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.kill_audit import BASES, ClientLog, Kill, Measured, Told, Use, audit
from benchmarks.kill_client import CLOSED
from benchmarks.kill_scene import ENDS, LAB, left_over, nodes_in, served
from benchmarks.sim_nodes import write_nodes
from drivers.errors import InstrumentProblem
from link_layer.messages import ErrorCode, RequestKind
from qnodeos.api_session import Session
from qnodeos.memory import PairExpired
from qnodeos.rehearsal import EPOCH_UNIX_S
from qnodeos.requests import RequestEnded
from qnodeos.store import Store

ASKED: tuple[tuple[str, RequestKind, int], ...] = (
    ("alice", "K", 2),
    ("bob", "K", 2),
    ("alice", "M", 2),
    ("bob", "R", 2),
)
"""What the programs of the two ends ask for, all at once."""

WITHIN_S = 5.0
HELD_S, LONG_HELD_S = 0.002, 3.0
"""Programs hold a pair for some rounds before they measure it, so that it can be lost meanwhile;
the first of a request for longer than a death goes unnoticed."""

FULL_S = 0.1
"""Longer than all of it takes."""

DOWN_S, QUIET_S = 0.3, 4.0
"""A killed node is away for so long; longer than any agreement, repetition or timeout takes."""

Deed = Callable[["Scene"], None]


@dataclass(frozen=True, slots=True)
class Misfortune:
    """`deed` happens at a point: in the middle of it (`at_once`), as only an end of a process can,
    or as the next thing after it. `killed` are the nodes whose processes end."""

    deed: Deed
    at_once: bool = False
    killed: tuple[str, ...] = ()


class Scene:
    """The network, the programs at its ends, and how far it has come."""

    def __init__(self, misfortune: Misfortune, at: int):
        """`at` counts from 0; -1: nothing happens."""
        self.network: Any = None
        self.points = 0
        self.happened = self.serves = False
        self.kills: list[Kill] = []
        self.logs = {end: ClientLog() for end in ENDS}
        self.programs: dict[str, _Programs] = {}
        self._misfortune, self._at = misfortune, at
        self._counts = False

    def link(self, end: str) -> Any:
        """The memory link of an end."""
        return self.network.nodes[end].links["memory"]

    def tap(self, wire: str, way: str, data: bytes) -> None:
        """Bytes on a wire of the network."""
        if wire.startswith(("alice ", "bob ")):
            self._point()

    @contextmanager
    def journals(self) -> Iterator[None]:
        """Every entry of a journal is a point."""
        put = Store._put

        def counted(store: Store, statement: str, *values: Any) -> None:
            put(store, statement, *values)
            self._point()

        with patch.object(Store, "_put", counted):
            yield

    async def plays(self) -> None:
        """From the requests to the rest after the misfortune, and one more request."""
        network, misfortune = self.network, self._misfortune
        road = network.exchange.road

        def said(sender: str, to: str, data: bytes) -> Any:
            arrivals = road(sender, to, data)
            self._point()
            return arrivals

        network.exchange.road = said
        await served(network)
        for end in ENDS:
            self._join(end)
        self._counts = True
        for end, kind, number in ASKED:
            self.programs[end].ask(kind, number, f"from {end}")
        await network.lasts(FULL_S)
        self._counts = False
        for name in misfortune.killed if self.happened else ():
            await network.kill(name)
        await network.lasts(DOWN_S)
        for name in misfortune.killed if self.happened else ():
            network.start(name)
        await served(network)
        for end in ENDS:
            if end not in self.programs:
                self._join(end)
        asked = self.programs["alice"].ask("K", 2, "from alice")
        await network.lasts(QUIET_S)
        self.serves = asked.done() and self.logs["alice"].ends[-1] == "done"

    def _join(self, end: str) -> None:
        self.programs[end] = _Programs(self.network.nodes[end], self.logs[end])
        self.programs[end].take(f"from {ENDS[1 - ENDS.index(end)]}")

    def _point(self) -> None:
        """Something has been said or written."""
        if not self._counts:
            return
        if self.points == self._at:
            self.happened = True
            if self._misfortune.at_once:
                self._misfortune.deed(self)
            else:
                asyncio.get_running_loop().call_soon(self._misfortune.deed, self)
        self.points += 1


def _kills(*names: str) -> Misfortune:
    def deed(scene: Scene) -> None:
        for name in names:
            scene.network.nodes[name].store.abandon()
            scene.network._holds[name].cut()
            scene.kills.append(Kill(name, _wall()))
            if name in ENDS:
                scene.programs.pop(name).die()

    return Misfortune(deed, at_once=True, killed=names)


def _ends_requests(end: str, error: ErrorCode) -> Misfortune:
    """Every request ends there, as on a timeout, a cancellation or a drain."""
    return Misfortune(lambda scene: scene.link(end).desk.end_all(error, f"{error.name} at {end}"))


def _leaves(end: str) -> Misfortune:
    """The programs of an end are gone, as when their connection to the node ends."""

    return Misfortune(lambda scene: scene.programs.pop(end).leave())


def _loses(end: str, peer: str) -> Misfortune:
    """An end finds that its connection to another node was closed; the other does not."""

    def deed(scene: Scene) -> None:
        wire = scene.network.nodes[end].wire
        wire._hung_up(wire._peers[peer])

    return Misfortune(deed)


def _abandons(end: str) -> Misfortune:
    """The link's service fails, and is started anew."""
    return Misfortune(lambda scene: scene.link(end).abandon("its service has failed"))


MISFORTUNES: Mapping[str, Misfortune] = {
    **{f"{name} is killed": _kills(name) for name in (*ENDS, "station")},
    "both ends are killed": _kills(*ENDS),
    **{
        f"{what} at {end}": _ends_requests(end, error)
        for end in ENDS
        for what, error in (("timeout", ErrorCode.TIMEOUT), ("drain", ErrorCode.OTHER))
    },
    **{f"programs of {end} leave": _leaves(end) for end in ENDS},
    "alice loses bob": _loses("alice", "bob"),
    "bob loses alice": _loses("bob", "alice"),
    "alice loses the station": _loses("alice", "station"),
    **{f"the link of {end} fails": _abandons(end) for end in ENDS},
}


@dataclass(frozen=True, slots=True)
class PointOutcome:
    """`points` of the run; the misfortune did not happen if it had fewer than asked."""

    breaches: list[str]
    points: int
    happened: bool


def run_point(folder: Path, misfortune: str, at: int, seed: int = 1) -> PointOutcome:
    """One run in which a misfortune happens at a point, counted from 0."""
    from timing.loop import run_virtual

    folder.mkdir(parents=True, exist_ok=True)
    write_nodes(folder, LAB.format(seed=seed))
    return run_virtual(_scene(folder, MISFORTUNES[misfortune], at, seed), limit_s=100)


async def _scene(folder: Path, misfortune: Misfortune, at: int, seed: int) -> PointOutcome:
    from qnodeos.journal import read_journal
    from qnodeos.rehearsal import rehearsal
    from sim_backends.lab import load_lab

    scene = Scene(misfortune, at)
    told = rehearsal(load_lab(folder / "lab.toml"), nodes_in(folder), seed=seed, tap=scene.tap)
    with scene.journals():
        async with told as network:
            scene.network = network
            await scene.plays()
            breaches = [text for end in ENDS for text in await left_over(network, end)]
    journals = {end: read_journal(folder / end / "journal.sqlite") for end in ENDS}
    breaches += audit(journals, scene.logs, scene.kills)
    if not scene.serves:
        breaches.append("a request afterwards was not served")
    return PointOutcome(breaches, scene.points, scene.happened)


class _Programs:
    """The programs of one end, behind a session as a client of the local socket has it."""

    def __init__(self, node: Any, log: ClientLog):
        self.session, self._log = Session(node.parts), log
        self._link = node.links["memory"]
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, purpose: str) -> None:
        """Take the pairs of the far end's requests."""
        self._begin(self._take(self.session.take(self._link, purpose)))

    def ask(self, kind: RequestKind, number: int, purpose: str) -> asyncio.Task[None]:
        """Ask, and take what comes."""
        return self._begin(self._ask(kind, number, purpose))

    def die(self) -> None:
        """Their node is killed."""
        for task in self._tasks:
            task.cancel()

    def leave(self) -> None:
        """Their connection ends."""
        self.die()
        self.session.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _ask(self, kind: RequestKind, number: int, purpose: str) -> None:
        self._log.asked += 1
        wishes = {"minimum_fidelity": 0.6, "within_s": WITHIN_S, "purpose": purpose}
        how = CLOSED
        try:
            await self._take(
                self.session.ask(self._link, {"kind": kind, "number": number, **wishes})
            )
            how = "done"
        except RequestEnded as ended:
            how = ended.error.name
        finally:
            self._log.ends.append(how)

    async def _take(self, handle: int) -> None:
        held_s = LONG_HELD_S
        while (told := await self.session.next(handle)) is not None:
            if "pairs" in told:
                self._log.measured.append(
                    Measured(told["link"], told["basis"], told["pairs"], told["outcomes"])
                )
            else:
                self._begin(self._use(self.session.pair(told["pair"]), held_s))
                held_s = HELD_S

    async def _use(self, pair: Any, held_s: float) -> None:
        told = Told(pair.link, pair.sequence, pair.slot, pair.bell_state.name)
        self._log.told.append(told)
        await asyncio.sleep(held_s)
        used_s = _wall()
        try:
            outcome = await pair.measure(BASES[pair.sequence % 3])
        except (PairExpired, InstrumentProblem):
            return
        heralded_s, deadline_s = EPOCH_UNIX_S + pair.heralded_s, EPOCH_UNIX_S + pair.deadline_s
        self._log.uses.append(Use(told, outcome, heralded_s, deadline_s, used_s))


def _wall() -> float:
    return EPOCH_UNIX_S + asyncio.get_running_loop().time()
