"""What a photonic link is told of its clocks, and a reference that locks and unlocks."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from drivers.devices import FrequencyReference, Identity, ReferenceStatus
from drivers.errors import NotConnected
from qnodeos import UserError, load_node
from qnodeos.clocks import LOOK_EVERY_S, LockWatch, clock_noise
from qnodeos.config import PhotonicLinkTable
from timing.clock_class import declared_noise
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "alice.toml"
NOISE_LINE = next(
    line for line in EXAMPLE.read_text().splitlines() if line.startswith("clock_noise_1s")
)


def table(folder: Path, text: str) -> PhotonicLinkTable:
    file = folder / "node.toml"
    file.write_text(EXAMPLE.read_text().replace(NOISE_LINE, text))
    link = load_node(file, environment={}).links["photonic"]
    assert isinstance(link, PhotonicLinkTable)
    return link


def test_a_number_or_a_class_for_each_end(tmp_path: Path) -> None:
    number = clock_noise(table(tmp_path, "clock_noise_1s = 2e-11"), locked=False)
    assert number.white_fm_1s == pytest.approx(2e-11 * 2**0.5)
    both = clock_noise(table(tmp_path, 'clock = "ocxo"'), locked=False)
    assert both == declared_noise("ocxo", "ocxo")
    each = clock_noise(table(tmp_path, 'clock = "ocxo"\npeer_clock = "rubidium"'), locked=False)
    assert each == declared_noise("ocxo", "rubidium")


def test_a_lock_changes_the_class_of_our_clock_alone(tmp_path: Path) -> None:
    link = table(tmp_path, 'clock = "quartz"\nlocked_clock = "rubidium"\nreference = "tagger"')
    assert clock_noise(link, locked=False) == declared_noise("quartz", "quartz")
    assert clock_noise(link, locked=True) == declared_noise("rubidium", "quartz")


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("", "neither", "one of them"),
        ('clock_noise_1s = 1e-11\nclock = "ocxo"', "both", "one of them"),
        ('clock = "oxco"', "'oxco'", "ocxo"),
        ('clock_noise_1s = 1e-11\npeer_clock = "ocxo"', "nothing", "this end's clock"),
        ('clock = "ocxo"\nreference = "tagger"', "one of them", "both"),
        ('clock = "ocxo"\nlocked_clock = "rubidium"\nreference = "rb"', "'rb'", "tagger"),
        ('clock = "ocxo"\npulse_period_ps = -1.0', "-1", "greater than 0"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, text: str, found: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        table(tmp_path, text)
    assert "links.photonic" in str(caught.value)
    assert found in str(caught.value)
    assert expected in str(caught.value)


class Rubidium(FrequencyReference):
    def __init__(self) -> None:
        self.locked = False

    async def connect(self) -> Identity:
        raise NotImplementedError

    async def enter_safe_state(self) -> None:
        """It emits nothing."""

    async def ping(self) -> None:
        """It is there."""

    async def status(self) -> ReferenceStatus:
        return ReferenceStatus(locked=self.locked)


class Rack:
    """Where a supervisor would be: an instrument, or none."""

    def __init__(self, instrument: Any):
        self.present = instrument
        self.problems: list[Any] = []

    @property
    def instrument(self) -> Any:
        if self.present is None:
            raise NotConnected("it is switched off")
        return self.present

    def report(self, problem: Any) -> None:
        self.problems.append(problem)


def test_locking_is_heard_and_an_absent_reference_is_no_lock() -> None:
    async def main() -> None:
        rubidium = Rubidium()
        rack: Any = Rack(rubidium)
        heard: list[bool] = []
        watch = asyncio.create_task(LockWatch(rack, heard.append).run())
        await asyncio.sleep(2 * LOOK_EVERY_S)
        assert heard == []
        rubidium.locked = True
        await asyncio.sleep(2 * LOOK_EVERY_S)
        assert heard == [True]
        rack.present = None
        await asyncio.sleep(2 * LOOK_EVERY_S)
        assert heard == [True, False]
        assert rack.problems
        rack.present = object()
        await asyncio.sleep(2 * LOOK_EVERY_S)
        assert heard == [True, False]
        watch.cancel()

    run_virtual(main(), limit_s=100)
