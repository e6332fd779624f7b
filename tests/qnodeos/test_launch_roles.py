"""Roles are forked: each is a process of its own, and none outlives what has started it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from qnodeos.errors import UserError
from qnodeos.launch.roles import role_server
from qnodeos.launch.running import NodeAt, run_program

NODES = {role: NodeAt(role, number, "") for number, role in enumerate(("alice", "bob"))}


def written(folder: Path, text: str) -> Path:
    for role in NODES:
        (folder / f"app_{role}.py").write_text(f"import os, sys, time\n{text}")
    return folder


async def test_roles_share_neither_process_nor_chance_nor_words(tmp_path: Path) -> None:
    program = written(
        tmp_path,
        "import random\nimport numpy\n"
        "def main(app_config=None):\n"
        "    print(os.getpid(), file=sys.stderr)\n"
        "    draws = random.randint(0, 10**9), numpy.random.randint(10**9)\n"
        "    return [os.getpid(), *map(int, draws), os.getcwd(), sys.stdin.read()]\n",
    )
    async with role_server() as roles:
        runs = [await run_program(program, NODES, roles=roles) for _ in range(2)]
    assert not any(run.failed for run in runs)
    told = [run.results[role] for run in runs for role in NODES]
    for shared in zip(*(each[:3] for each in told), strict=True):
        assert len(set(shared)) == len(told)
    assert all(folder != str(Path.cwd()) and words == "" for *_, folder, words in told)


async def test_a_role_that_ends_badly_is_told_with_its_last_words(tmp_path: Path) -> None:
    program = written(
        tmp_path, "def main(app_config=None):\n    print('well', flush=True)\n    os._exit(3)\n"
    )
    async with role_server() as roles:
        result = await run_program(program, NODES, roles=roles)
        assert result.failed in NODES
        assert result.last_words == "well"
        written(tmp_path, "def main(app_config=None):\n    return 1\n")
        again = await run_program(program, NODES, roles=roles)
    assert again.results == {"alice": 1, "bob": 1}


async def test_roles_end_with_the_process_that_forks_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    program = written(
        tmp_path,
        "def main(app_config=None, place=None):\n"
        "    with open(place, 'w') as told:\n"
        "        told.write(str(os.getpid()))\n"
        "    time.sleep(1000)\n",
    )
    alice = {"alice": NODES["alice"]}
    inputs = {"alice": {"place": str(tmp_path / "pid")}}
    async with role_server() as roles:
        running = asyncio.create_task(run_program(program, alice, inputs=inputs, roles=roles))
        pid = int(await asyncio.to_thread((tmp_path / "pid").read_text))
    assert (await running).failed == "alice"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_without_the_sdk_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netqasm.py").write_text("raise ImportError('No module named netqasm')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="No module named netqasm") as refused:
        async with role_server():
            pass
    assert "qnodeos[netqasm]" in str(refused.value)
    assert str(tmp_path) in sys.path
