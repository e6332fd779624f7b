"""An instrument that is only looked at, because somebody else is its master."""

from __future__ import annotations

from typing import Any, cast

from drivers.devices import Instrument
from drivers.errors import Refused


class _ReadOnly:
    """Lets through what the manifest calls read-only; passes for the driver it stands before."""

    def __init__(self, instrument: Instrument):
        self._instrument = instrument

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._instrument)

    def __getattr__(self, name: str) -> Any:
        manifest = self._instrument.manifest
        value = getattr(self._instrument, name)
        if name in manifest.read_only or not callable(value):
            return value
        raise Refused(
            f"{name} may change something, and this instrument is only looked at here; "
            f"{', '.join(manifest.read_only)} are allowed, or remove `read_only`",
            owner=self._instrument.link.owner,
            resource=self._instrument.link.resource,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_instrument":
            raise Refused(f"{name} cannot be set on an instrument that is only looked at")
        object.__setattr__(self, name, value)


def read_only(instrument: Instrument) -> Instrument:
    """The same driver, of which only what changes nothing can be called; else Refused."""
    return cast(Instrument, _ReadOnly(instrument))
