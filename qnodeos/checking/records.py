"""What `check` says of [record] and [journal]: where tags go, how many, and whether they can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from qnodeos.checking.findings import Finding
from qnodeos.config import NodeConfig
from qnodeos.config.units import shown
from qnodeos.disk_guard import BYTES_PER_GB, HYSTERESIS, free_bytes


def records_mean(config: NodeConfig) -> Iterator[tuple[str, list[str]]]:
    """The two tables in sentences."""
    journal, record = config.journal, config.record
    yield (
        "journal",
        [
            f"Figures of each second and single pairs are kept for {journal.details_days:g} days, "
            f"everything else for {journal.keep_days:g}."
        ],
    )
    if not record.record:
        return
    said = [f"Every tag is kept in {_folder(config)}."]
    if record.keep_days is not None:
        said.append(f"Segments go after {record.keep_days:g} days.")
    if record.keep_gb is not None:
        said.append(f"The oldest go beyond {shown(record.keep_gb, 'GB')}.")
    said.append(f"With less than {shown(record.min_free_gb, 'GB')} free nothing is recorded.")
    if record.seal:
        said.append("Closed segments become HDF5.")
    yield "record", said


def records_ready(config: NodeConfig) -> Iterator[Finding]:
    """Whether this machine can do what [record] says."""
    record, folder = config.record, _folder(config)
    if not record.record:
        return
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        do = "choose another directory, or let the node's user write there"
        yield Finding("wrong", "record.directory", f"{folder} cannot be written", do)
        return
    free, least = free_bytes(folder), record.min_free_gb * BYTES_PER_GB
    room = f"{free / BYTES_PER_GB:.1f} GB are free"
    if free < least * HYSTERESIS:
        do = "make room, or lower min_free_gb"
        yield Finding("wrong", "record.min_free_gb", f"{room}: no tag is kept", do)
    elif record.keep_gb is None and record.keep_days is None:
        do = "add keep_days or keep_gb; without them recording stops when the disk is full"
        yield Finding("note", "record", f"{room}, and nothing is removed", do)
    if record.seal and find_spec("h5py") is None:
        do = "install it with: pip install 'qnodeos[hdf5]'"
        yield Finding("wrong", "record.seal", "h5py is not installed: nothing is sealed", do)


def _folder(config: NodeConfig) -> Path:
    return config.record.directory or config.node.data_dir / "records"
