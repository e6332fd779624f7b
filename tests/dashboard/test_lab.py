"""The dashboard's word with a simulated lab, over the lab's own port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qnodeos.dashboard.control import Act
from qnodeos.dashboard.lab import Lab, LabPlace
from qnodeos.dashboard.lab_control import lab_acts
from qnodeos.dashboard.places import find_lab, find_places
from qnodeos.errors import UserError
from sim_backends.bench import Bench
from sim_backends.changing import value_of
from sim_backends.handling import Handling
from sim_backends.lab import load_lab
from sim_backends.truth import TruthLog

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"


class Served:
    """The example's lab with its control, in this process."""

    def __init__(self, file: Path):
        self.file = file
        self.config = load_lab(EXAMPLE / "lab.toml")
        self.bench = Bench(self.config, TruthLog(None))
        self.handling = Handling(control=("127.0.0.1", 0), token="of the test", control_file=file)

    async def start(self) -> None:
        self.handling.take(self.config)
        await self.handling.start(self.bench)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    found = Served(tmp_path / "lab.control")
    await found.start()
    yield found
    await found.handling.stop()
    found.bench.close()


def acts_of(file: Path) -> tuple[Lab, dict[str, Act]]:
    lab = Lab(LabPlace(file), lambda: 0.0)
    return lab, dict(lab_acts(lab))


async def test_a_lab_tells_where_it_is_to_this_user_alone_and_while_it_runs(
    served: Served,
) -> None:
    assert served.file.stat().st_mode & 0o077 == 0
    assert json.loads(served.file.read_text())["token"] == "of the test"
    await served.handling.stop()
    assert not served.file.exists()


async def test_a_value_is_changed_and_a_fault_comes_and_goes(served: Served) -> None:
    _, acts = acts_of(served.file)
    world = served.bench.world
    assert await acts["lab-set"].do("channels.bob.loss_db", {"value": "7.5"})
    assert value_of(world, "channels.bob.loss_db") == 7.5
    said = await acts["lab-fault"].do(
        "detectors.alice", {"kind": "darks", "size": "50", "for_s": ""}
    )
    assert said == "fault 1: darks of detectors.alice"
    assert value_of(world, "detectors.alice.dark_cps") == 10_000.0
    assert await acts["lab-end"].do("1", {}) == "fault 1 is taken back"
    assert value_of(world, "detectors.alice.dark_cps") == 200.0


@pytest.mark.parametrize(
    ("act", "of", "answers", "word"),
    [
        ("lab-set", "channels.bob.loss_db", {"value": "lots"}, "'lots'"),
        ("lab-set", "nodes.bob.name", {"value": "1"}, "nodes.bob.name"),
        ("lab-fault", "channels.bob", {"kind": "cut", "size": "x", "for_s": ""}, "how much"),
        ("lab-fault", "channels.bob", {"kind": "melt", "size": "", "for_s": ""}, "melt"),
        ("lab-end", "9", {}, "no fault 9"),
    ],
)
async def test_what_cannot_be_is_told_and_changes_nothing(
    served: Served, act: str, of: str, answers: dict[str, str], word: str
) -> None:
    _, acts = acts_of(served.file)
    with pytest.raises(UserError) as told:
        await acts[act].do(of, answers)
    assert word in str(told.value)
    assert served.bench.world.config == served.config


async def test_what_is_asked_names_the_lab_the_value_and_what_can_go_wrong(
    served: Served,
) -> None:
    lab, acts = acts_of(served.file)
    lab.world = {"channels": {"bob": {"loss_db": 6.0}}}
    asked = acts["lab-set"].question("channels.bob.loss_db")
    assert "simulated lab" in asked.text
    assert asked.fields[0].value == "6.0"
    lab.breakable = {"channels": {"kinds": {"cut": {
        "what": "the fibre is cut", "unit": "dB more", "size": 150.0, "least": 0, "most": 200,
    }}}}  # fmt: skip
    choices = acts["lab-fault"].question("channels.bob").fields[0].choices
    assert choices == {"cut": "cut: the fibre is cut (150, 0 to 200 dB more)"}


async def test_a_lab_that_is_away_is_named_with_what_to_do(served: Served) -> None:
    lab, acts = acts_of(served.file)
    told = served.file.read_text()
    assert lab.attached
    await served.handling.stop()
    with pytest.raises(UserError, match="not there") as gone:
        await acts["lab-end"].do("1", {})
    assert "qnodeos sim" in str(gone.value)
    served.file.write_text(told)  # as one that was killed leaves it
    with pytest.raises(UserError, match="does not answer"):
        await acts["lab-end"].do("1", {})


def test_where_the_lab_is(tmp_path: Path) -> None:
    places = find_places([EXAMPLE])
    assert find_lab(places, None, "") == LabPlace(EXAMPLE / "lab.control")
    assert find_lab(places, "http://127.0.0.1:1/", "t") == LabPlace(
        url="http://127.0.0.1:1", token="t"
    )
    for given, word in (("http://127.0.0.1:1", "token"), (str(tmp_path / "no.toml"), "no such")):
        with pytest.raises(UserError, match=word):
            find_lab(places, given, "")
    assert not Lab(LabPlace(tmp_path / "lab.control"), lambda: 0.0).attached
