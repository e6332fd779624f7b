"""A whole network with its dashboard, and Chromium to look at it: one for the whole session."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qnodeos.demo.layout import NODES, Layout, prepare
from qnodeos.demo.run import own_loopback

ROOT = Path(__file__).parents[2]
TOKEN = "of-the-tests"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

READY: dict[str, bytes] = {"broker": b"serving", "lab": b"ready", "dashboard": b"http://"}
"""What a process says once it serves; a node needs none, the pages tell when it is there."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gone(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end, insist where it does not come, and close what it wrote to."""
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@dataclass
class Site:
    """The demo's lab, nodes and broker as processes, and a dashboard over them."""

    layout: Layout
    environment: dict[str, str]
    control: str
    port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, name: str) -> None:
        layout = self.layout
        arguments = {
            "broker": ["broker", "--listen", self.environment["BROKER_URL"].rpartition("/")[2]],
            "lab": ["sim", str(layout.lab), "--stop-with-parent", "--control", self.control],
            "dashboard": ["dashboard", str(layout.folder), "--port", str(self.port)],
        }.get(name) or ["run", str(layout.node(name)), "--stop-with-parent"]
        says = READY.get(name, b"")
        with layout.log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "qnodeos", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if says else log,
                stderr=log,
                env=self.environment,
            )
        self.running[name] = process
        # By reading its words nobody has to ask again and again whether it is there yet.
        words = iter(process.stdout.readline, b"") if says and process.stdout else None
        if words is not None and not any(says in line for line in words):
            raise RuntimeError(f"{name} did not come up:\n{layout.log(name).read_text()}")

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        gone(process)

    def stop(self) -> None:
        """Nodes first, so that they leave their instruments dark."""
        for names in ([*NODES, "dashboard"], ["lab", "broker"]):
            processes = [self.running.pop(name) for name in names if name in self.running]
            for process in processes:
                process.terminate()
            for process in processes:
                gone(process)

    def ask_lab(self, path: str, table: dict[str, Any]) -> dict[str, Any]:
        """Change the lab over its HTTP control."""
        request = urllib.request.Request(
            f"http://{self.control}{path}",
            data=json.dumps(table).encode(),
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
        return told


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra 'test'")
    with playwright.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    layout = prepare(ROOT / "examples" / "two_nodes", tmp_path_factory.mktemp("dash") / "net")
    host = own_loopback()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "LAB_HOST": host,
        "BROKER_URL": f"mqtt://{host}:7183",
        "QNODEOS_SIM_TOKEN": TOKEN,
    }
    environment.pop("PYTEST_CURRENT_TEST", None)  # NiceGUI would take the run for a test of its own
    found = Site(layout, environment, f"{host}:{free_port()}", free_port())
    try:
        for name in ("broker", "lab", *NODES, "dashboard"):
            found.start(name)
        yield found
    finally:
        found.stop()


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Any]:
    """A page on the overview; what it writes to its console is in `page.said`."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    shown = context.new_page()
    shown.set_default_timeout(40_000)
    shown.said = []
    shown.on("console", lambda m: shown.said.append(m.text) if m.type == "error" else None)
    shown.on("pageerror", lambda error: shown.said.append(str(error)))
    shown.goto(site.url)
    yield shown
    context.close()
