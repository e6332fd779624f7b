"""What is wrong, worst cause first, with what to do about it. Pure: view in, troubles out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from qnodeos.dashboard.markup import span, with_error
from qnodeos.dashboard.places import LinkPlace
from qnodeos.dashboard.view import NetworkView, NodeView, number
from qnodeos.homie import topic_part

Severity = Literal["alarm", "warning"]

SEPARABLE = 0.5
"""At this fidelity or below, no entanglement is shown."""

FEW_PAIRS = 2.0
"""Coincidences below so many times the accidentals are as good as none."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong. `key` stays the same while it lasts, `text` may change."""

    key: str
    severity: Severity
    where: str
    text: str
    do: str = ""
    href: str = ""


def troubles(network: NetworkView) -> list[Trouble]:
    """All of them: nodes, then instruments and the nodes' own alarms, then what follows of it."""
    found: list[Trouble] = []
    for node in network.nodes.values():
        if network.settled or node.told.heard_s is not None:
            found += _of_node(node)
    for node in network.nodes.values():
        if not node.silent:
            found += _own(node)
            found += _instruments(node)
    for node in network.nodes.values():
        if not node.silent:
            found += _peers(node, network)
    for link in network.places.links.values():
        found += _of_link(link, network)
    return sorted(found, key=lambda each: each.severity != "alarm")


def _of_node(node: NodeView) -> Iterator[Trouble]:
    name, told = node.place.name, node.told
    key, href = f"node/{name}", f"/node/{name}"
    start = f"start it: qnodeos run {node.place.file.name}"
    if told.state == "disconnected":
        yield Trouble(key, "alarm", name, "was stopped", start, href)
    elif told.heard_s is None:
        lost = ": the broker has lost it" if told.state == "lost" else ""
        yield Trouble(key, "alarm", name, f"has not been heard{lost}", start, href)
    elif node.silent:
        text = f"no word for {span(node.silent_s)}: what is shown of it is old"
        yield Trouble(key, "alarm", name, text, "is it running? see its log", href)
    elif told.draining:
        yield Trouble(key, "warning", name, f"takes no requests: {told.draining}", "", href)


def _own(node: NodeView) -> Iterator[Trouble]:
    for alarm, text in sorted(node.told.alarms.items()):
        name = node.place.name
        do = ""
        if alarm.startswith("interlock-"):
            do = "see to the cause, then acknowledge the interlock on the node's page"
        elif alarm.startswith("guard-"):
            do = "see docs/side-channels.md; what it asks to acknowledge is on the node's page"
        yield Trouble(f"alert/{name}/{alarm}", "alarm", name, text, do, f"/node/{name}")


def _instruments(node: NodeView) -> Iterator[Trouble]:
    for instrument in node.place.instruments:
        told = node.instrument(instrument)
        state, reason = told.get("state", ""), told.get("reason", "")
        if state in ("", "online"):
            continue
        name = node.place.name
        yield Trouble(
            f"instrument/{name}/{instrument}",
            "warning" if state in ("degraded", "connecting") else "alarm",
            f"{name} / {instrument}",
            f"{state}{': ' + reason if reason else ''}",
            _WHAT_TO_DO.get(state, ""),
            f"/node/{name}",
        )


_WHAT_TO_DO = {
    "absent": "is it switched on and its cable plugged in? It is tried again by itself",
    "fault": "read its own display; power-cycle it if it does not recover",
    "degraded": "it works, but see the reason",
}


def _peers(node: NodeView, network: NetworkView) -> Iterator[Trouble]:
    for peer in node.place.peers:
        other = network.nodes.get(peer)
        known = other is not None and other.silent
        if node.peer(peer) in ("lost", "never") and not known:
            name = node.place.name
            yield Trouble(
                f"peer/{name}/{peer}",
                "alarm",
                name,
                f"does not hear {peer}, which runs" if other else f"does not hear {peer}",
                "see the network between them, and their keys",
                f"/node/{name}",
            )


def _of_link(link: LinkPlace, network: NetworkView) -> Iterator[Trouble]:
    figures = network.figures(link)
    if not figures:
        return  # its ends are silent, which is told already
    href, where = f"/link/{link.key}", f"link {link.name}"
    if figures.get("ready") == "false":
        why = _why_not_ready(link, network)
        yield Trouble(f"ready/{link.key}", "alarm", where, f"not ready{why}", "", href)
    clock, resting = figures.get("clock", ""), figures.get("resting") == "true"
    if clock == "lost" or (clock == "acquiring" and not resting):
        yield Trouble(
            f"clock/{link.key}",
            "alarm" if clock == "lost" else "warning",
            where,
            "clock lost: too few photon pairs" if clock == "lost" else "looking for the clock",
            "are the source, the fibre and both detectors all right? See the singles at each end",
            href,
        )
    elif clock == "holdover" and not resting:
        text = "clock in holdover: no photon pairs come"
        do = "see the fibre between the ends; the clock is lost when its uncertainty is too large"
        yield Trouble(f"clock/{link.key}", "alarm", where, text, do, href)
    pairs, by_chance = number(figures, "coincidences_cps"), number(figures, "accidentals_cps")
    tracked = clock == "tracking" and not resting
    if tracked and pairs is not None and by_chance is not None and pairs < FEW_PAIRS * by_chance:
        text = f"{pairs:.3g} coincidences/s, {by_chance:.3g} of them by chance"
        yield Trouble(f"pairs/{link.key}", "alarm", where, text, "see the histogram", href)
    fidelity, error = number(figures, "fidelity"), number(figures, "fidelity_error")
    high = number(figures, "fidelity_high") or fidelity
    if fidelity is not None and high is not None and high <= SEPARABLE:
        text = f"no entanglement: F = {with_error(fidelity, error)}"
        do = "see the correlators: one that is small shows which basis is off"
        yield Trouble(f"fidelity/{link.key}", "alarm", where, text, do, href)


def _why_not_ready(link: LinkPlace, network: NetworkView) -> str:
    for name in link.ends:
        node = network.nodes.get(name)
        if node is None or node.silent:
            return f": {name} is away"
    figures = network.figures(link)
    if figures.get("guard", "closed") != "closed":
        return f": stopped by its guard, {figures.get('guard_reason', '')}"
    if link.station:
        for name in link.ends:
            if network.nodes[name].peer(topic_part(link.station)) != "up":
                return f": {link.station} is away"
    return ""
