"""Programs on devices that err, and what theory says that they find: teleportation, CHSH, BB84.

The theory has the devices' numbers and how long each half was in memory, which the simulated lab's
log of truths tells. What is compared are counts, and by how many standard errors they differ.
"""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.frame import CannotRunError, Row, benchmark, need
from benchmarks.program_runs import OURS
from benchmarks.program_theory import Sent, chsh_wins, error_rates, teleported_wrong
from qnodeos.launch.ideal import IDEAL, NOISY, Devices
from qnodeos.launch.roles import Roles
from qnodeos.launch.running import NodeAt, run_program

ENDS = ("alice", "bob")
MOST_DEVIATION = 4.0
"""Standard errors: one comparison in 16,000 that is right is beyond."""

HOLD_S, HELD_PAIRS = 0.8, 6
TRUTH_LIMIT_S = 20.0
LOOK_S = 0.1
"""The lab writes its truths now and then."""

STATES = ((0.0, 0.0), (0.0, math.pi), (0.0, math.pi / 2), (math.pi, math.pi / 2), (1.2, 0.7))


@dataclass(frozen=True, slots=True)
class Compared:
    """A share that was counted, and what it is expected to be."""

    what: str
    count: int
    of: int
    expected: float

    @property
    def share(self) -> float:
        """As it was found."""
        return self.count / self.of

    @property
    def deviation(self) -> float:
        """From what is expected, in standard errors of that."""
        return self.away_from(self.expected)

    def away_from(self, expected: float) -> float:
        """From another expectation, in its standard errors; endless if that allows no other."""
        spread = math.sqrt(expected * (1 - expected) / self.of)
        if spread < 1e-9:
            return 0.0 if abs(self.share - expected) < 1e-9 else math.inf
        return (self.share - expected) / spread


class NoisyRuns:
    """Programs on two nodes whose lab writes its truths to a file. One at a time: the log does not
    tell whose qubit was measured."""

    def __init__(self, nodes: Sequence[NodeAt], roles: Roles, truth: Path, devices: Devices):
        self._nodes = dict(zip(ENDS, nodes, strict=True))
        self._roles, self._truth, self._devices = roles, truth, devices

    async def teleported(self, repeats: int) -> Compared:
        """Five states, again and again."""
        asked = {"repeats": repeats}
        found, decay = await self._ran(
            OURS / "six_states", {"alice": asked, "bob": asked}, 5 * repeats, alice_measures=2
        )
        expected = teleported_wrong(self._devices, _sent(), decay)
        bob = found["bob"]
        return Compared("states teleported wrong", bob["wrong"], bob["received"], expected)

    async def chsh(self, rounds: int) -> Compared:
        """Games won."""
        asked = {"rounds": rounds}
        found, decay = await self._ran(OURS / "chsh_rounds", {"alice": asked, "bob": asked}, rounds)
        games = zip(found["alice"]["played"], found["bob"]["played"], strict=True)
        won = sum((a ^ b) == (x & y) for (x, a), (y, b) in games)
        return Compared("CHSH games won", won, rounds, chsh_wins(self._devices, decay))

    async def held(self, rounds: int, hold_s: float = HOLD_S) -> Compared:
        """Errors in X of pairs that were held for a while."""
        asked = {"rounds": rounds, "pairs": HELD_PAIRS, "hold_s": hold_s}
        found, decay = await self._ran(
            OURS / "held_pairs",
            {"alice": asked, "bob": asked},
            rounds,
            alice_measures=HELD_PAIRS,
            pairs=HELD_PAIRS,
        )
        outcomes = list(zip(found["alice"]["found"], found["bob"]["found"], strict=True))
        wrong = sum(a != b for a, b in outcomes)
        _, expected = error_rates(self._devices, decay)
        what = f"bits wrong in X of pairs held for {hold_s:g} s"
        return Compared(what, wrong, len(outcomes), expected)

    async def bb84(self, bits: int) -> tuple[Compared, Compared]:
        """Errors of the sifted bits, in Z and in X."""
        asked = {"num_bits": bits}
        apps = Path(need("netqasm").__file__).parent / "examples" / "apps"
        found, decay = await self._ran(apps / "bb84", {"alice": asked, "bob": asked}, bits)
        rows = list(zip(found["alice"]["table"], found["bob"]["table"], strict=True))
        compared = []
        for basis, name, expected in zip(
            (0, 1), "ZX", error_rates(self._devices, decay), strict=True
        ):
            kept = [(a[3], b[3]) for a, b in rows if a[2] and a[1] in (basis, "ZX"[basis])]
            wrong = sum(a != b for a, b in kept)
            compared.append(Compared(f"BB84 bits wrong in {name}", wrong, len(kept), expected))
        return compared[0], compared[1]

    async def _ran(
        self,
        program: Path,
        inputs: dict[str, Any],
        rounds: int,
        *,
        alice_measures: int = 1,
        pairs: int = 1,
    ) -> tuple[dict[str, Any], float]:
        """Results, and the mean decay of the pairs, which Alice measures last in each round."""
        begun = len(self._truth.read_text().splitlines())
        result = await run_program(
            program, self._nodes, inputs=inputs, time_limit_s=600, roles=self._roles
        )
        if result.failed:
            raise CannotRunError(f"{program.name}: {result.failed}: {result.last_words}")
        wanted = rounds * alice_measures, rounds * pairs
        for _ in range(round(TRUTH_LIMIT_S / LOOK_S)):
            lines = self._truth.read_text().splitlines()[begun:]
            heralds, alice, bob = _times(map(json.loads, lines))
            if (len(alice), len(bob)) == wanted:
                break
            await asyncio.sleep(LOOK_S)
        else:
            raise CannotRunError(f"{program.name}: the lab has not told of {wanted} measurements")
        alice, bob = alice.reshape(rounds, -1), bob.reshape(rounds, -1)
        # She asks for the next pairs when she has measured these: they are the last before that.
        last = np.searchsorted(heralds, alice[:, :1])
        held_s = alice[:, -pairs:] + bob - 2 * heralds[last + np.arange(-pairs, 0)]
        return result.results, float(np.mean(np.exp(-held_s / self._devices.t2_s)))


