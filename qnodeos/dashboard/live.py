"""The one component of every page: fragments of HTML and plots, fed by increments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from qnodeos.dashboard.markup import Html, tag

STATIC = Path(__file__).parent / "static"


class Live(Element, component=STATIC / "live.js"):
    """What a page shows, as one browser has it."""

    def __init__(
        self,
        fragments: dict[str, Html],
        *,
        on_act: Callable[[str, str], None],
        on_token: Callable[[str], None],
    ):
        super().__init__()
        self._props["fragments"] = dict(fragments)

        def act(event: GenericEventArguments) -> None:
            told = event.args
            if isinstance(told, dict):
                on_act(str(told.get("act", "")), str(told.get("of", "")))

        self.on("act", act)
        self.on("token", lambda event: on_token(str(event.args)))

    def send(self, told: str) -> None:
        """Show fragments and plots, the JSON of a list of the two: it is the same for all who look,
        so it is written once for all, which `run_method` would not."""
        self.client.run_javascript(f'return runMethod({self.id}, "push", {told})')


def plot(
    name: str,
    series: tuple[str, ...],
    *,
    unit: str,
    x: str = "time",
    bars: bool = False,
    zero: bool = True,
    range_: tuple[float, float] | None = None,
) -> Html:
    """A place for a plot; `x` is the label of its axis, or "time". What it shows comes by `push`:
    `{"set": columns}` or `{"add": columns}`, the first column is x; `marks` shades from, to.
    `zero`: the axis of values begins at 0.
    """
    spec = {"series": series, "unit": unit, "x": x, "bars": bars, "zero": zero, "range": range_}
    return tag("div", "no data yet", class_="plot", data_plot=name, data_spec=json.dumps(spec))


def add_assets() -> None:
    """What every page's head needs; all of it is served from here."""
    ui.add_head_html(
        '<link rel="stylesheet" href="/static/uPlot.min.css">'
        '<link rel="stylesheet" href="/static/dashboard.css">'
        '<script src="/static/uPlot.iife.min.js"></script>'
        '<script src="/static/theme.js"></script>'
    )
