"""One node: its instruments, its memory with deadlines, its services, and where its time goes."""

from __future__ import annotations

from typing import Any

from qnodeos.config import MemoryLinkTable
from qnodeos.dashboard.frame import Board, alarm_list
from qnodeos.dashboard.markup import MISSING, Html, chip, joined, named, span, table, tag
from qnodeos.dashboard.overview import State, figure_list, node_state
from qnodeos.dashboard.sights import Answer
from qnodeos.dashboard.view import NodeView, number

_STATES: dict[str, State] = {
    "online": "good",
    "degraded": "warn",
    "connecting": "warn",
    "absent": "bad",
    "fault": "bad",
    "up": "good",
    "lost": "bad",
    "never": "bad",
    "running": "good",
    "restarting": "warn",
    "crash-loop": "bad",
    "closed": "good",
    "open": "bad",
}


class NodePage:
    """The page of one node."""

    def __init__(self, node: NodeView, board: Board):
        self.title, self.path = f"Node {node.place.name}", f"/node/{node.place.name}"
        self._node, self._board = node, board
        self._sight = board.sights.node(node.place.name)
        self._sight.look()

    def fragments(self) -> dict[str, Html]:
        """State, instruments, memory, the rest."""
        seen = self._sight.look() or {}
        name = self._node.place.name
        mine = [a for a in self._board.alarms.now if a.trouble.href == self.path]
        parts = {
            "title": self._title(),
            "alarms": alarm_list(mine, self._board, empty=f"Nothing is wrong with {name}."),
            "instruments": _card("Instruments", self._instruments(seen.get("instruments", {}))),
        }
        if self._node.place.config.interlocks or self._node.place.config.guards:
            parts["interlocks"] = _card("Interlocks", self._interlocks())
        if self._memory_links():
            parts["memory"] = tag(
                "div",
                _card("Memory", self._memory(seen.get("memories", {}))),
                _card("Where the time goes", self._latencies()),
                class_="grid",
            )
        parts["rest"] = tag(
            "div",
            _card("Peers and links", self._peers()),
            _card("Processes", self._processes()),
            _card("Services", self._services(seen.get("services", {}))),
            class_="grid",
        )
        return parts

    def plots(self) -> dict[str, Any]:
        """None here."""
        self._sight.look()
        return {}

    def whole(self) -> dict[str, Any]:
        """None here."""
        return {}

    def _title(self) -> Html:
        node = self._node
        silent_s = node.silent_s
        if node.silent:
            word = "not heard" if silent_s is None else f"no word for {span(silent_s)}"
        else:
            word = node.told.state or "ready"
        how = "over its local socket" if node.reachable else "over the broker"
        note = f"Heard {how}." if not node.silent else "What is shown below is its last word."
        if not node.reachable and not node.silent:
            note += " Memory and services are seen only from its own computer."
        reload: object = ""
        if self._board.control.there and node.reachable:
            reload = tag(
                "button", "Reload configuration", data_act="reload", data_of=node.place.name
            )
        return tag(
            "div",
            tag("div", tag("h1", self.title), chip(word, node_state(node)), reload, class_="title"),
            tag("p", note, class_="soft"),
        )

    def _instruments(self, seen: Answer) -> Html:
        rows = []
        for name in self._node.place.instruments:
            told = self._node.instrument(name)
            near = seen.get(name, {})
            state = told.get("state", "")
            readings = near.get("readings") or {
                key: text for key, text in told.items() if key not in ("state", "reason")
            }
            lasted = span(near["for_s"]) if near else ""
            driver = self._node.place.config.instruments[name].driver
            rows.append(
                [
                    joined((tag("b", name), tag("br"), tag("span", driver, class_="soft"))),
                    tag(
                        "span",
                        chip(state or "not told", _STATES.get(state, "idle")),
                        f" {lasted}",
                        class_="nowrap",
                    ),
                    tag("span", told.get("reason") or MISSING, class_="reason"),
                    joined(_readings(readings)),
                ]
            )
        head = ["Instrument", "State", "Last error", "Readings"]
        return table(head, rows, empty="This node has no instruments.")

    def _interlocks(self) -> Html:
        told = self._node.group("interlocks")
        rows = []
        for name, config in self._node.place.config.interlocks.items():
            state = told.get(name, "")
            row: list[object] = [
                name,
                chip(state or "not told", _STATES.get(state, "bad")),
                f"{config.of}: {config.when}",
                ", ".join(config.makes_safe),
            ]
            rows.append(self._acknowledged(name, row))
        for name, stops in self._node.place.config.guards.items():
            told = self._node.group(f"link-{name.removesuffix('.guard')}")
            state = told.get("guard", "")
            why = told.get("guard_reason") or "signs of an intruder, here or at the far end"
            row = [name, chip(state or "not told", _STATES.get(state, "bad")), why]
            rows.append(self._acknowledged(name, [*row, ", ".join(stops)]))
        head = ["Interlock", "State", "Opens when", "Makes safe"]
        return table([*head, ""] if self._board.control.there else head, rows, empty="None.")

    def _acknowledged(self, name: str, row: list[object]) -> list[object]:
        if self._board.control.there:
            of = f"{self._node.place.name}/{name}"
            row.append(tag("button", "Acknowledge", data_act="interlock", data_of=of))
        return row

    def _memory_links(self) -> dict[str, MemoryLinkTable]:
        links = self._node.place.config.links
        return {n: each for n, each in links.items() if isinstance(each, MemoryLinkTable)}

    def _memory(self, seen: Answer) -> Html:
        if not seen:
            return tag("p", "The device has not been seen yet.", class_="empty")
        return joined(_device(name, told, len(seen) > 1) for name, told in sorted(seen.items()))

    def _latencies(self) -> Html:
        """Steps of the fast path against the time that a pair is of use for."""
        late_ms = number(self._node.group("loop"), "late_s")
        parts: list[object] = []
        for name in self._memory_links():
            figures = self._node.group(f"link-{name}")
            lifetime_s = number(figures, "lifetime_s")
            steps = [
                ("event loop late by", None if late_ms is None else late_ms * 1e3),
                ("herald to correction, median", number(figures, "correction_p50_ms")),
                ("herald to correction, 99 %", number(figures, "correction_p99_ms")),
            ]
            known = [(what, ms) for what, ms in steps if ms is not None]
            whole_ms = (lifetime_s or 0.0) * 1e3
            parts.append(
                tag(
                    "p",
                    f"Link {name}: a pair is of use for {span(lifetime_s)}."
                    if lifetime_s
                    else f"Link {name}: no fidelity is known yet.",
                    class_="soft",
                )
            )
            parts.append(tag("div", *_waterfall(known, whole_ms), class_="slots"))
            if len(known) == 1:
                text = "Corrections are made at the other end: see its page."
                parts.append(tag("p", text, class_="soft"))
        return joined(parts)

    def _peers(self) -> Html:
        rows: list[list[object]] = []
        for peer in self._node.place.peers:
            state = self._node.peer(peer)
            rows.append(
                [
                    tag("a", peer, href=f"/node/{peer}"),
                    "peer",
                    chip(state or "not told", _STATES.get(state, "idle")),
                ]
            )
        for link in self._board.network.places.links.values():
            if self._node.place.name in link.nodes:
                name = tag("a", link.name, href=f"/link/{link.key}")
                rows.append([name, "link", self._link(link.name)])
        return table(["Name", "What", "State"], rows, empty="No peers.")

    def _link(self, name: str) -> Html:
        """An end is ready or not; a station attempts or not."""
        told = self._node.group(f"link-{name}")
        if told.get("attempting") == "true":
            return chip("attempting", "good")
        if "ready" in told:
            ready = told["ready"] == "true"
            return chip("ready" if ready else "not ready", "good" if ready else "bad")
        return chip("idle" if told else "not told", "idle")

    def _processes(self) -> Html:
        rows: list[tuple[object, object]] = [
            (name.replace("_", " ").capitalize(), text)
            for name, text in self._node.group("processes").items()
        ]
        for group, figures in sorted(self._node.told.values.items()):
            if group.startswith("app-"):
                text = ", ".join(
                    f"{text} {name.replace('_', ' ')}" for name, text in figures.items()
                )
                rows.append((f"Application {group.removeprefix('app-')}", text))
        if not rows:
            return tag("p", "No programs or applications here.", class_="empty")
        return figure_list(rows)

    def _services(self, seen: Answer) -> Html:
        rows = [
            [
                name,
                chip(each["state"], _STATES.get(each["state"], "idle")),
                each["failures"] or "",
                each["reason"],
            ]
            for name, each in sorted(seen.items())
            if each["state"] != "running" or each["failures"]
        ]
        empty = "Services are told over the node's local socket only."
        if seen:
            empty = f"All {len(seen)} run, and none has failed."
        return table(["Service", "State", "Failures", "Last reason"], rows, empty=empty)


