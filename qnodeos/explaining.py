"""Why a request is where it is: what it waits for, what comes before it, when it may be done.

Asked over the local socket by `qnodeos why`. Requests that have ended are in the journal.
"""

from __future__ import annotations

from typing import Any

from link_layer.queue import Request, RequestState
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
            found += [explained(link, each, parts.clock()) for each in open_[:SHOWN]]
        return found

    return why


def explained(link: MemoryLink | PhotonicLink, request: Request, now_s: float) -> dict[str, Any]:
    """What is known of an open request at this end, as words and figures."""
    create = request.create
    ahead = link.desk.queue.ahead(request.id) if link.leads else []
    missing, waits = link.missing(), link.waits(request)
    if request.state is RequestState.PROPOSED:
        waits.insert(0, f"{link.config.peer} has not answered the proposal")
    if missing:
        waits.insert(0, missing)
    if not link.leads:
        waits.append(f"{link.config.peer} leads this link and decides what comes next")
    pairs_per_s = link.served.pairs_per_s(now_s) if isinstance(link, MemoryLink) else None
    before = sum(each.missing for each in ahead)
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
        "pairs_ahead": before,
        "pairs_per_s": pairs_per_s,
        "expected_s": (before + request.missing) / pairs_per_s if pairs_per_s else None,
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
