"""A page is made once a turn for all who look at it."""

import asyncio
import json
from typing import Any

import pytest

from qnodeos.dashboard import open_pages
from qnodeos.dashboard.markup import Html, tag
from qnodeos.dashboard.open_pages import FRAGMENTS_EVERY, PLOT_EVERY_S, OpenPage, OpenPages
from timing.loop import run_virtual


class Counting:
    """A page that counts how often it is made; its plot has a point more at each turn."""

    title, path = "Counting", "/counting"

    def __init__(self) -> None:
        self.made = self.points = 0
        self.text = "first"
        self.broken = False

    def fragments(self) -> dict[str, Html]:
        self.made += 1
        if self.broken:
            raise RuntimeError("cannot be made")
        return {"fixed": tag("p", "as ever"), "text": tag("p", self.text)}

    def plots(self) -> dict[str, Any]:
        self.points += 1
        return {"line": {"add": [[self.points]]}}

    def whole(self) -> dict[str, Any]:
        return {"line": {"set": [list(range(1, self.points + 1))]}}


class Browser:
    """What it was sent, and what its plot would show."""

    def __init__(self) -> None:
        self.told: list[list[Any]] = []

    def send(self, told: str) -> None:
        self.told.append(json.loads(told))

    @property
    def line(self) -> list[int]:
        shown: list[int] = []
        for _, plots in self.told:
            line = plots.get("line", {})
            shown = line["set"][0] if "set" in line else shown + line.get("add", [[]])[0]
        return shown


def opened(page: Counting) -> OpenPage:
    return OpenPages().of("counting", lambda: page, lambda each: each.fragments())


def test_all_see_the_same_whenever_they_came() -> None:
    page, browsers = Counting(), [Browser() for _ in range(20)]

    async def scenario() -> None:
        shared = opened(page)
        shared.fresh()
        for browser in browsers:
            shared.join(browser)
            await asyncio.sleep(0.07)
        await asyncio.sleep(2.0)
        for browser in browsers:
            shared.leave(browser)
        await asyncio.sleep(1.0)

    run_virtual(scenario())
    lines = [browser.line for browser in browsers]
    assert lines[0] == list(range(1, page.points + 1))
    assert all(line == lines[0] for line in lines)
    # 3.4 s of turns and one more for each who came; not a turn for each of them.
    assert page.made < 20 + 2 + 3.4 / PLOT_EVERY_S / FRAGMENTS_EVERY + 1


def test_only_what_has_changed_is_sent_again() -> None:
    page, browser = Counting(), Browser()

    async def scenario() -> None:
        shared = opened(page)
        shared.join(browser)
        await asyncio.sleep(1.0)
        page.text = "second"
        await asyncio.sleep(1.0)
        shared.leave(browser)

    run_virtual(scenario())
    assert set(browser.told[0][0]) == {"fixed", "text"}
    later = [fragments for fragments, _ in browser.told[1:] if fragments]
    assert later == [{"text": "<p>second</p>"}]


def test_who_comes_takes_no_change_from_those_who_are_there() -> None:
    """A page is drawn for a browser before it is connected, in the middle of a turn."""
    page, browser, late = Counting(), Browser(), Browser()

    async def scenario() -> None:
        shared = opened(page)
        shared.join(browser)
        await asyncio.sleep(0.05)
        page.text = "second"
        assert "second" in shared.fresh()["text"]
        await asyncio.sleep(1.0)
        page.text = "third"
        shared.fresh()
        shared.join(late)
        for each in (browser, late):
            shared.leave(each)

    run_virtual(scenario())
    later = [fragments for fragments, _ in browser.told[1:] if fragments]
    assert later == [{"text": "<p>second</p>"}, {"text": "<p>third</p>"}]
    assert late.told[0][0]["text"] == "<p>third</p>"


def test_nobody_looks_nothing_is_made() -> None:
    page, browser = Counting(), Browser()

    async def scenario() -> int:
        shared = opened(page)
        shared.join(browser)
        shared.leave(browser)
        await asyncio.sleep(0.2)
        made = page.made
        await asyncio.sleep(10.0)
        return made

    assert run_virtual(scenario()) == page.made


def test_a_page_that_fails_once_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    page, browser = Counting(), Browser()

    async def scenario() -> None:
        shared = opened(page)
        shared.join(browser)
        page.broken = True
        await asyncio.sleep(2.0)
        page.broken, page.text = False, "again"
        await asyncio.sleep(0.5)
        shared.leave(browser)

    run_virtual(scenario())
    # Told once, not at each of the turns.
    assert [each.getMessage() for each in caplog.records] == ["page /counting cannot be made"]
    assert any("again" in fragments.get("text", "") for fragments, _ in browser.told)


def test_browsers_of_one_page_share_it() -> None:
    pages, page = open_pages.OpenPages(), Counting()
    first = pages.of("counting", lambda: page, lambda each: each.fragments())
    assert pages.of("counting", Counting, lambda each: each.fragments()) is first
    assert pages.of("other", Counting, lambda each: each.fragments()) is not first
