"""Tables of the network for a terminal. Pure: what was heard in, rows of text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from qnodeos.dashboard.markup import MISSING, named, si, span, with_error
from qnodeos.dashboard.places import LinkPlace
from qnodeos.dashboard.sights import Answer, Sights
from qnodeos.dashboard.troubles import troubles
from qnodeos.dashboard.view import NetworkView, NodeView, number

READINGS_SHOWN = 4
GOOD = {"online", "ready", "up", "tracking", "yes", "running"}
BAD = {"fault", "absent", "lost", "silent", "no", "alarm", "crash-loop"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: its title, columns and rows; `empty` is said where there are no rows. Columns in
    `long` hold sentences: they share the room that the others leave, and are wrapped."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    empty: str
    long: tuple[str, ...] = ()


@dataclass(slots=True)
class Looks:
    """What the local sockets said when they were looked at closely, by node and by link."""

    nodes: dict[str, Answer] = field(default_factory=dict)
    links: dict[str, dict[str, Answer]] = field(default_factory=dict)
    """By the link's key, then by the end that said it."""
    rates: dict[str, Answer] = field(default_factory=dict)
    """The newest sample of a link's leading end, with its rates."""


def looked(network: NetworkView, sights: Sights) -> Looks:
    """The last words of all nodes on this computer; asks for more of them."""
    found = Looks()
    for name in network.nodes:
        answer = sights.node(name).look()
        if answer is not None:
            found.nodes[name] = answer
    for link in network.places.links.values():
        sight = sights.link(link)
        sight.look()
        found.links[link.key] = sight.answers
        if sight.samples:
            found.rates[link.key] = sight.samples[-1][1]
    return found


def sheets(network: NetworkView, looks: Looks) -> dict[str, Sheet]:
    """All tables by their short names, in the order in which they are shown."""
    return {
        "wrong": _wrong(network),
        "nodes": _nodes(network),
        "links": _links(network, looks),
        "instruments": _instruments(network),
        "requests": _requests(network, looks),
        "memory": _memory(looks),
        "latencies": _latencies(network),
    }


def _wrong(network: NetworkView) -> Sheet:
    rows = [(each.severity, each.where, each.text, each.do) for each in troubles(network)]
    empty = "nothing is wrong" if network.settled else "listening to the nodes"
    columns = ("severity", "where", "what", "what to do")
    return Sheet("what is wrong", columns, rows, empty, long=columns[2:])


def _nodes(network: NetworkView) -> Sheet:
    rows = []
    for name, node in network.nodes.items():
        loop = node.group("loop")
        online = [node.instrument(i).get("state") == "online" for i in node.place.instruments]
        up = [node.peer(peer) == "up" for peer in node.place.peers]
        rows.append(
            (
                name,
                state_of(node),
                span(node.silent_s),
                f"{sum(online)}/{len(online)}",
                f"{sum(up)}/{len(up)}",
                str(len(node.told.alarms)),
                si(number(loop, "late_s"), "s", 2),
                loop.get("stalls", MISSING),
            )
        )
    columns = ("node", "state", "heard", "instruments", "peers", "alarms", "late", "stalls")
    return Sheet("nodes", columns, rows, "no node")


def state_of(node: NodeView) -> str:
    """ready, silent, draining, or what the node says of itself."""
    if node.silent:
        return "silent"
    return "draining" if node.told.draining else node.told.state or "ready"


def _links(network: NetworkView, looks: Looks) -> Sheet:
    rows = [
        _link(link, network.figures(link), looks.rates.get(link.key, {}))
        for link in network.places.links.values()
    ]
    columns = ("link", "ends", "ready", "pairs", "fidelity", "heralds", "clock", "delivered")
    return Sheet("links", columns, rows, "no link")


def _link(link: LinkPlace, told: dict[str, str], rates: Answer) -> tuple[str, ...]:
    light = link.kind == "photonic"
    made = number(told, "coincidences_cps") if light else rates.get("heralds_cps")
    ready = {"true": "yes", "false": "no"}.get(told.get("ready", ""), MISSING)
    return (
        link.name,
        " - ".join(link.ends),
        ready,
        si(rates.get("delivered_cps"), "/s"),
        with_error(number(told, "fidelity"), number(told, "fidelity_error")),
        si(made, "/s"),
        told.get("clock", MISSING),
        told.get("delivered", MISSING),
    )


def _instruments(network: NetworkView) -> Sheet:
    rows = []
    for name, node in network.nodes.items():
        for instrument in node.place.instruments:
            told = dict(node.instrument(instrument))
            state, reason = told.pop("state", MISSING), told.pop("reason", "")
            readings = ", ".join(
                " ".join(named(each, value)) for each, value in list(told.items())[:READINGS_SHOWN]
            )
            rows.append((name, instrument, state, reason or readings))
    columns = ("node", "instrument", "state", "readings, or why not")
    return Sheet("instruments", columns, rows, "no instrument", long=columns[3:])


def _requests(network: NetworkView, looks: Looks) -> Sheet:
    rows = []
    for link in network.places.links.values():
        # Both ends know of a request; the one that asked says more of it.
        found: dict[str, dict[str, Any]] = {}
        for end, answer in looks.links.get(link.key, {}).items():
            for request in answer["requests"]:
                if request["origin"] == end or request["id"] not in found:
                    found[request["id"]] = request
        for request in found.values():
            rows.append(
                (
                    link.name,
                    request["origin"],
                    request["purpose"],
                    request["kind"],
                    f"{request['delivered']}/{request['number']}",
                    f"{request['minimum_fidelity']:.3g}",
                    request["state"],
                    span(request["age_s"]),
                    span(max(0.0, request["left_s"])),
                )
            )
    columns = ("link", "asked by", "for", "type", "pairs", "F at least", "state", "age", "left")
    return Sheet("requests", columns, rows, "no request is open")


def _memory(looks: Looks) -> Sheet:
    rows = [
        (
            name,
            device,
            f"{memory['free']} of {memory['capacity']} free",
            str(pair.get("qubit", MISSING)),
            pair.get("link", MISSING),
            pair.get("bell_state", MISSING),
            with_error(pair.get("fidelity"), None),
            span(max(0.0, pair["left_s"])) if "left_s" in pair else MISSING,
        )
        for name, answer in looks.nodes.items()
        for device, memory in answer["memories"].items()
        for pair in memory["pairs"] or [{}]
    ]
    columns = ("node", "device", "slots", "qubit", "link", "state", "fidelity", "of use for")
    return Sheet("memory", columns, rows, "no memory on this computer")


def _latencies(network: NetworkView) -> Sheet:
    rows = [row for node in network.nodes.values() for row in _latencies_of(node)]
    columns = ("node", "of", "what", "half within", "99 % within")
    return Sheet("latencies", columns, rows, "nothing has been timed yet")


def _latencies_of(node: NodeView) -> Iterator[tuple[str, ...]]:
    names = {"ok": "herald to agreed pair", "correction": "herald to correction"}
    for link in node.place.links:
        told = node.group(f"link-{link}")
        for figure, what in names.items():
            half, most = (number(told, f"{figure}_{part}_ms") for part in ("p50", "p99"))
            if most is not None:
                times = (si(None if each is None else each / 1e3, "s") for each in (half, most))
                yield (node.place.name, link, what, *times)
