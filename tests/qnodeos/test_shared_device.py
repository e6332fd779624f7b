"""Links at one device take turns, and have one memory."""

import asyncio
from pathlib import Path

import pytest

from qnodeos.config import load_node
from qnodeos.launch.ideal import write_ideal
from qnodeos.rehearsal import rehearsal
from qnodeos.shared_device import RESERVED_S, SharedDevice
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
        assert "for link ac" in device.busy("ab")  # reserved for who waits
        await asyncio.sleep(0)
        assert woken == ["ac"]
        assert device.busy("ac") == ""
        device.take("ac")
        device.give("ab")  # not its own to give
        assert device.busy("ab")
        device.give("ac")
        assert device.busy("ab") == ""

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


@pytest.mark.parametrize("asker", ["alice", "charlie"])
def test_links_of_one_device_are_served_side_by_side(tmp_path: Path, asker: str) -> None:
    """bob's one device is at both links; each serves, and no qubit is anybody's twice."""
    write_ideal(tmp_path / "net", 3)
    for file in (tmp_path / "net").glob("*.toml"):
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
