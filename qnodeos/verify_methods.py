"""Verification as a method of the local socket."""

from __future__ import annotations

from typing import Any

from qnodeos.api_session import Method, Progressing, Session
from qnodeos.verifying import Verifier

MOST_PAIRS = 1_000_000


def verify_method(verifier: Verifier) -> Method:
    """`link.verify`: link, pairs, within_s, tomography; tells progress, gives the figures."""

    async def verify(
        session: Session,
        progress: Progressing,
        /,
        *,
        link: str,
        pairs: int = 1800,
        within_s: float = 60.0,
        tomography: bool = True,
    ) -> dict[str, Any]:
        if not 1 <= pairs <= MOST_PAIRS:
            raise ValueError(f"{pairs} pairs are asked, expected 1 to {MOST_PAIRS}")
        found = await verifier.verify(
            link, pairs=pairs, within_s=within_s, tomography=tomography, progress=progress
        )
        return found.as_json()

    return verify
