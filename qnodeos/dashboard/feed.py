"""Keeps the view of the network fresh: from the nodes' local sockets, and from their broker.

A socket is on this computer, so it is asked first and for everything; nodes elsewhere are heard
over MQTT. Both reconnect by themselves, and both say when a word came.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from qnodeos.bus import watch_told
from qnodeos.client import Node, NodeError, connect
from qnodeos.dashboard.view import IDLE_S, NetworkView, NodeView, Told
from qnodeos.errors import QnodeosError

log = logging.getLogger("qnodeos.dashboard")

ASK_EVERY_S = 0.4
ANSWER_LIMIT_S = 2.0
RETRY_S = 0.5


async def keep_fresh(network: NetworkView) -> None:
    """Run until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for node in network.nodes.values():
            tasks.create_task(_ask(node, network))
        for url in {node.place.bus_url for node in network.nodes.values()}:
            if not url.startswith("mem:"):
                tasks.create_task(_listen_if_needed(url, network))


async def _ask(node: NodeView, network: NetworkView) -> None:
    """The local socket of one node, again and again."""
    while True:
        try:
            async with connect(node.place.data_dir) as there:
                await _increments(node, there, network)
        except (QnodeosError, OSError, TimeoutError) as problem:
            log.debug("%s: %s", node.place.name, problem)
        node.reachable = False
        await asyncio.sleep(RETRY_S)


async def _increments(node: NodeView, there: Node, network: NetworkView) -> None:
    """A snapshot, then what has changed; less often while nobody looks."""
    after = 0
    fresh = Told()
    while True:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            found = await there.call("told", after=after)
        after = found["number"]
        for topic, text in found["values"].items():
            fresh.take(topic, text)
        fresh.alarms = dict(found["alarms"])
        fresh.draining = found["draining"]
        fresh.heard_s = node.clock()
        node.socket, node.reachable = fresh, True
        node.slack_s = 0.0 if network.watched else IDLE_S
        await network.pause(ASK_EVERY_S)


async def _listen_if_needed(url: str, network: NetworkView) -> None:
    """The broker is heard only while a node of it does not answer on this computer: every figure
    of every node, once a second, is most of what a dashboard would have to do."""
    nodes = [node for node in network.nodes.values() if node.place.bus_url == url]
    await asyncio.sleep(ASK_EVERY_S)  # those here have answered by then
    while True:
        if all(node.reachable for node in nodes):
            await asyncio.sleep(ASK_EVERY_S)
            continue
        listening = asyncio.create_task(_listen(url, network))
        try:
            while not (listening.done() or all(node.reachable for node in nodes)):
                await asyncio.wait([listening], timeout=ASK_EVERY_S)
        finally:
            listening.cancel()
            await asyncio.wait([listening])
        if not listening.cancelled():
            listening.result()  # a fault of ours is not to be hidden


async def _listen(url: str, network: NetworkView) -> None:
    """The broker: what is retained is of any age, so it is no sign of life."""
    async for topic, text, retained in watch_told(url, "homie/5/#"):
        _, _, name, *rest = [*topic.split("/", 3), "", ""][:4]
        node = network.nodes.get(name)
        if node is None or not rest[0]:
            continue
        node.broker.take(rest[0], text)
        # A last will comes from the broker, not from the node.
        if not retained and (rest[0], text) != ("$state", "lost"):
            node.broker.heard_s = node.clock()


async def ask_node(node: NodeView, method: str, **arguments: Any) -> Any:
    """One call of a node's local socket on a connection of its own. Raises NodeError, UserError."""
    async with connect(node.place.data_dir) as there:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await there.call(method, **arguments)
        except TimeoutError:
            raise NodeError("NoAnswer", f"no answer within {ANSWER_LIMIT_S:g} s") from None
