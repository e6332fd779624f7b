"""Every driver keeps the contract of its kind, in memory and on what its instrument stands on."""

import asyncio
from pathlib import Path
from tempfile import mkdtemp

import pytest

from drivers.errors import Timeout
from drivers.plugin import load_driver
from drivers.testing.contract import Check, checks_for, nothing_is_left_running
from drivers.testing.subject import Subject
from tests.instruments.bench import Plugged, in_memory, on_its_mount
from tests.instruments.case import Case, collect
from timing.loop import run_virtual

CASES = collect()
ALL = [
    pytest.param(case, check, id=f"{name}-{check.__name__}")
    for name, case in CASES.items()
    for check in checks_for(load_driver(case.driver))
]


def subject(plugged: Plugged) -> Subject:
    case = plugged.case
    return Subject(
        plugged.make,
        serial=case.serial,
        settings=case.settings,
        armed=case.armed,
        refused=case.refused,
        calls=case.calls,
        refused_calls=case.refused_calls,
        read_back=case.read_back,
        noisy=case.noisy,
        tolerance=case.tolerance,
        messes=case.messes,
        one_line=next(iter(case.mounts.values())) == "pty",
        emits=None if plugged.twin.emits is None else plugged.emits,
        state=plugged.twin.state,
    )


@pytest.mark.parametrize(("case", "check"), ALL)
def test_in_memory(case: Case, check: Check) -> None:
    async def scenario() -> None:
        async with in_memory(case) as plugged:
            await check(subject(plugged))

    run_virtual(scenario(), limit_s=600.0)


@pytest.mark.parametrize("name", CASES)
async def test_on_what_it_stands_on(name: str, tmp_path: Path) -> None:
    # Side by side, each with a twin of its own: what they do most is wait.
    case = CASES[name]

    async def one(check: Check) -> None:
        async with on_its_mount(case, Path(mkdtemp(dir=tmp_path))) as plugged:
            await check(subject(plugged))

    await one(nothing_is_left_running)  # it looks at all tasks
    checks = [c for c in checks_for(load_driver(case.driver)) if c is not nothing_is_left_running]
    results = await asyncio.gather(*map(one, checks), return_exceptions=True)
    failed = {}
    for check, result in zip(checks, results, strict=True):
        if isinstance(result, Timeout):
            # All at once on a busy machine: an answer may be late that is in time by itself.
            await one(check)
        elif result is not None:
            failed[check.__name__] = result
    assert not failed
