"""Going down without leaving anybody waiting: open requests end, or are told why not."""

from __future__ import annotations

import asyncio

from link_layer.messages import ErrorCode
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import NodeParts

LOOK_S = 0.02


async def drain(parts: NodeParts, reason: str, *, limit_s: float) -> int:
    """Take no new request; wait for those that are open, end the rest. Returns how many those were.

    Light and bias are not touched: they go dark when the node ends.
    """
    parts.draining = reason
    parts.store.event("draining", {"reason": reason, "limit_s": limit_s})
    desks = [link.desk for link in parts.links.values() if not isinstance(link, Midpoint)]
    for desk in desks:
        desk.closed = reason
    until_s = parts.clock() + limit_s
    while parts.clock() < until_s and any(len(desk.queue) for desk in desks):  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)
    left = sum(len(desk.queue) for desk in desks)
    for desk in desks:
        desk.end_all(ErrorCode.OTHER, reason)
    return left
