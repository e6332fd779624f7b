"""What a person sees while the demo runs, drawn from what the nodes publish on the bus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qnodeos.homie import text_of

STATE_STYLE = {
    "online": "green",
    "up": "green",
    "tracking": "green",
    "ready": "green",
    "connecting": "yellow",
    "acquiring": "yellow",
    "holdover": "yellow",
    "degraded": "yellow",
    "absent": "red",
    "lost": "red",
    "fault": "red",
}

LINES_EVERY_S = 5.0
"""Without a terminal there is no live picture, but a line now and then."""


class Progress:
    """The state of all nodes as last heard; a live picture on a terminal, lines elsewhere."""

    def __init__(self, console: Console, seconds: float, clock: Callable[[], float]):
        self._console = console
        self._seconds = seconds
        self._clock = clock
        self._began_s = clock()
        self._heard: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        self._next_line_s = self._began_s + LINES_EVERY_S
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.__exit__(kind, error, trace)

    def heard(self, parts: list[str], value: str) -> None:
        """Note a value: node, group, property; or node, $state."""
        if len(parts) == 2 and parts[1] == "$state":
            self._heard[parts[0], ""]["state"] = value
        elif len(parts) == 3:
            # Homie allows no underscore in topics.
            self._heard[parts[0], parts[1]][parts[2].replace("-", "_")] = text_of(value)

    def show(self) -> None:
        """Draw what is known now."""
        if self._console.is_terminal:
            self._live.update(self._picture())
        elif self._clock() >= self._next_line_s:
            self._next_line_s += LINES_EVERY_S
            self._console.print(self._line(), soft_wrap=True)

    def _elapsed_s(self) -> float:
        return min(self._clock() - self._began_s, self._seconds)

    def _line(self) -> str:
        photonic = self._heard["alice", "link-photonic"]
        memory = self._heard["alice", "link-memory"]
        return (
            f"{self._elapsed_s():5.1f} s  clock {photonic.get('clock', 'waiting')}, "
            f"photonic F {_number(photonic, 'fidelity', 3)}, "
            f"M pairs {photonic.get('delivered', '0')}, "
            f"memory F {_number(memory, 'fidelity', 3)}, K pairs {memory.get('delivered', '0')}"
        )

    def _picture(self) -> Group:
        bar = ProgressBar(total=self._seconds, completed=self._elapsed_s(), width=60)
        head = Text.assemble(
            ("qnodeos demo  ", "bold"), f"{self._elapsed_s():.0f} of {self._seconds:.0f} s"
        )
        return Group(head, bar, Text(), self._instruments(), self._links())

    def _instruments(self) -> Table:
        table = Table(title="instruments", title_justify="left", box=None, pad_edge=False)
        table.add_column("node")
        table.add_column("state")
        table.add_column("instruments")
        for node in sorted({node for node, _ in self._heard}):
            states = Text()
            for (of, group), values in sorted(self._heard.items()):
                if of == node and group.startswith("instrument-"):
                    states.append(group.removeprefix("instrument-") + " ")
                    state = values.get("state", "?")
                    states.append(state + "  ", STATE_STYLE.get(state, ""))
            state = self._heard[node, ""].get("state", "?")
            table.add_row(node, Text(state, STATE_STYLE.get(state, "")), states)
        return table

    def _links(self) -> Table:
        photonic = self._heard["alice", "link-photonic"]
        memory = self._heard["alice", "link-memory"]
        far_end = self._heard["bob", "link-memory"]
        clock = photonic.get("clock", "waiting")
        table = Table(title="links", title_justify="left", box=None, pad_edge=False)
        table.show_header = False
        table.add_column()
        table.add_column()
        for name, value in (
            ("clock", Text(clock, STATE_STYLE.get(clock, ""))),
            ("skew", _number(photonic, "skew_ppm", 4, " ppm")),
            ("clock uncertainty", _number(photonic, "clock_uncertainty_ps", 1, " ps")),
            ("coincidences", _number(photonic, "coincidence_rate_cps", 0, " cps")),
            ("photonic fidelity", _with_error(photonic)),
            ("M pairs delivered", photonic.get("delivered", "0")),
            ("memory fidelity", _with_error(memory)),
            ("K pairs delivered", memory.get("delivered", "0")),
            ("herald to correction, p50", _number(far_end, "correction_p50_ms", 2, " ms")),
        ):
            table.add_row(name, value)
        return table


def _number(values: dict[str, str], name: str, digits: int, unit: str = "") -> str:
    try:
        return f"{float(values[name]):.{digits}f}{unit}"
    except (KeyError, ValueError):
        return "…"


def _with_error(values: dict[str, str]) -> str:
    value = _number(values, "fidelity", 4)
    return value if value == "…" else f"{value} ± {_number(values, 'fidelity_error', 4)}"
