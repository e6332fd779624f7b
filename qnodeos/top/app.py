"""`qnodeos top`: a screen that follows the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Header, Static, TabbedContent, TabPane

from qnodeos.dashboard.sights import Sights
from qnodeos.dashboard.view import NetworkView
from qnodeos.top.rows import BAD, GOOD, Sheet, looked, sheets

EVERY_S = 0.5
SCROLL_BAR = 2
LEAST_LONG = 20
TABS = ("overview", "instruments", "requests", "memory", "latencies")
ON_TAB = {"overview": ("wrong", "nodes", "links")} | {tab: (tab,) for tab in TABS[1:]}

HELP = """[b]qnodeos top[/b]  what the nodes say of themselves, twice a second

[b]1[/b] overview     what is wrong and what to do, nodes, links
[b]2[/b] instruments  state, reason, readings
[b]3[/b] requests     who asks for what, and how far it is
[b]4[/b] memory       slots, and for how long each pair is of use
[b]5[/b] latencies    from herald to pair and to correction

[b]Tab[/b] the next table   [b]↑ ↓[/b] rows
[b]p[/b] hold the picture   [b]?[/b] this   [b]q[/b] leave

Requests and memory are told by nodes on this computer; nodes elsewhere are heard over the broker.
[b]qnodeos why NODE[/b] says what a request waits for."""


class Help(ModalScreen[None]):
    """The keys, until any of them is pressed."""

    CSS = "Help { align: center middle; } #help { width: auto; max-width: 90%; height: auto; "
    CSS += "border: round $accent; padding: 1 2; background: $surface; }"

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(HELP, id="help")

    def on_key(self) -> None:
        """Any key closes it."""
        self.dismiss()


class Top(App[None]):
    """The screen. `listen` keeps the view fresh while it runs."""

    TITLE = "qnodeos top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    DataTable { height: auto; max-height: 100%; margin-bottom: 1; }
    .title { text-style: bold; color: $accent; }
    .empty { color: $text-muted; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(i), f"tab('{tab}')", tab) for i, tab in enumerate(TABS, start=1)),
        Binding("p", "hold", "hold"),
        Binding("question_mark", "help", "help"),
        Binding("q", "quit", "leave"),
    ]

    def __init__(
        self, network: NetworkView, listen: Callable[[NetworkView], Coroutine[Any, Any, None]]
    ):
        super().__init__()
        self._network, self._listen = network, listen
        self._sights = Sights(network)
        self._held = False
        self._listening: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        """A tab a subject, a table a sheet."""
        yield Header(show_clock=True)
        with TabbedContent(initial="overview"):
            for tab in TABS:
                with TabPane(tab, id=tab), VerticalScroll():
                    for name in ON_TAB[tab]:
                        yield Static(name, classes="title", id=f"title-{name}")
                        yield DataTable(
                            id=f"table-{name}",
                            cursor_type="row",
                            zebra_stripes=True,
                            cursor_foreground_priority="renderable",
                        )
                        yield Static("", classes="empty", id=f"empty-{name}")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to listen and to draw."""
        self._listening = asyncio.create_task(self._listen(self._network))
        self.set_interval(EVERY_S, self.draw)
        self.draw()

    async def on_unmount(self) -> None:
        """Listen no longer."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def draw(self) -> None:
        """Show what is known now, unless the picture is held or the screen is being taken down.

        The timer still runs while the tables go one by one.
        """
        if self._held or not self.is_running:
            return
        found = sheets(self._network, looked(self._network, self._sights))
        shown = ON_TAB[self.query_one(TabbedContent).active or "overview"]
        for name in shown:
            self._fill(name, found[name])
        nodes = found["nodes"].rows
        wrong = len(found["wrong"].rows)
        self.sub_title = f"{len(nodes)} nodes, {wrong or 'nothing'} wrong"

    def _fill(self, name: str, sheet: Sheet) -> None:
        table = self.query_one(f"#table-{name}", DataTable)
        title = self.query_one(f"#title-{name}", Static)
        title.update(sheet.title)
        empty = self.query_one(f"#empty-{name}", Static)
        empty.update(sheet.empty)
        table.display, empty.display = bool(sheet.rows), not sheet.rows
        row, top = table.cursor_row, table.scroll_offset
        table.clear(columns=True)
        for column, width in zip(sheet.columns, widths(sheet, self.size.width), strict=True):
            table.add_column(column, width=width)
        for cells in sheet.rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in cells), height=None)
        if sheet.rows:
            table.move_cursor(row=min(row, len(sheet.rows) - 1), animate=False, scroll=False)
            table.scroll_to(y=top.y, animate=False)

    def action_tab(self, tab: str) -> None:
        """Show a tab, fresh."""
        self.query_one(TabbedContent).active = tab
        self.call_after_refresh(self.draw)

    def action_hold(self) -> None:
        """Hold the picture, or let it go on."""
        self._held = not self._held
        if self._held:
            self.sub_title += " (held: p goes on)"
        else:
            self.draw()

    def action_help(self) -> None:
        """The keys."""
        self.push_screen(Help())


def widths(sheet: Sheet, screen: int) -> list[int]:
    """Of the columns in characters, for a screen of this width."""
    found = [
        max(len(text) for text in (name, *(row[i] for row in sheet.rows)))
        for i, name in enumerate(sheet.columns)
    ]
    spare = screen - 2 * len(found) - SCROLL_BAR
    spare -= sum(w for w, name in zip(found, sheet.columns, strict=True) if name not in sheet.long)
    share = max(LEAST_LONG, spare // max(1, len(sheet.long)))
    return [
        min(w, share) if name in sheet.long else w
        for w, name in zip(found, sheet.columns, strict=True)
    ]


def _style(cell: str) -> str:
    if cell in GOOD:
        return "green"
    if cell in BAD:
        return "bold red"
    return "yellow" if cell in ("warning", "degraded", "connecting", "draining") else ""
