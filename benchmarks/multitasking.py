"""Two applications at one device, together and one after the other, in virtual time.

Three nodes: bob's one device is at his links to alice and to charlie, and has an application with
each. An application asks for a pair, works on another qubit and on its half, measures, and waits
for a word of its far end. Links are about as fast as that of two ions 2 m apart (PRL 124, 110501:
182 pairs a second) and their devices err, so that a loss of fidelity would show.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.frame import Row, benchmark, need
from benchmarks.noisy import MOST_DEVIATION, Compared
from benchmarks.program_theory import error_rates
from qnodeos.launch.ideal import Devices, write_ideal
from qnodeos.memory_link import MemoryLink
from qnodeos.process.epr import EprSocket
from qnodeos.process.program import Program

DEVICES = Devices(
    "Ions 2 m apart: about as fast, with errors that show.",
    t2_s=10.0,
    gate_error=0.002,
    two_qubit_gate_error=0.01,
    readout_error=0.005,
    visibility=0.92,
    efficiency=0.06,
)
"""An attempt each 10 us succeeds with probability 0.06^2 / 2: 180 a second."""

ROUNDS = 200
WORD_S = 0.01
"""What a program waits for a word of its far end: 1,000 km of fibre and back."""

SLOT_MS = 10
AT_LEAST = 1.6

CREATE = """
set R0 10
array R0 @0
set R0 1
array R0 @1
set R1 0
store R1 @1[R1]
set R0 20
array R0 @2
set R6 1
store R1 @2[R1]
store R6 @2[R6]
set R2 {node}
set R4 1
set R5 2
create_epr R2 R1 R4 R5 R1
"""
RECEIVE = """
set R0 10
array R0 @0
set R0 1
array R0 @1
set R1 0
store R1 @1[R1]
set R2 {node}
set R4 1
recv_epr R2 R1 R4 R1
"""
WORK = "set Q1 1\nqalloc Q1\ninit Q1\n" + "h Q1\n" * 20 + "meas Q1 M1\nqfree Q1\n"
WAIT = "set R0 10\nwait_all @0[R1:R0]\n"
MEASURE = "set Q0 0\n{turn}meas Q0 M0\nqfree Q0\nret_reg M0\n"


@dataclass(slots=True)
class Application:
    """Its two programs, with which it plays rounds; counts of wrong outcomes by basis."""

    near: Program
    far: Program
    words: dict[tuple[str, str], bytes]

    async def run(self, rounds: int) -> dict[str, int]:
        """Rounds in Z and X by turns; how many outcomes differ in each."""
        wrong = {"Z": 0, "X": 0}
        for k in range(rounds):
            basis = "ZX"[k % 2]
            found = await asyncio.gather(
                self.near.run(self.words["near", basis]), self.far.run(self.words["far", basis])
            )
            one, other = (each[-1][-4:] for each in found)
            wrong[basis] += one != other
            await asyncio.sleep(WORD_S)
        return wrong


@benchmark("multitasking", "two applications at one device, together and one after the other")
def run() -> list[Row]:
    """With links that take turns as they ask, and with a network schedule."""
    rows = []
    for how, scheduled in (("as they ask", False), ("network schedule", True)):
        rows += compared(how, scheduled, ROUNDS)
    return rows


def compared(how: str, scheduled: bool, rounds: int) -> list[Row]:
    """Times of both alone and together, and what was wrong."""
    from timing.loop import run_virtual

    with tempfile.TemporaryDirectory() as folder:
        alone_s, together_s, shares = run_virtual(_measured(Path(folder), scheduled, rounds))
    ratio = sum(alone_s) / together_s
    served = (sum(alone_s) / (2 * rounds) - WORD_S) / WORD_S
    return [
        Row(f"{how}: one after the other, {rounds} rounds each", sum(alone_s), "s"),
        Row("together", together_s, "s"),
        Row("the device is used so much more", ratio, "", at_least=AT_LEAST),
        *([] if scheduled else [Row("at most, by queueing theory", _most(served), "")]),
        *(
            Row(
                f"{each.what}, difference from theory, standard errors",
                each.deviation,
                "",
                at_most=MOST_DEVIATION,
            )
            for each in shares
        ),
    ]


def _most(served: float) -> float:
    """Of two customers at one server that loses no time between them, against one alone: machine
    repair, M/M/1//2 (Kleinrock, Queueing Systems I, 3.8). `served`: time of service per time of
    waiting for a word, on average."""
    return (2 + 2 * served) * (1 + served) / (1 + 2 * served + 2 * served**2)


async def _measured(
    folder: Path, scheduled: bool, rounds: int
) -> tuple[list[float], float, list[Compared]]:
    from qnodeos.cli.rehearse import load
    from qnodeos.rehearsal import rehearsal

    write_ideal(folder / "made", 3, DEVICES)
    if scheduled:
        _schedule(folder / "made")
    lab, nodes, _ = load(folder / "made", folder / "net")
    async with rehearsal(lab, nodes, delay_s=1e-4) as network:
        links = {
            (name, link): each
            for name, node in network.nodes.items()
            for link, each in node.links.items()
            if isinstance(each, MemoryLink)
        }
        while not all(link.ready for link in links.values()):
            await network.lasts(0.05)
        ids = {node.node.name: node.node.id for node in nodes}
        both = [
            _application(links, ids, far, name)
            for far, name in (("alice", "alice-bob"), ("charlie", "bob-charlie"))
        ]
        clock = asyncio.get_running_loop().time
        alone_s, wrong = [], []
        for each in both:
            began_s = clock()
            wrong.append(await each.run(rounds))
            alone_s.append(clock() - began_s)
        began_s = clock()
        together = await asyncio.gather(*(each.run(rounds) for each in both))
        together_s = clock() - began_s
        for each in both:
            each.near.close()
            each.far.close()
    return (
        alone_s,
        together_s,
        [
            *_shares("alone", wrong, rounds),
            *_shares("together", together, rounds),
        ],
    )


def _application(
    links: dict[tuple[str, str], MemoryLink], ids: dict[str, int], far: str, name: str
) -> Application:
    text = need("netqasm.lang.parsing.text")
    ends, words = {}, {}
    for end, node, peer, ask in (("near", "bob", far, CREATE), ("far", far, "bob", RECEIVE)):
        link = links[node, name]
        ends[end] = Program(link, 3, "vanilla")
        socket = EprSocket(link, ids[peer], 0.0, purpose=f"to-{node}", ours=f"to-{peer}")
        ends[end].open(ids[peer], 0, socket)
        work = WORK if end == "near" else ""
        for basis, turn in (("Z", ""), ("X", "h Q0\n")):
            whole = ask.format(node=ids[peer]) + WAIT + work + MEASURE.format(turn=turn)
            header = "# NETQASM 0.10\n# APPID 0\n"
            words[end, basis] = bytes(text.parse_text_subroutine(header + whole))
    return Application(ends["near"], ends["far"], words)


def _shares(how: str, wrong: Sequence[dict[str, int]], rounds: int) -> list[Compared]:
    """Of both applications; each plays half of its rounds in a basis."""
    rates = dict(zip("ZX", error_rates(DEVICES), strict=True))
    return [
        Compared(f"wrong in {basis}, {how}", sum(each[basis] for each in wrong), rounds, rate)
        for basis, rate in rates.items()
    ]


def _schedule(example: Path) -> None:
    """Bob's links have every other slot."""
    for file in example.glob("*.toml"):
        text = file.read_text()
        for number, name in enumerate(("alice-bob", "bob-charlie")):
            if f"[links.{name}]" in text and file.stem != "station":
                text += (
                    f"\n[links.{name}.schedule]\nperiod_ms = {2 * SLOT_MS}\n"
                    f"offset_ms = {number * SLOT_MS}\nlength_ms = {SLOT_MS}\n"
                )
        file.write_text(text)
