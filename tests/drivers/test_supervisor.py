"""A supervisor keeps an instrument connected, whatever happens to it. Virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from drivers.claims import Claims
from drivers.devices import Identity, Instrument
from drivers.errors import InstrumentError, NotConnected, Refused, Timeout
from drivers.framing import LINE_LF
from drivers.links.memory import Pipe, pipe_pair
from drivers.plugin import Manifest, make_instrument
from drivers.safety import ArmingLease
from drivers.status import InstrumentStatus
from drivers.supervisor import Policy, Supervisor
from timing.loop import run_virtual


class Lamp(Instrument):
    """A lamp that speaks lines: who? level? level N on off; answers a value, "ok" or "err"."""

    manifest = Manifest("test.lamp", "Laser", "^ACME", ("tcp",), "off", emits=True)

    async def ask(self, words: str) -> str:
        answer = await self.link.exchange(words.encode() + b"\n", LINE_LF)
        if answer == b"err":
            raise InstrumentError(7, "lamp is hot", owner=self.link.owner, command=words)
        return answer.decode()

    async def connect(self) -> Identity:
        text, _, serial = (await self.ask("who?")).partition(" sn ")
        return Identity(text, serial)

    async def apply(self, settings: Mapping[str, Any]) -> None:
        await self.ask(f"level {settings['level']}")
        if settings["level"]:
            self.require_armed("switching on")
            await self.ask("on")

    async def enter_safe_state(self) -> None:
        await self.ask("off")

    async def ping(self) -> None:
        await self.ask("ping")

    async def readings(self) -> dict[str, float | int | bool | str]:
        return {"level": int(await self.ask("level?"))}


class Meter(Lamp):
    manifest = Manifest("test.meter", "PowerMeter", "^ACME", ("tcp",), "as it is")


class Box:
    """The instrument: serves one client at a time and can be unplugged, swapped, made mute."""

    def __init__(self) -> None:
        self.identity = "ACME lamp sn 17"
        self.powered = True
        self.mute = False
        self.hot = False
        self.level, self.on = 0, False
        self.dials = 0
        self.heard: list[str] = []
        self._ends: list[tuple[Pipe, Pipe]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def dial(self) -> tuple[Pipe, Pipe]:
        self.dials += 1
        if not self.powered:
            raise ConnectionRefusedError("nobody there")
        near, far = pipe_pair()
        self._ends.append(far)
        task = asyncio.create_task(self._serve(*far))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return near

    def unplug(self) -> None:
        self.powered, self.level, self.on = False, 0, False
        self.hang_up()

    def hang_up(self) -> None:
        while self._ends:
            for pipe in self._ends.pop():
                pipe.close()

    async def _serve(self, reader: Pipe, writer: Pipe) -> None:
        with suppress(BrokenPipeError):
            while data := await reader.read():
                for words in data.decode().splitlines():
                    self.heard.append(words)
                    if not self.mute:
                        await writer.write(self._answer(words).encode() + b"\n")

    def _answer(self, words: str) -> str:
        if self.hot:
            return "err" if words != "who?" else self.identity
        if words.startswith("level "):
            self.level = int(words.split()[1])
        if words in ("on", "off"):
            self.on = words == "on"
        return {"who?": self.identity, "level?": str(self.level)}.get(words, "ok")


class Bench:
    """A supervisor, its box, its lease and all that it said."""

    def __init__(
        self,
        driver: type[Instrument] = Lamp,
        policy: Policy = "reapply",
        serial: str | None = "17",
        leased: bool = True,
        level: int = 5,
        **more: Any,
    ):
        self.box = Box()
        self.lease = ArmingLease(asyncio.get_running_loop().time)
        self.said: list[InstrumentStatus] = []
        self.supervisor = Supervisor(
            "lamp",
            lambda: make_instrument(
                driver, "mem://box", owner="lab/lamp", memory={"box": self.box.dial}
            ),
            rng=random.Random(1),
            expected_serial=serial,
            settings={"level": level},
            policy=policy,
            lease=self.lease if leased else None,
            on_status=self.said.append,
            **more,
        )
        self.holding: asyncio.Task[None] | None = None

    def states(self) -> list[str]:
        """The states in their order, without repeats."""
        states = [status.state for status in self.said]
        return [s for n, s in enumerate(states) if n == 0 or states[n - 1] != s]

    async def hold(self) -> None:
        while True:
            self.lease.renew()
            await asyncio.sleep(0.5)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Supervisor]:
        self.holding = asyncio.create_task(self.hold())
        task = asyncio.create_task(self.supervisor.run())
        try:
            yield self.supervisor
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.holding.cancel()


def virtual(scenario: Coroutine[Any, Any, None]) -> None:
    run_virtual(scenario, limit_s=1000)


def test_absent_then_online_with_its_settings_then_left_dark() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.box.powered = False
        async with bench.running() as supervisor:
            await asyncio.sleep(20)
            assert supervisor.status.state == "absent"
            assert "nobody there" in supervisor.status.reason
            with pytest.raises(NotConnected, match=r"it is absent .*nobody there"):
                _ = supervisor.instrument
            with pytest.raises(NotConnected, match="not online within 1 s: it is absent"):
                await supervisor.wait_online(1)
            bench.box.powered = True
            lamp = await supervisor.wait_online(6)
            assert lamp is supervisor.instrument
            assert (bench.box.level, bench.box.on) == (5, True)
            await asyncio.sleep(1)
            assert supervisor.status.readings == {"level": 5}
            assert supervisor.status.identity == Identity("ACME lamp", "17")
            assert not supervisor.in_safe_state
        assert not bench.box.on
        assert supervisor.in_safe_state
        assert bench.states() == ["absent", "connecting", "online", "absent"]

    virtual(scenario())


def test_back_off_doubles_within_its_bounds_and_says_nothing_new() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.box.powered = False
        times: list[float] = []
        dial = bench.box.dial

        def timed() -> tuple[Pipe, Pipe]:
            times.append(asyncio.get_running_loop().time())
            return dial()

        bench.box.dial = timed  # type: ignore[method-assign]
        async with bench.running():
            await asyncio.sleep(60)
        pauses = [b - a for a, b in pairwise(times)]
        for n, pause_s in enumerate(pauses):
            base_s = min(1.0, 0.2 * 2**n)
            assert base_s / 2 <= pause_s <= base_s
        assert len({round(pause_s, 6) for pause_s in pauses[6:]}) > 3, "there is no jitter"
        assert len(bench.said) == 2, "sixty seconds of absence are said once, the end once"

    virtual(scenario())


@pytest.mark.parametrize(
    ("policy", "level", "on"), [("reapply", 5, True), ("keep", 0, False), ("safe", 0, False)]
)
def test_power_cycle_and_settings_by_policy(policy: Policy, level: int, on: bool) -> None:
    async def scenario() -> None:
        bench = Bench(policy=policy)
        async with bench.running() as supervisor:
            old = await supervisor.wait_online(1)
            assert bench.box.on
            await asyncio.sleep(5)
            bench.box.unplug()
            await asyncio.sleep(10)
            assert supervisor.status.state == "absent"
            bench.box.powered = True
            new = await supervisor.wait_online(6)
            assert new is not old
            assert (bench.box.level, bench.box.on) == (level, on)
            assert supervisor.status.connects == 2
            with pytest.raises(NotConnected):
                await old.ping()
            if policy == "safe":
                assert bench.box.heard[-2:] != ["level 5", "on"]
                assert "by hand" in supervisor.status.reason
                await supervisor.apply_settings()
                assert (bench.box.level, bench.box.on) == (5, True)
                assert supervisor.status.reason == ""
        assert not bench.box.on

    virtual(scenario())


def test_keep_leaves_what_a_dropped_link_did_not_change() -> None:
    async def scenario() -> None:
        bench = Bench(policy="keep")
        async with bench.running() as supervisor:
            await supervisor.wait_online(1)
            bench.box.level = 3  # by somebody at the front panel
            bench.box.hang_up()
            await asyncio.sleep(4)
            assert supervisor.status.connects == 2
            assert (bench.box.level, bench.box.on) == (3, True)
        assert not bench.box.on

    virtual(scenario())


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        ("ACME lamp sn 18", "serial number '18'.*expected is '17'"),
        ("Other lamp sn 17", "it says 'Other lamp'.*expects /\\^ACME/"),
    ],
)
def test_a_swapped_box_is_a_fault_and_is_left_alone(identity: str, says: str) -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            await supervisor.wait_online(1)
            await asyncio.sleep(1)
            bench.box.unplug()
            bench.box.identity = identity
            bench.box.powered = True
            bench.box.heard.clear()
            await asyncio.sleep(5)
            status = supervisor.status
            assert status.state == "fault"
            with pytest.raises(NotConnected, match=says):
                _ = supervisor.instrument
            dials = bench.box.dials
            await asyncio.sleep(60)
            assert bench.box.dials - dials <= 16, "a fault is retried slowly"
            assert set(bench.box.heard) == {"who?"}
            bench.box.hang_up()
            bench.box.identity = "ACME lamp sn 17"
            await supervisor.wait_online(5)

    virtual(scenario())


def test_settings_that_are_not_taken_are_a_fault() -> None:
    async def scenario() -> None:
        bench = Bench(leased=False)  # level 5 needs an arming lease, and there is none
        async with bench.running() as supervisor:
            await asyncio.sleep(5)
            assert supervisor.status.state == "fault"
            assert "needs an arming lease" in supervisor.status.reason
            assert not bench.box.on
        assert supervisor.in_safe_state

    virtual(scenario())


def test_an_instrument_that_stops_answering_is_degraded_and_comes_back() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            await supervisor.wait_online(1)
            bench.box.mute = True
            await asyncio.sleep(4)
            assert supervisor.status.state == "degraded"
            await asyncio.sleep(30)
            assert supervisor.status.state == "degraded"
            assert "no complete answer" in supervisor.status.reason
            bench.box.mute = False
            await supervisor.wait_online(7)
        assert bench.states() == ["connecting", "online", "degraded", "online", "absent"]

    virtual(scenario())


def test_an_instrument_that_says_no_stays_connected() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            lamp = await supervisor.wait_online(1)
            bench.box.hot = True
            await asyncio.sleep(7)
            assert supervisor.status.state == "degraded"
            assert "lamp is hot" in supervisor.status.reason
            assert supervisor.instrument is lamp
            bench.box.hot = False
            await supervisor.wait_online(3)
            assert bench.box.dials == 1

    virtual(scenario())


def test_a_report_reconnects_at_once() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            lamp = await supervisor.wait_online(1)
            await asyncio.sleep(0.1)
            supervisor.report(Timeout("the stream stopped"), lamp)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert supervisor.status.state == "degraded"
            assert "the stream stopped" in supervisor.status.reason
            new = await supervisor.wait_online(0.3)
            assert new is not lamp
            dials = bench.box.dials
            supervisor.report(Timeout("the stream stopped"), lamp)
            await asyncio.sleep(0.5)
            assert bench.box.dials == dials, "a report on the old connection is no news"

    virtual(scenario())


def test_a_report_of_a_refusal_is_answered_by_a_look() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            lamp = await supervisor.wait_online(1)
            await asyncio.sleep(0.1)
            bench.box.heard.clear()
            supervisor.report(Refused("too bright"), lamp)
            await asyncio.sleep(0.1)
            assert bench.box.heard == ["ping", "level?"]
            assert bench.box.dials == 1

    virtual(scenario())


def test_a_lost_lease_darkens_and_a_new_one_lights() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            await supervisor.wait_online(1)
            await asyncio.sleep(10)
            assert bench.box.on
            assert bench.holding is not None
            bench.holding.cancel()
            await asyncio.sleep(2.1)
            assert not bench.box.on
            assert supervisor.in_safe_state
            assert supervisor.status.state == "degraded"
            assert "no live arming lease" in supervisor.status.reason
            bench.lease.renew()
            await supervisor.wait_online(0.5)
            assert bench.box.on
            assert bench.box.dials == 1

    virtual(scenario())


def test_without_a_lease_yet_it_waits_in_its_safe_state() -> None:
    async def scenario() -> None:
        bench = Bench()
        task = asyncio.create_task(bench.supervisor.run())
        await asyncio.sleep(5)
        assert bench.supervisor.status.state == "degraded"
        assert bench.box.heard[:2] == ["who?", "off"]
        assert "on" not in bench.box.heard
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual(scenario())


def test_what_does_not_emit_needs_no_lease() -> None:
    async def scenario() -> None:
        bench = Bench(driver=Meter, level=0)
        task = asyncio.create_task(bench.supervisor.run())
        await bench.supervisor.wait_online(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual(scenario())


def test_leaving_in_the_middle_of_an_exchange_still_darkens() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            lamp = await supervisor.wait_online(1)
            await asyncio.sleep(1)
            asking = asyncio.create_task(lamp.ping())
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert not lamp.link.usable
        assert not bench.box.on
        assert supervisor.in_safe_state
        assert bench.box.dials == 2

    virtual(scenario())


def test_leaving_what_cannot_be_reached_is_told() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            await supervisor.wait_online(1)
            bench.box.mute = True
            start_s = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - start_s < 7
        assert not supervisor.in_safe_state
        assert "NOT SAFE" in supervisor.status.reason

    virtual(scenario())


def test_a_mistake_in_a_driver_is_a_fault_not_an_end(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Lamp):
        async def ping(self) -> None:
            raise KeyError("shelf")

    async def scenario() -> None:
        bench = Bench(driver=Broken)
        async with bench.running() as supervisor:
            await asyncio.sleep(25)
            assert supervisor.status.state == "fault"
            assert "KeyError('shelf')" in supervisor.status.reason
        assert not bench.box.on

    virtual(scenario())
    assert sum(record.exc_info is not None for record in caplog.records) >= 1


def test_a_driver_that_hangs_is_cut_off() -> None:
    class Hanging(Lamp):
        async def connect(self) -> Identity:
            await asyncio.sleep(1e6)
            raise AssertionError

    async def scenario() -> None:
        bench = Bench(driver=Hanging)
        async with bench.running() as supervisor:
            await asyncio.sleep(12)
            assert supervisor.status.state == "degraded"
            assert "not done within 10 s" in supervisor.status.reason

    virtual(scenario())


def test_idle_is_cheap() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            await supervisor.wait_online(1)
            bench.box.heard.clear()
            said = len(bench.said)
            await asyncio.sleep(100)
            assert 230 <= len(bench.box.heard) <= 265, "one ping and one reading in 0.8 s"
            assert len(bench.said) - said <= 1

    virtual(scenario())


def test_a_hold_makes_it_safe_at_once_and_its_end_applies_the_settings_again() -> None:
    async def scenario() -> None:
        bench = Bench()
        async with bench.running() as supervisor:
            await supervisor.wait_online(1)
            supervisor.hold_safe("a", "too much light")
            supervisor.hold_safe("b", "door open")
            await asyncio.sleep(0.01)
            assert not bench.box.on
            assert supervisor.status.state == "degraded"
            assert "too much light" in supervisor.status.reason
            assert "door open" in supervisor.status.reason
            with pytest.raises(Refused, match="too much light"):
                await supervisor.apply_settings()
            supervisor.let_go("a")
            await asyncio.sleep(5)
            assert not bench.box.on
            bench.box.hang_up()
            await asyncio.sleep(5)
            assert not bench.box.on, "a new connection does not end a hold"
            supervisor.let_go("b")
            await supervisor.wait_online(1)
            assert bench.box.on

    virtual(scenario())


def test_an_instrument_that_is_only_looked_at_is_never_set() -> None:
    class Watched(Lamp):
        manifest = replace(Lamp.manifest, read_only=("ping", "readings"))

    async def scenario() -> None:
        bench = Bench(Watched, leased=False, read_only=True)
        bench.box.level, bench.box.on = 3, True
        async with bench.running() as supervisor:
            lamp = await supervisor.wait_online(1)
            assert isinstance(lamp, Watched)
            assert await lamp.readings() == {"level": 3}
            with pytest.raises(Refused, match=r"enter_safe_state may change.*ping, readings"):
                await lamp.enter_safe_state()
            with pytest.raises(Refused, match="apply may change"):
                await supervisor.apply_settings()
            bench.box.hang_up()
            await asyncio.sleep(5)
            assert supervisor.status.state == "online"
        assert (bench.box.level, bench.box.on) == (3, True)
        assert set(bench.box.heard) <= {"who?", "ping", "level?"}

    virtual(scenario())


def test_what_somebody_else_has_is_not_even_connected(tmp_path: Path) -> None:
    async def scenario() -> None:
        claims = Claims(tmp_path)
        theirs = claims.take("tcp://192.0.2.7:1998", "bob/lamp")
        assert theirs is not None
        bench = Bench(claim=lambda: claims.take("tcp://192.0.2.7:1998", "alice/lamp"))
        async with bench.running() as supervisor:
            await asyncio.sleep(10)
            assert bench.box.dials == 0
            assert supervisor.status.state == "absent"
            assert "bob/lamp" in supervisor.status.reason
            theirs.release()
            await supervisor.wait_online(2)
            mine = claims.holder("tcp://192.0.2.7:1998")
            assert mine is not None
            assert mine.owner == "alice/lamp"
        assert claims.all() == []

    virtual(scenario())


def test_a_look_waits_for_another_question_and_for_a_busy_instrument() -> None:
    class Slow(Lamp):
        async def turn(self) -> None:
            await self.link.exchange(b"turn\n", LINE_LF, timeout_s=8.0)

    async def scenario() -> None:
        bench = Bench(Slow)
        async with bench.running() as supervisor:
            lamp = await supervisor.wait_online(1)
            assert isinstance(lamp, Slow)
            await asyncio.sleep(0.4)
            bench.box.mute = True
            turning = asyncio.create_task(lamp.turn())
            await asyncio.sleep(6)
            assert supervisor.status.state == "online", "the question has eight seconds"
            with pytest.raises(Timeout):
                await turning
            await asyncio.sleep(2)
            assert supervisor.status.state != "online"

    virtual(scenario())
