"""The drivers on vendors' libraries, against stand-ins with the documented functions."""

import asyncio
import random
import sys
import threading
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from drivers.devices import Instrument
from drivers.errors import InstrumentError, NotConnected, Timeout
from drivers.links.open import make_link
from drivers.links.vendor import LibraryThread
from drivers.plugin import make_instrument
from drivers.supervisor import Supervisor
from drivers.taggers.picoquant import SYNC_CHANNEL, PicoQuantTagger
from drivers.taggers.swabian import SwabianTagger
from drivers.testing import Subject
from drivers.testing import contract as c
from tests.drivers.stand_ins import SnApi, TimeTagger
from timing.loop import run_virtual
from timing.tags import TagBatch

CHECKS = [
    c.the_manifest_is_complete,
    c.unknown_options_are_refused,
    c.it_says_who_it_is,
    c.readings_have_names_types_and_units,
    c.read_only_methods_change_nothing,
    c.settings_are_taken_twice,
    c.refused_values_are_never_sent,
    c.the_safe_state_is_reached_and_stays,
    c.a_closed_link_is_told,
    c.nothing_is_left_running,
]


@pytest.fixture
def swabian(monkeypatch: pytest.MonkeyPatch) -> TimeTagger:
    library = TimeTagger()
    monkeypatch.setitem(sys.modules, "TimeTagger", library)  # type: ignore[arg-type]
    return library


@pytest.fixture
def snapi(monkeypatch: pytest.MonkeyPatch) -> SnApi:
    library = SnApi()
    monkeypatch.setitem(sys.modules, "snAPI", library)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "snAPI.Main", library)  # type: ignore[arg-type]
    return library


def tagger(driver: type[Instrument], name: str = "any", **options: Any) -> Any:
    return make_instrument(driver, f"vendor://{name}", owner="lab/tagger", options=options)


def virtual(scenario: Coroutine[Any, Any, None]) -> None:
    run_virtual(scenario, limit_s=600.0)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_swabian_keeps_the_contract(swabian: TimeTagger, check: c.Check) -> None:
    virtual(
        check(
            Subject(
                lambda: tagger(SwabianTagger),
                serial="1740000JEH",
                settings={"trigger_v": 0.2},
                refused=(({"trigger_v": 6.0}, "5 V"), ({"trigger_v": [0.1, 0.2]}, "4 channels")),
                state=lambda: dict(swabian.levels),
            )
        )
    )
    assert swabian.open == 0, "the instrument is given back"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_picoquant_keeps_the_contract(snapi: SnApi, check: c.Check) -> None:
    virtual(check(Subject(lambda: tagger(PicoQuantTagger), serial="1045483")))
    assert snapi.calls.count("getDevice") == snapi.calls.count("closeDevice")


async def taken(stream: Any, number: int) -> list[TagBatch]:
    return [await anext(stream) for _ in range(number)]


def test_swabian_tags_missed_events_and_overflows_are_told(swabian: TimeTagger) -> None:
    async def scenario() -> None:
        box = tagger(SwabianTagger, channels=[1, 3])
        await box.link.open()
        await box.connect()
        async with aclosing(box.stream()) as stream:
            swabian.events = [(0, 1000, 1, 0), (0, 1500, 2, 0), (0, 2000, 3, 0)]
            (first,) = await taken(stream, 1)
            assert first.time_ps.tolist() == [1000, 2000], "channel 2 was not asked for"
            assert first.channel.tolist() == [1, 3]
            assert (first.start_ps, first.stop_ps, first.lost) == (1000, 2001, False)
            (empty,) = await taken(stream, 1)
            assert (len(empty), empty.start_ps, empty.stop_ps) == (0, 2001, 2001)
            swabian.events = [(2, 3000, 0, 0), (4, 3500, 1, 17), (3, 4000, 0, 0), (0, 5000, 1, 0)]
            (hurt,) = await taken(stream, 1)
            assert hurt.time_ps.tolist() == [5000]
            assert (hurt.overflow, hurt.lost, hurt.lost_tags) == (True, True, 17)
            swabian.events = [(1, 6000, 0, 0)]
            (wrong,) = await taken(stream, 1)
            assert (wrong.overflow, wrong.lost) == (False, True)
            swabian.full = True
            (full,) = await taken(stream, 1)
            assert full.overflow
            assert full.lost
        readings = await box.readings()
        assert (readings["lost_tags"], readings["overflows"]) == (17, 2)
        await box.disconnect()

    virtual(scenario())


