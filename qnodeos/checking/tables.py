"""Each table of a node's file in sentences: what it means for this node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drivers.plugin import Manifest, load_driver
from qnodeos.checking.records import records_mean
from qnodeos.config import (
    InstrumentTable,
    InterlockTable,
    MemoryLinkTable,
    MidpointTable,
    NodeConfig,
    PhotonicLinkTable,
)
from qnodeos.config.models import ApplicationTable
from qnodeos.config.places import without_password
from qnodeos.config.units import shown, shown_entry

_POLICIES = {
    "reapply": "set again whenever it comes back",
    "keep": "set once; one that comes back keeps what it has",
    "safe": "goes to its safe state when it comes back, until it is set by hand",
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """A table of the file and what it says, in plain sentences."""

    table: str
    says: str


def meanings(config: NodeConfig) -> list[Meaning]:
    """All tables in the order of a usual file; quantities are shown normalised."""
    return [Meaning(table, " ".join(said)) for table, said in _tables(config)]


def manifest_of(table: InstrumentTable) -> Manifest | None:
    """What the driver says of itself; None where it cannot be loaded, whatever the reason."""
    try:
        return load_driver(table.driver).manifest
    except Exception:
        return None  # readiness tells why


def _tables(config: NodeConfig) -> Iterator[tuple[str, list[str]]]:
    node, wire = config.node, config.wire
    yield (
        "node",
        [
            f"This is {node.name}, number {node.id}. Its journal and records are in "
            f"{node.data_dir}.",
            f"Told to stop, it gives open requests {shown(node.drain_s, 's')} to end.",
            *_awake(node.wake_within_us),
        ],
    )
    yield "wire", [f"Listens at {wire.listen} and proves itself with {wire.secret_key}."]
    for name, peer in wire.peers.items():
        known = f"known by the public key {peer.public_key}."
        yield f"wire.peers.{name}", [f"Node {name}, number {peer.id}, is at {peer.address},", known]
    yield "bus", [f"State and alarms go to {without_password(config.bus.url)}."]
    if config.metrics is not None:
        yield "metrics", [f"Prometheus finds /metrics at {config.metrics.listen}."]
    form = "one JSON object a line" if config.log.format == "json" else "lines for people"
    yield "log", [f"Prints {form}, from level {config.log.level} up."]
    if config.processes.listen is not None:
        yield (
            "processes",
            [
                f"Programs of the {config.processes.flavour} flavour on other computers reach the "
                f"node at {config.processes.listen}, without a password."
            ],
        )
    yield from records_mean(config)
    for name, instrument in config.instruments.items():
        yield f"instruments.{name}", list(_instrument(instrument))
    for name, interlock in config.interlocks.items():
        yield f"interlocks.{name}", _interlock(interlock)
    for name, link in config.links.items():
        yield f"links.{name}", list(_link(link, config))
    for name in type(config.applications).model_fields:
        application = getattr(config.applications, name)
        if application is not None:
            yield f"applications.{name}", [_application(application)]


def _awake(wake_within_us: int | None) -> Iterator[str]:
    if wake_within_us is not None:
        yield (
            "While it runs, no processor of this computer sleeps so that it takes longer than "
            f"{wake_within_us} us to wake."
        )


def _instrument(table: InstrumentTable) -> Iterator[str]:
    manifest = manifest_of(table)
    kind = "An instrument" if manifest is None else _spaced(manifest.kind)
    serial = f", known by serial number {table.serial}" if table.serial else ""
    yield f"{kind} ({table.driver}) at {table.resource}{serial}."
    if table.options:
        yield f"Driver's options: {_entries(table.options)}."
    if table.read_only:
        yield "It is only looked at, never set."
    if table.settings:
        yield f"Set: {_entries(table.settings)}; {_POLICIES[table.policy]}."
    if table.arm and manifest is not None:
        yield f"Armed by a lease; without it {manifest.safe_state}."


def _interlock(table: InterlockTable) -> list[str]:
    return [
        f"While {table.of} reads {table.when}, or reads nothing, {_and(table.makes_safe)} "
        f"{'is' if len(table.makes_safe) == 1 else 'are'} held safe until acknowledged."
    ]


def _link(
    link: PhotonicLinkTable | MemoryLinkTable | MidpointTable, c: NodeConfig
) -> Iterator[str]:
    match link:
        case PhotonicLinkTable():
            yield from _photonic(link, leads=c.node.id < c.wire.peers[link.peer].id)
        case MemoryLinkTable():
            yield (
                f"Pairs with {link.peer} kept in {link.device}, heralded by {link.station}; given "
                f"up when they have decayed to F = {link.minimum_useful_fidelity:g}."
            )
            yield (
                f"At most {link.test_fraction:.0%} of the rounds test the link, for "
                f"F ± {link.fidelity_precision:g}."
            )
            if link.announce_period_s > 0:
                yield (
                    "Heralds are told at a random instant of the next "
                    f"{shown(link.announce_period_s, 's')}, as {link.peer} must have it too."
                )
            if link.coherence is not None:
                yield (
                    f"{link.coherence.share:.0%} of the test rounds are stored for up to "
                    f"{shown(link.coherence.held_s, 's')}, to see whether pairs decay as T2 has it."
                )
                if link.coherence.on_alarm == "stop":
                    held = link.coherence.stops
                    safe = f", and {_and(held)} held safe," if held else ""
                    yield f"If not, the link stands still{safe} until somebody acknowledges it."
            if link.bright_state is not None:
                b = link.bright_state
                yield (
                    f"The bright-state population is chosen for each request, {b.lowest:g} to "
                    f"{b.highest:g}."
                )
            yield from _served(link)
        case MidpointTable():
            if (clicks := link.clicks) is None:
                yield f"This is the station between {_and(link.ends)}; {link.device} heralds."
            else:
                how = "one click heralds" if clicks.clicks == 1 else "two clicks herald"
                begin_ps, end_ps = clicks.window_ps
                yield (
                    f"This is the station between {_and(link.ends)}; {link.device} attempts, and "
                    f"{how}, found by this node in the tags of {clicks.tagger}, "
                    f"{shown(begin_ps, 'ps')} to {shown(end_ps, 'ps')} after those of channel "
                    f"{clicks.sync}."
                )
            if (hom := link.hom) is not None:
                modes = (
                    f"time bins {shown(hom.apart_ps, 'ps')} apart"
                    if hom.apart_ps
                    else "polarizations on channels of their own"
                )
                yield (
                    f"{hom.tagger} shows how alike the photons are (Hong-Ou-Mandel), by {modes}, "
                    f"in peaks of {shown(hom.window_ps, 'ps')}."
                )


def _photonic(link: PhotonicLinkTable, *, leads: bool) -> Iterator[str]:
    plus, minus = link.outcome_channels
    yield (
        f"Pairs with {link.peer} in the state {link.bell_state}, measured at once: "
        f"{link.analyzer} turns the basis, {link.tagger} has outcome +1 on channel {plus} and "
        f"-1 on channel {minus}."
    )
    role = "leads" if leads else "follows"
    yield f"This end {role}. Tags within {shown(link.window_ps, 'ps')} are a coincidence."
    yield (
        f"A basis is kept for {shown(link.basis_dwell_s, 's')}; {link.test_fraction:.0%} of the "
        "rounds that nobody asks for test the link."
    )
    clocks = (
        f"noise {link.clock_noise_1s:g} at 1 s" if link.clock is None else f"class {link.clock}"
    )
    if (turned := link.polarization) is not None and leads:
        yield (
            f"{turned.controller} is turned when the calibration `polarization` is run, "
            f"{turned.rounds} test rounds a basis and look."
        )
    elif turned is not None:
        yield f"{turned.controller} stays as it is: the end that leads turns its own."
    if (pumped := link.pump) is not None and leads:
        yield (
            f"{pumped.laser} is set when the calibration `pump` is run, between {pumped.lowest:g} "
            f"and {pumped.highest:g} in its unit, as bright as F {pumped.fidelity:g} allows."
        )
    elif pumped is not None:
        yield f"{pumped.laser} stays as it is: the end that leads sets its own."
    yield f"Clocks: {clocks}{', corrected by the data' if link.estimate_clock_noise else ''}."
    yield from _served(link)


def _served(link: PhotonicLinkTable | MemoryLinkTable) -> Iterator[str]:
    served = {
        "priority": "the one with the highest priority is served first",
        "fair": "each purpose gets its share",
    }
    yield f"Of at most {link.queue.limit} requests {served[link.queue.order]}."
    if isinstance(link, MemoryLinkTable) and link.schedule is not None:
        slot = link.schedule
        yield (
            f"It attempts only for {shown(slot.length_ms, 'ms')} of each "
            f"{shown(slot.period_ms, 'ms')}, {shown(slot.offset_ms, 'ms')} after its begin."
        )
    if link.verify is not None:
        every = shown(link.verify.every_h, "h")
        yield f"Verified every {every} with {link.verify.pairs} pairs."
    if isinstance(link, PhotonicLinkTable) and link.calibration and link.calibration.on:
        every = shown(link.calibration.synchronisation_valid_s, "s")
        yield f"The leading end keeps it calibrated, its clocks every {every}."
        if link.calibration.light is not None:
            dark = shown(link.calibration.dark_counts_valid_s, "s")
            yield f"To count in the dark it switches {link.calibration.light} off every {dark}."
    if isinstance(link, MemoryLinkTable) and link.calibration and link.calibration.on:
        yield (
            "The leading end keeps it calibrated: it sets the station's detection and looks, "
            f"{link.calibration.rounds} test rounds at a time."
        )
    if isinstance(link, PhotonicLinkTable) and link.guard is not None:
        yield f"Its detectors are watched for blinding, each {shown(link.guard.window_s, 's')}."
        if link.guard.power_meter is not None and link.guard.most_power_mw is not None:
            most = shown(link.guard.most_power_mw, "mW")
            yield f"No pair is made while {link.guard.power_meter} reads more than {most}."
        if (test := link.guard.self_test) is not None:
            yield (
                f"{test.light} flashes on them when nobody asks, every "
                f"{shown(test.every_s, 's')} or so, for {shown(test.flash_s, 's')}."
            )
        until = {"latch": "somebody acknowledges it", "auto": "the signs are gone"}
        held = f", and {_and(link.guard.stops)} held safe," if link.guard.stops else ""
        yield f"Once it trips the link stands still{held} until {until[link.guard.after_trip]}."
    if link.targets is not None:
        told = {name: value for name, value in link.targets if value is not None}
        yield f"Promised: {_entries(told)}."


def _application(table: ApplicationTable) -> str:
    if table.role == "receiver":
        return f"Takes its halves on link {table.link}."
    return (
        f"Asks link {table.link} for {table.pairs_per_request} pairs at a time, of at least "
        f"F = {table.fidelity:g}."
    )


def _entries(table: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} = {'***' if 'password' in name else shown_entry(name, value)}"
        for name, value in table.items()
    )


def _spaced(kind: str) -> str:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in kind).strip()
    return words[:1].upper() + words[1:]


def _and(names: tuple[str, ...] | list[str]) -> str:
    return " and ".join(names)
