"""What every page has: the bar at the top, the live component, the questions before an act."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from nicegui import background_tasks, ui

from qnodeos.dashboard.alarms import Alarm, Alarms
from qnodeos.dashboard.control import Control, Question
from qnodeos.dashboard.lab import Lab
from qnodeos.dashboard.live import Live, add_assets
from qnodeos.dashboard.markup import Html, chip, joined, span, tag
from qnodeos.dashboard.open_pages import OpenPages, Page
from qnodeos.dashboard.sights import Sights
from qnodeos.dashboard.view import NetworkView
from qnodeos.errors import QnodeosError


@dataclass(frozen=True, slots=True)
class Board:
    """What the pages are made from."""

    network: NetworkView
    alarms: Alarms
    sights: Sights
    control: Control
    lab: Lab
    open: OpenPages = field(default_factory=OpenPages)


PAGES = (("/", "Overview"), ("/alarms", "Alarms"), ("/history", "History"))
LAB = ("/lab", "Simulated lab")
"""Only where there is one."""


def show(key: str, make: Callable[[], Page], board: Board) -> None:
    """Build a page for one browser and keep it fresh while it is open. `key` says what it shows:
    browsers with the same one share it."""

    def fragments(page: Page) -> dict[str, Html]:
        board.network.look()
        return {"nav": _nav(page, board), **page.fragments()}

    opened = board.open.of(key, make, fragments)
    add_assets()
    ui.page_title(f"{opened.page.title} – qnodeos")
    token = ""

    def on_token(told: str) -> None:
        nonlocal token
        token = told

    def on_act(act: str, of: str) -> None:
        question = board.control.asks(act, of)
        if question is not None:

            async def do(told: str, answers: Mapping[str, str]) -> None:
                if await _allowed(board, told):
                    keep(told)
                    await _do(board, act, of, answers)

            _ask(question, token, do)

    def keep(told: str) -> None:
        nonlocal token
        token = told
        ui.run_javascript(f"sessionStorage.setItem('qnodeos-token', {_quoted(told)})")

    live = Live(opened.fresh(), on_act=on_act, on_token=on_token)
    ui.context.client.on_connect(lambda: opened.join(live))
    ui.context.client.on_disconnect(lambda: opened.leave(live))


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
    for path, name in (*PAGES, *([LAB] if board.lab.attached else [])):
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


Doing = Callable[[str, Mapping[str, str]], Awaitable[None]]


def _ask(question: Question, token: str, do: Doing) -> None:
    """A dialog: what will be done, what is to be filled in, the token, yes or no."""
    with ui.dialog() as dialog, ui.card().classes("asking"):
        ui.label(f"{question.text}?").classes("text-weight-medium")
        ui.label(question.of).classes("soft")
        filled: dict[str, ui.input | ui.select] = {}
        for field in question.fields:
            if field.choices:
                widget: ui.input | ui.select = ui.select(
                    dict(field.choices), label=field.label, value=field.value
                )
            else:
                widget = ui.input(field.label, value=field.value)
            filled[field.name] = widget.props("outlined dense")
        typed = ui.input("Token", value=token, password=True).props("outlined dense")

        def yes() -> None:
            dialog.close()
            answers = {name: str(widget.value or "") for name, widget in filled.items()}
            background_tasks.create(_within(dialog, do, typed.value or "", answers), name="act")

        with ui.row():
            ui.button("Do it", on_click=yes).props("unelevated no-caps")
            ui.button("Leave it", on_click=dialog.close).props("flat no-caps")
    dialog.open()


async def _within(dialog: ui.dialog, do: Doing, token: str, answers: Mapping[str, str]) -> None:
    with dialog.client:
        await do(token, answers)


async def _allowed(board: Board, token: str) -> bool:
    if await board.control.allowed(token):
        return True
    ui.notify("This is not the token.", type="negative")
    return False


async def _do(board: Board, act: str, of: str, answers: Mapping[str, str]) -> None:
    try:
        said = await board.control.do(act, of, answers)
    except QnodeosError as problem:
        ui.notify(str(problem), type="negative", multi_line=True)
    else:
        ui.notify(said, type="positive")


def _quoted(text: str) -> str:
    return json.dumps(text).replace("<", "\\u003c")
