"""Verification as a method of the local socket."""

from __future__ import annotations

from typing import Any

from qnodeos.api_session import Method, Progressing, Session
from qnodeos.errors import UserError
from qnodeos.midpoint import Midpoint
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


async def hom_method(
    session: Session,
    progress: Progressing,
    /,
    *,
    link: str,
    coincidences: int = 1000,
    within_s: float = 60.0,
) -> dict[str, Any]:
    """`link.hom`: how alike the photons are at a station, from so many coincidences on from now.

    They come from the attempts that others ask for; the station makes none itself.
    """
    if not 1 <= coincidences <= MOST_PAIRS:
        raise ValueError(f"{coincidences} coincidences are asked, expected 1 to {MOST_PAIRS}")
    parts = session.parts
    watched = {
        name: each.hom
        for name, each in parts.links.items()
        if isinstance(each, Midpoint) and each.hom is not None
    }
    if link not in watched:
        raise UserError(
            f"no tagger sees where the photons of link '{link}' meet",
            where=f"node {parts.name}",
            expected=", ".join(watched) or "a station with a table [links.NAME.hom]",
            do="ask the node of the station",
        )
    found = await watched[link].measure(coincidences, within_s, progress)
    told = {
        "pairs": found.coincidences,
        "hom": [found.visibility, found.error],
        "hom_interval": [found.low, found.high],
        "accidentals": found.accidentals,
        "qber": {},
    }
    parts.store.result(f"verify:{link}", told)
    return told
