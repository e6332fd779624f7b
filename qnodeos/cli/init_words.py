"""The words of `qnodeos init` for peers, instruments and links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, cast

from qnodeos.checking.draft import DraftInstrument, DraftLink, DraftPeer, needs_of
from qnodeos.errors import UserError

PEER = "NAME=ID@tcp://HOST:PORT"
INSTRUMENT = "NAME=[DRIVER@]RESOURCE"
LINK = "[NAME=]photonic:PEER, [NAME=]memory:PEER:STATION or [NAME=]midpoint:END:END"

_PEER = re.compile(r"([a-z][a-z0-9_-]*)=(\d+)@(\S+)")
_INSTRUMENT = re.compile(r"([a-z][a-z0-9_-]*)=(?:([a-z0-9_]+\.[a-z0-9_.]+)@)?(\S+)")
_LINK = re.compile(
    r"(?:([a-z][a-z0-9_-]*)=)?(photonic|memory|midpoint):([a-z0-9_-]+)(?::([a-z0-9_-]+))?"
)


def peer_of(text: str) -> DraftPeer:
    """`bob=2@tcp://10.0.0.2:7101`. Raises UserError."""
    match = _PEER.fullmatch(text)
    if match is None:
        raise UserError("this is no other node", found=f"'{text}'", expected=PEER)
    return DraftPeer(match[1], int(match[2]), match[3])


def instrument_words(text: str) -> tuple[str, str, str]:
    """Name, driver ("" where none is told) and resource. Raises UserError."""
    match = _INSTRUMENT.fullmatch(text)
    if match is None:
        raise UserError("this is no instrument", found=f"'{text}'", expected=INSTRUMENT)
    return match[1], match[2] or "", match[3]


def link_of(
    text: str, peers: Sequence[DraftPeer], instruments: Sequence[DraftInstrument]
) -> DraftLink:
    """A link to these peers with these instruments. Raises UserError for what is not there."""
    match = _LINK.fullmatch(text)
    if match is None or (match[4] is None) != (match[2] == "photonic"):
        raise UserError("this is no link", found=f"'{text}'", expected=LINK)
    name, kind, first, second = match.groups()
    known = [peer.name for peer in peers]
    for node in filter(None, (first, second)):
        if node not in known:
            raise UserError(
                f"link '{text}' leads to a node that is not told",
                found=f"'{node}'",
                expected=f"one of {', '.join(known)}" if known else f"--peer {node}=ID@ADDRESS",
                do=f"add --peer {node}=ID@tcp://HOST:PORT",
            )
    kinds = {each.kind for each in instruments}
    for entry, wanted in needs_of(kind).items():
        if wanted not in kinds:
            raise UserError(
                f"a {kind} link needs a {wanted}",
                found=", ".join(f"{i.name} ({i.kind})" for i in instruments) or "no instrument",
                do=f"add --instrument {entry}=DRIVER@RESOURCE; `qnodeos instrument list` has them",
            )
    far = (first, second) if kind == "midpoint" else (first,)
    station = second if kind == "memory" else ""
    return DraftLink(
        name or ("memory" if kind == "midpoint" else kind),
        cast(Literal["photonic", "memory", "midpoint"], kind),
        far,
        station,
    )
