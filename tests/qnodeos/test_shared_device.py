"""Links at one device take turns, and have one memory."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from link_layer.messages import Attempt
from qnodeos.config import load_node
from qnodeos.launch.ideal import write_ideal
from qnodeos.memory_link import MemoryLink
from qnodeos.rehearsal import Rehearsal, rehearsal
from qnodeos.shared_device import AGEING_S, LINGER_S, RESERVED_S, TURN_S, Claim, SharedDevice
from sim_backends.lab import load_lab
from timing.loop import run_virtual


def test_who_was_refused_comes_before_those_that_had_it() -> None:
    async def scenario() -> None:
        clock, woken = asyncio.get_running_loop().time, []
        device = SharedDevice(clock)
        for name in ("ab", "ac"):
            device.join(name, lambda name=name: woken.append(name))
        assert device.busy("ab") == ""
        device.take("ab")
        assert device.busy("ab") == ""
        assert device.busy("ac") == "its device works for link ab"
        device.give("ab")
        assert device.busy("ac") == "its device works for link ab"
        assert device.busy("ab") == ""  # its turn is not over
        device.take("ab")
        await asyncio.sleep(TURN_S)
        device.give("ab")
        assert "for link ac" in device.busy("ab")  # reserved for who waits
        await asyncio.sleep(0.001)
        assert woken == ["ac"]
        assert device.busy("ac") == ""
        device.take("ac")
        device.give("ab")  # not its own to give
        assert device.busy("ab")
        device.give("ac")
        await asyncio.sleep(2 * LINGER_S)
        assert device.busy("ab") == ""

    run_virtual(scenario())


def test_a_turn_ends_though_sums_of_times_are_rounded() -> None:
    """At 0.05 s it ends at 0.07 s, and a sum of times may come to 0.06999999999999999."""
    now_s = 0.05

    async def scenario() -> None:
        nonlocal now_s
        device = SharedDevice(lambda: now_s)
        for name in ("ab", "ac"):
            device.join(name, lambda: None)
        device.busy("ab")
        device.take("ab")
        device.busy("ac")
        now_s = 0.06999999999999999
        assert now_s < 0.05 + TURN_S
        device.give("ab")
        assert "for link ac" in device.busy("ab")

    run_virtual(scenario())


def test_a_round_that_waits_for_light_yields_after_a_while() -> None:
    async def scenario() -> None:
        asked: list[str] = []
        device = SharedDevice(asyncio.get_running_loop().time)
        device.join("ab", lambda: None, asked.append)
        device.join("ac", lambda: None)
        device.busy("ab")
        device.take("ab")
        await asyncio.sleep(10 * TURN_S)
        assert asked == []  # nobody else wants it
        device.busy("ac")
        await asyncio.sleep(0.001)
        assert asked == ["its device is wanted for link ac"]
        device.give("ab")
        device.busy("ac")
        device.take("ac")
        device.busy("ab")
        await asyncio.sleep(TURN_S / 2)
        device.give("ac")  # a herald, before it was asked to yield
        device.busy("ab")
        device.take("ab")
        await asyncio.sleep(2 * TURN_S)
        assert len(asked) == 1

    run_virtual(scenario())


def test_a_network_slot_comes_first_then_priority_then_the_deadline() -> None:
    async def scenario() -> None:
        asked: list[str] = []
        device = SharedDevice(asyncio.get_running_loop().time)
        claims = {
            "late": Claim(deadline_s=2.0),
            "soon": Claim(deadline_s=1.0),
            "high": Claim(priority=3),
            "slot": Claim(in_slot=True),
        }
        for name in ("holder", *claims):
            device.join(name, lambda: None, asked.append)
        device.busy("holder")
        device.take("holder")
        for name in ("late", "soon", "high"):
            device.busy(name, claims[name])
        await asyncio.sleep(0)
        assert asked == []
        device.busy("slot", claims["slot"])
        await asyncio.sleep(1e-6)
        assert asked == ["its device is wanted for link slot"]  # at once
        order = []
        device.give("holder")
        while claims:
            (first,) = [name for name in claims if device.busy(name, claims[name]) == ""]
            device.take(first)
            device.give(first)
            await asyncio.sleep(2 * LINGER_S)  # it does not come back
            order.append(first)
            del claims[first]
        assert order == ["slot", "high", "soon", "late"]

    run_virtual(scenario())


def test_who_waits_long_comes_before_a_higher_priority() -> None:
    async def scenario() -> None:
        device = SharedDevice(asyncio.get_running_loop().time)
        for name in ("low", "high"):
            device.join(name, lambda: None)
        device.join("holder", lambda: None)
        device.busy("holder")
        device.take("holder")
        device.busy("low")
        await asyncio.sleep(2.5 * AGEING_S)
        device.busy("high", Claim(priority=2))
        device.give("holder")
        assert "link low" in device.busy("high", Claim(priority=2))
        assert device.busy("low") == ""

    run_virtual(scenario())


def test_who_does_not_come_holds_nobody_up() -> None:
    async def scenario() -> None:
        device = SharedDevice(asyncio.get_running_loop().time)
        for name in ("ab", "ac"):
            device.join(name, lambda: None)
        device.take("ab")
        assert device.busy("ac")
        device.give("ab")
        await asyncio.sleep(2 * RESERVED_S)
        assert device.busy("ab") == ""

    run_virtual(scenario())


def three_nodes(folder: Path) -> None:
    """alice, bob and charlie, with bob's one device at both links, in one process."""
    write_ideal(folder, 3)
    for file in folder.glob("*.toml"):
        text = file.read_text()
        for name in ("alice", "bob", "charlie", "station"):
            text = text.replace(f'{name}.key_secret"', 'none"')
        if file.stem != "lab":
            lines = []
            for line in text.splitlines():
                key = line.split(" = ")[0]
                if key == "listen":
                    line = f'listen = "mem://{file.stem}"'
                elif key == "address":
                    line = f'address = "mem://{lines[-2].split(".")[-1].strip("]")}"'
                elif key == "url":
                    line = 'url = "mem://bus"'
                elif key == "resource":
                    own = [each for each in lines if each.startswith("[instruments.")][-1]
                    name = own.removeprefix("[instruments.").strip("]")
                    line = (
                        f'resource = "mem://{name if file.stem == "station" else name + "-memory"}"'
                    )
                lines.append(line)
            text = "\n".join(lines)
        file.write_text(text)


