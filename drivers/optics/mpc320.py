"""Thorlabs MPC320, three motorised paddles that turn the polarization in a fibre.

Messages, encoder counts and limits from two public drivers, see docs/instruments.md. Unverified:
that the encoders are absolute, so that no paddle is homed here (`home` does it); what moving
several paddles at a time does, so they go one after the other; how still a paddle is whose motor
is off, which is how they are left, as PnPQ leaves them.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from drivers.checks import Setter, apply_in_order, in_range, known_options
from drivers.devices import Identity, PolarizationController
from drivers.draining import drain
from drivers.errors import InstrumentError, Refused
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.optics.apt import Apt, AptMessages, AptTalk
from drivers.plugin import Asking, Manifest
from drivers.waiting import becomes

PADDLES = 3
RANGE_DEG = 170.0
COUNTS = 1370
"""Encoder counts of the whole range."""

SLOWEST_PERCENT, FASTEST_PERCENT = 10, 100
"""Of 400 degrees a second."""

_REQ_INFO, _GET_INFO = 0x0005, 0x0006
_SET_ENABLED = 0x0210
_MOVE_HOME, _MOVE_ABSOLUTE = 0x0443, 0x0453
_REQ_STATUS, _GET_STATUS = 0x0490, 0x0491
_SET_PARAMS, _REQ_PARAMS, _GET_PARAMS = 0x0530, 0x0531, 0x0532

_INFO = struct.Struct("<I8sH4s60xHHH")
_STATUS = struct.Struct("<HiHhI")
_PARAMS = struct.Struct("<2x5H")
_BITS = (1, 2, 4)
"""A channel is a bit."""

_ON = 1
_ENABLED = 1 << 31
_NEAR_COUNTS = 2
_MOVE_LIMIT_S = 10.0  # 170 degrees at the slowest take 4.3 s
_ENABLE_LIMIT_S = 1.0


class _Status(NamedTuple):
    counts: int
    enabled: bool


class Mpc320(PolarizationController):
    """An MPC320. Settings: `velocity_percent` (10 to 100), `drives_deg`, a list of three. No
    options."""

    manifest = Manifest(
        driver="thorlabs.mpc320",
        kind="PolarizationController",
        identity=r"^MPC",
        links=("serial", "tcp"),
        safe_state="motors off; paddles stay where they are: nothing comes out of it",
        asking=Asking(b"", AptMessages()),
        read_only=("ping", "readings", "drive_ranges", "drives", "velocity_percent"),
        serial=SerialSettings(baud=115200, rtscts=True),
        udev_hint='SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", ATTRS{manufacturer}=="Thorlabs", '
        'SYMLINK+="mpc320"',
        sources=("QMI thorlabs/mpc320.py, apt_packets.py", "PnPQ apt/protocol.py, units.py"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("thorlabs.mpc320", self.options)
        self._talk = AptTalk(link)
        self._turn = asyncio.Lock()
        """Who has moved all paddles switches the motors off, of another's move too."""

    @property
    def drive_unit(self) -> Literal["mV", "deg"]:
        """Degrees."""
        return "deg"

    @property
    def busy(self) -> bool:
        """See Instrument: while a paddle moves."""
        return self._turn.locked()

    async def connect(self) -> Identity:
        """Drop what is under way on the line, and ask who it is."""
        await drain(self.link, quiet_s=0.05, limit_s=1.0)
        answer = await self._talk.ask(Apt(_REQ_INFO), _GET_INFO)
        if len(answer.data) != _INFO.size:
            raise self._talk.garbled(f"expected {_INFO.size} bytes about itself", answer)
        serial, model, _, firmware, _, _, channels = _INFO.unpack(answer.data)
        name = model.rstrip(b"\0 ").decode("ascii", "replace")
        if channels != PADDLES:
            raise InstrumentError(
                "channels", f"{name} has {channels}, an MPC320 has {PADDLES}", **self.link.about()
            )
        await self.drives()
        minor, interim, major, _ = firmware
        return Identity(name, serial=str(serial), firmware=f"{major}.{interim}.{minor}")

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `velocity_percent`, then `drives_deg`."""
        setters: dict[str, Setter] = {
            "velocity_percent": (float, self.set_velocity_percent),
            "drives_deg": (list, self.set_drives),
        }
        await apply_in_order(settings, setters, self.link.about())

    async def enter_safe_state(self) -> None:
        """Switch the motors off and see that they are."""
        await self._enable(False)

    async def ping(self) -> None:
        """Ask for the status of the first paddle."""
        await self._status(0)

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`paddle1_deg` to `paddle3_deg`, `velocity_percent`, `motors_on`."""
        found = [await self._status(paddle) for paddle in range(PADDLES)]
        shown = {f"paddle{n}_deg": _degrees(each.counts) for n, each in enumerate(found, 1)}
        return {
            **shown,
            "velocity_percent": await self.velocity_percent(),
            "motors_on": any(each.enabled for each in found),
        }

    async def drive_ranges(self) -> tuple[tuple[float, float], ...]:
        """See PolarizationController."""
        return ((0.0, RANGE_DEG),) * PADDLES

    async def drives(self) -> tuple[float, ...]:
        """See PolarizationController; as the encoders tell, in steps of 0.124 degrees."""
        return tuple([_degrees((await self._status(n)).counts) for n in range(PADDLES)])

    async def set_drives(self, drives: tuple[float, ...]) -> None:
        """See PolarizationController; raises InstrumentError where a paddle does not get there."""
        about = self.link.about("set_drives")
        if not isinstance(drives, tuple | list) or len(drives) != PADDLES:
            raise Refused(f"drives = {drives!r}, expected {PADDLES} angles in degrees", **about)
        wanted = [
            round(in_range(f"drive {n}", drive, 0.0, RANGE_DEG, "deg", about) * COUNTS / RANGE_DEG)
            for n, drive in enumerate(drives, 1)
        ]
        async with self._turn:
            await self._go(wanted)

    async def home(self) -> None:
        """Send all paddles to their home position, as after a motor has slipped."""
        async with self._turn:
            home = (await self._params())[1]
            await self._enable(True)
            for paddle in range(PADDLES):
                await self._talk.tell(Apt(_MOVE_HOME, _BITS[paddle]))
                await self._arrives(paddle, home)
            await self._enable(False)

    async def velocity_percent(self) -> float:
        """How fast paddles turn, in per cent of 400 degrees a second."""
        return float((await self._params())[0])

    async def set_velocity_percent(self, percent: float) -> None:
        """Turn so fast from now on; confirmed. Raises Refused with the range."""
        about = self.link.about("set_velocity_percent")
        value = in_range("velocity", percent, SLOWEST_PERCENT, FASTEST_PERCENT, "%", about)
        wanted = [round(value), *(await self._params())[1:]]
        await self._talk.tell(Apt(_SET_PARAMS, data=_PARAMS.pack(*wanted)))
        found = list(await self._params())
        if found != wanted:
            raise InstrumentError(
                "velocity", f"set to {wanted[0]} %, it tells {found[0]} %", **about
            )

    async def _go(self, wanted: list[int]) -> None:
        stands = [(await self._status(paddle)).counts for paddle in range(PADDLES)]
        if all(_near(*pair) for pair in zip(stands, wanted, strict=True)):
            return
        await self._enable(True)
        for paddle, (now, counts) in enumerate(zip(stands, wanted, strict=True)):
            if not _near(now, counts):
                data = struct.pack("<Hi", _BITS[paddle], counts)
                await self._talk.tell(Apt(_MOVE_ABSOLUTE, data=data))
                await self._arrives(paddle, counts)
        await self._enable(False)

    async def _arrives(self, paddle: int, wanted: int) -> None:
        """Wait until it is there, and stands: it may pass by."""
        last = -1

        async def stands() -> bool:
            nonlocal last
            before, last = last, (await self._status(paddle)).counts
            return before == last and _near(last, wanted)

        if not await becomes(stands, limit_s=_MOVE_LIMIT_S):
            await self._enable(False)
            raise InstrumentError(
                "position",
                f"paddle {paddle + 1} was sent to {_degrees(wanted):.1f} degrees and stands at "
                f"{_degrees(last):.1f}; see that nothing is in its way",
                **self.link.about("set_drives"),
            )

    async def _enable(self, on: bool) -> None:
        """All motors on or off: a channel that is not named is off."""
        await self._talk.tell(Apt(_SET_ENABLED, sum(_BITS) if on else 0, _ON))

        async def is_so() -> bool:
            return all([(await self._status(n)).enabled is on for n in range(PADDLES)])

        if not await becomes(is_so, limit_s=_ENABLE_LIMIT_S):
            raise InstrumentError(
                "motors", f"they do not go {'on' if on else 'off'}", **self.link.about("enable")
            )

    async def _status(self, paddle: int) -> _Status:
        bit = _BITS[paddle]

        def fits(answer: Apt) -> bool:
            return len(answer.data) == _STATUS.size and _STATUS.unpack(answer.data)[0] == bit

        answer = await self._talk.ask(Apt(_REQ_STATUS, bit), _GET_STATUS, fits)
        _, counts, _, _, bits = _STATUS.unpack(answer.data)
        return _Status(counts, bool(bits & _ENABLED))

    async def _params(self) -> tuple[int, ...]:
        """Velocity, home position, and the three steps of jogging."""
        answer = await self._talk.ask(Apt(_REQ_PARAMS), _GET_PARAMS)
        if len(answer.data) != _PARAMS.size:
            raise self._talk.garbled(f"expected {_PARAMS.size} bytes of parameters", answer)
        return _PARAMS.unpack(answer.data)


def _degrees(counts: int) -> float:
    return counts * RANGE_DEG / COUNTS


def _near(counts: int, wanted: int) -> bool:
    return abs(counts - wanted) <= _NEAR_COUNTS
