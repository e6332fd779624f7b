"""What a dashboard asks of a node over the local socket; nothing is made while nobody asks.

`told` is a snapshot of the state on the bus and then its increments; `look.link` and `look.node`
are what is too much for the bus: histograms, requests, slots of the memory.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from link_layer.messages import ErrorCode
from link_layer.queue import Request
from qnodeos.api_session import Methods, Progressing, Session
from qnodeos.errors import UserError
from qnodeos.memory import StoredPair
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import NodeParts

REQUESTS_SHOWN = 50


def watch_methods(parts: NodeParts) -> Methods:
    """`told(after)`, `look.link(link)`, `look.node()`, `request.cancel(link, request)` and
    `withdrawn(after)`."""
    return {
        "told": _told,
        "look.link": _look_link,
        "look.node": _look_node,
        "request.cancel": _cancel,
        "withdrawn": _withdrawn,
    }


async def _told(session: Session, progress: Progressing, /, *, after: int = 0) -> dict[str, Any]:
    parts = session.parts
    number, values = parts.bus.changes(after)
    return {
        "number": number,
        "boot": str(parts.boot),
        "values": values,
        "alarms": parts.bus.alarms,
        "draining": parts.draining,
    }


async def _look_link(session: Session, progress: Progressing, /, *, link: str) -> dict[str, Any]:
    found = session.parts.links.get(link)
    if found is None:
        raise UserError(f"there is no link '{link}'", where=f"node {session.parts.name}")
    now_s = session.parts.clock()
    return {
        "status": dict(found.status()),
        "histogram": None if isinstance(found, MemoryLink) else found.histogram(),
        "requests": (
            []
            if isinstance(found, Midpoint)
            else [_request(each, now_s) for each in islice(found.desk.queue, REQUESTS_SHOWN)]
        ),
    }


async def _look_node(session: Session, progress: Progressing, /) -> dict[str, Any]:
    parts = session.parts
    now_s = parts.clock()
    devices = {
        each.config.device: each.memory
        for each in parts.links.values()
        if isinstance(each, MemoryLink)
    }
    return {
        "instruments": {
            name: {
                "driver": each.status.driver,
                "state": each.status.state,
                "reason": each.status.reason,
                "for_s": now_s - each.status.since_s,
                "identity": each.status.identity.text if each.status.identity else "",
                "connects": each.status.connects,
                "readings": dict(each.status.readings),
            }
            for name, each in parts.rack.supervisors.items()
        },
        "memories": {
            device: {
                "capacity": memory.capacity,
                "free": memory.free,
                "pairs": [_pair(each, now_s) for each in memory.pairs],
            }
            for device, memory in devices.items()
            if memory is not None
        },
        "services": {
            each.service.name: {
                "state": each.state,
                "failures": each.failures,
                "reason": each.reason,
            }
            for each in parts.supervision.watched.values()
        },
    }


async def _cancel(session: Session, progress: Progressing, /, *, link: str, request: str) -> None:
    """End a request of anybody: an operator's word."""
    found = session.parts.links.get(link)
    if found is None or isinstance(found, Midpoint):
        raise UserError(f"there is no link '{link}' with requests", where=session.parts.name)
    text = f"cancelled by the operator of {session.parts.name}"
    found.desk.end(int(request), ErrorCode.CANCELLED, text)


async def _withdrawn(
    session: Session, progress: Progressing, /, *, after: int = 0
) -> list[dict[str, Any]]:
    """Pairs that are not to be used, of anybody; waits until there are some."""
    return [
        {
            "number": each.number,
            "link": each.link,
            "request": str(each.what.request),
            "purpose": each.what.purpose,
            "origin": each.what.origin,
            "first": each.what.first,
            "last": each.what.last,
            "pairs": each.what.pairs,
            "reason": each.reason,
        }
        for each in await session.parts.withdrawals.after(after)
    ]


def _request(request: Request, now_s: float) -> dict[str, Any]:
    create = request.create
    return {
        "id": str(request.id),  # 63 bits: more than a number of JSON holds everywhere
        "kind": create.kind,
        "origin": request.origin,
        "purpose": create.purpose,
        "number": create.number,
        "delivered": request.delivered,
        "minimum_fidelity": create.minimum_fidelity,
        "state": request.state.value,
        "age_s": now_s - request.created_s,
        "left_s": request.expires_s - now_s,
    }


def _pair(pair: StoredPair, now_s: float) -> dict[str, Any]:
    return {
        "link": pair.link,
        "sequence": pair.sequence,
        "qubit": pair.qubit,
        "bell_state": pair.bell_state.name,
        "fidelity": pair.fidelity,
        "age_s": now_s - pair.heralded_s,
        "left_s": pair.deadline_s - now_s,
    }