def _times(said: Iterable[dict[str, Any]]) -> list[npt.NDArray[np.float64]]:
    """When pairs were heralded, and when qubits were measured at each end."""
    found: dict[str, list[float]] = {"herald": [], **{end: [] for end in ENDS}}
    for each in said:
        if each["kind"] == "herald":
            found["herald"].append(each["t_s"])
        elif each["kind"] == "measure":
            found[each["device"]].append(each["t_s"])
    return [np.array(times) for times in found.values()]


def _sent() -> list[Sent]:
    from netqasm.sdk.toolbox import get_angle_spec_from_float

    def gates(*angles: float) -> int:
        return sum(len(get_angle_spec_from_float(angle)) for angle in angles)

    return [Sent(phi, theta, gates(phi, theta, -phi, -theta)) for phi, theta in STATES]


@benchmark("noisy", "teleportation, CHSH and BB84 on devices that err, beside what theory says")
def run() -> list[Row]:
    """Two nodes, ideal and then noisy."""
    rows = []
    for name, devices in (("ideal", IDEAL), ("noisy", NOISY)):
        for each in asyncio.run(_compared(devices)):
            rows += [
                Row(f"{name}: {each.what}", each.share, f"of {each.of}"),
                Row("expected", each.expected, ""),
                Row(
                    "difference, standard errors",
                    each.deviation,
                    "",
                    at_least=-MOST_DEVIATION,
                    at_most=MOST_DEVIATION,
                ),
            ]
    return rows


async def _compared(devices: Devices) -> list[Compared]:
    from qnodeos.launch.ideal import write_ideal
    from qnodeos.launch.network import network
    from qnodeos.launch.roles import role_server

    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        write_ideal(Path(folder) / "made", 2, devices)
        net = Path(folder) / "net"
        async with network(Path(folder) / "made", net) as nodes, role_server() as roles:
            runs = NoisyRuns(nodes, roles, net / "data" / "truth.jsonl", devices)
            return [
                await runs.teleported(600),
                await runs.chsh(3000),
                await runs.held(60),
                *await runs.bb84(3000),
            ]
