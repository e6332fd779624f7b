"""`identify` knows every instrument that can be asked by hand, and takes none for another."""

import asyncio
from pathlib import Path

import pytest

from drivers.plugin import load_driver
from qnodeos.cli.instrument.asking import who_is_there
from tests.instruments.bench import on_its_mount
from tests.instruments.case import collect


def asks(driver: str) -> bool:
    asking = load_driver(driver).manifest.asking
    return asking is not None and bool(asking.identity)


SIDE_BY_SIDE = 4
"""What they do most is wait; all at once the answers of some come too late on a busy machine."""

CASES = {name: case for name, case in collect().items() if asks(case.driver)}


async def test_every_one_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))

    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(name: str) -> None:
        async with turn, on_its_mount(CASES[name], tmp_path / name) as plugged:
            state = plugged.twin.state() if plugged.twin.state else None
            answers = await who_is_there(next(iter(plugged.resources.values())))
            assert [each.driver for each in answers] == [CASES[name].driver]
            assert state == (plugged.twin.state() if plugged.twin.state else None)
            assert not plugged.emits()

    async with asyncio.TaskGroup() as tasks:
        for name in CASES:
            tasks.create_task(one(name), name=name)