@pytest.mark.parametrize("asker", ["alice", "charlie"])
def test_links_of_one_device_are_served_side_by_side(tmp_path: Path, asker: str) -> None:
    """bob's one device is at both links; each serves, and no qubit is anybody's twice."""
    three_nodes(tmp_path / "net")

    async def use(inbox: object, count: int) -> dict[int, int]:
        found: dict[int, int] = {}
        async for pair in inbox:  # type: ignore[attr-defined]
            found[pair.sequence] = await pair.measure("Z")
            if len(found) == count:
                break
        return found

    async def scenario() -> None:
        names = ("alice", "bob", "charlie", "station")
        configs = [load_node(tmp_path / "net" / f"{name}.toml") for name in names]
        lab = load_lab(tmp_path / "net" / "lab.toml")
        async with rehearsal(lab, configs, delay_s=1e-4) as network:
            links = {
                (node, link): network.nodes[node].links[link]
                for node, link in (
                    ("alice", "alice-bob"),
                    ("bob", "alice-bob"),
                    ("bob", "bob-charlie"),
                    ("charlie", "bob-charlie"),
                )
            }
            while not all(link.ready for link in links.values()):
                await network.lasts(0.05)
            assert links["bob", "alice-bob"].memory is links["bob", "bob-charlie"].memory
            outcomes = []
            for other, name in (("alice", "alice-bob"), ("charlie", "bob-charlie")):
                near, far = (other, "bob") if asker == other else ("bob", other)
                far_inbox = links[far, name].desk.accept("test")
                outcomes.append(asyncio.create_task(use(far_inbox, 60)))
                inbox = links[near, name].desk.ask(
                    kind="K", number=60, minimum_fidelity=0.5, within_s=20.0, purpose="test"
                )
                outcomes.append(asyncio.create_task(use(inbox, 60)))
            async with asyncio.timeout(20):
                found = await asyncio.gather(*outcomes)
            assert found[0] == found[1]
            assert found[2] == found[3]
            for link in links.values():
                assert link.memory.free == link.memory.capacity

    run_virtual(scenario(), limit_s=120)


