"""A node sets its pump as bright as the fidelity asked for allows, by what it counts."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from drivers.devices import DiodeCurrent, Identity, Laser, OutputPower
from drivers.errors import InstrumentProblem, Refused
from drivers.supervisor import Supervisor
from qnodeos import UserError, load_node
from qnodeos.checking.tables import meanings
from qnodeos.cli.rehearse import load
from qnodeos.config import PumpTable
from qnodeos.journal import read_journal
from qnodeos.photonic import PhotonicLink
from qnodeos.pumping import Light, Pump, PumpFailed, most_ratio
from qnodeos.rehearsal import rehearsal
from qnodeos.store import Store
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
NODE = """
[links.photonic.calibration]
most_accidental = 0.3
[links.photonic.pump]
laser = "pump"
fidelity = 0.93
lowest = 45.0
highest = 115.0
"""
PAIRS_PER_MW, WINDOW_PS = 120_000.0, 60_000
TRUE = 0.965
"""Of the lab's Werner state."""


def written(folder: Path, table: str = NODE) -> Path:
    """Two nodes whose fibres lose so much that the pump is too bright for what comes through."""
    made = folder / "net"
    shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns("run", "data", "keys"))
    lab = (made / "lab.toml").read_text().replace("loss_db = 6.0", "loss_db = 16.0")
    lab = lab.replace("pairs_per_s_per_mw = 12000.0", f"pairs_per_s_per_mw = {PAIRS_PER_MW}")
    (made / "lab.toml").write_text(lab)
    for name, more in (("alice", table), ("bob", "")):
        file = made / f"{name}.toml"
        text = file.read_text().partition("[links.memory]")[0]
        file.write_text(text.replace("window_ps = 6000 ", f"window_ps = {WINDOW_PS} ") + more)
    return made


def test_the_pump_is_set_so_that_accidentals_leave_the_fidelity(tmp_path: Path) -> None:
    folder = written(tmp_path)

    async def scenario() -> float:
        lab, nodes, _ = load(folder, tmp_path / "out")
        async with rehearsal(lab, list(nodes)) as network:
            laser = network.bench.world.lasers["pump"]
            link = network.nodes["alice"].links["photonic"]
            assert isinstance(link, PhotonicLink)
            while not link.ready:
                await network.lasts(1.0)
            await network.lasts(8.0)
            said = link.status()
            share = float(said["accidentals_cps"]) / float(said["coincidences_cps"])
            # What somebody gets who takes the coincidences as they are.
            assert 0.93 < (1 - share) * TRUE + share / 4 < 0.95
            return float(laser.power_mw)

    power_mw = run_virtual(scenario(), limit_s=900)
    # Of few photons that come through, those of other pairs within the window are R times it. After
    # a minute the pairs' own F is known to 0.015: as much of what would be allowed is not used.
    ratio = PAIRS_PER_MW * power_mw * WINDOW_PS * 1e-12
    assert 0.35 * most_ratio(0.93, TRUE) < ratio < most_ratio(0.93, TRUE)
    (file,) = (tmp_path / "out").rglob("alice/*.sqlite")
    (pumped,) = (each.data for each in read_journal(file).events if each.kind == "pumped")
    assert (pumped["before"], pumped["unit"]) == (pytest.approx(90.0, abs=0.5), "mA")
    assert 45.0 < pumped["setting"] < 90.0


class Diode(Laser, DiodeCurrent):
    """Shines from a threshold on."""

    threshold = 40.0

    def __init__(self, at: float, *, on: bool = True, most: float = 1e9):
        self.at, self.on, self.most = at, on, most
        self.set: list[float] = []

    async def connect(self) -> Identity:
        return Identity("Diode")

    async def ping(self) -> None:
        """It is there."""

    async def enter_safe_state(self) -> None:
        self.on = False

    async def emission(self) -> bool:
        return self.on

    async def set_emission(self, on: bool) -> None:
        self.on = on

    async def wavelength_nm(self) -> float:
        return 405.0

    async def _set(self, value: float) -> None:
        if value > self.most:
            raise Refused(f"found {value:g}, expected at most {self.most:g}")
        self.at = value
        self.set.append(value)

    async def set_current_ma(self, current_ma: float) -> None:
        await self._set(current_ma)

    async def current_ma(self) -> float:
        return self.at


class Powered(Diode):
    """The same by its output power."""

    threshold = 0.0


class Power(Laser, OutputPower):
    def __init__(self, at: float):
        self.diode = Powered(at)

    connect, ping = Diode.connect, Diode.ping
    enter_safe_state = Diode.enter_safe_state
    wavelength_nm, set_emission = Diode.wavelength_nm, Diode.set_emission

    async def emission(self) -> bool:
        return True

    async def set_power_mw(self, power_mw: float) -> None:
        await self.diode.set_current_ma(power_mw)

    async def power_mw(self) -> float:
        return self.diode.at