def _readings(readings: dict[str, Any]) -> list[object]:
    parts: list[object] = []
    for name, value in readings.items():
        what, shown = named(name, value)
        parts += [tag("span", f"{what} ", tag("b", shown), class_="reading"), " "]
    return parts or [MISSING]


def _device(name: str, told: Answer, named: bool) -> Html:
    """One row a storage qubit: how much of its half's time is left."""
    pairs = {pair["qubit"]: pair for pair in told["pairs"]}
    rows: list[Html] = []
    for qubit in range(1, told["capacity"] + 1):
        rows.append(tag("span", f"{qubit}"))
        pair = pairs.get(qubit)
        if pair is None:
            rows.append(tag("div", tag("span", "free"), class_="bar"))
            continue
        whole_s = pair["age_s"] + pair["left_s"]
        left = max(0.0, min(1.0, pair["left_s"] / whole_s)) if whole_s > 0 else 0.0
        text = (
            f"{pair['link']} #{pair['sequence']} {pair['bell_state']}, F {pair['fidelity']:.3f}, "
            f"{span(max(0.0, pair['left_s']))} left"
        )
        rows.append(
            tag("div", tag("i", style=f"width:{100 * left:.0f}%"), tag("span", text), class_="bar")
        )
    free = f"{told['free']} of {told['capacity']} storage qubits are free."
    head = tag("p", f"{name}: {free}" if named else free, class_="soft")
    return joined((head, tag("div", *rows, class_="slots")))


def _waterfall(steps: list[tuple[str, float]], whole_ms: float) -> list[Html]:
    longest = max([whole_ms, *(ms for _, ms in steps)], default=0.0)
    rows: list[Html] = []
    for what, ms in steps:
        share = 0.0 if longest <= 0 else 100 * ms / longest
        bar = tag("i", style=f"width:{share:.1f}%")
        rows += [tag("span", what), tag("div", bar, tag("span", f"{ms:.2f} ms"), class_="bar")]
    return rows


def _card(title: str, *content: object) -> Html:
    return tag("div", tag("h2", title), *content, class_="card")
