"""What the tables of a lab file say of each other: every name exists, no address is used twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sim_backends.lab_file import LabError

if TYPE_CHECKING:
    from sim_backends.lab import LabConfig

__all__ = ["check_references"]


def check_references(config: LabConfig, path: Path) -> None:
    """Raises LabError for a name that no table has, and for an address that two have."""

    def known(where: str, name: str, section: str) -> None:
        names = sorted(getattr(config, section))
        if name not in names:
            expected = ", ".join(names) or f"a table [{section}.{name}]"
            raise LabError(
                path, where, f"found {name!r}, which is not in [{section}]; expected {expected}"
            )

    for name, source in config.sources.items():
        known(f"sources.{name}.pump", source.pump, "lasers")
        for end in source.ends:
            for section in ("channels", "analyzers", "detectors"):
                known(f"sources.{name}.ends", end, section)
            if config.detectors[end].channels < 2:
                raise LabError(
                    path,
                    f"detectors.{end}.channels",
                    "found 1; expected at least 2, transmitted and reflected, behind an analyzer",
                )
    for name in config.squeezers:
        known(f"squeezers.{name}", name, "channels")
    for name in config.paddles:
        known(f"paddles.{name}", name, "channels")
        if name in config.squeezers:
            raise LabError(
                path,
                f"paddles.{name}",
                "its fibre has squeezers too; expected one of the two",
            )
    for name, emitter in config.emitters.items():
        known(f"emitters.{name}.pump", emitter.pump, "lasers")
        for section in ("channels", "analyzers", "detectors"):
            known(f"emitters.{name}.end", emitter.end, section)
        if config.detectors[emitter.end].channels < 2:
            raise LabError(
                path,
                f"detectors.{emitter.end}.channels",
                "found 1; expected at least 2, transmitted and reflected, behind an analyzer",
            )
    for name, fibre in config.channels.items():
        if fibre.flash is not None:
            known(f"channels.{name}.flash", fibre.flash, "lasers")
    for name, tagger in config.taggers.items():
        for number, wire in tagger.inputs.items():
            where, (bank, _, channel) = f"taggers.{name}.inputs.{number}", wire.rpartition(".")
            channels = config.seen_channels(bank)
            if channels is None and bank in config.midpoints:
                raise LabError(
                    path,
                    where,
                    f"midpoints.{bank} has no clicks; expected [midpoints.{bank}.clicks]",
                )
            if channels is None:
                known(where, bank, "detectors")
            if not channel.isdecimal() or not 1 <= int(channel) <= (channels or 0):
                raise LabError(
                    path, where, f"found {wire!r}; expected {bank}.1 to {bank}.{channels}"
                )
    for name, midpoint in config.midpoints.items():
        for end in midpoint.ends:
            known(f"midpoints.{name}.ends", end, "memories")
        kinds = {end: config.memories[end].attempt_modes > 0 for end in midpoint.ends}
        if len(set(kinds.values())) > 1:
            raise LabError(
                path,
                f"midpoints.{name}.ends",
                f"found {max(kinds, key=kinds.__getitem__)!r} alone with attempt_modes; expected "
                "both ends with them or none, as one herald line either stops both or neither",
            )
    used: dict[str, str] = {}
    for name, instrument in config.instruments.items():
        if instrument.of:
            known(f"instruments.{name}.of", instrument.of_name, instrument.of_section)
        for field, value in instrument.addresses.items():
            address = f"{'pty' if field == 'pty' else 'port'} {value}"
            if address in used:
                raise LabError(
                    path,
                    f"instruments.{name}.{field}",
                    f"found {address}, taken by instruments.{used[address]}; expected a free one",
                )
            used[address] = name
