"""Why a request is where it is: what it waits for, what comes before it, when it may be done.

Asked over the local socket by `qnodeos why`. Requests that have ended are in the journal.
"""

from __future__ import annotations

import asyncio
from typing import Any

from link_layer.queue import Request, RequestState
from link_layer.queue_load import NOTHING, load_of
from link_layer.served_rate import needed_s
from qnodeos.api_session import Method, Progressing, Session
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import NodeParts
from qnodeos.photonic import PhotonicLink

SHOWN = 50
"""Requests of a link, and requests before one, that are told one by one."""


def why_method(parts: NodeParts) -> Method:
    """`why(request)`: a request by its number or purpose, or all that are open."""

    async def why(session: Session, progress: Progressing, /, *, request: str = "") -> Any:
        found = []
        for link in parts.links.values():
            if isinstance(link, Midpoint):
                continue
            open_ = [each for each in link.desk.queue if _meant(each, request)]
            for each in open_[:SHOWN]:
                found.append(explained(link, each, parts.clock()))
                await asyncio.sleep(0)  # many may be ahead of each: pairs do not wait for this
        return found

    return why


def explained(link: MemoryLink | PhotonicLink, request: Request, now_s: float) -> dict[str, Any]:
    """What is known of an open request at this end, as words and figures."""
    create = request.create
    ahead = link.desk.queue.ahead(request.id) if link.leads else []
    missing, waits = link.missing() or link.unfit, link.waits(request)
    if request.state is RequestState.PROPOSED:
        waits.insert(0, f"{link.config.peer} has not answered the proposal")
    if missing:
        waits.insert(0, missing)
    if not link.leads:
        waits.append(f"{link.config.peer} leads this link and decides what comes next")
    rate = link.admission.rate(create.priority) if isinstance(link, MemoryLink) else None
    before = sum((load_of(each.missing, each.raw_per_pair) for each in ahead), NOTHING)
    load = before + load_of(request.missing, request.raw_per_pair)
    return {
        "link": link.name,
        "request": str(request.id),
        "origin": request.origin,
        "purpose": create.purpose,
        "kind": create.kind,
        "state": request.state.value,
        "number": create.number,
        "delivered": request.delivered,
        "minimum_fidelity": create.minimum_fidelity,
        "priority": create.priority,
        "age_s": now_s - request.created_s,
        "left_s": request.expires_s - now_s,
        "waits": waits,
        "ahead": [_before(each) for each in ahead[:SHOWN]],
        "requests_ahead": len(ahead),
        "pairs_ahead": before.pairs,
        "raw_pairs_ahead": before.raw,
        "raw_per_pair": request.raw_per_pair,
        "pairs_per_s": rate.pairs_per_s if rate else None,
        "taken_per_s": rate.taken_per_s if rate else None,
        "expected_s": load.raw / rate.left_per_s if rate and rate.left_per_s > 0 else None,
        "promised_s": needed_s(load, rate) if rate and rate.left_per_s > 0 else None,
    }


def _before(request: Request) -> dict[str, Any]:
    return {
        "request": str(request.id),
        "purpose": request.create.purpose,
        "priority": request.create.priority,
        "missing": request.missing,
        "begun": request.delivered > 0 and request.undivided,
    }


def _meant(request: Request, wanted: str) -> bool:
    return wanted in ("", str(request.id), request.create.purpose)
