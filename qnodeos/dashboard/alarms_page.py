"""All that is wrong now, and what was."""

from __future__ import annotations

import time
from typing import Any

from qnodeos.dashboard.frame import Board, alarm_list
from qnodeos.dashboard.markup import Html, chip, span, table, tag


class AlarmsPage:
    """The page of alarms."""

    title, path = "Alarms", "/alarms"

    def __init__(self, board: Board):
        self._board = board

    def fragments(self) -> dict[str, Html]:
        """Now, and over."""
        alarms = self._board.alarms
        note = (
            "To acknowledge takes the token this dashboard was started with."
            if self._board.control.there
            else "This dashboard only shows. Start it with --token-file to acknowledge."
        )
        rows = [
            [
                time.strftime("%d.%m. %H:%M:%S", time.localtime(each.since_s)),
                span(each.seen_s - each.since_s),
                chip(each.trouble.severity, "bad" if each.trouble.severity == "alarm" else "warn"),
                tag("b", each.trouble.where),
                each.trouble.text,
            ]
            for each in alarms.ended
        ]
        return {
            "title": tag("div", tag("h1", self.title), tag("p", note, class_="soft")),
            "now": alarm_list(alarms.now, self._board, empty="Nothing is wrong."),
            "ended": tag(
                "div",
                tag("h2", "Over"),
                table(
                    ["Began", "Lasted", "", "Where", "What"],
                    rows,
                    empty="Nothing has ended since this dashboard was started.",
                ),
                class_="card",
            ),
        }

    def plots(self) -> dict[str, Any]:
        """None here."""
        return {}

    def whole(self) -> dict[str, Any]:
        """None here."""
        return {}