def test_picoquant_blocks_are_copied_markers_left_out_and_full_blocks_told(snapi: SnApi) -> None:
    async def scenario() -> None:
        box = tagger(PicoQuantTagger, "1045483", block_events=1024, ini="harp.ini")
        await box.link.open()
        await box.connect()
        async with aclosing(box.stream()) as stream:
            snapi.blocks = [([100, 200, 300, 400], [1, 0, 0x81, 4]), ([500], [2])]
            first, second = await taken(stream, 2)
            assert first.time_ps.tolist() == [100, 200, 400]
            assert first.channel.tolist() == [1, SYNC_CHANNEL, 4]
            assert (first.start_ps, first.stop_ps) == (100, 401)
            assert (second.time_ps.tolist(), second.start_ps) == ([500], 401)
            snapi.blocks = [(list(range(1000, 2024)), [1] * 1024)]
            (full,) = await taken(stream, 1)
            assert (len(full), full.overflow, full.lost) == (1024, True, True)
            snapi.finished, snapi.blocks = True, [([5000], [1])]
            (last,) = await taken(stream, 1)
            assert last.time_ps.tolist() == [5000], "what came before the end is given"
            with pytest.raises(InstrumentError, match="ended by itself"):
                await taken(stream, 1)
        assert snapi.calls.count("stopMeasure") == 1
        await box.disconnect()

    virtual(scenario())


@pytest.mark.parametrize("driver", [SwabianTagger, PicoQuantTagger])
def test_without_the_library_it_is_absent_and_says_what_to_install(
    driver: type[Instrument], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TimeTagger", "Swabian", "Swabian.TimeTagger", "snAPI", "snAPI.Main"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]

    async def scenario() -> None:
        box = tagger(driver)
        await box.link.open()
        with pytest.raises(NotConnected, match="install"):
            await box.connect()

    virtual(scenario())


@pytest.mark.parametrize("driver", [SwabianTagger, PicoQuantTagger])
def test_unplugged_is_shown_and_it_comes_back(
    driver: type[Instrument], swabian: TimeTagger, snapi: SnApi
) -> None:
    async def scenario() -> None:
        supervisor = Supervisor("tagger", lambda: tagger(driver), rng=random.Random(1))
        life = asyncio.create_task(supervisor.run())
        await supervisor.wait_online(5.0)
        swabian.unplugged = snapi.unplugged = True
        await asyncio.sleep(2.0)
        assert supervisor.status.state != "online"
        await asyncio.sleep(10.0)
        swabian.unplugged = snapi.unplugged = False
        await supervisor.wait_online(5.0)
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        assert swabian.open == 0

    virtual(scenario())


async def test_a_library_that_hangs_is_left_behind() -> None:
    link = make_link("vendor://any", owner="lab/tagger")
    await link.open()
    thread, end = LibraryThread(link, "the library"), threading.Event()
    with pytest.raises(Timeout, match=r"the library did not return within 0\.05 s"):
        await thread.call(end.wait, 20.0, command="getSerial", timeout_s=0.05)
    assert not link.usable
    with pytest.raises(NotConnected):
        await thread.call(lambda: 1, command="getSerial")
    end.set()


@pytest.mark.parametrize(
    ("driver", "options", "says"),
    [
        (SwabianTagger, {"channels": [-1]}, "inputs from 1 to 20"),
        (SwabianTagger, {"channels": []}, "inputs from 1 to 20"),
        (SwabianTagger, {"buffer_events": 0}, "buffer_events"),
        (PicoQuantTagger, {"block_events": 3}, "block_events"),
    ],
)
def test_wrong_options(driver: type[Instrument], options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tagger(driver, **options)


def test_bytes_cannot_be_sent_to_a_library() -> None:
    async def scenario() -> None:
        link = make_link("vendor://any", owner="lab/tagger")
        await link.open()
        with pytest.raises(NotConnected, match="by its functions"):
            await link.send(b"*IDN?\n")

    virtual(scenario())
