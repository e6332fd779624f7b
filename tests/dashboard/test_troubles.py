"""What an operator is told is wrong, from what the nodes have told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from qnodeos.dashboard.alarms import Alarms
from qnodeos.dashboard.markup import named, si, span, table, tag, with_error
from qnodeos.dashboard.places import find_places
from qnodeos.dashboard.troubles import troubles
from qnodeos.dashboard.view import NetworkView
from qnodeos.errors import UserError

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def network(clock: Clock) -> NetworkView:
    """The two-node example, all well, heard just now over the local sockets."""
    network = NetworkView.of(find_places([EXAMPLE]), clock, clock)
    for node in network.nodes.values():
        node.reachable = True
        node.socket.heard_s = clock()
        node.socket.take("$state", "ready")
        for instrument in node.place.instruments:
            node.socket.take(f"instrument-{instrument.replace('_', '-')}/state", "online")
        for peer in node.place.peers:
            node.socket.take(f"peers/{peer}", "up")
    for end in ("alice", "bob"):
        told = network.nodes[end].socket
        for topic, text in {
            "link-photonic/ready": "true",
            "link-photonic/resting": "false",
            "link-photonic/clock": "tracking",
            "link-memory/ready": "true",
        }.items():
            told.take(topic, text)
    alice = network.nodes["alice"].socket
    for name, text in {
        "acquisitions": "1",
        "coincidences-cps": "3000.0",
        "accidentals-cps": "2.0",
        "fidelity": "0.965",
        "fidelity-error": "0.001",
        "fidelity-high": "0.967",
    }.items():
        alice.take(f"link-photonic/{name}", text)
    return network


def later(network: NetworkView, clock: Clock, seconds: float) -> None:
    """Time passes and all nodes go on speaking."""
    clock.now_s += seconds
    for node in network.nodes.values():
        node.socket.heard_s = clock()


def keys(network: NetworkView) -> list[str]:
    return [each.key for each in troubles(network)]


def test_a_network_that_is_well_has_no_troubles(network: NetworkView) -> None:
    assert set(network.nodes) == {"alice", "bob", "station"}
    assert set(network.places.links) == {"photonic@alice-bob", "memory@alice-bob"}
    assert network.places.links["memory@alice-bob"].station == "station"
    assert troubles(network) == []


def test_a_node_that_was_never_heard_is_told(clock: Clock) -> None:
    network = NetworkView.of(find_places([EXAMPLE / "alice.toml"]), clock, clock)
    assert troubles(network) == []  # there was no time to hear it
    clock.now_s += 3
    (trouble,) = troubles(network)
    assert (trouble.key, trouble.severity) == ("node/alice", "alarm")
    assert "qnodeos run alice.toml" in trouble.do


def test_a_silent_node_is_told_with_how_long_and_its_figures_are_not_shown_as_new(
    network: NetworkView, clock: Clock
) -> None:
    network.nodes["alice"].reachable = False
    clock.now_s += 12
    for name in ("bob", "station"):
        network.nodes[name].socket.heard_s = clock()
    first = troubles(network)[0]
    assert first.key == "node/alice"
    assert "no word for 12 s" in first.text
    # What alice said last is known, but not shown as what the link is now.
    assert "fidelity" in network.nodes["alice"].group("link-photonic")
    assert "fidelity" not in network.figures(network.places.links["photonic@alice-bob"])


def test_the_cause_stands_before_what_follows_from_it(network: NetworkView, clock: Clock) -> None:
    network.nodes["station"].reachable = False
    clock.now_s += 5
    for name in ("alice", "bob"):
        node = network.nodes[name]
        node.socket.heard_s = clock()
        node.socket.take("peers/station", "lost")
        node.socket.take("link-memory/ready", "false")
    assert keys(network) == ["node/station", "ready/memory@alice-bob"]
    assert "station is away" in troubles(network)[1].text


def test_of_two_ways_the_later_word_counts(network: NetworkView, clock: Clock) -> None:
    node = network.nodes["bob"]
    node.reachable = False
    clock.now_s += 3
    assert node.silent
    node.broker.take("$state", "ready")
    node.broker.take("instrument-tagger/state", "fault")
    node.broker.heard_s = clock()
    assert not node.silent
    assert node.instrument("tagger")["state"] == "fault"


@pytest.mark.parametrize(
    ("node", "topic", "text", "key"),
    [
        ("alice", "instrument-power-meter/state", "absent", "instrument/alice/power_meter"),
        ("alice", "instrument-tagger/state", "degraded", "instrument/alice/tagger"),
        ("bob", "$alert/guard", "nothing is armed: no guard", "alert/bob/guard"),
        ("bob", "peers/alice", "lost", "peer/bob/alice"),
        ("alice", "link-photonic/clock", "holdover", "clock/photonic@alice-bob"),
        ("alice", "link-photonic/clock", "lost", "clock/photonic@alice-bob"),
        ("alice", "link-photonic/coincidences-cps", "3.9", "pairs/photonic@alice-bob"),
        ("alice", "link-photonic/fidelity-high", "0.49", "fidelity/photonic@alice-bob"),
        ("alice", "link-memory/ready", "false", "ready/memory@alice-bob"),
    ],
)
def test_each_trouble_is_told_once(
    network: NetworkView, node: str, topic: str, text: str, key: str
) -> None:
    network.nodes[node].socket.take(topic, text)
    assert keys(network) == [key]


def test_a_resting_link_is_no_trouble(network: NetworkView) -> None:
    for topic, text in {"resting": "true", "clock": "holdover", "coincidences-cps": "0"}.items():
        network.nodes["alice"].socket.take(f"link-photonic/{topic}", text)
    assert troubles(network) == []


def test_an_alarm_keeps_its_beginning_and_who_has_seen_it(
    network: NetworkView, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "dashboard.json"
    alarms = Alarms(file, clock)
    network.nodes["bob"].socket.take("$alert/guard", "nothing is armed")
    alarms.take(troubles(network))
    began_s = clock.now_s
    later(network, clock, 60)
    alarms.take(troubles(network))
    assert [each.since_s for each in alarms.now] == [began_s]
    assert alarms.open == 1
    assert alarms.acknowledge("alert/bob/guard")
    assert alarms.open == 0
    assert not alarms.acknowledge("alert/bob/other")

    again = Alarms(file, clock)  # the dashboard was started anew
    again.take(troubles(network))
    assert [(each.since_s, each.acknowledged_s) for each in again.now] == [(began_s, clock.now_s)]

    network.nodes["bob"].socket.take("$alert/guard", "")
    later(network, clock, 10)
    again.take(troubles(network))
    assert again.now == []
    assert [each.trouble.key for each in again.ended] == ["alert/bob/guard"]
    network.nodes["bob"].socket.take("$alert/guard", "nothing is armed")
    again.take(troubles(network))
    assert again.open == 1  # it is a new one


def test_a_broken_file_of_acknowledgements_is_as_none(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "dashboard.json"
    file.write_text('{"a": 1}')
    assert Alarms(file, clock).now == []


def test_what_comes_from_outside_is_escaped() -> None:
    evil = '<script>alert("1")</script>'
    shown = tag("div", evil, data_of=evil)
    assert "<script" not in shown
    assert '"1"' not in shown
    assert "<script" not in table(["a"], [[evil]], empty="")
    assert tag("b", tag("i", "x")) == "<b><i>x</i></b>"


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (si(24446.3, "/s"), "24.4 k/s"),
        (si(21.72e-12, "s"), "21.7 ps"),
        (si(999.9, "/s"), "1.00 k/s"),
        (si(0, "/s"), "0 /s"),
        (si(None, "/s"), "–"),
        (with_error(0.96466, 0.00178), "0.9647 ± 0.0018"),
        (with_error(-0.94983, 0.0046), "−0.9498 ± 0.0046"),
        (with_error(2.5, None, "%"), "2.5 %"),
        (" ".join(named("bias_1_ua", 20.0)), "bias 1 20 µA"),
        (" ".join(named("rate-2-cps", "11793.2")), "rate 2 11.8 k/s"),
        (" ".join(named("emission", True)), "emission yes"),
        (" ".join(named("health", "OK")), "health OK"),
        (" ".join(named("slot", 77283892)), "slot 77283892"),
        (span(0.2196), "220 ms"),
        (span(12.2), "12 s"),
        (span(90000), "25 h"),
    ],
)
def test_numbers_are_written_as_people_write_them(shown: str, text: str) -> None:
    assert shown == text


def test_a_folder_without_nodes_is_refused_with_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("[lab]\n")
    with pytest.raises(UserError, match="no node's file"):
        find_places([tmp_path])