async def chain(network: Rehearsal) -> dict[tuple[str, str], MemoryLink]:
    """The ends of both links of bob, once all serve; everything asked for is taken."""
    links = {}
    for node, name in (
        ("alice", "alice-bob"),
        ("bob", "alice-bob"),
        ("bob", "bob-charlie"),
        ("charlie", "bob-charlie"),
    ):
        link = network.nodes[node].links[name]
        assert isinstance(link, MemoryLink)
        links[node, name] = link
    while not all(link.ready for link in links.values()):
        await network.lasts(0.05)
    links["bob", "alice-bob"].desk.accept("test")
    links["charlie", "bob-charlie"].desk.accept("test")
    for node, name in (("alice", "alice-bob"), ("bob", "bob-charlie")):
        links[node, name].desk.ask(
            kind="M", number=10**6, minimum_fidelity=0.5, within_s=1e3, purpose="test"
        )
    return links


@pytest.mark.parametrize("dark", ["alice-bob", "bob-charlie"])
def test_a_link_without_light_does_not_hold_the_device(tmp_path: Path, dark: str) -> None:
    three_nodes(tmp_path / "net")
    lab_file = tmp_path / "net" / "lab.toml"
    there = [line for line in lab_file.read_text().splitlines() if line.startswith("efficiency")]
    ends = dark.split("-")
    (lit,) = [line for line in there if all(f"{end} =" in line for end in ends)]
    unlit = ", ".join(f"{end} = 1e-6" for end in ends)
    lab_file.write_text(lab_file.read_text().replace(lit, f"efficiency = {{ {unlit} }}"))

    async def scenario() -> dict[str, int]:
        names = ("alice", "bob", "charlie", "station")
        configs = [load_node(tmp_path / "net" / f"{name}.toml") for name in names]
        async with rehearsal(load_lab(lab_file), configs, delay_s=1e-4) as network:
            links = await chain(network)
            await network.lasts(1.0)
            return {name: link.counters["delivered"] for (_, name), link in links.items()}

    delivered = run_virtual(scenario(), limit_s=120)
    (other,) = {"alice-bob", "bob-charlie"} - {dark}
    assert delivered[dark] == 0
    assert delivered[other] > 1000  # in half of the time; it would have some 4000 alone


@pytest.mark.parametrize("length_ms", [10.0, 0.8])
def test_links_attempt_in_their_slots_only(tmp_path: Path, length_ms: float) -> None:
    three_nodes(tmp_path / "net")
    offsets_ms = {"alice-bob": 0.0, "bob-charlie": length_ms}
    for file in (tmp_path / "net").glob("*.toml"):
        text = file.read_text()
        for name, offset_ms in offsets_ms.items():
            table = f"\n[links.{name}.schedule]\nperiod_ms = {2 * length_ms}\n"
            if f"[links.{name}]" in text and file.stem != "station":
                text += table + f"offset_ms = {offset_ms}\nlength_ms = {length_ms}\n"
        file.write_text(text)
    begun: dict[str, list[float]] = {name: [] for name in offsets_ms}

    async def scenario() -> dict[str, int]:
        names = ("alice", "bob", "charlie", "station")
        configs = [load_node(tmp_path / "net" / f"{name}.toml") for name in names]
        lab = load_lab(tmp_path / "net" / "lab.toml")
        async with rehearsal(lab, configs, delay_s=1e-4) as network:
            for node in ("alice", "bob"):
                parts = network.nodes[node].parts
                told = parts.wire.send

                def send(peer: str, message: Any, parts: Any = parts, told: Any = told) -> bool:
                    if isinstance(message, Attempt):
                        begun[message.link].append(parts.wall())
                    return bool(told(peer, message))

                for link in parts.links.values():
                    if isinstance(link, MemoryLink) and link.leads:
                        object.__setattr__(link._context, "send", send)
            links = await chain(network)
            (said,) = [
                text
                for name in ("alice", "bob")
                for each in network.nodes[name].links.values()
                if isinstance(each, MemoryLink) and each.leads
                for request in each.desk.queue
                for text in each.waits(request)
                if "network schedule" in text
            ]
            assert said.endswith(" ms")
            await network.lasts(0.5)
            return {name: link.counters["delivered"] for (_, name), link in links.items()}

    delivered = run_virtual(scenario(), limit_s=120)
    for name, offset_ms in offsets_ms.items():
        # A float of seconds since 1970 knows no more than a quarter of a microsecond.
        into_ms = [(1e3 * at_s - offset_ms + 1e-3) % (2 * length_ms) for at_s in begun[name]]
        assert len(into_ms) > 100
        assert max(into_ms) < length_ms + 0.01
        assert delivered[name] > 100
