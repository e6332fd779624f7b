"""The device classes: what the node may ask of each kind of instrument, the same for every vendor.

A driver is built on a link that is already configured but not yet open; the supervisor opens the
link, calls `connect`, and from then on the methods may be used. All of them raise the exceptions of
`drivers.errors`. Units are in the names; angles are in degrees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from drivers.errors import Refused
from drivers.links.base import Link
from drivers.plugin import Manifest
from timing.tags import TagBatch

Basis = Literal["Z", "X", "Y"]
"""Z: horizontal/vertical, X: diagonal/anti-diagonal, Y: right/left circular; or the qubit axes."""

BellName = Literal["PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers: the words of the instrument itself. `serial` is "" where it tells none."""

    text: str
    serial: str = ""
    firmware: str = ""


class Instrument(ABC):
    """Base of all drivers.

    `options` are the driver's own entries of the configuration (addresses, wiring), checked by the
    driver in `__init__`, which raises ValueError with a plain sentence.
    """

    manifest: ClassVar[Manifest]

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        self.link = link
        self.options = dict(options or {})
        self.armed: Callable[[], bool] = lambda: False
        """Answers whether the owner holds a live arming lease; set by the supervisor."""

    def require_armed(self, action: str) -> None:
        """Raise Refused unless the owner holds a live arming lease; for drivers that emit."""
        if not self.armed():
            raise Refused(
                f"{action} needs an arming lease, and this instrument has none; "
                "set `arm = true` in its configuration",
                owner=self.link.owner,
                resource=self.link.resource,
            )

    @abstractmethod
    async def connect(self) -> Identity:
        """Bring the open link to a known state and ask the instrument who it is.

        Works whatever was left behind: half a command, an endless stream, a late reply.
        """

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Apply the `settings` table of the configuration; each key is a method's argument.

        Raises Refused, naming the key, for an unknown key or a value out of range.
        """
        if settings:
            raise Refused(
                f"unknown settings {', '.join(sorted(settings))}; this driver has none",
                owner=self.link.owner,
            )

    async def disconnect(self) -> None:  # noqa: B027  (most drivers have nothing to end)
        """End background work of the driver; the link is closed by its owner. Never raises."""

    @abstractmethod
    async def enter_safe_state(self) -> None:
        """Bring the instrument to the safe state of its manifest, and check that it is there."""

    @abstractmethod
    async def ping(self) -> None:
        """One cheap read-only exchange that shows the instrument is alive."""

    async def readings(self) -> dict[str, float | int | bool | str]:
        """What an operator wants to see of it, by name with unit (`power_mw`); read-only."""
        return {}


class TimeTagger(Instrument):
    """Gives time tags on its own free-running timescale."""

    resolution_ps: ClassVar[int]
    channels: ClassVar[tuple[int, ...]]

    @abstractmethod
    def stream(self) -> AsyncGenerator[TagBatch, None]:
        """Start tagging and yield batches, a few to some tens a second, also when there is no tag.

        Ends by cancellation or by an exception of `drivers.errors`. Time is unwrapped from the
        first word of this stream on; a new stream starts a new count.
        """


class Laser(Instrument):
    """A laser whose emission can be switched and whose current can be set."""

    @abstractmethod
    async def set_emission(self, on: bool) -> None:
        """Switch the light; raises Refused while the driver is not armed."""

    @abstractmethod
    async def emission(self) -> bool:
        """True when light comes out."""

    @abstractmethod
    async def set_current_ma(self, current_ma: float) -> None:
        """Set the diode current; raises Refused with the range."""

    @abstractmethod
    async def current_ma(self) -> float:
        """The actual diode current."""

    @abstractmethod
    async def wavelength_nm(self) -> float:
        """The actual wavelength in vacuum."""


class Detector(Instrument):
    """A set of single-photon detectors with a common driver unit, channels from 1."""

    @abstractmethod
    async def set_enabled(self, on: bool) -> None:
        """Switch the bias of all channels; raises Refused while the driver is not armed."""

    @abstractmethod
    async def enabled(self) -> bool:
        """True while the detectors are biased."""

    @abstractmethod
    async def set_bias_ua(self, bias_ua: tuple[float, ...]) -> None:
        """Set the bias current of every channel; raises Refused with the range."""

    @abstractmethod
    async def bias_ua(self) -> tuple[float, ...]:
        """The bias current of every channel."""

    @abstractmethod
    async def count_rates_cps(self) -> tuple[float, ...]:
        """The last counts of every channel over its measurement period, as a rate."""


class PowerMeter(Instrument):
    """An optical power meter."""

    @abstractmethod
    async def power_w(self) -> float:
        """The optical power."""

    @abstractmethod
    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """The wavelength for which the sensor's response is corrected."""


