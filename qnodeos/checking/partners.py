"""Do the files of nodes that work together agree? Each is checked on its own before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from urllib.parse import urlsplit

from qnodeos.checking.findings import Finding
from qnodeos.config import MemoryLinkTable, MidpointTable, NodeConfig, PhotonicLinkTable
from qnodeos.errors import UserError
from qnodeos.keys import load_key_pair, load_public_key

_COMPARED = {
    "photonic": ("bell_state", "window_ps"),
    "memory": ("station", "bright_state", "schedule"),
}


def partner_findings(configs: Sequence[NodeConfig]) -> list[Finding]:
    """Everything in which the files contradict each other; [] when they agree."""
    nodes = {config.node.name: config for config in configs}
    findings = [*_identities(configs)]
    for config in configs:
        findings += _peers(config, nodes)
        findings += _links(config, nodes)
        findings += _applications(config, nodes)
    return findings


def _identities(configs: Sequence[NodeConfig]) -> Iterator[Finding]:
    for one, other in combinations(configs, 2):
        for what in ("name", "id"):
            value = getattr(one.node, what)
            if value == getattr(other.node, what):
                found = f"{value} in {one.path.name} and in {other.path.name}"
                yield Finding("wrong", f"node.{what}", found, "give each node its own")
        if one.metrics is not None and one.metrics == other.metrics and _one_computer(one, other):
            found = f"{one.node.name} and {other.node.name} on one computer have the same"
            yield Finding("wrong", "metrics.listen", found, "give each a port of its own")
    if len({config.bus.url for config in configs}) > 1:
        found = "the nodes tell their state to different brokers"
        yield Finding("note", "bus.url", found, "one broker shows the network in one place")


def _one_computer(one: NodeConfig, other: NodeConfig) -> bool:
    """They reach each other without a network."""
    peer = one.wire.peers.get(other.node.name)
    host = None if peer is None else urlsplit(peer.address).hostname
    return host is not None and (host == "localhost" or host.startswith("127."))


def _peers(config: NodeConfig, nodes: Mapping[str, NodeConfig]) -> Iterator[Finding]:
    for name, peer in config.wire.peers.items():
        there = nodes.get(name)
        if there is None:
            continue
        where = f"{config.node.name}: wire.peers.{name}"
        if peer.id != there.node.id:
            found = f"{peer.id}, and {name} itself says {there.node.id}"
            yield Finding("wrong", f"{where}.id", found, "the same number in everybody's file")
        if urlsplit(peer.address).port != urlsplit(there.wire.listen).port:
            found = f"{peer.address}, and {name} itself listens at {there.wire.listen}"
            do = "correct the port, unless something between translates it"
            yield Finding("note", f"{where}.address", found, do)
        if config.node.name not in there.wire.peers:
            found = f"{name} does not know {config.node.name}"
            do = f"add [wire.peers.{config.node.name}] to {there.path.name}"
            yield Finding("wrong", where, found, do)
        with suppress(UserError):  # each file's own check tells of a key that cannot be read
            if load_public_key(peer.public_key) != load_key_pair(there.wire.secret_key).public:
                found = f"{peer.public_key} is not the key of {there.wire.secret_key}"
                do = f"copy {name}.key anew from node {name}"
                yield Finding("wrong", f"{where}.public_key", found, do)


def _links(config: NodeConfig, nodes: Mapping[str, NodeConfig]) -> Iterator[Finding]:
    for name, link in config.links.items():
        where = f"{config.node.name}: links.{name}"
        far_names: tuple[str, ...]
        match link:
            case MidpointTable():
                far_names, kind = link.ends, "memory"
            case MemoryLinkTable():
                yield from _station(config, name, link, nodes)
                far_names, kind = (link.peer,), "memory"
            case PhotonicLinkTable():
                far_names, kind = (link.peer,), "photonic"
        for far_name in far_names:
            if far_name not in nodes:
                continue
            there = nodes[far_name]
            far = there.links.get(name)
            if far is None or far.kind != kind:
                found = f"{far_name} has no {kind} link of this name"
                yield Finding("wrong", where, found, f"add [links.{name}] to {there.path.name}")
            elif link.kind == kind and not isinstance(far, MidpointTable):
                yield from _ends(config, name, link, far)


def _ends(
    config: NodeConfig,
    name: str,
    link: PhotonicLinkTable | MemoryLinkTable | MidpointTable,
    far: PhotonicLinkTable | MemoryLinkTable,
) -> Iterator[Finding]:
    where, ours = f"{config.node.name}: links.{name}", config.node.name
    if far.peer != ours:
        found = f"the far end's link of this name leads to {far.peer}, not to {ours}"
        yield Finding("wrong", where, found, "one name is one link: correct `peer`, or rename one")
        return
    assert not isinstance(link, MidpointTable)  # the kinds are the same
    for entry in _COMPARED[link.kind]:
        mine, theirs = getattr(link, entry), getattr(far, entry)
        # Told once, by the end that comes first in the alphabet.
        if mine != theirs and ours < link.peer:
            found = f"{_shown(mine)} here, {_shown(theirs)} at {link.peer}"
            if link.kind == "memory":
                yield Finding("wrong", f"{where}.{entry}", found, "the same at both ends")
            else:
                do = "that of the end that leads holds, which is the one with the smaller id"
                yield Finding("note", f"{where}.{entry}", found, do)


def _station(
    config: NodeConfig, name: str, link: MemoryLinkTable, nodes: Mapping[str, NodeConfig]
) -> Iterator[Finding]:
    there = nodes.get(link.station)
    if there is None:
        return
    midpoint = there.links.get(name)
    ends = {config.node.name, link.peer}
    if not isinstance(midpoint, MidpointTable) or set(midpoint.ends) != ends:
        found = f"{link.station} has no midpoint of this name between {' and '.join(sorted(ends))}"
        do = f'add [links.{name}] with kind = "midpoint" to {there.path.name}'
        yield Finding("wrong", f"{config.node.name}: links.{name}.station", found, do)


def _applications(config: NodeConfig, nodes: Mapping[str, NodeConfig]) -> Iterator[Finding]:
    for name in type(config.applications).model_fields:
        ours = getattr(config.applications, name)
        link = config.links.get(ours.link) if ours is not None else None
        if link is None or isinstance(link, MidpointTable) or link.peer not in nodes:
            continue
        theirs = getattr(nodes[link.peer].applications, name)
        if theirs is None or theirs.role == ours.role:
            other = "receiver" if ours.role == "sender" else "sender"
            found = f"{link.peer} has no {other}" + ("" if theirs is None else ", but one too")
            do = f'add [applications.{name}] with role = "{other}" to {nodes[link.peer].path.name}'
            yield Finding("wrong", f"{config.node.name}: applications.{name}", found, do)


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)
