"""A whole network with its simulated lab and a dashboard, each a process of its own.

It has a loopback address of its own, so that several may run side by side.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from qnodeos.demo.layout import example_folder, prepare

NODES = ("alice", "bob", "station")
UP_LIMIT_S = 60.0
SIM_TOKEN = "sim"
CONTROL, DASHBOARD, BROKER = 7190, 8321, 7183


class Site:
    """The processes by name; `url` is the dashboard's."""

    def __init__(self, folder: Path):
        self.layout = prepare(example_folder(), folder)
        draw = random.SystemRandom()
        self.host = f"127.{draw.randint(128, 250)}.{draw.randint(1, 250)}.{draw.randint(1, 250)}"
        self.url = f"http://{self.host}:{DASHBOARD}"
        self.token_file = folder / "token"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands = {
            "broker": ["broker", "--listen", f"{self.host}:{BROKER}"],
            "lab": ["sim", str(self.layout.lab), "--control", f"{self.host}:{CONTROL}"],
            **{name: ["run", str(self.layout.node(name))] for name in NODES},
            "dashboard": [
                "dashboard",
                str(folder),
                *("--host", self.host, "--port", str(DASHBOARD)),
                *("--token-file", str(self.token_file)),
            ],
        }

    @property
    def token(self) -> str:
        """The dashboard's, for control."""
        return self.token_file.read_text(encoding="utf-8").strip()

    @property
    def pids(self) -> dict[str, int]:
        """Of the processes that run, by name."""
        return {name: process.pid for name, process in self._running.items()}

    def up(self) -> None:
        """Start everything, and wait until the dashboard can be reached."""
        for name in ("broker", "lab"):
            self.start(name)
        self._until("the lab says ready", lambda: "\nready" in "\n" + self.log("lab"))
        for name in (*NODES, "dashboard"):
            self.start(name)
        self.reachable()

    def reachable(self) -> None:
        """Wait until the dashboard answers."""
        self._until("the dashboard answers", self._answers)

    def start(self, name: str) -> None:
        """Start one process; its output goes to its log."""
        environment = os.environ | {
            "LAB_HOST": self.host,
            "BROKER_URL": f"mqtt://{self.host}:{BROKER}",
            "QNODEOS_SIM_TOKEN": SIM_TOKEN,
            "PYTHONUNBUFFERED": "1",
            "NICEGUI_SCREEN_TEST_PORT": "",
        }
        # Of pytest's, which NiceGUI takes for its own test run.
        environment.pop("PYTEST_CURRENT_TEST", None)
        with self.layout.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "qnodeos", *self._commands[name]],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End one process and wait until it is gone."""
        process = self._running.pop(name)
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def down(self) -> None:
        """End everything."""
        for name in ("dashboard", *NODES, "lab", "broker"):
            if name in self._running:
                self.stop(name)

    def log(self, name: str) -> str:
        """What a process has printed."""
        with suppress(FileNotFoundError):
            return self.layout.log(name).read_text(encoding="utf-8", errors="replace")
        return ""

    def fault(self, kind: str, of: str, **more: Any) -> None:
        """Let something break in the lab."""
        self._post("/fault", {"kind": kind, "of": of, **more})

    def _post(self, path: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"http://{self.host}:{CONTROL}{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {SIM_TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=5):
            pass

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _until(self, what: str, holds: Any) -> None:
        limit_s = time.monotonic() + UP_LIMIT_S
        while not holds():
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} has ended: {self.log(name)[-2000:]}")
            if time.monotonic() > limit_s:
                raise RuntimeError(f"not within {UP_LIMIT_S:g} s: {what}")
            time.sleep(0.05)
