"""Pages that are open: each is made once a turn, however many look at it.

Who comes, or comes again after the network was away, gets all that the page shows; from then on the
same increments as all others.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any, Protocol

from nicegui import json

from qnodeos.dashboard.markup import Html

log = logging.getLogger(__name__)

PLOT_EVERY_S = 0.1
FRAGMENTS_EVERY = 4
"""Texts change at every so many turns: nobody reads faster."""


class Page(Protocol):
    """One page. `fragments` are its parts in order; `plots` is what is new for the plots since the
    last time, `whole` all that they show."""

    title: str
    path: str

    def fragments(self) -> dict[str, Html]:
        """HTML by part."""

    def plots(self) -> dict[str, Any]:
        """Increments by plot."""

    def whole(self) -> dict[str, Any]:
        """What the increments so far have come to, by plot."""


class Watcher(Protocol):
    """One browser that has the page open."""

    def send(self, told: str) -> None:
        """Fragments and plots, as the JSON of a list of the two."""


class OpenPage:
    """One page and who looks at it."""

    def __init__(self, page: Page, fragments: Callable[[Page], dict[str, Html]]):
        self.page = page
        self._fragments = fragments
        self._shown: dict[str, Html] = {}
        """What all who look have been told."""
        self._problem = ""
        self._watchers: list[Watcher] = []
        self._turning: asyncio.Task[None] | None = None

    def fresh(self) -> dict[str, Html]:
        """Its parts as they are now, for who has just asked for it."""
        return self._fragments(self.page)

    def join(self, watcher: Watcher) -> None:
        """Somebody looks; harmless if they did already."""
        self.turn(texts=True)  # so that the others have what is in the whole
        if watcher not in self._watchers:
            self._watchers.append(watcher)
        watcher.send(json.dumps([self._shown, self.page.whole()]))
        if self._turning is None or self._turning.done():
            self._turning = asyncio.create_task(self._turn_on(), name=f"page {self.page.path}")

    def leave(self, watcher: Watcher) -> None:
        """Somebody looks no longer."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def turn(self, *, texts: bool) -> None:
        """Tell all who look what has changed; `texts`: also in the fragments.

        A page that cannot be made now stays as it was: one mistake must not end all that is shown.
        """
        try:
            self._tell(texts)
        except Exception as problem:
            if repr(problem) != self._problem:
                log.exception("page %s cannot be made", self.page.path)
            self._problem = repr(problem)
        else:
            if texts:  # all of it could be made
                self._problem = ""

    def _tell(self, texts: bool) -> None:
        changed: dict[str, Html] = {}
        if texts:
            before, self._shown = self._shown, self.fresh()
            changed = {name: html for name, html in self._shown.items() if before.get(name) != html}
        plots = self.page.plots()
        if changed or plots:
            told = json.dumps([changed, plots])
            for watcher in self._watchers:
                watcher.send(told)

    async def _turn_on(self) -> None:
        turns, loop = itertools.count(1), asyncio.get_running_loop()
        due_s = loop.time()
        while self._watchers:
            self.turn(texts=next(turns) % FRAGMENTS_EVERY == 0)
            due_s = max(due_s + PLOT_EVERY_S, loop.time())
            await asyncio.sleep(due_s - loop.time())


class OpenPages:
    """All of them, by what they show."""

    def __init__(self) -> None:
        self._pages: dict[str, OpenPage] = {}

    def of(
        self, key: str, make: Callable[[], Page], fragments: Callable[[Page], dict[str, Html]]
    ) -> OpenPage:
        """The one that shows this; made when nobody has had it open before."""
        if key not in self._pages:
            self._pages[key] = OpenPage(make(), fragments)
        return self._pages[key]
