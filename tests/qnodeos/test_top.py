"""`qnodeos top`: tables from what was heard, and the screen that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import DataTable, Static, TabbedContent
from typer.testing import CliRunner

from qnodeos.cli import app
from qnodeos.dashboard.places import find_places
from qnodeos.dashboard.view import NetworkView
from qnodeos.top.app import Help, Top, widths
from qnodeos.top.rows import Looks, Sheet, sheets

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
NOW_S = 1000.0
REQUEST = {
    "id": "7",
    "kind": "K",
    "origin": "alice",
    "purpose": "teleport",
    "number": 20,
    "delivered": 8,
    "minimum_fidelity": 0.8,
    "state": "active",
    "age_s": 0.25,
    "left_s": 9.7,
}


async def silence(network: NetworkView) -> None:
    """Nothing more is heard."""


@pytest.fixture
def network() -> NetworkView:
    view = NetworkView.of(find_places([EXAMPLE]), lambda: NOW_S, lambda: NOW_S)
    view.since_s = NOW_S - 60.0
    for name in ("alice", "bob"):
        node = view.nodes[name]
        node.reachable = True
        node.socket.heard_s = NOW_S - 0.2
        for instrument in node.place.instruments:
            node.socket.take(f"instrument-{instrument.replace('_', '-')}/state", "online")
        for peer in node.place.peers:
            node.socket.take(f"peers/{peer}", "up")
        for topic, text in {
            "link-memory/ready": "true",
            "link-memory/fidelity": "0.9488",
            "link-memory/fidelity-error": "0.0237",
            "link-memory/correction-p50-ms": "0.22",
            "link-memory/correction-p99-ms": "1.5",
            "link-photonic/ready": "true",
            "link-photonic/clock": "tracking",
            "loop/late-s": "0.0004",
        }.items():
            node.socket.take(topic, text)
    view.nodes["alice"].socket.take("instrument-pump/current-ma", "90.0")
    return view


def looks(network: NetworkView) -> Looks:
    memory: dict[str, Any] = {"capacity": 4, "free": 3}
    pair = {"qubit": 2, "link": "memory", "bell_state": "PHI_PLUS", "fidelity": 0.91, "left_s": 0.2}
    link = next(key for key in network.places.links if key.startswith("memory"))
    return Looks(
        nodes={"alice": {"memories": {"memory": memory | {"pairs": [pair]}}}},
        links={
            link: {"bob": {"requests": [REQUEST]}, "alice": {"requests": [REQUEST]}},
        },
        rates={link: {"delivered_cps": 42.0, "heralds_cps": 60.0}},
    )


def row(sheet: Sheet, *first: str) -> dict[str, str]:
    (found,) = [each for each in sheet.rows if each[: len(first)] == first]
    return dict(zip(sheet.columns, found, strict=True))


def test_what_was_heard_becomes_tables(network: NetworkView):
    found = sheets(network, looks(network))
    alice = row(found["nodes"], "alice")
    assert (alice["state"], alice["heard"], alice["instruments"]) == ("ready", "200 ms", "6/6")
    assert (alice["peers"], alice["late"]) == ("2/2", "400 µs")
    assert row(found["nodes"], "station")["state"] == "silent"
    link = row(found["links"], "memory")
    assert (link["ends"], link["ready"]) == ("alice - bob", "yes")
    assert (link["pairs"], link["fidelity"]) == ("42.0 /s", "0.949 ± 0.024")
    assert row(found["links"], "photonic")["clock"] == "tracking"
    assert row(found["instruments"], "alice", "pump")["readings, or why not"] == "current 90 mA"
    (request,) = found["requests"].rows  # both ends know of it: it is shown once
    assert request[:5] == ("memory", "alice", "teleport", "K", "8/20")
    held = row(found["memory"], "alice")
    assert (held["slots"], held["qubit"], held["of use for"]) == ("3 of 4 free", "2", "200 ms")
    timed = row(found["latencies"], "bob")
    assert (timed["what"], timed["99 % within"]) == ("herald to correction", "1.50 ms")


def test_what_is_wrong_comes_with_what_to_do(network: NetworkView):
    network.nodes["alice"].socket.take("instrument-pump/state", "absent")
    network.nodes["alice"].socket.take("instrument-pump/reason", "no answer")
    found = sheets(network, Looks())
    assert row(found["wrong"], "alarm", "alice / pump")["what"] == "absent: no answer"
    assert "switched on" in row(found["wrong"], "alarm", "alice / pump")["what to do"]
    assert row(found["instruments"], "alice", "pump")["readings, or why not"] == "no answer"
    assert found["requests"].rows == []


async def test_the_screen_shows_it_and_follows(network: NetworkView):
    screen = Top(network, silence)
    async with screen.run_test(size=(140, 44)) as pilot:
        nodes = screen.query_one("#table-nodes", DataTable)
        assert [str(each) for each in nodes.get_row_at(0)][:2] == ["alice", "ready"]
        assert str(nodes.get_row_at(0)[1].style) == "green"
        assert screen.sub_title == "3 nodes, 1 wrong"  # the station is silent
        wrong = screen.query_one("#table-wrong", DataTable)
        assert str(wrong.get_row_at(0)[1]) == "station"

        network.nodes["bob"].socket.heard_s = NOW_S - 10.0
        screen.draw()
        assert str(nodes.get_row_at(1)[1]) == "silent"

        await pilot.press("p")
        network.nodes["bob"].socket.heard_s = NOW_S
        screen.draw()
        assert str(nodes.get_row_at(1)[1]) == "silent"  # held
        await pilot.press("p")
        assert str(nodes.get_row_at(1)[1]) == "ready"


@pytest.mark.parametrize("screen", [80, 140, 220])
def test_sentences_are_wrapped_and_nothing_is_off_the_screen(network: NetworkView, screen: int):
    told = network.nodes["alice"].socket
    told.take("instrument-pump/state", "absent")
    told.take("instrument-pump/reason", "no answer at tcp://10.0.0.7:1998 " * 5)
    for sheet in sheets(network, looks(network)).values():
        found = widths(sheet, screen)
        assert sum(found) + 2 * len(found) <= max(screen, 90), sheet.title


@pytest.mark.parametrize(
    ("key", "tab", "has"),
    [("2", "instruments", 11), ("3", "requests", 0), ("4", "memory", 0), ("5", "latencies", 2)],
)
async def test_keys_lead_to_the_tabs(network: NetworkView, key: str, tab: str, has: int):
    screen = Top(network, silence)
    async with screen.run_test(size=(140, 44)) as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert screen.query_one(TabbedContent).active == tab
        assert screen.query_one(f"#table-{tab}", DataTable).row_count == has
        empty = screen.query_one(f"#empty-{tab}", Static)
        assert empty.display == (has == 0)


async def test_a_screen_that_is_gone_is_not_drawn(network: NetworkView):
    screen = Top(network, silence)
    async with screen.run_test() as pilot:
        await pilot.pause()
        shown = screen.query_one("#table-nodes", DataTable).row_count
    network.nodes.clear()
    screen.draw()  # as the timer does between the last table and its own end
    assert shown == 3
    assert screen.sub_title.startswith("3 nodes")


async def test_help_comes_and_goes(network: NetworkView):
    screen = Top(network, silence)
    async with screen.run_test() as pilot:
        await pilot.press("question_mark")
        assert isinstance(screen.screen, Help)
        await pilot.press("x")
        assert not isinstance(screen.screen, Help)
        await pilot.press("q")
    assert screen.return_code == 0


def test_without_a_terminal_it_is_printed_once():
    done = CliRunner().invoke(app, ["top", str(EXAMPLE), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [each["state"] for each in found["nodes"]] == ["silent"] * 3
    assert {each["what"] for each in found["wrong"]} == {"has not been heard"}
    done = CliRunner().invoke(app, ["top", str(EXAMPLE)])
    assert "what is wrong:\n" in done.stdout
    assert "\x1b" not in done.stdout
