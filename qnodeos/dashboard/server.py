"""Serves the dashboard: the pages, the files they need, and what keeps the view fresh."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nicegui import app, ui

from qnodeos.dashboard.alarms import Alarms
from qnodeos.dashboard.alarms_page import AlarmsPage
from qnodeos.dashboard.control import Control
from qnodeos.dashboard.feed import keep_fresh
from qnodeos.dashboard.frame import Board, show
from qnodeos.dashboard.history_page import SPANS_S, HistoryPage
from qnodeos.dashboard.lab import Lab, LabPlace
from qnodeos.dashboard.lab_control import lab_acts
from qnodeos.dashboard.lab_page import LabPage
from qnodeos.dashboard.link_page import LinkPage
from qnodeos.dashboard.live import STATIC
from qnodeos.dashboard.node_page import NodePage
from qnodeos.dashboard.overview import Overview
from qnodeos.dashboard.places import Places
from qnodeos.dashboard.sights import Sights
from qnodeos.dashboard.troubles import troubles
from qnodeos.dashboard.view import NetworkView

LOOK_FOR_TROUBLE_S = 0.25
LOOK_S = 0.05
LISTENS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Serving:
    """Where it is served, and with what."""

    host: str
    port: int
    token: str
    state_file: Path
    """Where acknowledgements are kept."""
    lab: LabPlace
    """Where a simulated lab takes changes, if there is one."""


def serve(places: Places, serving: Serving) -> None:
    """Serve until interrupted."""
    network = NetworkView.of(places, time.monotonic, time.time)
    alarms = Alarms(serving.state_file, time.time)
    lab = Lab(serving.lab, time.monotonic)
    control = Control(network, alarms, serving.token, lab_acts(lab))
    board = Board(network, alarms, Sights(network), control, lab)
    _pages(board)
    app.add_static_files("/static", str(STATIC))
    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        tasks.append(asyncio.create_task(keep_fresh(network)))
        tasks.append(asyncio.create_task(_keep_alarms(network, alarms)))
        tasks.append(asyncio.create_task(_tell_where(serving)))

    def stop() -> None:
        for task in tasks:
            task.cancel()

    app.on_startup(start)
    app.on_shutdown(stop)
    ui.run(
        host=serving.host,
        port=serving.port,
        title="qnodeos",
        show=False,
        reload=False,
        tailwind=False,
        show_welcome_message=False,
        binding_refresh_interval=None,
        message_history_length=100,
    )


async def _keep_alarms(network: NetworkView, alarms: Alarms) -> None:
    while True:
        alarms.take(troubles(network))
        await network.pause(LOOK_FOR_TROUBLE_S)


async def _tell_where(serving: Serving) -> None:
    """Print the address once it answers: this starts before the server listens."""
    host = "127.0.0.1" if serving.host == "0.0.0.0" else serving.host
    while True:
        try:
            async with asyncio.timeout(LISTENS_WITHIN_S):
                _, writer = await asyncio.open_connection(host, serving.port)
        except OSError:
            await asyncio.sleep(LOOK_S)
        else:
            writer.close()
            print(f"http://{serving.host}:{serving.port}/", flush=True)
            return


def _pages(board: Board) -> None:
    links, nodes = board.network.places.links, board.network.nodes

    @ui.page("/")
    def overview() -> None:
        show("/", lambda: Overview(board), board)

    @ui.page("/alarms")
    def alarms() -> None:
        show("/alarms", lambda: AlarmsPage(board), board)

    @ui.page("/link/{key}")
    def link(key: str) -> None:
        if key in links:
            show(f"/link/{key}", lambda: LinkPage(links[key], board), board)
        else:
            _nothing(f"There is no link {key} here.")

    @ui.page("/node/{name}")
    def node(name: str) -> None:
        if name in nodes:
            show(f"/node/{name}", lambda: NodePage(nodes[name], board), board)
        else:
            _nothing(f"There is no node {name} here.")

    @ui.page("/history")
    def history(link: str = "", over: str = "hour") -> None:
        found = links.get(link) or next(iter(links.values()), None)
        if found is None:
            _nothing("There is no link here.")
        else:
            over = over if over in SPANS_S else "hour"
            page = partial(HistoryPage, found, over, board)
            show(f"/history/{found.key}/{over}", page, board)

    @ui.page("/lab")
    def lab() -> None:
        if board.lab.attached:
            show("/lab", lambda: LabPage(board), board)
        else:
            _nothing("There is no simulated lab here.")


def _nothing(text: str) -> None:
    ui.label(text)
    ui.link("To the overview", "/")
