"""The documentation is true: its commands run, its figures and alerts are all there, it builds."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import DOCS, blocks, run_page

ROOT = DOCS.parent


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("first-pair.md", "F = 0."),
        ("first-instrument.md", "thorlabs.pm100d"),
        ("two-racks.md", "together: alice, bob agree"),
        ("configuration.md", "node alice, can start"),
    ],
)
def test_what_a_page_says_can_be_done(page: str, says: str, tmp_path: Path) -> None:
    assert says in run_page(page, tmp_path)


def test_every_page_of_a_path_has_something_to_run() -> None:
    for page in ("first-pair.md", "first-instrument.md", "two-racks.md"):
        assert len(blocks(page)) >= 3


@pytest.mark.e2e
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "site" / "api" / "index.html").read_text()
    for name in ("qnodeos.client.Node.entangle", "drivers.plugin.Manifest", "qnodeos.tags"):
        assert f'id="{name}' in api


def test_the_picture_is_the_one_that_its_tool_draws() -> None:
    drawn = runpy.run_path(str(ROOT / "tools" / "architecture_picture.py"))["picture"]()
    assert (DOCS / "pictures" / "architecture.svg").read_text() == drawn


def test_every_page_is_in_the_navigation_and_every_decision_in_its_list() -> None:
    """A new page gets a line in mkdocs.yml, a new decision one in decisions/README.md."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [each.name for each in DOCS.glob("*.md")]
    assert [page for page in pages if navigation.count(f" {page}\n") != 1] == []
    listed = (DOCS / "decisions" / "README.md").read_text()
    decisions = [each.name for each in (DOCS / "decisions").glob("0*.md")]
    assert [each for each in decisions if f"]({each})" not in listed] == []


def test_every_alert_is_in_the_troubleshooting_page() -> None:
    file = ROOT / "packaging" / "prometheus" / "qnodeos-alerts.yml"
    rules = [r["alert"] for g in yaml.safe_load(file.read_text())["groups"] for r in g["rules"]]
    page = (DOCS / "troubleshooting.md").read_text()
    assert [rule for rule in rules if f"`{rule}`" not in page] == []


def test_commands_in_the_documentation_exist() -> None:
    """Every `qnodeos WORD` that a page writes as code is a command."""
    from tests.qnodeos.test_cli_everywhere import ALL

    known = {name.split()[0] for name in ALL}
    for page in [*DOCS.glob("*.md"), ROOT / "README.md"]:
        words = set(re.findall(r"(?:^|`|\$ )qnodeos ([a-z]+)\b", page.read_text(), re.M))
        assert words <= known, f"{page.name}: {sorted(words - known)}"
