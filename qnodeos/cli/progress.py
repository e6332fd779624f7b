"""Bars on what takes longer than a second: on a terminal only, beside the output and not in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(
    what: str, *, quiet: bool = False, done: Callable[[], float] | None = None
) -> Iterator[Callable[[float, str], None]]:
    """Gives `told(done, text)`: the share that is done, 0 to 1, and what is going on.

    With `done` the bar asks for the share whenever it is drawn: what cannot call, as it must run
    the same with and without a bar, is followed so.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
    from rich.progress_bar import ProgressBar

    class Following(BarColumn):
        def render(self, task: Task) -> ProgressBar:
            if done is not None:
                shown.update(task.id, completed=done())
            return super().render(task)

    console = Console(stderr=True)
    shown = Progress(
        TextColumn("{task.description}"),
        Following(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
        # What a command prints meanwhile belongs to its output, which may be a file.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with shown:
        task = shown.add_task(what, total=1.0)

        def told(done: float, text: str) -> None:
            shown.update(task, completed=done, description=f"{what}: {text}" if text else what)

        yield told
