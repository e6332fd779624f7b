import asyncio
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import qnodeos.cli
from qnodeos import UserError
from qnodeos.errors import first_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "two_nodes"


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qnodeos", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environment},
    )


def run_main(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["qnodeos", *words])
    with pytest.raises(SystemExit) as caught:
        qnodeos.cli.main()
    return int(caught.value.code or 0)


def test_help_names_every_command_and_loads_nothing_heavy():
    code = (
        "import sys\n"
        "sys.argv = ['qnodeos', '--help']\n"
        "from qnodeos.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'numpy', 'zmq', 'pydantic', 'aiomqtt', 'amqtt', 'sim_backends', 'drivers'}\n"
        "    print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0
    for word in ("run", "sim", "demo", "broker", "instrument", "tags", "keys", "config"):
        assert f" {word} " in done.stdout
    assert "HEAVY []" in done.stdout


def test_version():
    done = command("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"qnodeos {version('qnodeos')}")


@pytest.mark.parametrize(
    "words",
    [("nonsense",), ("--nonsense",), ("config", "check"), ("keys", "new"), ("run", "--seed", "x")],
)
def test_a_wrong_call_gives_usage_and_2(words: tuple[str, ...]):
    done = command(*words)
    assert done.returncode == 2
    assert "Usage" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["run", "config check"])
def test_a_users_mistake_is_one_message_and_2(tmp_path: Path, name: str):
    done = command(*name.split(), str(tmp_path / "absent.toml"))
    assert done.returncode == 2
    assert done.stderr.startswith("qnodeos: there is no such configuration file\n")
    assert str(tmp_path / "absent.toml") in done.stderr.replace("\n", "")
    assert len(done.stderr.splitlines()) <= 4
    assert done.stdout == ""


def test_the_traceback_is_there_for_those_who_ask(tmp_path: Path):
    done = command("config", "check", str(tmp_path / "absent.toml"), QNODEOS_TRACE="1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_keys_are_made_and_never_overwritten(tmp_path: Path):
    done = command("keys", "new", "alice", "--dir", str(tmp_path))
    assert done.returncode == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["alice.key", "alice.key_secret"]
    secret = (tmp_path / "alice.key_secret").read_bytes()
    again = command("keys", "new", "alice", "--dir", str(tmp_path))
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert (tmp_path / "alice.key_secret").read_bytes() == secret


@pytest.mark.parametrize("listen", ["7183", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:0", ":7183"])
def test_the_broker_wants_an_address(listen: str):
    done = command("broker", "--listen", listen)
    assert done.returncode == 2
    assert "--listen" in done.stderr
    assert "HOST:PORT" in done.stderr


def test_the_broker_names_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("broker", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_broker_serves_until_it_is_told_to_stop(number: signal.Signals):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "qnodeos", "broker", "--listen", f"127.0.0.1:{port}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stdout.readline() == f"serving mqtt://127.0.0.1:{port}\n".encode()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        process.send_signal(number)
        assert await process.wait() == 0
        assert await process.stderr.read() == b""


def test_faults_of_the_program_and_interruptions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    problems: list[BaseException] = [
        RuntimeError("a [red] fault"),
        BaseExceptionGroup("tasks", [ExceptionGroup("inner", [UserError("a mistake")])]),
        KeyboardInterrupt(),
    ]

    def fail() -> None:
        raise problems.pop(0)

    monkeypatch.delenv("QNODEOS_TRACE", raising=False)
    monkeypatch.setattr(qnodeos.cli, "app", fail)
    assert run_main(monkeypatch=monkeypatch) == 1
    fault = capsys.readouterr().err
    assert fault.startswith("qnodeos: RuntimeError: a [red] fault\n")
    assert "QNODEOS_TRACE=1" in fault
    assert run_main(monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == "qnodeos: a mistake\n"
    assert run_main(monkeypatch=monkeypatch) == 130


def test_a_message_has_one_to_four_lines():
    assert str(UserError("what")) == "what"
    full = UserError("what", where="here", found="this", expected="that", do="do it")
    assert str(full).splitlines() == ["what", "  at here", "  found this, expected that", "  do it"]
    assert UserError("what", expected="that").args == ("what",)


def test_the_first_of_a_group_is_found():
    inner = ValueError("x")
    assert first_of(ExceptionGroup("a", [ExceptionGroup("b", [inner, KeyError()])])) is inner
    assert first_of(inner) is inner
