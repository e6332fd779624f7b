"""A node turns its polarization controller until the far end's bases are its own."""

import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from drivers.devices import Identity, PolarizationController
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from link_layer.fidelity import CorrelatorCounts
from qnodeos.aligning import Aligner, AlignmentFailed
from qnodeos.cli.rehearse import load
from qnodeos.config import PolarizationTable
from qnodeos.journal import read_journal
from qnodeos.photonic import PhotonicLink
from qnodeos.rehearsal import Rehearsal, rehearsal
from qnodeos.store import Store
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
FIBRE = "loss_db_per_km = 0.2\nrotation_deg = 70.0\nrotation_axis = [1.0, 0.6, 0.3]\n"
SQUEEZERS = """
[squeezers.alice]
turn_mv = [4000.0, 3900.0, 4100.0, 4000.0]
bias_deg = [20.0, -35.0, 10.0, 50.0]
"""
PADDLES = """
[paddles.alice]
retardance_deg = [80.0, 170.0, 95.0]
angles_deg = [30.0, 100.0, 60.0]
"""
CONTROLLERS = {
    "squeezers": (SQUEEZERS, "oz-epc", "ozoptics.epc", 'turn_mv = "4 V"\nrounds = 150\n'),
    "paddles": (PADDLES, "mpc320", "thorlabs.mpc320", "rounds = 60\n"),
}
NODE = """
[instruments.controller]
driver = "{driver}"
resource = "serial://run/alice-controller"
[links.photonic.calibration]
[links.photonic.polarization]
controller = "controller"
"""


@pytest.fixture(params=list(CONTROLLERS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    lab_table, kind, driver, more = CONTROLLERS[request.param]
    made = tmp_path / "net"
    shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns("run", "data", "keys"))
    instrument = (
        f'alice-controller = {{ type = "{kind}", of = "{request.param}.alice", '
        'pty = "alice-controller" }\n'
    )
    lab = (made / "lab.toml").read_text().replace("loss_db_per_km = 0.2\n", FIBRE, 1)
    lab = lab.replace("[detectors.alice]", f"{lab_table}\n[detectors.alice]", 1)
    (made / "lab.toml").write_text(lab.replace("[instruments]\n", f"[instruments]\n{instrument}"))
    for name, extra in (("alice", NODE.format(driver=driver) + more), ("bob", "")):
        node = made / f"{name}.toml"
        node.write_text(node.read_text().partition("[links.memory]")[0] + extra)
    return made


def overlap(network: Rehearsal) -> float:
    """The truth: the fidelity that the fibres and controllers leave of a perfect Phi+."""
    fibres, now_ps = network.bench.world.channels, network.bench.world.time_ps()
    turned = fibres["alice"].unitary(now_ps) @ fibres["bob"].unitary(now_ps).T
    return float(abs(np.trace(turned) / 2) ** 2)


@pytest.mark.timeout(300)
def test_a_turned_fibre_is_found_and_undone(folder: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        lab, nodes, _ = load(folder, tmp_path / "out")
        async with rehearsal(lab, list(nodes)) as network:
            assert overlap(network) < 0.7
            link = network.nodes["alice"].links["photonic"]
            assert isinstance(link, PhotonicLink)
            while not link.ready:
                await network.lasts(1.0)
            assert overlap(network) > 0.95
            await network.lasts(20.0)
            said = link.status()
            assert float(said["fidelity_low"]) > 0.9
            assert float(said["fidelity"]) == pytest.approx(0.965 * overlap(network), abs=0.02)

    run_virtual(scenario(), limit_s=600)
    (file,) = (tmp_path / "out").rglob("alice/*.sqlite")
    kept = ("calibration", "aligned")
    events = [each.data for each in read_journal(file).events if each.kind in kept]
    (aligned,) = (each for each in events if "looks" in each)
    assert aligned["fidelity_before"] < 0.7
    assert aligned["fidelity"] > 0.9
    steps = [(each["task"], each["action"], each["good"]) for each in events if "task" in each]
    assert steps[-2:] == [("polarization", "check", False), ("polarization", "run", True)]


class Light:
    """A link whose test rounds come, or do not."""

    name = "photonic"
    forgotten = 0

    def __init__(self, counts: dict[str, CorrelatorCounts] | None):
        self._counts = counts

    async def fresh_tests(self, rounds: int, within_s: float) -> dict[str, CorrelatorCounts]:
        if self._counts is None:
            raise TimeoutError
        return self._counts

    def forget_tests(self) -> None:
        self.forgotten += 1


class Epc(PolarizationController):
    """A controller that does what it is told, in the unit it is told to have."""

    def __init__(self, unit: str = "mV", high: float = 5000.0):
        self.unit, self.high = unit, high
        self.set: list[tuple[float, ...]] = []

    drive_unit = property(lambda self: self.unit)  # type: ignore[assignment]

    async def connect(self) -> Identity:
        return Identity("Epc")

    async def ping(self) -> None:
        """It is there."""

    async def enter_safe_state(self) -> None:
        """Nothing comes out of it."""

    async def drive_ranges(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, self.high),) * 4

    async def drives(self) -> tuple[float, ...]:
        return (0.0,) * 4

    async def set_drives(self, drives: tuple[float, ...]) -> None:
        self.set.append(drives)


class Held:
    """The supervisor of an instrument."""

    def __init__(self, instrument: Any):
        self._instrument = instrument
        self.reported: list[InstrumentProblem] = []

    @property
    def instrument(self) -> Any:
        if isinstance(self._instrument, InstrumentProblem):
            raise self._instrument
        return self._instrument

    def report(self, problem: InstrumentProblem) -> None:
        self.reported.append(problem)


CHANCE = CorrelatorCounts(50.0, 50.0, 50.0, 50.0)


@pytest.mark.parametrize(
    ("instrument", "counts", "why"),
    [
        (NotConnected("unplugged"), None, "epc: .*unplugged"),
        (object(), None, "object is not a polarization controller"),
        (Epc(unit="deg", high=140.0), None, "a paddle takes 144 deg .* is 0 to 140 deg"),
        (Epc(high=3000.0), None, "a full turn takes 4000, the range of drives is 0 to 3000"),
        (Epc(), None, "fewer than 500 test rounds a basis in 120 s"),
        (Epc(), dict.fromkeys("XYZ", CHANCE), "all coincidences are accidental"),
    ],
)
async def test_why_nothing_was_aligned_is_said(
    instrument: Any, counts: dict[str, CorrelatorCounts] | None, why: str
) -> None:
    link, held = Light(counts), Held(instrument)
    table = PolarizationTable(controller="epc", turn_mv=4000.0)
    aligner = Aligner(cast(PhotonicLink, link), table, cast(Supervisor, held), cast(Store, None))
    with pytest.raises(AlignmentFailed, match=why):
        await aligner.run(2.3)
    assert link.forgotten == 1
    assert len(held.reported) == (isinstance(instrument, InstrumentProblem) or why[:6] == "object")
