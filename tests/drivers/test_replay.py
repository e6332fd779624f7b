"""The replay of a recording as a tagger: the same batches at the same instants."""

import asyncio
import random
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import InstrumentError, InstrumentProblem, NotConnected
from drivers.plugin import make_instrument
from drivers.supervisor import Supervisor
from drivers.taggers.replay import ReplayTagger
from drivers.testing.contract import Check, checks_for
from drivers.testing.subject import Subject
from timing.loop import run_virtual
from timing.segments import SegmentHead, SegmentWriter, StoredBatch
from timing.tags import TagBatch

INSTANTS_NS = (250_000_000, 500_000_000, 1_700_000_001)


def batch(k: int) -> TagBatch:
    rng = np.random.default_rng(k)
    return TagBatch(
        np.sort(rng.integers(k * 10**10, (k + 1) * 10**10, 40)),
        rng.integers(1, 5, 40).astype(np.uint8),
        k * 10**10,
        (k + 1) * 10**10,
        overflow=k == 1,
        lost=k == 2,
        lost_tags=7 * (k == 2),
    )


def record(folder: Path, streams: int = 2) -> None:
    for stream in range(streams):
        writer = SegmentWriter(folder, SegmentHead(0.0, 2000, (1, 2, 3, 4), identity="TDC1 0117"))
        for k, after_ns in enumerate(INSTANTS_NS):
            writer.write(StoredBatch(k, after_ns, batch(k + 10 * stream)))
        writer.close()


def tagger(folder: Path, **options: object) -> ReplayTagger:
    made = make_instrument(ReplayTagger, f"file://{folder}", owner="test", options=options)
    assert isinstance(made, ReplayTagger)
    return made


async def taken(replay: ReplayTagger) -> list[tuple[float, TagBatch]]:
    """All batches with the instants at which they came, up to the error at the end."""
    clock = asyncio.get_running_loop().time
    began_s, found = clock(), []

    async def take() -> None:
        async with aclosing(replay.stream()) as batches:
            async for each in batches:
                found.append((clock() - began_s, each))

    with pytest.raises(InstrumentError, match="has been played"):
        await take()
    return found


def test_the_same_batches_come_at_the_same_instants(tmp_path: Path) -> None:
    record(tmp_path)

    async def scenario() -> None:
        replay = tagger(tmp_path)
        await replay.link.open()
        assert (await replay.connect()).text == "recording of TDC1 0117"
        assert (replay.resolution_ps, replay.channels) == (2000, (1, 2, 3, 4))
        for stream in (0, 1):
            found = await taken(replay)
            assert [at for at, _ in found] == pytest.approx([ns / 1e9 for ns in INSTANTS_NS])
            for k, (_, each) in enumerate(found):
                expected = batch(k + 10 * stream)
                assert np.array_equal(each.time_ps, expected.time_ps)
                assert np.array_equal(each.channel, expected.channel)
                assert (each.start_ps, each.stop_ps) == (expected.start_ps, expected.stop_ps)
                assert (each.overflow, each.lost, each.lost_tags) == (
                    expected.overflow,
                    expected.lost,
                    expected.lost_tags,
                )
        assert await taken(replay) == []
        with pytest.raises(InstrumentError, match="has been played"):
            await replay.ping()

    run_virtual(scenario())


def test_a_stream_that_was_left_gives_place_to_the_next(tmp_path: Path) -> None:
    record(tmp_path)

    async def scenario() -> None:
        replay = tagger(tmp_path)
        await replay.link.open()
        await replay.connect()
        async with aclosing(replay.stream()) as batches:
            await anext(batches)
        assert (await replay.readings())["stream"] == 0
        async with aclosing(replay.stream()) as batches:
            assert (await anext(batches)).start_ps == 10 * 10**10

    run_virtual(scenario(), limit_s=60.0)


def test_it_can_begin_with_a_later_stream(tmp_path: Path) -> None:
    record(tmp_path, streams=3)

    async def scenario() -> None:
        replay = tagger(tmp_path, first_stream=3)
        await replay.link.open()
        await replay.connect()
        assert (await anext(replay.stream())).start_ps == 20 * 10**10

    run_virtual(scenario(), limit_s=60.0)


def test_a_stream_whose_beginning_was_removed_begins_with_what_is_left(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, SegmentHead(0.0, 1, (1, 2, 3, 4)))
    for k in (5, 6):
        writer.write(StoredBatch(k, k * 3600 * 10**9, batch(k)))
    writer.close()

    async def scenario() -> None:
        replay = tagger(tmp_path)
        await replay.link.open()
        await replay.connect()
        found = await taken(replay)
        assert [at for at, _ in found] == pytest.approx([0.0, 3600.0])
        assert [each.lost for _, each in found] == [True, False]

    run_virtual(scenario())


@pytest.mark.parametrize("options", [{"first_stream": 0}, {"first_stream": "2"}, {"speed": 2}])
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"first_stream|speed"):
        tagger(tmp_path, **options)


def test_a_folder_that_is_not_there_or_empty_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(NotConnected, match="there is no"):
            await tagger(tmp_path / "no").link.open()
        replay = tagger(tmp_path)
        await replay.link.open()
        with pytest.raises(NotConnected, match="no stream"):
            await replay.connect()

    run_virtual(scenario(), limit_s=60.0)


def test_a_damaged_batch_marks_the_next_as_after_a_loss(tmp_path: Path) -> None:
    record(tmp_path, streams=1)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)

    async def scenario() -> None:
        replay = tagger(tmp_path)
        await replay.link.open()
        await replay.connect()
        found = await taken(replay)
        assert [each.lost for _, each in found] == [False, True]
        assert (await replay.readings())["damaged"] == 1

    run_virtual(scenario())


def test_a_recording_that_is_over_does_not_begin_again_under_supervision(tmp_path: Path) -> None:
    record(tmp_path, streams=2)

    async def scenario() -> None:
        supervisor = Supervisor("tagger", lambda: tagger(tmp_path), rng=random.Random(1))
        task = asyncio.create_task(supervisor.run())
        starts = []
        for _ in range(20):
            await asyncio.sleep(10)
            try:
                replay = supervisor.instrument
                assert isinstance(replay, ReplayTagger)
                async for each in replay.stream():
                    starts.append(each.start_ps // 10**10)
            except InstrumentProblem as problem:
                supervisor.report(problem)
        assert starts == [0, 1, 2, 10, 11, 12]
        assert supervisor.status.state == "degraded"
        assert "has been played" in supervisor.status.reason
        task.cancel()
        await asyncio.wait([task])

    run_virtual(scenario(), limit_s=3600.0)


OF_BYTES = {"it_connects_whatever_was_left_behind", "a_late_answer_answers_nothing"}
"""What the contract says of bytes on a line, of which a recording has none."""


@pytest.mark.parametrize(
    "check",
    [each for each in checks_for(ReplayTagger) if each.__name__ not in OF_BYTES],
    ids=lambda check: check.__name__,
)
def test_contract(check: Check, tmp_path: Path) -> None:
    for _ in range(3):
        writer = SegmentWriter(tmp_path, SegmentHead(0.0, 1, (1, 2, 3, 4)))
        for k in range(10):
            whole = replace(batch(k), overflow=False, lost=False, lost_tags=0)
            writer.write(StoredBatch(k, k * 10**8, whole))
        writer.close()
    run_virtual(check(Subject(lambda: tagger(tmp_path))), limit_s=600.0)
