"""The overview: what is wrong, the map of the network, and each link in five figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from qnodeos.dashboard.frame import Board, alarm_list
from qnodeos.dashboard.markup import MISSING, Html, chip, joined, si, span, tag, with_error
from qnodeos.dashboard.places import LinkPlace, Places
from qnodeos.dashboard.view import NodeView, number

State = Literal["good", "warn", "bad", "idle"]

WIDTH = 640


class Overview:
    """The first page."""

    title, path = "Overview", "/"

    def __init__(self, board: Board):
        self._board = board

    def fragments(self) -> dict[str, Html]:
        """Alarms first."""
        board = self._board
        network = board.network
        nodes = len(network.nodes)
        fine = f"All is well: {nodes} nodes, {len(network.places.links)} links."
        return {
            "alarms": alarm_list(board.alarms.now, board, empty=fine),
            "map": tag("div", network_map(board), class_="card"),
            "links": tag(
                "div",
                *(_link_card(link, board) for link in network.places.links.values()),
                class_="cards",
            ),
            "nodes": tag(
                "div", *(_node_card(node) for node in network.nodes.values()), class_="cards"
            ),
        }

    def plots(self) -> dict[str, Any]:
        """None here."""
        return {}

    def whole(self) -> dict[str, Any]:
        """None here."""
        return {}


def node_state(node: NodeView) -> State:
    """How a node is, in one colour."""
    if node.silent or node.told.alarms or node.told.state in ("lost", "disconnected"):
        return "bad"
    states = {node.instrument(name).get("state", "") for name in node.place.instruments}
    if states & {"absent", "fault"}:
        return "bad"
    return "warn" if states & {"degraded", "connecting"} or node.told.draining else "good"


def link_state(link: LinkPlace, board: Board) -> tuple[State, str]:
    """How a link is, in one colour and a word."""
    figures = board.network.figures(link)
    if not figures:
        return "bad", "no word"
    troubles = [a.trouble for a in board.alarms.now if a.trouble.key.endswith(f"/{link.key}")]
    if troubles:
        state: State = "bad" if troubles[0].severity == "alarm" else "warn"
        return state, troubles[0].text.split(":")[0]
    if figures.get("resting") == "true":
        return "idle", "resting"
    return "good", figures.get("clock", "") or "ready"


def network_map(board: Board) -> Html:
    """Nodes and links as a drawing; each leads to its page."""
    places = board.network.places
    at = _positions(places)
    top = round(min(y for _, y in at.values())) - 34
    bottom = round(max(y for _, y in at.values())) + 56
    drawn = [_line(link, at, board) for link in places.links.values()]
    drawn += [_circle(node, at[name]) for name, node in board.network.nodes.items()]
    return tag(
        "svg",
        *drawn,
        class_="map",
        viewBox=f"0 {top} {WIDTH} {bottom - top}",
        role="img",
        aria_label="Map of nodes and links",
    )


def _positions(places: Places) -> dict[str, tuple[float, float]]:
    """Ends on an ellipse, beginning on the left; stations in the middle of what they serve."""
    stations = {link.station for link in places.links.values() if link.station}
    names = {each for link in places.links.values() for each in link.ends} | set(places.nodes)
    ends = sorted(names - stations)
    at: dict[str, tuple[float, float]] = {}
    for k, name in enumerate(ends):
        angle = math.pi + 2 * math.pi * k / max(1, len(ends))
        height = 0.0 if len(ends) <= 2 else 95.0
        at[name] = (WIDTH / 2 + 240 * math.cos(angle), 150 + height * math.sin(angle))
    for name in sorted(stations):
        served = [at[e] for k in places.links.values() if k.station == name for e in k.ends]
        x = sum(x for x, _ in served) / len(served)
        y = sum(y for _, y in served) / len(served)
        at[name] = (x, y - 80 if len(ends) <= 2 else y)
    return at


def _line(link: LinkPlace, at: dict[str, tuple[float, float]], board: Board) -> Html:
    state, word = link_state(link, board)
    points = [at[name] for name in link.nodes]
    (x1, y1), (x2, y2) = points[0], points[1]
    if len(points) == 3:
        middle = points[2]
        pieces = [((x1, y1), middle), (middle, (x2, y2))]
        label, anchor = ((x1 + middle[0]) / 2 - 12, (y1 + middle[1]) / 2 - 10), "end"
    else:
        pieces = [((x1, y1), (x2, y2))]
        label, anchor = ((x1 + x2) / 2, (y1 + y2) / 2 + 26), "middle"
    lines = joined(
        tag("line", x1=round(a[0]), y1=round(a[1]), x2=round(b[0]), y2=round(b[1]))
        for a, b in pieces
    )
    text = tag(
        "text",
        f"{link.name}: {word}",
        x=round(label[0]),
        y=round(label[1]),
        class_="small",
        style=f"text-anchor: {anchor}",
    )
    return tag("a", lines, text, href=f"/link/{link.key}", data_state=state)


def _circle(node: NodeView, at: tuple[float, float]) -> Html:
    x, y = round(at[0]), round(at[1])
    name = node.place.name
    return tag(
        "a",
        tag("circle", cx=x, cy=y, r=20),
        tag("text", name, x=x, y=y + 42),
        href=f"/node/{name}",
        data_state=node_state(node),
    )


def _link_card(link: LinkPlace, board: Board) -> Html:
    figures = board.network.figures(link)
    state, word = link_state(link, board)
    fidelity = with_error(number(figures, "fidelity"), number(figures, "fidelity_error"))
    rows: list[tuple[str, str]] = [("Fidelity", fidelity)]
    if link.kind == "photonic":
        rows += [
            ("Coincidences", si(number(figures, "coincidences_cps"), "/s")),
            ("Accidentals", si(number(figures, "accidentals_cps"), "/s")),
            ("Clock ±", si(_ps(number(figures, "clock_uncertainty_ps")), "s")),
        ]
    else:
        late = number(figures, "correction_p99_ms")
        rows += [
            ("Pairs delivered", figures.get("delivered", MISSING)),
            ("Useful for", span(number(figures, "lifetime_s"))),
            ("Correction p99", MISSING if late is None else f"{late:.2f} ms"),
        ]
    return tag(
        "div",
        tag(
            "div",
            tag("h2", tag("a", f"Link {link.name}", href=f"/link/{link.key}")),
            chip(word, state),
            class_="title",
        ),
        tag("p", " – ".join(link.ends), class_="soft"),
        figure_list(rows),
        class_="card",
    )


def _node_card(node: NodeView) -> Html:
    name, told = node.place.name, node.told
    state = node_state(node)
    silent_s = node.silent_s
    if node.silent:
        word = "not heard" if silent_s is None else f"no word for {span(silent_s)}"
    else:
        word = told.state or "ready"
    states = [node.instrument(each).get("state", "") for each in node.place.instruments]
    online = sum(each == "online" for each in states)
    up = sum(node.peer(each) == "up" for each in node.place.peers)
    late = number(node.group("loop"), "late_s")
    return tag(
        "div",
        tag(
            "div",
            tag("h2", tag("a", name, href=f"/node/{name}")),
            chip(word, state),
            class_="title",
        ),
        figure_list(
            [
                ("Instruments online", f"{online} of {len(states)}"),
                ("Peers heard", f"{up} of {len(node.place.peers)}"),
                ("Event loop late by", MISSING if late is None else span(late)),
            ]
        ),
        class_="card" + (" old" if node.silent else ""),
    )


def figure_list(rows: Sequence[tuple[object, object]]) -> Html:
    """Names and values, one a line."""
    return tag(
        "dl", *(part for n, v in rows for part in (tag("dt", n), tag("dd", v))), class_="figures"
    )


def _ps(picoseconds: float | None) -> float | None:
    return None if picoseconds is None else picoseconds * 1e-12
