"""What a node says on the bus, against the rules of the Homie 5 convention."""

import asyncio
import json
import math
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qnodeos.bus import Bus
from qnodeos.bus_memory import MemoryBroker
from qnodeos.cli.rehearse import load
from qnodeos.homie import datatype, description, topic_part, unit, value_text
from qnodeos.rehearsal import rehearsal
from qnodeos.status import Status, publish_status
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
ID = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
STATES = {"init", "ready", "disconnected", "sleeping", "lost"}
PAYLOADS = {
    "integer": re.compile(r"-?[0-9]+"),
    "float": re.compile(r"-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?"),
    "boolean": re.compile(r"true|false"),
    "string": re.compile(r".+", re.S),
    "json": re.compile(r"[\[{].*[\]}]", re.S),
}


def broken(told: dict[str, str], node: str) -> list[str]:
    """What of the retained topics of a node breaks a rule."""
    begin = f"homie/5/{node}/"
    topics = {name.removeprefix(begin): text for name, text in told.items() if begin in name}
    found = [] if topics.get("$state") in STATES else ["$state"]
    document = json.loads(topics["$description"])
    if document["homie"] != "5.0" or not isinstance(document["version"], int):
        found.append("$description")
    described = {
        f"{group}/{name}": each
        for group, of_group in document["nodes"].items()
        for name, each in of_group["properties"].items()
    }
    for topic, text in topics.items():
        parts = topic.split("/")
        if topic in ("$state", "$description"):
            continue
        if len(parts) != 2 or not all(ID.fullmatch(each.removeprefix("$")) for each in parts):
            found.append(topic)
        elif parts[0] == "$alert":
            continue
        elif topic not in described:
            found.append(f"{topic} is not described")
        elif not PAYLOADS[described[topic]["datatype"]].fullmatch(text):
            found.append(f"{topic} says {text!r}, described as {described[topic]}")
    return found


def test_a_whole_network_keeps_the_rules(tmp_path: Path) -> None:
    async def scenario() -> dict[str, str]:
        lab, nodes, _ = load(EXAMPLE, tmp_path)
        async with rehearsal(lab, list(nodes)) as network:
            await network.lasts(20.0)
            return {topic: text.decode() for topic, text in network.broker.retained.items()}

    told = run_virtual(scenario(), limit_s=120)
    assert {topic.split("/")[2] for topic in told} == {"alice", "bob", "station"}
    assert len(told) > 150
    assert [rule for node in ("alice", "bob", "station") for rule in broken(told, node)] == []
    told["homie/5/alice/link-memory/fidelity"] = "nan"
    assert len(broken(told, "alice")) == 1


def test_a_description_changes_only_in_the_state_init() -> None:
    async def scenario() -> list[tuple[str, str]]:
        came: list[tuple[str, str]] = []
        broker = MemoryBroker(
            tap=lambda _, topic, payload: came.append(
                (topic.removeprefix("homie/5/alice/"), payload.decode())
            )
        )
        bus = Bus("mem://bus", "alice", broker=broker)
        life = asyncio.create_task(bus.run())
        bus.set_state("ready")
        for figure in ("pairs", "more", "more"):
            bus.publish("link-memory", figure, len(came))
            await asyncio.sleep(1.0)
        life.cancel()
        return came

    came = run_virtual(scenario(), limit_s=10)
    state, documents = "", []
    for topic, text in came:
        if topic == "$state":
            state = text
        elif topic == "$description":
            assert state == "init"
            documents.append(json.loads(text))
    assert state == "ready"
    assert came[-1][0] == "link-memory/more"  # a new value alone changes nothing else
    assert [len(each["nodes"]["link-memory"]["properties"]) for each in documents] == [1, 2]
    assert documents[0]["version"] != documents[1]["version"]


def test_what_is_said_no_more_is_gone_from_the_bus() -> None:
    said: list[Status] = [{"rate_cps": 5.0, "clock": ""}, {"clock": "lost"}, {"rate_cps": math.nan}]

    async def scenario() -> list[dict[str, str]]:
        broker = MemoryBroker()
        bus = Bus("mem://bus", "alice", broker=broker)
        now = {"status": said[0]}
        lives = [
            asyncio.create_task(bus.run()),
            asyncio.create_task(
                publish_status(bus, Nothing(), {"link": lambda: now["status"]}, lambda: 0.0)  # type: ignore[arg-type]
            ),
        ]
        found = []
        for status in said:
            now["status"] = status
            await asyncio.sleep(2.0)
            begin = "homie/5/alice/link/"
            found.append(
                {
                    topic.removeprefix(begin): text.decode()
                    for topic, text in broker.retained.items()
                    if topic.startswith(begin)
                }
            )
        for life in lives:
            life.cancel()
        return found

    assert run_virtual(scenario(), limit_s=20) == [
        {"rate-cps": "5.0", "clock": "\0"},
        {"clock": "lost"},
        {},
    ]


class Nothing:
    """A journal that keeps nothing."""

    def event(self, kind: str, what: dict[str, Any]) -> None:
        """Forgotten."""


def test_values_are_written_as_homie_does() -> None:
    told = {"true": True, "false": False, "3": 3, "0.5": 0.5, "1e22": 1e22, "x": "x", "\0": ""}
    assert [value_text(value) for value in told.values()] == list(told)
    assert value_text({"a": 1}) == '{"a": 1}'
    assert topic_part("power_mW") == "power-mw"
    assert topic_part("a/b#c") == "a-b-c"


@given(st.text())
def test_any_name_becomes_an_id(name: str) -> None:
    assert ID.fullmatch(topic_part(name))


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.text()))
def test_any_value_is_a_payload_of_its_datatype_or_none(value: Any) -> None:
    text = value_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        assert text == ""
        return
    assert PAYLOADS[datatype(value)].fullmatch(text)
    if not isinstance(value, bool | str):
        assert type(value)(text) == value


def test_numbers_have_the_units_of_their_names() -> None:
    named = {"power-mw": "mW", "pairs-per-s": "1/s", "t2-s": "s", "ok-p99-ms": "ms", "s": ""}
    assert {name: unit(name) for name in named} == named
    document = json.loads(description("alice", {"pump": {"power-mw": "float", "in-mw": "string"}}))
    assert document["nodes"]["pump"]["properties"] == {
        "power-mw": {"datatype": "float", "unit": "mW"},
        "in-mw": {"datatype": "string"},
    }
