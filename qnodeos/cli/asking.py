"""Commands that ask a running node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from qnodeos.cli.progress import bar


def ask(node: Path, method: str, *, what: str = "", quiet: bool = False, **arguments: Any) -> Any:
    """Call one method of a node, with a bar while it tells of progress. Raises UserError."""
    return asyncio.run(_ask(node, method, what, quiet, arguments))


async def _ask(node: Path, method: str, what: str, quiet: bool, arguments: dict[str, Any]) -> Any:
    from qnodeos.client import NodeError, connect
    from qnodeos.errors import UserError

    async with connect(node) as there:
        with bar(what or method, quiet=quiet) as progress:
            try:
                return await there.call(method, progress=progress, **arguments)
            except NodeError as problem:
                raise UserError(problem.text, where=f"node {there.name}") from problem
