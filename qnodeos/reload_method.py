"""Reading the configuration again, as a method of the local socket."""

from __future__ import annotations

from qnodeos.api_session import Method, Progressing, Session
from qnodeos.node_parts import NodeParts
from qnodeos.reloading import reload


def reload_method(parts: NodeParts) -> Method:
    """`reload`: no arguments; what has changed, a line each."""

    async def call(session: Session, progress: Progressing, /) -> list[str]:
        return reload(parts)

    return call
