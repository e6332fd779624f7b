"""What every page has: the bar at the top, the live component, the questions before an act."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from nicegui import background_tasks, ui

from qnodeos.dashboard.alarms import Alarm, Alarms
from qnodeos.dashboard.control import Control
from qnodeos.dashboard.live import Live, add_assets
from qnodeos.dashboard.markup import Html, chip, joined, span, tag
from qnodeos.dashboard.sights import Sights
from qnodeos.dashboard.view import NetworkView
from qnodeos.errors import QnodeosError

PLOT_EVERY_S = 0.1
FRAGMENTS_EVERY = 4
"""Texts change at every so many turns: nobody reads faster."""


@dataclass(frozen=True, slots=True)
class Board:
    """What the pages are made from."""

    network: NetworkView
    alarms: Alarms
    sights: Sights
    control: Control


class Page(Protocol):
    """One page. `fragments` are its parts in order; `plots` is what is new for the plots."""

    title: str
    path: str

    def fragments(self) -> dict[str, Html]:
        """HTML by part."""

    def plots(self) -> dict[str, Any]:
        """Increments by plot."""


PAGES = (("/", "Overview"), ("/alarms", "Alarms"), ("/history", "History"))


def show(page: Page, board: Board) -> None:
    """Build a page for one browser and keep it fresh while it is open."""
    add_assets()
    ui.page_title(f"{page.title} – qnodeos")
    token = ""

    def fragments() -> dict[str, Html]:
        return {"nav": _nav(page, board), **page.fragments()}

    def on_token(told: str) -> None:
        nonlocal token
        token = told

    def on_act(act: str, of: str) -> None:
        question = board.control.asks(act)
        if question:
            _ask(question, of, token, lambda told: _do(board, act, of, told, keep))

    def keep(told: str) -> None:
        nonlocal token
        token = told
        ui.run_javascript(f"sessionStorage.setItem('qnodeos-token', {_quoted(told)})")

    live = Live(fragments(), on_act=on_act, on_token=on_token)
    turn = 0

    def push() -> None:
        nonlocal turn
        turn += 1
        live.push(fragments() if turn % FRAGMENTS_EVERY == 0 else {}, page.plots())

    ui.timer(PLOT_EVERY_S, push)


def alarm_list(alarms: list[Alarm], board: Board, *, empty: str) -> Html:
    """Troubles as a list, each with what to do; a good word where there are none."""
    if not alarms:
        return tag("div", empty, class_="banner", data_state="good")
    return tag("ul", *(_alarm(each, board) for each in alarms), class_="alarms")


def _alarm(alarm: Alarm, board: Board) -> Html:
    trouble = alarm.trouble
    state = "bad" if trouble.severity == "alarm" else "warn"
    lasted = span(max(0.0, board.network.wall() - alarm.since_s))
    since: list[object] = [f"for {lasted}"]
    if alarm.acknowledged_s is not None:
        state = "idle"
        seen = time.strftime("%H:%M", time.localtime(alarm.acknowledged_s))
        since.append(f", acknowledged {seen}")
    elif board.control.there:
        since += [" ", tag("button", "Acknowledge", data_act="acknowledge", data_of=trouble.key)]
    where = tag("a", trouble.where, href=trouble.href) if trouble.href else trouble.where
    return tag(
        "li",
        tag(
            "div",
            tag("div", tag("b", where), " ", trouble.text, class_="what"),
            tag("div", trouble.do, class_="do") if trouble.do else "",
        ),
        tag("div", *since, class_="since"),
        data_state=state,
        data_key=trouble.key,
    )


def _nav(page: Page, board: Board) -> Html:
    links = []
    for path, name in PAGES:
        count: object = ""
        if path == "/alarms" and board.alarms.open:
            count = tag("span", chip(str(board.alarms.open), "bad"), class_="count")
        current = "page" if path == page.path else None
        links.append(tag("a", name, count, href=path, aria_current=current))
    return tag(
        "nav",
        tag("b", "qnodeos"),
        joined(links),
        tag("span", class_="gap"),
        tag("button", "Light / dark", data_theme_switch="", type="button"),
    )


def _ask(question: str, of: str, token: str, do: Callable[[str], Awaitable[None]]) -> None:
    """A dialog: what will be done, the token if it is not known, yes or no."""
    with ui.dialog() as dialog, ui.card():
        ui.label(f"{question}?").classes("text-weight-medium")
        ui.label(of).classes("soft")
        typed = ui.input("Token", value=token, password=True).props("outlined dense")

        def yes() -> None:
            dialog.close()
            background_tasks.create(_within(dialog, do, typed.value or ""), name="act")

        with ui.row():
            ui.button("Do it", on_click=yes).props("unelevated no-caps")
            ui.button("Leave it", on_click=dialog.close).props("flat no-caps")
    dialog.open()


async def _within(dialog: ui.dialog, do: Callable[[str], Awaitable[None]], token: str) -> None:
    with dialog.client:
        await do(token)


async def _do(board: Board, act: str, of: str, token: str, keep: Callable[[str], None]) -> None:
    if not await board.control.allowed(token):
        ui.notify("This is not the token.", type="negative")
        return
    keep(token)
    try:
        said = await board.control.do(act, of)
    except QnodeosError as problem:
        ui.notify(str(problem), type="negative", multi_line=True)
    else:
        ui.notify(said, type="positive")


def _quoted(text: str) -> str:
    return json.dumps(text).replace("<", "\\u003c")
