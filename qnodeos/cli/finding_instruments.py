"""What `qnodeos init` finds: instruments on this computer and on named hosts, by their identity."""

from __future__ import annotations

from collections.abc import Sequence

from qnodeos.checking.draft import DraftInstrument, instrument_name
from qnodeos.cli.progress import bar
from qnodeos.errors import UserError


async def found_instruments(
    hosts: Sequence[str], *, here: bool, quiet: bool = False
) -> tuple[list[DraftInstrument], list[str]]:
    """Who answers at serial ports and VISA resources (`here`) and at the hosts' TCP ports.

    The second is the resources where somebody is whom no driver knows, or who cannot be asked.
    Questions change nothing; see `qnodeos instrument identify`.
    """
    from qnodeos.cli.instrument.ports import listening, serial_ports, visa_resources

    with bar("looking for instruments", quiet=quiet) as told:
        places = [*serial_ports(), *visa_resources()] if here else []
        for host in hosts:
            places += await listening(host)
        found: list[DraftInstrument] = []
        silent: list[str] = []
        for number, place in enumerate(places):
            told(number / len(places), place.resource)
            instrument = await _asked(place.resource, {each.name for each in found})
            if instrument is None:
                silent.append(place.resource)
            else:
                found.append(instrument)
    return found, silent


async def instrument_at(
    resource: str, name: str, taken: set[str], driver: str = ""
) -> DraftInstrument:
    """The instrument at a place, asked who it is where no driver is told. Raises UserError."""
    if driver:
        return _draft(resource, name, taken, driver)
    found = await _asked(resource, taken, name)
    if found is None:
        raise UserError(
            "no driver knows who is there",
            found=f"no known answer at {resource}",
            do=f"name the driver: --instrument {name or 'NAME'}=DRIVER@{resource}",
        )
    return found


async def _asked(resource: str, taken: set[str], name: str = "") -> DraftInstrument | None:
    from drivers.errors import InstrumentProblem
    from qnodeos.cli.instrument.asking import connect_with, who_is_there

    try:
        answers = [each for each in await who_is_there(resource) if each.driver]
        if not answers:
            return None
        said, driver = answers[0].answer, answers[0].driver
        serial = (await connect_with(resource, driver)).serial
    except InstrumentProblem:
        return None
    return _draft(resource, name, taken, driver, serial, said)


def _draft(
    resource: str, name: str, taken: set[str], driver: str, serial: str = "", said: str = ""
) -> DraftInstrument:
    from qnodeos.cli.instrument.target import driver_class

    manifest = driver_class(driver).manifest
    return DraftInstrument(
        name or instrument_name(manifest.kind, taken),
        driver,
        resource,
        manifest.kind,
        serial,
        manifest.emits,
        said,
    )