class Held:
    """The supervisor of an instrument."""

    def __init__(self, instrument: Any):
        self.instrument = instrument
        self.reported: list[InstrumentProblem] = []

    def report(self, problem: InstrumentProblem) -> None:
        self.reported.append(problem)


class Notes:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def event(self, kind: str, data: dict[str, Any]) -> None:
        self.events.append(data)


def pumped(
    laser: Any, slope: float, of_pairs: float = 0.97, fidelity: float = 0.93
) -> tuple[Callable[[], Light], Held]:
    held = Held(laser)
    table = PumpTable(laser="pump", fidelity=fidelity, lowest=41.0, highest=115.0)
    made = Pump("photonic", table, cast(Supervisor, held), cast(Store, Notes()))
    diode = laser.diode if isinstance(laser, Power) else laser

    async def look() -> Light:
        return Light(slope * max(0.0, diode.at - diode.threshold), of_pairs)

    return (lambda: run_virtual(made.run(look, lambda: None))), held


@pytest.mark.parametrize("slope", [1e-4, 5e-4, 1e-3, 5e-3, 2e-2])
@pytest.mark.parametrize("at", [41.5, 60.0, 110.0])
def test_it_ends_below_what_is_allowed_or_at_an_end_of_the_range(slope: float, at: float) -> None:
    laser = Diode(at)
    run, _ = pumped(laser, slope)
    light, allowed = run(), most_ratio(0.93, 0.97)
    assert all(41.0 <= each <= 115.0 for each in laser.set)
    if light.ratio > allowed:
        assert laser.at == 41.0
    elif light.ratio < 0.8 * allowed:
        assert laser.at == 115.0


def test_what_brighter_light_made_sure_of_the_pairs_holds() -> None:
    """Darker light has fewer rounds, which say less of the same pairs: it would end in the dark."""
    laser = Diode(110.0)
    table = PumpTable(laser="pump", fidelity=0.93, lowest=41.0, highest=115.0)
    pump = Pump("photonic", table, cast(Supervisor, Held(laser)), cast(Store, Notes()))

    async def look() -> Light:
        bright = laser.at - laser.threshold
        return Light(2e-3 * bright, 0.98 - 1.0 / bright)

    light = run_virtual(pump.run(look, lambda: None))
    allowed = most_ratio(0.93, 0.98 - 1 / 70)
    assert 0.8 * allowed <= light.ratio <= allowed


def test_a_laser_that_regulates_its_power_is_set_in_mw() -> None:
    laser = Power(100.0)
    run, _ = pumped(laser, 1e-3)
    assert run().ratio <= most_ratio(0.93, 0.97)
    assert laser.diode.at == pytest.approx(0.9 * 1e3 * most_ratio(0.93, 0.97), rel=0.12)


@pytest.mark.parametrize(
    ("laser", "of_pairs", "why"),
    [
        (Diode(60.0, on=False), 0.97, "does not emit"),
        (Diode(60.0), 0.91, "F 0.910 without any accidentals, as far as is sure, 0.93"),
        (Diode(60.0, most=61.0), 0.97, "expected at most 61"),
        (object(), 0.97, "object is not a laser"),
    ],
)
def test_why_it_was_not_set_is_said_and_it_is_as_it_was(
    laser: Any, of_pairs: float, why: str
) -> None:
    run, _ = pumped(laser, 1e-4, of_pairs)
    with pytest.raises(PumpFailed, match=why):
        run()
    assert getattr(laser, "at", 60.0) == 60.0


def test_the_ratio_is_the_one_that_leaves_the_fidelity() -> None:
    ratio = most_ratio(0.9, 0.95)
    share = ratio / (1 + ratio)
    assert (1 - share) * 0.95 + share / 4 == pytest.approx(0.9)
    assert most_ratio(0.95, 0.9) < 0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("lowest = 45.0", "lowest = 120.0", "expected less than highest"),
        ('laser = "pump"', 'laser = "pmup"', "did you mean 'pump'"),
        ("[links.photonic.calibration]\nmost_accidental = 0.3\n", "", "without a table `calib"),
        ("fidelity = 0.93", "fidelity = 1.2", "less than 1"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        load_node(written(tmp_path, NODE.replace(old, new)) / "alice.toml")


def test_the_table_is_told_in_words(tmp_path: Path) -> None:
    folder = written(tmp_path)
    told = meanings(load_node(folder / "alice.toml"))
    assert any("pump is set when" in each.says for each in told)
