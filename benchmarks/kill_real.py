"""SIGKILL of real processes: the demo's network is kept busy, and its nodes killed, many times.

Lab, broker, station, alice and bob are processes, and so are the programs of each end. The auditor
is that of the kills in virtual time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.kill_audit import ClientLog, Kill, audit, journal_tails
from benchmarks.kill_network import left_running, network, programs
from qnodeos.client import NodeError, connect
from qnodeos.demo.layout import NODES, Layout, example_folder, prepare
from qnodeos.errors import UserError
from qnodeos.journal import Journal, read_journal

if TYPE_CHECKING:
    from qnodeos.demo.processes import Child

ENDS = ("alice", "bob")
VICTIMS = (*2 * (("alice",), ("bob",)), ("station",), ENDS)
DOWN_S = (0.0, 0.3, 2.0)
FULL_S = 2.0
"""Time of full work in which a kill falls."""

EARLY_SHARE = 0.2
"""Of kills that come while the network is still getting up from the one before."""

PHOTONIC_SHARE = 0.1
"""Of kills that are waited for until the photonic link serves again, whose clocks take seconds."""

SERVES_LIMIT_S = 30.0
LOOK_S = 0.1
NOTHING_YET = dict.fromkeys(ENDS, 0)
QUIET_S = 8.0
"""As in virtual time: longer than a program holds on to a pair."""

REST_LIMIT_S = 40.0
"""Until no request is open: one of the photonic link has 20 s, and the clocks may come first."""

IDEAL = {
    "lab": (
        ("qubits = 5", "qubits = 9"),
        ("t1_s = 10.0", "t1_s = 1e9"),
        ("t2_s = 0.5", "t2_s = 4e6"),
        ("gate_error = 0.001", "gate_error = 0.0"),
        ("gate_error = 0.005", "gate_error = 0.0"),
        ("readout_error = 0.01", "readout_error = 0.0"),
        ("stated_fidelity = 0.93", "stated_fidelity = 1.0"),
        ("{ alice = 0.05, bob = 0.05 }", "{ alice = 0.1, bob = 0.1 }"),
        ("visibility = 0.92", "visibility = 1.0"),
        ("dark_probability = 1e-5", "dark_probability = 0.0"),
    ),
    **dict.fromkeys(
        ENDS,
        (
            ("minimum_useful_fidelity = 0.6667", "minimum_useful_fidelity = 0.999999"),
            ("test_fraction = 0.3", "test_fraction = 0.0"),
        ),
    ),
}
"""What is other than in the example: pairs of the memory link are ideal and of use for 3.9 s, so
that outcomes prove which halves belong together."""


@dataclass(slots=True)
class RealOutcome:
    """What came of a run: breaches, instants at which something was killed, and what; pairs that
    programs of both ends measured, and how requests ended.

    `longest_tail_s`: the longest time before a kill of which the journal has nothing.
    `recovered_s`: from a restart until both ends delivered pairs of the memory link again.
    """

    breaches: list[str] = field(default_factory=list)
    instants: int = 0
    kills: list[Kill] = field(default_factory=list)
    kept: int = 0
    photonic: int = 0
    longest_tail_s: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    recovered_s: list[float] = field(default_factory=list)


async def run_real(folder: Path, seed: int, instants: int) -> RealOutcome:
    """Kill so often in a network that lives in this folder; the seed decides whom and when."""
    outcome = RealOutcome()
    write_example(folder / "example")
    layout = prepare(folder / "example", folder / "net")
    rng = random.Random(f"kill {seed}")
    async with network(layout) as network_there, AsyncExitStack() as stack:
        programs_there = {
            end: await stack.enter_async_context(
                programs(
                    layout.folder / "data" / end,
                    seed,
                    _log_file(layout, end),
                    layout.log(f"programs-{end}"),
                )
            )
            for end in ENDS
        }
        outcome.breaches += await _serve_again(layout, NOTHING_YET, "memory")
        while outcome.instants < instants:
            await _kill_once(layout, network_there.nodes, rng, outcome)
        outcome.breaches += await _serve_again(layout, NOTHING_YET, "memory")
        for each in programs_there.values():
            each.ask_no_more()
        await _at_rest(layout)
        await asyncio.sleep(QUIET_S)
        for end in ENDS:
            outcome.breaches += await _left_over(layout, end)
        # Before the nodes are stopped, as that would put an end to whatever is open.
        journals = {end: read_journal(layout.journal(end)) for end in ENDS}
        for end, each in programs_there.items():
            if await each.end() != 0:
                outcome.breaches.append(f"the programs of {end} failed")
    outcome.breaches += [
        f"this process outlives the run: {command}"
        for command in await left_running(network_there.host)
    ]
    for name in NODES:
        outcome.breaches += _complaints(layout, name)
    logs = {end: _read_log(layout, end, journals[end]) for end in ENDS}
    outcome.breaches += audit(journals, logs, outcome.kills)
    tails = [tail for end in ENDS for tail in journal_tails(journals[end], outcome.kills, end)]
    outcome.longest_tail_s = max((at_s - from_s for from_s, at_s in tails), default=0.0)
    alice, bob = (logs[end] for end in ENDS)
    outcome.kept = len({use.pair.key for use in alice.uses} & {use.pair.key for use in bob.uses})
    here, there = ({pair for some in log.measured for pair in some.pairs} for log in (alice, bob))
    outcome.photonic = len(here & there)
    outcome.ends = Counter(alice.ends) + Counter(bob.ends)
    return outcome


def write_example(folder: Path) -> None:
    """The two-node example with ideal memories and without applications of its own."""
    folder.mkdir(parents=True)
    for name in ("lab", *NODES):
        text = (example_folder() / f"{name}.toml").read_text(encoding="utf-8")
        for old, new in IDEAL.get(name, ()):
            if old not in text:
                raise ValueError(f"{name}.toml of the two-node example has no '{old}' any more")
            text = text.replace(old, new)
        text = text.partition("\n[applications")[0] + "\n"
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")


async def _kill_once(
    layout: Layout, nodes: Mapping[str, Child], rng: random.Random, outcome: RealOutcome
) -> None:
    """One node, or both ends at once, and their restart."""
    await asyncio.sleep(rng.uniform(0.0, FULL_S))
    victims = rng.choice(VICTIMS)
    outcome.instants += 1
    for name in victims:
        nodes[name].kill()
        outcome.kills.append(Kill(name, time.time()))
    for name in victims:
        await nodes[name].keep()
    await asyncio.sleep(rng.choice(DOWN_S))
    link = "photonic" if rng.random() < PHOTONIC_SHARE else "memory"
    before = {end: await _delivered(layout, end, link) for end in ENDS}
    for name in victims:
        await nodes[name].start()
    if rng.random() < EARLY_SHARE:
        return
    began_s = time.monotonic()
    troubles = await _serve_again(layout, before, link)
    if troubles:
        outcome.breaches += [f"after the end of {' and '.join(victims)}, {t}" for t in troubles]
    elif link == "memory":
        outcome.recovered_s.append(time.monotonic() - began_s)


async def _serve_again(layout: Layout, before: dict[str, int], link: str) -> list[str]:
    """Wait until both ends have delivered pairs of a link; what is wrong if they do not."""
    until_s = time.monotonic() + SERVES_LIMIT_S
    waiting = list(ENDS)
    while waiting and time.monotonic() < until_s:
        await asyncio.sleep(LOOK_S)
        waiting = [end for end in waiting if await _delivered(layout, end, link) <= before[end]]
    return [f"{end} delivers no pair of link {link} in {SERVES_LIMIT_S:g} s" for end in waiting]


async def _delivered(layout: Layout, end: str, link: str) -> int:
    """Pairs that the process which runs now has delivered; 0 if none runs."""
    try:
        async with connect(layout.folder / "data" / end) as node:
            return int((await node.status())["links"][link].get("delivered", 0))
    except (UserError, NodeError, TimeoutError):
        return 0


async def _at_rest(layout: Layout) -> None:
    """Until no request is open at either end; what is not over in time is found by the audit."""
    until_s = time.monotonic() + REST_LIMIT_S
    waiting = list(ENDS)
    while waiting and time.monotonic() < until_s:
        await asyncio.sleep(LOOK_S)
        waiting = [end for end in waiting if await _open(layout, end) > 0]


async def _open(layout: Layout, end: str) -> int:
    """Requests that are open at an end; 1 where it does not answer."""
    try:
        async with connect(layout.folder / "data" / end) as node:
            links = [await node.call("look.link", link=link) for link in ("memory", "photonic")]
            return sum(len(each["requests"]) for each in links)
    except (UserError, NodeError, TimeoutError):
        return 1


async def _left_over(layout: Layout, end: str) -> list[str]:
    """What is still held or open once nobody asks for anything, and services that have failed."""
    async with connect(layout.folder / "data" / end) as node:
        told = await node.call("look.node")
        links = {link: await node.call("look.link", link=link) for link in ("memory", "photonic")}
    memory = told["memories"]["memory"]
    found = [
        (memory["capacity"] - memory["free"], "qubits are in the books"),
        (told["instruments"]["memory"]["readings"]["held_qubits"], "qubits are held by the device"),
        *((len(each["requests"]), f"requests of {name} are open") for name, each in links.items()),
    ]
    return [f"{end}: {number:g} {what} after all is over" for number, what in found if number] + [
        f"{end}: service {name} has failed: {each['reason']}"
        for name, each in told["services"].items()
        if each["failures"]
    ]


def _complaints(layout: Layout, name: str) -> list[str]:
    """What a node's log has that no kill of another excuses."""
    lines = layout.log(name).read_text(errors="replace").splitlines()
    wrong = ("refuses an entry", "Traceback", "cannot be written", "InternalError")
    return [f"{name} logs: {line}" for line in lines if any(words in line for words in wrong)]


def _read_log(layout: Layout, end: str, journal: Journal) -> ClientLog:
    """A program's log, with herald and deadline as the journal has them where it has the pair."""
    log = msgspec.json.decode(_log_file(layout, end).read_bytes(), type=ClientLog)
    rows = {(row.link, row.sequence): row for row in journal.pairs}
    log.uses = [
        use if row is None else replace(use, heralded_s=row.heralded_s, deadline_s=row.deadline_s)
        for use, row in ((use, rows.get(use.pair.key)) for use in log.uses)
    ]
    return log


def _log_file(layout: Layout, end: str) -> Path:
    return layout.folder / "logs" / f"programs-{end}.json"
