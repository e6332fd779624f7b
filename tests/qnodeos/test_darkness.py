"""Counting in the dark: the light goes off and comes on again, and what was counted is true."""

import asyncio
from typing import Any, cast

import pytest

from drivers.devices import Identity, Laser
from drivers.errors import InstrumentProblem, NotConnected, Refused
from drivers.supervisor import Supervisor
from qnodeos.calibrating import Calibrator
from qnodeos.config import CalibrationTable
from qnodeos.darkness import Darkness, NoDarkness
from qnodeos.photonic import PhotonicLink
from qnodeos.photonic_calibration import PhotonicBench
from tests.qnodeos.test_photonic import on_virtual_time, until
from timing.loop import run_virtual


class Lamp(Laser):
    """A laser that notes when it is switched; `problem` comes of switching it off."""

    def __init__(self, *, on: bool = True, problem: InstrumentProblem | None = None):
        self.on, self.problem = on, problem
        self.switched: list[bool] = []

    async def connect(self) -> Identity:
        return Identity("Lamp")

    async def ping(self) -> None:
        """It is there."""

    async def enter_safe_state(self) -> None:
        self.on = False

    async def emission(self) -> bool:
        return self.on

    async def wavelength_nm(self) -> float:
        return 405.0

    async def set_emission(self, on: bool) -> None:
        if self.problem is not None and not on:
            raise self.problem
        self.on = on
        self.switched.append(on)


class Held:
    """The supervisor of an instrument."""

    def __init__(self, instrument: Any):
        self.instrument = instrument
        self.reported: list[InstrumentProblem] = []

    def report(self, problem: InstrumentProblem) -> None:
        self.reported.append(problem)


class Link:
    """A link that counts while its lamp is dark, or never has any tags."""

    def __init__(self, lamp: Any, *, tags: bool = True):
        self._lamp, self._tags = lamp, tags

    async def singles_cps(self, seconds: float) -> tuple[float, float]:
        assert not self._lamp.on
        await asyncio.sleep(seconds if self._tags else 1e9)
        return 200.0, 210.0


def darkness(lamp: Any, **more: Any) -> tuple[Darkness, Held]:
    held = Held(lamp)
    link = cast(PhotonicLink, Link(lamp, **more))
    return Darkness(link, "pump", cast(Supervisor, held)), held


@pytest.mark.parametrize("on", [True, False])
def test_the_light_is_afterwards_as_it_was(on: bool) -> None:
    lamp = Lamp(on=on)
    made, _ = darkness(lamp)
    assert run_virtual(made.counts_cps()) == (200.0, 210.0)
    assert lamp.switched == ([False, True] if on else [False])


@pytest.mark.parametrize(
    ("lamp", "tags", "why"),
    [
        (Lamp(problem=Refused("the key is off")), True, "pump: .*the key is off"),
        (Lamp(), False, "no tags in 30 s"),
        (object(), True, "object is not a laser"),
    ],
)
def test_why_nothing_was_counted_is_said_and_the_light_is_on(
    lamp: Any, tags: bool, why: str
) -> None:
    made, held = darkness(lamp, tags=tags)
    with pytest.raises(NoDarkness, match=why):
        run_virtual(made.counts_cps())
    assert getattr(lamp, "on", True)
    assert all(isinstance(each, Refused | NotConnected) for each in held.reported)


def test_a_node_that_ends_meanwhile_switches_nothing_on() -> None:
    lamp = Lamp()
    made, _ = darkness(lamp, tags=False)

    async def scenario() -> None:
        counting = asyncio.create_task(made.counts_cps())
        await asyncio.sleep(5.0)
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting

    run_virtual(scenario())
    assert lamp.switched == [False]


@on_virtual_time
async def test_the_dark_counts_of_the_lab_are_found(network: Any, tmp_path: Any) -> None:
    """Two detectors of 200 dark counts a second each; the lab's pump stands in for the laser."""
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        node, link = net.node("alice"), net.photonic("alice")
        model = net.bench.world.lasers["pump"]

        class Pump(Lamp):
            async def emission(self) -> bool:
                return bool(model.emission)

            async def set_emission(self, on: bool) -> None:
                net.bench.world.advance()
                model.emission = on

        context = node.context()
        made = Calibrator(
            link,
            table := CalibrationTable(light="pump"),
            PhotonicBench(
                link, table, darkness=Darkness(link, "pump", cast(Supervisor, Held(Pump())))
            ),
            context.store,
            context.clock,
        )
        node.start(made.run())
        await until(lambda: link.ready, 120)
        rows = {row["task"]: row for row in made.rows()}
        assert rows["dark_counts"]["state"] == "in spec"
        # The larger of two Poisson counts of 400 in 2 s.
        assert 180 < rows["dark_counts"]["value"] < 260
        assert model.emission
