"""The calibration graph on the page of a link."""

from __future__ import annotations

from pathlib import Path

from qnodeos.dashboard.link_page import calibration_card
from qnodeos.dashboard.places import find_places
from qnodeos.dashboard.view import NetworkView

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"

TOLD = {
    "calibration-photonic/in-spec": "false",
    "calibration-photonic/delay-state": "in spec",
    "calibration-photonic/delay-value": "12.5",
    "calibration-photonic/delay-unit": "ps",
    "calibration-photonic/delay-due-s": "120.0",
    "calibration-photonic/window-state": "due",
    "calibration-photonic/window-due-s": "-3.0",
    "calibration-photonic/polarization-state": "out of spec",
}


def test_the_tasks_are_shown_with_what_they_found() -> None:
    network = NetworkView.of(find_places([EXAMPLE]), lambda: 10.0, lambda: 1e9)
    link = next(each for key, each in network.places.links.items() if "photonic" in key)
    assert network.calibration(link) == {}
    alice = network.nodes["alice"]
    for topic, text in TOLD.items():
        alice.socket.take(topic, text)
    alice.socket.heard_s, alice.reachable = 10.0, True
    shown = str(calibration_card(network.calibration(link)))
    for word in ("delay", "in spec", "12.5 ps", "in 2 min", "now", "polarization", "out of spec"):
        assert word in shown, word
    assert shown.index("delay") < shown.index("window") < shown.index("polarization")


def test_a_link_without_a_graph_has_no_card() -> None:
    assert str(calibration_card({})) == ""
