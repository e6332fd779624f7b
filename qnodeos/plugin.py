"""The public face for authors of instrument plug-ins: classes, errors, framing, links, test kit.

    from qnodeos.plugin import Laser, Manifest, LINE_CRLF

A package offers its driver under the entry-point group `qnodeos.drivers`.
"""

from __future__ import annotations

from drivers.devices import (
    Analyzer,
    Attenuator,
    AvalancheBias,
    Basis,
    BellName,
    CoincidenceCounter,
    Counts,
    DelayGenerator,
    Detector,
    DeviceCapabilities,
    DeviceHerald,
    DiodeCurrent,
    FrequencyReference,
    Identity,
    Instrument,
    Laser,
    NanowireBias,
    OpticalSwitch,
    OutputPower,
    PolarizationController,
    PowerMeter,
    Pulse,
    QuantumDevice,
    ReferenceStatus,
    TemperatureController,
    TimeTagger,
    Tunable,
)
from drivers.errors import (
    InstrumentError,
    InstrumentProblem,
    NotConnected,
    ProtocolError,
    Refused,
    Timeout,
)
from drivers.framing import ETB, LINE_CRLF, LINE_LF, Anything, Framing, LengthCrc, Until
from drivers.links.base import Link, Transport
from drivers.links.open import make_link
from drivers.plugin import GROUP, Manifest, UnknownDriver, driver_names, load_driver
from drivers.testing import FarEnd, ScriptedTransport, expected_exchange, memory_link
from timing.tags import TagBatch

__all__ = [
    "ETB",
    "GROUP",
    "LINE_CRLF",
    "LINE_LF",
    "Analyzer",
    "Anything",
    "Attenuator",
    "AvalancheBias",
    "Basis",
    "BellName",
    "CoincidenceCounter",
    "Counts",
    "DelayGenerator",
    "Detector",
    "DeviceCapabilities",
    "DeviceHerald",
    "DiodeCurrent",
    "FarEnd",
    "Framing",
    "FrequencyReference",
    "Identity",
    "Instrument",
    "InstrumentError",
    "InstrumentProblem",
    "Laser",
    "LengthCrc",
    "Link",
    "Manifest",
    "NanowireBias",
    "NotConnected",
    "OpticalSwitch",
    "OutputPower",
    "PolarizationController",
    "PowerMeter",
    "ProtocolError",
    "Pulse",
    "QuantumDevice",
    "ReferenceStatus",
    "Refused",
    "ScriptedTransport",
    "TagBatch",
    "TemperatureController",
    "TimeTagger",
    "Timeout",
    "Transport",
    "Tunable",
    "UnknownDriver",
    "Until",
    "driver_names",
    "expected_exchange",
    "load_driver",
    "make_link",
    "memory_link",
]
