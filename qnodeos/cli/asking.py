"""Commands that ask a running node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any


def ask(node: Path, method: str, *, what: str = "", quiet: bool = False, **arguments: Any) -> Any:
    """Call one method of a node, with a bar while it tells of progress. Raises UserError."""
    return asyncio.run(_ask(node, method, what, quiet, arguments))


async def _ask(node: Path, method: str, what: str, quiet: bool, arguments: dict[str, Any]) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from qnodeos.client import NodeError, connect
    from qnodeos.errors import UserError

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )
    async with connect(node) as there:
        with bar:
            task = bar.add_task(what or method, total=1.0)

            def progress(done: float, text: str) -> None:
                bar.update(task, completed=done, description=f"{what}: {text}" if text else what)

            try:
                return await there.call(method, progress=progress, **arguments)
            except NodeError as problem:
                raise UserError(problem.text, where=f"node {there.name}") from problem
