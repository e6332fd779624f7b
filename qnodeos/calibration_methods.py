"""Calibration as a service of a node and as methods of the local socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qnodeos.aligning import Aligner
from qnodeos.api_session import Methods, Progressing, Session
from qnodeos.calibrating import Bench, Calibrator
from qnodeos.config import CalibrationTable, MemoryCalibrationTable, Validity
from qnodeos.darkness import Darkness
from qnodeos.errors import UserError
from qnodeos.memory_calibration import MemoryBench
from qnodeos.memory_link import MemoryLink
from qnodeos.node_parts import NodeParts
from qnodeos.photonic import PhotonicLink
from qnodeos.photonic_calibration import PhotonicBench
from qnodeos.pumping import Pump

STILL_S = 600.0
"""A calibration that has not got on for so long is not waited for."""


def calibrators(parts: NodeParts) -> dict[str, Calibrator]:
    """Of the links that this end leads and that have the table switched on, by name."""
    return {
        name: Calibrator(link, table, _bench(link, parts), parts.store, parts.clock)
        for name, link in parts.links.items()
        if isinstance(link, PhotonicLink | MemoryLink)
        and link.leads
        and (table := _table(link)) is not None
        and table.on
    }


def _table(link: PhotonicLink | MemoryLink) -> Validity | None:
    return link.config.calibration


def _bench(link: PhotonicLink | MemoryLink, parts: NodeParts) -> Bench:
    """How the tasks of a link that has the table are measured."""
    match link.config.calibration:
        case CalibrationTable() as table if isinstance(link, PhotonicLink):
            return PhotonicBench(
                link,
                table,
                aligner=_aligner(link, parts),
                darkness=_darkness(link, table, parts),
                pump=_pump(link, parts),
            )
        case MemoryCalibrationTable() as table if isinstance(link, MemoryLink):
            return MemoryBench(link, table)
        case table:
            raise TypeError(f"link {link.name}: {table!r}")


def _aligner(link: PhotonicLink, parts: NodeParts) -> Aligner | None:
    table = link.config.polarization
    if table is None:
        return None
    return Aligner(link, table, parts.rack.supervisors[table.controller], parts.store)


def _pump(link: PhotonicLink, parts: NodeParts) -> Pump | None:
    table = link.config.pump
    if table is None:
        return None
    return Pump(link.name, table, parts.rack.supervisors[table.laser], parts.store)


def _darkness(link: PhotonicLink, table: CalibrationTable, parts: NodeParts) -> Darkness | None:
    if table.light is None:
        return None
    return Darkness(link, table.light, parts.rack.supervisors[table.light])


def calibration_methods(calibrated: Mapping[str, Calibrator]) -> Methods:
    """`link.calibration(link)`: the tasks; `link.calibrate(link, task)`: runs one, "" for all."""

    def of(link: str) -> Calibrator:
        if link not in calibrated:
            raise UserError(
                f"link '{link}' is not calibrated by this node",
                expected=", ".join(calibrated) or "none here",
                do="a link with [links.NAME.calibration] is, by the end of the lower id",
            )
        return calibrated[link]

    async def calibration(session: Session, progress: Progressing, /, *, link: str) -> Any:
        return of(link).rows()

    async def calibrate(
        session: Session, progress: Progressing, /, *, link: str, task: str = ""
    ) -> Any:
        try:
            return await of(link).calibrate(task, STILL_S, progress)
        except TimeoutError as late:
            raise UserError(
                f"calibration of link '{link}' has not got on for {STILL_S:g} s",
                do="see `qnodeos link calibration`: what a task depends on may be out of spec",
            ) from late

    return {"link.calibration": calibration, "link.calibrate": calibrate}
