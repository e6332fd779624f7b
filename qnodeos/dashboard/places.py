"""Which nodes and links a dashboard shows, read from the nodes' own files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qnodeos.config import MidpointTable, NodeConfig, PhotonicLinkTable, load_node
from qnodeos.dashboard.lab import LabPlace
from qnodeos.errors import UserError

LinkKind = Literal["photonic", "memory"]


@dataclass(frozen=True, slots=True)
class NodePlace:
    """One node as its file tells it."""

    name: str
    file: Path
    data_dir: Path
    bus_url: str
    links: tuple[str, ...]
    instruments: tuple[str, ...]
    peers: tuple[str, ...]
    config: NodeConfig


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """One link with all nodes that take part; `bell_state` and `window_ps` of photonic ones."""

    name: str
    kind: LinkKind
    ends: tuple[str, ...]
    station: str = ""
    bell_state: str = "PHI_PLUS"

    @property
    def nodes(self) -> tuple[str, ...]:
        """Its ends, and its station."""
        return (*self.ends, self.station) if self.station else self.ends

    @property
    def key(self) -> str:
        """Names it in addresses: two links of a network may have the same name."""
        return f"{self.name}@{'-'.join(self.ends)}"


@dataclass(frozen=True, slots=True)
class Places:
    """All that is shown, in the order of the names."""

    nodes: dict[str, NodePlace]
    links: dict[str, LinkPlace]


def find_places(given: Iterable[Path]) -> Places:
    """Nodes of these files, or of all node files in these folders. Raises UserError."""
    files = [file for path in given for file in _node_files(path)]
    nodes: dict[str, NodePlace] = {}
    links: dict[str, LinkPlace] = {}
    for file in files:
        config = load_node(file)
        name = config.node.name
        if name in nodes and nodes[name].file != config.path:
            raise UserError(
                f"two files are of a node '{name}'",
                where=str(config.path),
                found=f"the same name in {nodes[name].file}",
                do="give the files of one network only",
            )
        nodes[name] = NodePlace(
            name=name,
            file=config.path,
            data_dir=config.node.data_dir,
            bus_url=config.bus.url,
            links=tuple(config.links),
            instruments=tuple(config.instruments),
            peers=tuple(config.wire.peers),
            config=config,
        )
        for place in _links(config):
            links[place.key] = place
    return Places(dict(sorted(nodes.items())), dict(sorted(links.items())))


def find_lab(places: Places, given: str | None, token: str) -> LabPlace:
    """The simulated lab that takes changes: at a URL with this token, or by its lab file, which is
    `lab.toml` beside the first node's file where nothing is given. Raises UserError.
    """
    if given is not None and "://" in given:
        if not token:
            raise UserError(
                "the token of the simulated lab is missing",
                where="environment: QNODEOS_SIM_TOKEN",
                expected="what qnodeos sim printed, or was given",
            )
        return LabPlace(url=given.rstrip("/"), token=token)
    beside = next(iter(places.nodes.values())).file.with_name("lab.toml")
    file = beside if given is None else Path(given)
    if given is not None and not file.is_file():
        raise UserError("there is no such lab file", where=given, do="give LAB.toml, or a URL")
    return LabPlace(file.with_suffix(".control"))


def _node_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.glob("*.toml")) if _is_node(file)]
    if not found:
        raise UserError(
            "there is no node's file in this folder",
            where=str(path),
            expected="TOML files with a table [node], as qnodeos demo leaves in its output folder",
            do="give the nodes' files, or the folder that has them",
        )
    return found


def _is_node(file: Path) -> bool:
    """A file with a table [node]; what is wrong inside is told when it is loaded."""
    try:
        return any(line.strip().startswith("[node]") for line in file.read_text().splitlines())
    except (OSError, UnicodeDecodeError):
        return False


def _links(config: NodeConfig) -> Iterable[LinkPlace]:
    me = config.node.name
    for name, table in config.links.items():
        if isinstance(table, MidpointTable):
            yield LinkPlace(name, "memory", tuple(sorted(table.ends)), me)
        elif isinstance(table, PhotonicLinkTable):
            ends = tuple(sorted((me, table.peer)))
            yield LinkPlace(name, "photonic", ends, bell_state=table.bell_state)
        else:
            yield LinkPlace(name, "memory", tuple(sorted((me, table.peer))), table.station)
