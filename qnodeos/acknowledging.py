"""How a person's word reaches a running node: a file in its data directory.

`NAME.ask` is put there by the command; the node takes it away and leaves `NAME.answer`, which is
empty when the interlock is closed and else says why not. Whoever may write there may run the node.
"""

from __future__ import annotations

import time
from pathlib import Path

ACKNOWLEDGE_EVERY_S = 0.5
"""How often a node looks."""


class Desk:
    """Where acknowledgements are asked for and answered."""

    def __init__(self, data_dir: Path):
        self._folder = data_dir / "interlocks"

    def asked(self, name: str) -> bool:
        """The node's side: was it asked to acknowledge this interlock; the question is taken."""
        question = self._folder / f"{name}.ask"
        try:
            question.unlink()
        except OSError:
            return False
        return True

    def answer(self, name: str, problem: str) -> None:
        """The node's side: "" for acknowledged, else why not."""
        fresh = self._folder / f"{name}.answer.new"
        try:
            fresh.write_text(problem, encoding="utf-8")
            fresh.replace(self._folder / f"{name}.answer")
        except OSError:
            pass  # who asked will say that no answer came

    def ask(self, name: str, *, timeout_s: float, poll_s: float = 0.1) -> str:
        """The person's side: wait for the answer. Raises OSError, TimeoutError without a node."""
        self._folder.mkdir(parents=True, exist_ok=True)
        question, answer = self._folder / f"{name}.ask", self._folder / f"{name}.answer"
        answer.unlink(missing_ok=True)
        question.touch()
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if answer.exists():
                text = answer.read_text(encoding="utf-8")
                answer.unlink(missing_ok=True)
                return text
            time.sleep(poll_s)
        question.unlink(missing_ok=True)
        raise TimeoutError(f"no answer within {timeout_s:g} s")
