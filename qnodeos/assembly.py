"""Puts links and applications together from their tables."""

from __future__ import annotations

import random
from collections.abc import Callable

from qnodeos.apps import correlations, teleport
from qnodeos.apps.channel import Channel
from qnodeos.config import MemoryLinkTable, MidpointTable, PhotonicLinkTable
from qnodeos.context import NodeContext
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import App, Link, NodeParts
from qnodeos.photonic import PhotonicLink


def make_link(name: str, parts: NodeParts, peer_up: Callable[[str], bool]) -> Link:
    """The service of one link, as its table says."""
    config = parts.config
    table = config.links[name]
    context = NodeContext(
        name=parts.name,
        node_id=config.node.id,
        send=parts.wire.send,
        peer_up=peer_up,
        clock=parts.clock,
        rng=random.Random(parts.rng.getrandbits(64)),
        store=parts.store,
        bus=parts.bus,
        recorder=parts.recorder,
        withdrawals=parts.withdrawals,
    )
    supervisors = parts.rack.supervisors
    match table:
        case MidpointTable():
            return Midpoint(
                name,
                table,
                context,
                supervisor=supervisors[table.device],
                taggers={
                    each.tagger: supervisors[each.tagger]
                    for each in (table.hom, table.clicks)
                    if each is not None
                },
            )
        case MemoryLinkTable():
            return MemoryLink(
                name,
                table,
                context,
                peer_id=config.wire.peers[table.peer].id,
                supervisor=supervisors[table.device],
                shared=parts.devices.of(table.device),
                network_s=parts.wall,
                stops=[supervisors[each] for each in table.coherence.stops]
                if table.coherence is not None
                else (),
            )
        case PhotonicLinkTable():
            return PhotonicLink(
                name,
                table,
                context,
                peer_id=config.wire.peers[table.peer].id,
                tagger=supervisors[table.tagger],
                analyzer=supervisors[table.analyzer],
                reference=supervisors[table.reference] if table.reference else None,
                power_meter=(
                    supervisors[table.guard.power_meter]
                    if table.guard is not None and table.guard.power_meter
                    else None
                ),
                stops=[supervisors[each] for each in table.guard.stops]
                if table.guard is not None
                else (),
                flash=(
                    supervisors[table.guard.self_test.light]
                    if table.guard is not None and table.guard.self_test is not None
                    else None
                ),
                executor=parts.executor,
            )


def make_apps(parts: NodeParts) -> dict[str, App]:
    """The resident applications of the configuration, by name."""
    apps: dict[str, App] = {}
    tables, store = parts.config.applications, parts.store
    if tables.teleport is not None:
        link = parts.links[tables.teleport.link]
        assert isinstance(link, MemoryLink)  # checked with the configuration
        channel = _channel(parts, teleport.PURPOSE, link.config.peer)
        if tables.teleport.role == "sender":
            apps["teleport"] = teleport.Sender(
                link,
                channel,
                store,
                pairs_per_request=tables.teleport.pairs_per_request or 1,
                fidelity=tables.teleport.fidelity or 0.5,
            )
        else:
            apps["teleport"] = teleport.Receiver(link, channel, store, parts.clock)
    if tables.correlations is not None:
        photonic = parts.links[tables.correlations.link]
        assert isinstance(photonic, PhotonicLink)
        if tables.correlations.role == "sender":
            apps["correlations"] = correlations.Asker(
                photonic,
                store,
                pairs_per_request=tables.correlations.pairs_per_request or 1,
                fidelity=tables.correlations.fidelity or 0.5,
            )
        else:
            apps["correlations"] = correlations.Taker(photonic)
    return apps


def _channel(parts: NodeParts, app: str, peer: str) -> Channel:
    channel = Channel(app, lambda message: parts.wire.send(peer, message))
    parts.channels[app] = channel
    return channel
