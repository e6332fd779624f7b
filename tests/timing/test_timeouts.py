"""Time limits hold in the clean-up of a cancelled task, whatever a program begins with."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio
import {begins_with}

async def cleans_up(told, limits):
    try:
        await asyncio.Event().wait()
    finally:
        for _ in range(limits):
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                told.append("in time")

async def cancelled(limits, again=False):
    told = []
    task = asyncio.create_task(cleans_up(told, limits))
    await asyncio.sleep(0)
    task.cancel()
    if again:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait([task], timeout=5)
    return told, task.cancelled()

async def plain():
    try:
        async with asyncio.timeout(0.01):
            async with asyncio.timeout(10):
                await asyncio.Event().wait()
    except TimeoutError:
        return "outer"

print(asyncio.run(cancelled(2)), asyncio.run(cancelled(1, again=True)), asyncio.run(plain()))
"""


@pytest.mark.parametrize(
    "begins_with", ["drivers", "sim_backends", "qnodeos.client", "qnodeos.cli"]
)
def test_a_limit_in_the_clean_up_of_a_cancelled_task_runs_out(begins_with: str) -> None:
    """Twice over; but who is cancelled once more within a limit ends."""
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(begins_with=begins_with)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.strip() == "(['in time', 'in time'], True) ([], True) outer"
