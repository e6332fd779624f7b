"""Do the names in a configuration lead somewhere: instruments, peers, links, installed drivers."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from qnodeos.config.links import MemoryLinkTable, MidpointTable, PhotonicLinkTable
from qnodeos.config.models import NodeConfig
from qnodeos.config.problems import Problem, did_you_mean

_LINK_OF_APPLICATION = {"teleport": "memory", "correlations": "photonic"}


def reference_problems(config: NodeConfig, drivers: Collection[str]) -> list[Problem]:
    """Everything that names something which is not there; `drivers` are those installed."""
    return [
        *_identities(config),
        *_drivers(config, drivers),
        *_interlocks(config),
        *_links(config),
        *_shared_taggers(config),
        *_applications(config),
    ]


def _identities(config: NodeConfig) -> Iterator[Problem]:
    taken = {config.node.id: config.node.name}
    keys = {config.wire.listen: f"wire.listen of {config.node.name}"}
    for name, peer in config.wire.peers.items():
        where = ("wire", "peers", name)
        if name == config.node.name:
            yield Problem(
                where,
                "a node cannot be its own peer",
                found=f"'{name}'",
                expected="the name of another node",
                do="remove the table, or correct node.name",
            )
        if peer.id in taken:
            yield Problem(
                (*where, "id"),
                "two nodes have the same id",
                found=f"{peer.id}, which is the id of '{taken[peer.id]}'",
                expected="an id of its own for every node",
                do="give each node one id, the same in everybody's file",
            )
        if peer.address in keys:
            yield Problem(
                (*where, "address"),
                "two nodes have the same address",
                found=f"'{peer.address}', which is {keys[peer.address]}",
                expected="an address of its own for every node",
                do="correct the entry",
            )
        taken.setdefault(peer.id, name)
        keys.setdefault(peer.address, f"wire.peers.{name}.address")


def _drivers(config: NodeConfig, drivers: Collection[str]) -> Iterator[Problem]:
    for name, instrument in config.instruments.items():
        if instrument.driver not in drivers:
            yield Problem(
                ("instruments", name, "driver"),
                "unknown driver",
                found=f"'{instrument.driver}'",
                expected=f"one of {', '.join(sorted(drivers)) or 'none is installed'}",
                do=did_you_mean(instrument.driver, drivers)
                or "install the package that offers this driver",
            )


def _interlocks(config: NodeConfig) -> Iterator[Problem]:
    for name, interlock in config.interlocks.items():
        where = ("interlocks", name)
        if interlock.of not in config.instruments:
            yield _absent(
                (*where, "of"), interlock.of, "instrument", "instruments", config.instruments
            )
        for each in interlock.makes_safe:
            yield from _instrument(config, (*where, "makes_safe"), each)


def _links(config: NodeConfig) -> Iterator[Problem]:
    for name, link in config.links.items():
        where = ("links", name)
        match link:
            case PhotonicLinkTable():
                yield from _instrument(config, (*where, "tagger"), link.tagger)
                yield from _instrument(config, (*where, "analyzer"), link.analyzer)
                if link.reference is not None:
                    yield from _instrument(config, (*where, "reference"), link.reference)
                if (turned := link.polarization) is not None:
                    yield from _instrument(
                        config, (*where, "polarization", "controller"), turned.controller
                    )
                if (pumped := link.pump) is not None:
                    yield from _instrument(config, (*where, "pump", "laser"), pumped.laser)
                light = link.calibration.light if link.calibration is not None else None
                if light is not None:
                    yield from _instrument(config, (*where, "calibration", "light"), light)
                meter = link.guard.power_meter if link.guard is not None else None
                if meter is not None and meter not in config.instruments:
                    place = (*where, "guard", "power_meter")
                    yield _absent(place, meter, "instrument", "instruments", config.instruments)
                test = link.guard.self_test if link.guard is not None else None
                if test is not None:
                    yield from _instrument(
                        config, (*where, "guard", "self_test", "light"), test.light
                    )
                for each in link.guard.stops if link.guard is not None else ():
                    yield from _instrument(config, (*where, "guard", "stops"), each)
                yield from _peer(config, (*where, "peer"), link.peer)
            case MemoryLinkTable():
                yield from _instrument(config, (*where, "device"), link.device)
                for each in link.coherence.stops if link.coherence is not None else ():
                    yield from _instrument(config, (*where, "coherence", "stops"), each)
                yield from _peer(config, (*where, "peer"), link.peer)
                yield from _peer(config, (*where, "station"), link.station)
                if link.peer == link.station:
                    yield Problem(
                        (*where, "station"),
                        "the far end and the station are the same node",
                        found=f"'{link.station}' for both",
                        expected="the node that heralds, between this one and the far end",
                        do="correct the entry",
                    )
            case MidpointTable():
                yield from _instrument(config, (*where, "device"), link.device)
                for part, seen in (("hom", link.hom), ("clicks", link.clicks)):
                    if seen is not None:
                        yield from _instrument(config, (*where, part, "tagger"), seen.tagger)
                for end in link.ends:
                    yield from _peer(config, (*where, "ends"), end)


def _shared_taggers(config: NodeConfig) -> Iterator[Problem]:
    """A tagger gives its tags to one reader at a time, so a second one would wait for ever."""
    reader: dict[str, tuple[str, ...]] = {}
    read: list[tuple[str, tuple[str, ...]]] = []
    for name, link in config.links.items():
        match link:
            case PhotonicLinkTable():
                read.append((link.tagger, ("links", name, "tagger")))
            case MidpointTable():
                for part, seen in (("hom", link.hom), ("clicks", link.clicks)):
                    if seen is not None:
                        read.append((seen.tagger, ("links", name, part, "tagger")))
            case _:
                continue
    for tagger, where in read:
        first = reader.setdefault(tagger, where)
        if first[1] != where[1]:  # a station hands its stream to both of its tables
            yield Problem(
                where,
                "a tagger gives its tags to one link",
                found=f"'{tagger}', which {'.'.join(first)} has",
                expected="a tagger that no other link reads",
                do="give one of the two another tagger, or remove its table",
            )


def _instrument(config: NodeConfig, where: tuple[str | int, ...], name: str) -> Iterator[Problem]:
    if name not in config.instruments:
        yield _absent(where, name, "instrument", "instruments", config.instruments)
    elif config.instruments[name].read_only:
        yield Problem(
            where,
            "this instrument is only looked at",
            found=f"'{name}', with read_only = true",
            expected="an instrument that this node may set",
            do=f"name another one, or remove `read_only` from [instruments.{name}]",
        )


def _peer(config: NodeConfig, where: tuple[str | int, ...], name: str) -> Iterator[Problem]:
    if name not in config.wire.peers:
        yield _absent(where, name, "peer", "wire.peers", config.wire.peers)


def _absent(
    where: tuple[str | int, ...], name: str, thing: str, table: str, known: Collection[str]
) -> Problem:
    return Problem(
        where,
        f"there is no {thing} of this name",
        found=f"'{name}'",
        expected=f"one of {', '.join(sorted(known))}" if known else f"a table [{table}.{name}]",
        do=did_you_mean(name, known) or f"correct the name, or add [{table}.{name}]",
    )


def _applications(config: NodeConfig) -> Iterator[Problem]:
    for name, wanted in _LINK_OF_APPLICATION.items():
        application = getattr(config.applications, name)
        if application is None:
            continue
        where = ("applications", name, "link")
        link = config.links.get(application.link)
        if link is None:
            yield _absent(where, application.link, "link", "links", config.links)
        elif link.kind != wanted:
            fitting = sorted(n for n, other in config.links.items() if other.kind == wanted)
            yield Problem(
                where,
                f"this application needs a {wanted} link",
                found=f"'{application.link}', a {link.kind} link",
                expected=f"one of {', '.join(fitting)}" if fitting else f"a {wanted} link",
                do="correct the name, or remove the application",
            )
