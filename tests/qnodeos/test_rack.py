"""The instruments of a node together: claims, interlocks and what a person acknowledges."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.claims import Claims
from qnodeos import UserError, load_node
from qnodeos.acknowledging import Desk
from qnodeos.bus import Bus
from qnodeos.instruments import Rack
from qnodeos.store import Store
from tests.instruments.bench import Plugged, on_its_mount
from tests.instruments.case import collect

CASES = collect()
NODE = """
[node]
name = "alice"
id = 1
data_dir = "data"
[wire]
listen = "tcp://127.0.0.1:7101"
secret_key = "alice.key_secret"
[bus]
url = "mqtt://127.0.0.1:1"
[instruments.meter]
driver = "thorlabs.pm100d"
resource = "{meter}"
settings = {{ wavelength_nm = 635.0 }}
[instruments.pump]
driver = "toptica.dlcpro"
resource = "{pump}"
arm = true
settings = {{ current_ma = 90.0, emission = true }}
[interlocks.blinding]
when = "power_mw > 1.0"
of = "meter"
makes_safe = ["pump"]
"""


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    text = NODE.format(meter="tcp://127.0.0.1:1", pump="tcp://127.0.0.1:2")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / "node.toml"
    file.write_text(text)
    return file


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Rack, Plugged, Claims]]:
    """A rack of a meter and a pump, each on its own TCP port; gives the pump's twin."""
    loop = asyncio.get_running_loop()
    claims = Claims(folder / "locks")
    async with (
        on_its_mount(CASES["pm100d"], folder) as meter,
        on_its_mount(CASES["dlcpro"], folder) as pump,
    ):
        (folder / "node.toml").write_text(
            NODE.format(meter=meter.resources["port"], pump=pump.resources["port"])
        )
        config = load_node(folder / "node.toml", environment={})
        config.node.data_dir.mkdir()
        store = Store(folder / "journal", clock=loop.time, wall=time.time)
        rack = Rack(
            config,
            clock=loop.time,
            rng=random.Random(3),
            store=store,
            bus=Bus("mqtt://127.0.0.1:1", "alice"),
            claims=claims,
        )
        life = asyncio.create_task(rack.run())
        try:
            yield rack, pump, claims
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            await store.close()


async def until(what: object, limit_s: float = 15.0) -> None:
    async with asyncio.timeout(limit_s):
        while not what():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_too_much_light_makes_the_pump_dark_until_a_person_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as (rack, pump, claims):
        assert not pump.emits(), "nothing is known of the meter yet"
        await until(pump.emits)
        assert rack.interlocks["blinding"].state == "closed"
        assert {each.owner for each in claims.all()} == {"alice/meter", "alice/pump"}
        meter = rack.supervisors["meter"].instrument
        await meter.apply({"wavelength_nm": 405.0})  # the same current is now 2 mW
        await until(lambda: not pump.emits(), limit_s=3.0)
        # It is told when the laser has said that it is dark, a moment after it is.
        await until(lambda: "power_mw > 1.0" in rack.supervisors["pump"].status.reason)
        desk = Desk(tmp_path / "data")
        answer = await asyncio.to_thread(desk.ask, "blinding", timeout_s=5.0)
        assert "still there" in answer
        await meter.apply({"wavelength_nm": 635.0})
        await asyncio.sleep(2.0)
        assert not pump.emits(), "it stays dark until it is acknowledged"
        assert await asyncio.to_thread(desk.ask, "blinding", timeout_s=5.0) == ""
        await until(pump.emits)
    assert not pump.emits()


def test_nobody_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="no answer"):
        Desk(tmp_path).ask("blinding", timeout_s=0.2)
    assert not Desk(tmp_path).asked("blinding"), "an old question is not answered later"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("power_mw > 1.0", "power_mw >", "no condition"),
        ("power_mw > 1.0", "__import__('os')", "accepted are"),
        ('of = "meter"', 'of = "meterr"', "no instrument of this name"),
        ('["pump"]', '["pomp"]', "no instrument of this name"),
        ('["pump"]', "[]", "at least 1"),
        ("arm = true", "read_only = true", "read_only"),
        ("settings = { wavelength_nm = 635.0 }", "read_only = true\narm = true", "read_only"),
    ],
)
def test_mistakes_in_a_file_are_told(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        load_node(written(tmp_path, (old, new)), environment={})
    assert says in str(caught.value)


def test_what_is_only_looked_at_may_be_watched_but_not_made_safe(tmp_path: Path) -> None:
    looked_at = ("settings = { wavelength_nm = 635.0 }", "read_only = true")
    assert load_node(written(tmp_path, looked_at), environment={}).instruments["meter"].read_only
    with pytest.raises(UserError, match="only looked at"):
        load_node(written(tmp_path, looked_at, ('["pump"]', '["meter"]')), environment={})
