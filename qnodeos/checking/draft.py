"""A node's file written for somebody: with what was found and asked, and a word on each entry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

DEFAULT_LISTEN = "tcp://*:7101"
DEFAULT_BUS = "mqtt://127.0.0.1:7183"
METRICS_PORT = 9464
DEFAULT_CLOCK = "quartz"

NAMES_OF_KINDS = {
    "TimeTagger": "tagger",
    "QuantumDevice": "memory",
    "FrequencyReference": "reference",
    "PowerMeter": "power_meter",
    "OpticalSwitch": "switch",
    "PolarizationController": "polarization",
    "DelayGenerator": "delays",
    "TemperatureController": "temperature",
    "CoincidenceCounter": "counter",
}


@dataclass(frozen=True, slots=True)
class DraftInstrument:
    """One instrument; `kind` and `emits` are those of its driver, `said` is what it answered."""

    name: str
    driver: str
    resource: str
    kind: str
    serial: str = ""
    emits: bool = False
    said: str = ""


@dataclass(frozen=True, slots=True)
class DraftPeer:
    """Another node: its name, number and address."""

    name: str
    id: int
    address: str


@dataclass(frozen=True, slots=True)
class DraftLink:
    """A link; `far` is the peer, or both ends where this is the station."""

    name: str
    kind: Literal["photonic", "memory", "midpoint"]
    far: tuple[str, ...]
    station: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """All that a node's file needs."""

    name: str
    id: int
    listen: str = DEFAULT_LISTEN
    bus: str = DEFAULT_BUS
    data_dir: str = ""
    clock: str = DEFAULT_CLOCK
    peers: tuple[DraftPeer, ...] = ()
    instruments: tuple[DraftInstrument, ...] = ()
    links: tuple[DraftLink, ...] = ()

    @property
    def metrics(self) -> str:
        """Where it serves figures: at the usual port, or one by its number where the nodes of a
        network share a computer."""
        host = urlsplit(self.listen).hostname or ""
        shared = host == "localhost" or host.startswith("127.")
        return f"tcp://127.0.0.1:{METRICS_PORT + ((self.id - 1) % 1000 if shared else 0)}"


def instrument_name(kind: str, taken: set[str]) -> str:
    """A name for an instrument of this kind that is not taken: `tagger`, then `tagger-2`."""
    base = NAMES_OF_KINDS.get(kind, kind.lower())
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def needs_of(kind: str) -> dict[str, str]:
    """Which entries of a link name an instrument, and of which kind."""
    if kind == "photonic":
        return {"tagger": "TimeTagger", "analyzer": "Analyzer"}
    return {"device": "QuantumDevice"}


def node_file(draft: Draft) -> str:
    """The text of the file."""
    return "\n\n".join("\n".join(table) for table in _tables(draft)) + "\n"


def _tables(draft: Draft) -> Iterator[list[str]]:
    yield [
        f"# Node {draft.name}. Paths are relative to this file; quantities may have units, as",
        '# "6 ns". `qnodeos check` explains every table, docs/configuration.md every entry.',
    ]
    data_dir = draft.data_dir or f"data/{draft.name}"
    yield [
        "[node]",
        f"name = {_text(draft.name)}",
        _said(f"id = {draft.id}", "the same number in everybody's file"),
        f"data_dir = {_text(data_dir)}",
    ]
    yield [
        _said("[wire]", "node to node"),
        f"listen = {_text(draft.listen)}",
        f"secret_key = {_text(f'keys/{draft.name}.key_secret')}",
    ]
    for peer in draft.peers:
        yield [
            f"[wire.peers.{peer.name}]",
            f"id = {peer.id}",
            f"address = {_text(peer.address)}",
            _said(f"public_key = {_text(f'keys/{peer.name}.key')}", f"from node {peer.name}"),
        ]
    yield [_said("[bus]", "state and alarms, MQTT"), f"url = {_text(draft.bus)}"]
    yield [
        _said("[metrics]", "for Prometheus; nobody asks for a password"),
        f"listen = {_text(draft.metrics)}",
    ]
    for instrument in draft.instruments:
        yield list(_instrument(instrument))
    for link in draft.links:
        yield list(_link(link, draft))


def _instrument(instrument: DraftInstrument) -> Iterator[str]:
    yield _said(f"[instruments.{instrument.name}]", instrument.said)
    yield f"driver = {_text(instrument.driver)}"
    yield f"resource = {_text(instrument.resource)}"
    if instrument.serial:
        yield f"serial = {_text(instrument.serial)}"
    if instrument.emits:
        yield _said("# arm = true", "lets it emit while the node runs; dark without")
    yield _said("# settings = { }", f"see `qnodeos instrument show {instrument.driver}`")


def _link(link: DraftLink, draft: Draft) -> Iterator[str]:
    used = {
        entry: next(i.name for i in draft.instruments if i.kind == kind)
        for entry, kind in needs_of(link.kind).items()
    }
    yield f"[links.{link.name}]"
    yield f"kind = {_text(link.kind)}"
    if link.kind == "midpoint":
        yield f"ends = [{', '.join(map(_text, link.far))}]"
        yield f"device = {_text(used['device'])}"
        return
    yield f"peer = {_text(link.far[0])}"
    if link.kind == "memory":
        yield f"station = {_text(link.station)}"
        yield f"device = {_text(used['device'])}"
        yield _said("minimum_useful_fidelity = 0.6667", "a pair that decays to this is given up")
        yield _said("test_fraction = 0.3", "at most so many of the rounds test the link")
        return
    yield f"tagger = {_text(used['tagger'])}"
    yield f"analyzer = {_text(used['analyzer'])}"
    yield _said("outcome_channels = [1, 2]", "of the tagger: transmitted (+1), reflected (-1)")
    yield _said('bell_state = "PHI_PLUS"', "what the source makes")
    yield _said('window_ps = "6 ns"', "of a coincidence; a few times the detectors' jitter")
    yield _said(f"clock = {_text(draft.clock)}", "of the taggers: quartz, ocxo, rubidium, ...")
    yield "estimate_clock_noise = true"
    yield _said('basis_dwell_s = "1.2 s"', "for how long one basis is kept")
    yield _said("test_fraction = 0.5", "of the rounds that nobody asks for")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _said(entry: str, comment: str) -> str:
    return f"{entry:<33}# {comment}" if comment else entry
