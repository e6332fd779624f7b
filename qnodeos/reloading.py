"""Reading the configuration again while the node runs.

What can change without losing a pair changes at once. If anything else has changed in the file,
nothing is taken over, and it is said what needs a restart.
"""

from __future__ import annotations

import re
from typing import Any

from qnodeos.config import MemoryLinkTable, NodeConfig, load_node
from qnodeos.errors import UserError
from qnodeos.memory_link import MemoryLink
from qnodeos.node_parts import NodeParts

LIVE = re.compile(r"links\.[^.]+\.(test_fraction|minimum_useful_fidelity)")
"""Entries of memory links that may change while it runs."""


def reload(parts: NodeParts) -> list[str]:
    """Take the file's changes over; what has changed, one line each. Raises UserError."""
    old, new = parts.config, load_node(parts.config.path)
    changes = differences(old.model_dump(mode="json"), new.model_dump(mode="json"))
    fixed = [place for place in changes if not _live(place, new)]
    if fixed:
        raise UserError(
            "these entries change only with a restart; nothing was changed",
            where=str(new.path),
            found=", ".join(sorted(fixed)),
            expected="changes of links.NAME.test_fraction and minimum_useful_fidelity of memory "
            "links",
            do="undo them, or restart the node: what is open is drained first",
        )
    parts.wire.renew_keys()
    parts.config = new
    for name, table in new.links.items():
        link = parts.links[name]
        if isinstance(link, MemoryLink) and isinstance(table, MemoryLinkTable):
            link.reconfigure(table)
    said = [f"{place}: {was!r} -> {now!r}" for place, (was, now) in sorted(changes.items())]
    parts.store.event("reload", {"changes": said})
    return said


def differences(old: Any, new: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted places at which two configurations differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in old.keys() | new.keys():
            found |= differences(old.get(key), new.get(key), f"{place}.{key}".lstrip("."))
        return found
    return {} if old == new else {place: (old, new)}


def _live(place: str, config: NodeConfig) -> bool:
    return LIVE.fullmatch(place) is not None and isinstance(
        config.links.get(place.split(".")[1]), MemoryLinkTable
    )
