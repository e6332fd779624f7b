"""The device classes: what the node may ask of each kind of instrument, the same for every vendor.

A driver is built on a link that is already configured but not yet open; the supervisor opens the
link, calls `connect`, and from then on the methods may be used. All of them raise the exceptions of
`drivers.errors`. Units are in the names; angles are in degrees.
"""

from drivers.devices.detection import (
    AvalancheBias,
    CoincidenceCounter,
    Counts,
    Detector,
    NanowireBias,
    PowerMeter,
    TimeTagger,
)
from drivers.devices.electronics import (
    DelayGenerator,
    FrequencyReference,
    Pulse,
    ReferenceStatus,
    TemperatureController,
)
from drivers.devices.instrument import (
    Identity,
    Instrument,
)
from drivers.devices.light import (
    Attenuator,
    DiodeCurrent,
    Laser,
    OutputPower,
    Tunable,
)
from drivers.devices.optics import (
    Analyzer,
    Basis,
    OpticalSwitch,
    PolarizationController,
)
from drivers.devices.quantum import (
    BellName,
    DeviceCapabilities,
    DeviceHerald,
    DevicePort,
    DeviceTuning,
    Done,
    Order,
    QuantumDevice,
    QubitNumbers,
)

__all__ = [
    "Analyzer",
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
    "DevicePort",
    "DeviceTuning",
    "DiodeCurrent",
    "Done",
    "FrequencyReference",
    "Identity",
    "Instrument",
    "Laser",
    "NanowireBias",
    "OpticalSwitch",
    "Order",
    "OutputPower",
    "PolarizationController",
    "PowerMeter",
    "Pulse",
    "QuantumDevice",
    "QubitNumbers",
    "ReferenceStatus",
    "TemperatureController",
    "TimeTagger",
    "Tunable",
]
