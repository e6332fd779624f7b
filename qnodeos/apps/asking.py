"""Asking a link for pairs again and again, as a resident application does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Protocol, TypeVar

from link_layer.messages import RequestKind
from qnodeos.requests import Desk, RequestEnded
from qnodeos.store import Store

Item = TypeVar("Item")

REQUEST_LIMIT_S = 10.0
RETRY_S = 0.25


class AskedLink(Protocol[Item]):
    """A link as an application sees it."""

    desk: Desk[Item]

    @property
    def ready(self) -> bool:
        """A request can be made."""
        ...


async def keep_asking(
    link: AskedLink[Item],
    store: Store,
    counters: Counter[str],
    *,
    kind: RequestKind,
    number: int,
    fidelity: float,
    purpose: str,
) -> AsyncIterator[Item]:
    """What one request after the other delivers, without end; failed ones are told and counted."""
    while True:
        if not link.ready:
            await asyncio.sleep(RETRY_S)
            continue
        try:
            delivered = link.desk.ask(
                kind=kind,
                number=number,
                minimum_fidelity=fidelity,
                within_s=REQUEST_LIMIT_S,
                purpose=purpose,
            )
            async for item in delivered:
                yield item
        except RequestEnded as ended:
            counters["requests_ended_early"] += 1
            store.event("request-ended", {"app": purpose, "reason": str(ended)})
            await asyncio.sleep(RETRY_S)
