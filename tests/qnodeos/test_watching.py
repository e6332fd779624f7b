"""What a dashboard asks of a node: told once, then in increments; looked at closely on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qnodeos.api_session import Session
from qnodeos.cli.rehearse import load
from qnodeos.rehearsal import Rehearsal, rehearsal
from qnodeos.watching import watch_methods
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"


def silent(*_: Any) -> None:
    """Nobody hears of progress."""


async def call(network: Rehearsal, node: str, method: str, **arguments: Any) -> Any:
    parts = network.nodes[node].parts
    return await watch_methods(parts)[method](Session(parts), silent, **arguments)


def test_a_node_tells_all_once_and_then_what_has_changed_and_is_looked_at(tmp_path: Path) -> None:
    async def scenario() -> None:
        lab, nodes, _ = load(EXAMPLE, tmp_path)
        async with rehearsal(lab, nodes) as network:
            await network.lasts(4.0)
            first = await call(network, "alice", "told")
            assert first["values"]["$state"] == "ready"
            assert first["values"]["peers/bob"] == "up"
            assert first["values"]["instrument-power-meter/state"] == "online"
            assert first["alarms"] == {}
            await network.lasts(1.0)
            then = await call(network, "alice", "told", after=first["number"])
            assert "link-photonic/tags" in then["values"]
            assert "instrument-power-meter/state" not in then["values"]
            again = await call(network, "alice", "told", after=then["number"])
            assert again["values"] == {}

            network.nodes["alice"].bus.alarm("test", "it is wrong")
            assert (await call(network, "alice", "told"))["alarms"] == {"test": "it is wrong"}
            network.nodes["alice"].bus.clear_alarm("test")
            assert (await call(network, "alice", "told"))["alarms"] == {}

            await histogram(network)
            await requests(network)
            await memory(network)

    run_virtual(scenario(), limit_s=120)


async def histogram(network: Rehearsal) -> None:
    """It is counted while somebody looks, at the end that leads, and peaks within the window."""
    link = {"link": "photonic"}
    assert (await call(network, "alice", "look.link", **link))["histogram"] is None
    await network.lasts(2.0)
    told = (await call(network, "alice", "look.link", **link))["histogram"]
    counts, low_ps, bin_ps = told["counts"], told["low_ps"], told["bin_ps"]
    assert 1.0 < told["span_s"] <= 2.3
    inside = [n for k, n in enumerate(counts) if abs(low_ps + (k + 0.5) * bin_ps) < 3000]
    assert sum(inside) > 0.95 * sum(counts) > 1000
    # Some 24 k and 15 k singles a second leave this rate of pairs; see the lab file.
    rate = (await call(network, "alice", "look.link", **link))["status"]["coincidences_cps"]
    assert abs(sum(counts) / told["span_s"] / rate - 1) < 0.2
    assert (await call(network, "bob", "look.link", **link))["histogram"] is None
    await network.lasts(4.0)
    assert (await call(network, "alice", "look.link", **link))["histogram"] is None


async def requests(network: Rehearsal) -> None:
    """Open requests are shown, and an operator ends one at both ends."""
    desk = network.nodes["alice"].parts.links["photonic"].desk  # type: ignore[union-attr]
    for request in desk.queue:
        await call(network, "alice", "request.cancel", link="photonic", request=str(request.id))
    await network.lasts(0.5)
    inbox = desk.ask(
        kind="M", number=10**6, minimum_fidelity=0.5, within_s=60.0, purpose="correlations"
    )
    await network.lasts(0.5)
    for end in ("alice", "bob"):
        told = (await call(network, end, "look.link", link="photonic"))["requests"]
        mine = [each for each in told if each["id"] == str(inbox.request)]
        assert len(mine) == 1
        assert mine[0]["number"] == 10**6
        assert 59 < mine[0]["left_s"] < 60
    await call(network, "bob", "request.cancel", link="photonic", request=str(inbox.request))
    await network.lasts(0.5)
    told = (await call(network, "alice", "look.link", link="photonic"))["requests"]
    assert str(inbox.request) not in {each["id"] for each in told}


async def memory(network: Rehearsal) -> None:
    """Instruments, services and stored halves, whose deadlines lie ahead."""
    desk = network.nodes["alice"].parts.links["memory"].desk  # type: ignore[union-attr]
    inbox = aiter(
        desk.ask(kind="K", number=1, minimum_fidelity=0.5, within_s=9.0, purpose="teleport")
    )
    pair = await anext(inbox)
    told = await call(network, "alice", "look.node")
    assert told["instruments"]["pump"]["driver"] == "toptica.dlcpro"
    assert told["instruments"]["pump"]["state"] == "online"
    assert told["instruments"]["pump"]["for_s"] > 1
    assert told["services"]["link-photonic"]["state"] == "running"
    assert told["memories"]["memory"]["capacity"] == 4
    halves = told["memories"]["memory"]["pairs"]
    (mine,) = [half for half in halves if half["sequence"] == pair.sequence]
    assert mine["link"] == "memory"
    assert 1 <= mine["qubit"] <= 4
    assert 0 <= mine["age_s"] < mine["age_s"] + mine["left_s"] < 1  # it is of use for a while