class Analyzer(Instrument):
    """Chooses the polarization basis in front of a beam splitter with two detectors."""

    @abstractmethod
    async def set_basis(self, basis: Basis) -> None:
        """Turn to the basis; returns when the optics stand still, with the position checked."""

    @abstractmethod
    async def basis(self) -> Basis | None:
        """The basis at which the optics stand, read from the instrument; None: none of them."""


@dataclass(frozen=True, slots=True)
class DeviceCapabilities:
    """What a quantum device can do, in its own numbers; see docs/device-protocol.md.

    `role` is "node" (has qubits) or "midpoint" (tells Bell states). Qubit 0 of a node is the
    communication qubit, the others store. Times are seconds, errors are depolarising
    probabilities, `readout_error` the probability of the wrong outcome.
    """

    role: Literal["node", "midpoint"]
    qubits: int
    attempt_period_s: float
    herald_mode: Literal["hardware", "host"]
    gates: tuple[str, ...]
    t1_s: float
    t2_s: float
    initial_fidelity: float
    gate_error: float
    two_qubit_gate_error: float
    readout_error: float


@dataclass(frozen=True, slots=True)
class DeviceHerald:
    """A success, as one device saw it. `bell_state` is told by a midpoint only.

    `slot` counts attempts on the trigger line that all devices of the link share; `time_ps` is on
    the device's own timescale; `received_s` is the node's own clock when the event had been read.
    """

    slot: int
    time_ps: int
    received_s: float
    qubit: int | None = None
    bell_state: BellName | None = None


class QuantumDevice(Instrument):
    """Qubits that can be entangled with a far end, or the midpoint between two of them."""

    @abstractmethod
    async def capabilities(self) -> DeviceCapabilities:
        """The device's own numbers; constant while connected."""

    @abstractmethod
    async def start(self, *, count: int = 0) -> int:
        """Attempt entanglement in every slot until a herald, `abort`, or `count` attempts (0: no
        limit). A single-mode device stops at its herald with the qubit held.

        Returns the first slot that may succeed: a herald of an earlier slot is an old one.
        """

    @abstractmethod
    async def abort(self) -> None:
        """Stop attempting; a herald already reported stays valid."""

    @abstractmethod
    def heralds(self) -> AsyncIterator[DeviceHerald]:
        """Heralds as the device reports them; ends by an exception when the link breaks."""

    @abstractmethod
    async def initialise(self, qubit: int, state: str = "0") -> None:
        """Prepare a qubit in one of "0" "1" "+" "-" "+i" "-i"."""

    @abstractmethod
    async def gate(self, gate: str, *qubits: int) -> None:
        """Apply one of the gates of the capabilities: X Y Z H S SDG; CNOT takes control, target."""

    @abstractmethod
    async def move(self, source: int, target: int) -> None:
        """Move a state to another qubit, leaving the source free."""

    @abstractmethod
    async def measure(self, qubit: int, basis: Basis = "Z") -> int:
        """Measure and free the qubit: 0 for the +1 outcome (|0>, |+>, |+i>), 1 for the other."""

    @abstractmethod
    async def release(self, qubit: int) -> None:
        """Give the qubit up; its state is lost."""
