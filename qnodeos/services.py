"""What runs on a node, in which order: here a part of the OS is hooked in, one line each.

A factory is given the node's parts and yields `Service`s: how to run it, and, as far as it has
them, its figures, what to do when the node drains, and how to clean up when it fails. Links are up
before what uses them, and down after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from link_layer.messages import ErrorCode
from qnodeos import local_api
from qnodeos.api_session import METHODS
from qnodeos.calibration_methods import calibration_methods, calibrators
from qnodeos.disk_guard import BYTES_PER_GB, S_PER_DAY, DiskGuard, Share
from qnodeos.explaining import why_method
from qnodeos.journal_keeping import JournalKeeper
from qnodeos.loop_watch import LoopWatch
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import Link, NodeParts
from qnodeos.process import host
from qnodeos.reload_method import reload_method
from qnodeos.sealing import Sealer
from qnodeos.supervising import Service
from qnodeos.verify_calendar import VerifyCalendar
from qnodeos.verify_methods import hom_method, verify_method
from qnodeos.verifying import Verifier
from qnodeos.watching import watch_methods

Factory = Callable[[NodeParts], Iterable[Service]]


def link_services(parts: NodeParts) -> Iterable[Service]:
    """One a link; the pairs and requests of one that failed are given up at both ends."""
    for name, link in parts.links.items():
        yield Service(f"link-{name}", link.run, status=link.status, failed=partial(_give_up, link))


def record_services(parts: NodeParts) -> Iterable[Service]:
    """What keeps the tags on disk, if that is wanted, and keeps the disk from filling up."""
    recorder, table = parts.recorder, parts.config.record
    if recorder is None:
        return
    yield Service("record", recorder.run, status=recorder.status)
    guard = DiskGuard(
        recorder.folder,
        Share(
            None if table.keep_days is None else table.keep_days * S_PER_DAY,
            None if table.keep_gb is None else table.keep_gb * BYTES_PER_GB,
            table.min_free_gb * BYTES_PER_GB,
        ),
        pause=recorder.pause,
        resume=recorder.resume,
        note=partial(parts.store.event, "record-removed"),
        wall=parts.wall,
    )
    yield Service("disk-guard", guard.run, status=guard.status)
    if table.seal:
        note = partial(parts.store.event, "record-sealed")
        sealer = Sealer(recorder.folder, note=note, executor=parts.executor)
        yield Service("sealing", sealer.run, ends=True, status=sealer.status)


def app_services(parts: NodeParts) -> Iterable[Service]:
    """The resident applications of the configuration."""
    for name, app in parts.apps.items():
        yield Service(f"app-{name}", app.run, status=app.status)


def api_services(parts: NodeParts) -> Iterable[Service]:
    """The local socket, for programs and the command line, and what it can ask for."""
    verifier = Verifier(parts)
    if verifier.links:  # a station has none
        yield Service("verify", verifier.run, status=verifier.status)
        calendar = VerifyCalendar(parts, verifier)
        if calendar.links:
            yield Service("verify-calendar", calendar.run, status=calendar.status)
    calibrated = calibrators(parts)
    for name, calibrator in calibrated.items():
        yield Service(f"calibration-{name}", calibrator.run, status=calibrator.status)
    methods = METHODS | calibration_methods(calibrated)
    methods |= {"link.verify": verify_method(verifier), "link.hom": hom_method}
    methods |= {"reload": reload_method(parts)}
    methods |= watch_methods(parts) | {"why": why_method(parts)}
    yield from local_api.services(parts, methods)


def process_services(parts: NodeParts) -> Iterable[Service]:
    """Where programs of the NetQASM SDK are run."""
    return host.services(parts)


def keeping_services(parts: NodeParts) -> Iterable[Service]:
    """What keeps the journal from growing for ever."""
    keeper = JournalKeeper(parts.store, parts.config.journal, parts.wall)
    yield Service("journal-keeper", keeper.run, status=keeper.status)


def watch_services(parts: NodeParts) -> Iterable[Service]:
    """How late the event loop comes, with the sign of life for systemd."""
    watch = LoopWatch(parts.clock, parts.store, parts.bus, parts.notifier)
    yield Service("loop", watch.run, status=watch.status)


LINKS: tuple[Factory, ...] = (record_services, link_services)
"""What makes entanglement; runs once the instruments are supervised."""

USERS: tuple[Factory, ...] = (
    app_services,
    api_services,
    process_services,
    watch_services,
    keeping_services,
)
"""What uses it: applications, hosts of processes, the API, verification, calibration.

To add one: a factory above that yields its `Service`, and its name here.
"""


def made(factories: Iterable[Factory], parts: NodeParts) -> list[Service]:
    """The services that these factories make of the parts."""
    return [service for factory in factories for service in factory(parts)]


def _give_up(link: Link, reason: str) -> None:
    """What a link had in hand when it failed is in no known state: nobody is to use it."""
    text = f"the link's service failed: {reason}"
    match link:
        case Midpoint():
            link.abandon(text)
        case MemoryLink():
            link.abandon(text)
        case _:
            link.desk.end_all(ErrorCode.OTHER, text)
