"""Where a person sees that a link's guard has stopped it, and where it is acknowledged."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qnodeos.acknowledging import Desk
from qnodeos.cli import app
from qnodeos.dashboard.alarms import Alarms
from qnodeos.dashboard.control import Control
from qnodeos.dashboard.frame import Board
from qnodeos.dashboard.lab import Lab, LabPlace
from qnodeos.dashboard.node_page import NodePage
from qnodeos.dashboard.places import find_places
from qnodeos.dashboard.sights import Sights
from qnodeos.dashboard.troubles import troubles
from qnodeos.dashboard.view import NetworkView

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
GUARD = """
[links.photonic.guard]
dark_cps = [100, 100]
stops = ["pump"]
"""
REASON = "detector of channel 1: 0 cps, fewer than its dark counts (100 cps): blinded, or off"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "net"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("run", "data", "keys"))
    node = folder / "alice.toml"
    node.write_text(node.read_text() + GUARD)
    return folder


def answered(folder: Path, name: str, problem: str) -> threading.Thread:
    """A node that answers one acknowledgement."""
    desk = Desk(folder / "data" / "alice")

    def answer() -> None:
        until_s = time.monotonic() + 5.0
        while not desk.asked(name):
            assert time.monotonic() < until_s
            time.sleep(0.01)
        desk.answer(name, problem)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_the_nodes_page_has_it_with_a_button(folder: Path) -> None:
    network = NetworkView.of(find_places([folder]), lambda: 10.0, lambda: 1e9)
    alice = network.nodes["alice"]
    alice.reachable, alice.socket.heard_s = True, 10.0
    for topic, text in {
        "$state": "ready",
        "link-photonic/ready": "false",
        "link-photonic/guard": "tripped",
        "link-photonic/guard-reason": REASON,
    }.items():
        alice.socket.take(topic, text)
    bob = network.nodes["bob"]
    bob.reachable, bob.socket.heard_s = True, 10.0
    bob.socket.take("$state", "ready")
    said = [each.text for each in troubles(network) if each.key == "ready/photonic@alice-bob"]
    assert said == [f"not ready: stopped by its guard, {REASON}"]
    alarms = Alarms(folder / "alarms.json", lambda: 1e9)
    control = Control(network, alarms, "token")
    board = Board(network, alarms, Sights(network), control, Lab(LabPlace(), lambda: 10.0))

    async def shown() -> str:
        return str(NodePage(alice, board).fragments()["interlocks"])

    page = asyncio.run(shown())
    for word in ("photonic.guard", "tripped", "fewer than its dark counts", "pump", "Acknowledge"):
        assert word in page, word
    thread = answered(folder, "photonic.guard", "")
    done = asyncio.run(control.do("interlock", "alice/photonic.guard", {}))
    thread.join()
    assert done == "interlock photonic.guard is closed"


@pytest.mark.parametrize("problem", ["", "the reason is still there: signs"])
def test_the_command_acknowledges_it(folder: Path, problem: str) -> None:
    thread = answered(folder, "photonic.guard", problem)
    node = str(folder / "alice.toml")
    done = CliRunner().invoke(app, ["instrument", "acknowledge", node, "photonic.guard", "--json"])
    thread.join()
    if problem:
        assert done.exit_code != 0
        assert problem in str(done.exception) + done.output
    else:
        assert json.loads(done.stdout) == {"interlock": "photonic.guard", "state": "closed"}


def test_a_wrong_name_is_told_with_those_there_are(folder: Path) -> None:
    node = str(folder / "alice.toml")
    done = CliRunner().invoke(app, ["instrument", "acknowledge", node, "memory.guard"])
    assert done.exit_code != 0
    assert "one of photonic.guard" in str(done.exception) + done.output
