"""The calibration graph on the page of a link."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from qnodeos.dashboard.calibration_graph import ShownTask, calibration_graph, layers, tasks_of
from qnodeos.dashboard.link_page import calibration_card
from qnodeos.dashboard.places import find_places
from qnodeos.dashboard.view import NetworkView

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"

TOLD = {
    "calibration-photonic/in-spec": "false",
    "calibration-photonic/delay-state": "in spec",
    "calibration-photonic/delay-value": "12.5",
    "calibration-photonic/delay-unit": "ps",
    "calibration-photonic/delay-age-s": "120.0",
    "calibration-photonic/delay-due-s": "360.0",
    "calibration-photonic/window-state": "due",
    "calibration-photonic/window-depends": "delay",
    "calibration-photonic/window-age-s": "600.0",
    "calibration-photonic/window-due-s": "-3.0",
    "calibration-photonic/polarization-state": "out of spec",
    "calibration-photonic/polarization-depends": "window",
}


def told() -> dict[str, str]:
    """As the dashboard has it from the node that leads the example's photonic link."""
    network = NetworkView.of(find_places([EXAMPLE]), lambda: 10.0, lambda: 1e9)
    link = next(each for key, each in network.places.links.items() if "photonic" in key)
    assert network.calibration(link) == {}
    alice = network.nodes["alice"]
    for topic, text in TOLD.items():
        alice.socket.take(topic, text)
    alice.socket.heard_s, alice.reachable = 10.0, True
    return network.calibration(link)


def drawings() -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<both>{calibration_graph(tasks_of(told()))}</both>"))


def corner(box: ElementTree.Element) -> tuple[float, float]:
    x, y = box.attrib["transform"].removeprefix("translate(").rstrip(")").split()
    return float(x), float(y)


def test_the_tasks_are_shown_with_what_they_found() -> None:
    shown = str(calibration_card(told()))
    for word in ("delay", "in spec", "12.5 ps", "valid for 6 min", "until 3 s ago", "out of spec"):
        assert word in shown, word
    assert "no good result yet" in shown


def test_an_arrow_leads_from_each_dependency_and_forward() -> None:
    for drawing, axis in zip(drawings(), (0, 1), strict=True):
        boxes = {each.attrib["data-task"]: corner(each) for each in drawing.iter("g")}
        ways = [boxes[name][axis] for name in ("delay", "window", "polarization")]
        assert ways == sorted(set(ways))
        arrows = [p.attrib["d"] for p in drawing.iter("path") if p.attrib["class"] == "arrow"]
        assert len(arrows) == 2
        for arrow in arrows:
            numbers = [float(n) for n in arrow.replace("M", "").replace("C", "").split()]
            assert numbers[-2 + axis] > numbers[axis]


def test_what_is_left_of_a_validity_is_as_long_as_that() -> None:
    box = next(each for each in drawings()[0].iter("g") if each.attrib["data-task"] == "delay")
    widths = {each.attrib["class"]: float(each.attrib["width"]) for each in box.iter("rect")}
    assert widths["left"] == 0.75 * widths["whole"]


def test_tasks_of_one_layer_do_not_overlap_and_all_are_within_the_drawing() -> None:
    tasks = [task("a"), *(task(name, "a") for name in "bcd"), task("e", "b", "d")]
    assert [[t.name for t in layer] for layer in layers(tasks)] == [["a"], ["b", "c", "d"], ["e"]]
    for drawing in ElementTree.fromstring(f"<both>{calibration_graph(tasks)}</both>"):
        left, top, width, height = (float(n) for n in drawing.attrib["viewBox"].split())
        corners = [corner(each) for each in drawing.iter("g")]
        box = next(drawing.iter("rect"))
        wide, high = float(box.attrib["width"]), float(box.attrib["height"])
        for n, (x, y) in enumerate(corners):
            assert left <= x <= left + width - wide
            assert top <= y <= top + height - high
            for x2, y2 in corners[n + 1 :]:
                assert abs(x - x2) >= wide or abs(y - y2) >= high


def test_a_circle_that_a_node_tells_of_is_drawn_and_not_followed() -> None:
    assert len(layers([task("a", "b"), task("b", "a")])) >= 1
    assert str(calibration_graph([task("a", "b"), task("b", "a")]))


def test_a_link_without_a_graph_has_no_card() -> None:
    assert str(calibration_card({})) == ""


def task(name: str, *depends: str) -> ShownTask:
    return ShownTask(name, "in spec", depends, "", None, None)
