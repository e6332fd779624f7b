"""Two Thorlabs ELL14 rotation mounts on one Elliptec bus, with wave plates, as a basis analyzer.

A command is an address (0-9, A-F), two lower-case letters and hex digits, without an end mark; a
reply is the address, two upper-case letters and hex digits, CR LF. A move answers PO with the
position when it has ended, and may answer GS 09 (busy) before. Sources in docs/instruments.md.
Unverified: whether two mounts may move at the same time; one public driver says that replies can
then be lost on the bus. So a lost reply is made good by asking, and `one_at_a_time` avoids it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.devices import Analyzer, Basis, Identity
from drivers.draining import drain
from drivers.errors import InstrumentError, InstrumentProblem, ProtocolError, Refused, Timeout
from drivers.framing import LINE_CRLF
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.plugin import Asking, Manifest

TOLERANCE_DEG = 0.1
ANGLES_DEG: dict[Basis, tuple[float, float]] = {
    "Z": (0.0, 0.0),
    "X": (45.0, 22.5),
    "Y": (0.0, 22.5),
}
"""Fast-axis angles (quarter-wave plate, half-wave plate) from horizontal, for each basis."""

STATUS = {
    1: "communication time-out",
    2: "mechanical time-out: the mount is blocked",
    3: "command error or not supported",
    4: "value out of range",
    5: "module isolated",
    6: "module out of isolation",
    7: "initialising error",
    8: "thermal error: let it cool",
    9: "busy",
    10: "sensor error",
    11: "motor error",
    12: "out of range",
    13: "over-current error",
}

_BUSY = 9
_ROTATION_MOUNT = 0x0E
_REPLY = re.compile(rb"([0-9A-F])(IN|GS|PO)([0-9A-F]+)")
_DIGITS = {"IN": 30, "GS": 2, "PO": 8}
_MOVE_LIMIT_S = 4.0  # the mount itself gives up after 2.5 s of motion
_LOST_AFTER_S = 1.5  # a full turn takes less than a second
_REPLY_LIMIT_S = 0.5
_POLL_S = 0.1
_TRIES = 3
_OPTIONS = {"qwp_address", "hwp_address", "qwp_zero_deg", "hwp_zero_deg", "one_at_a_time"}


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: its bus address, the reading in degrees at which the fast axis is horizontal,
    and, once known, its serial number, firmware and encoder counts a turn."""

    name: str
    address: str
    zero_deg: float
    serial: str = ""
    firmware: str = ""
    counts_per_turn: int = 143360

    def counts(self, angle_deg: float) -> int:
        """Encoder position of a fast-axis angle, within one turn."""
        turns = (self.zero_deg + angle_deg) / 360.0
        return round(turns * self.counts_per_turn) % self.counts_per_turn

    def angle_deg(self, counts: int) -> float:
        """Fast-axis angle of an encoder position, in [0, 360)."""
        return (counts * 360.0 / self.counts_per_turn - self.zero_deg) % 360.0


class WaveplateAnalyzer(Analyzer):
    """A quarter-wave plate, then a half-wave plate, then a polarizing beam splitter.

    With QWP(0) = diag(1, i) and HWP(a) = [[cos 2a, sin 2a], [sin 2a, -cos 2a]], light that leaves
    the transmitted port has passed <H| HWP(h) QWP(q) = (cos 2h, sin 2h) QWP(q):
    - Z, q = h = 0: (1, 0) diag(1, i) = <H|;
    - X, q = 45, h = 22.5: <D| QWP(45) = <D|, as D is then the plate's fast axis;
    - Y, q = 0, h = 22.5: (1, 1)/sqrt(2) diag(1, i) = (<H| + i<V|)/sqrt(2), the bra of the circular
      state (|H> - i|V>)/sqrt(2).
    The reflected port projects on the orthogonal state. Both nodes use this one convention.

    Options: `qwp_address`, `hwp_address` ("0" to "F"), `qwp_zero_deg`, `hwp_zero_deg` (readings at
    which the fast axes are horizontal), `one_at_a_time`. No settings.
    """

    manifest = Manifest(
        driver="thorlabs.ell14",
        kind="Analyzer",
        identity=r"^ELL14\b",
        links=("serial", "tcp"),
        safe_state="stands still: a mount stops by itself after each move",
        asking=Asking(b"", LINE_CRLF, b"0in", reply=r"^0IN0E[0-9A-F]{28}$"),
        read_only=("ping", "readings", "basis"),
        serial=SerialSettings(baud=9600),
        udev_hint='SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", SYMLINK+="elliptec"',
        sources=("roesel/elliptec tools.py, errcodes.py", "docs/instruments.md"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        if unknown := set(self.options) - _OPTIONS:
            raise ValueError(
                f"thorlabs.ell14: unknown options {', '.join(sorted(unknown))}; "
                f"there are {', '.join(sorted(_OPTIONS))}"
            )
        self._mounts = (self._mount("qwp", "0"), self._mount("hwp", "1"))
        if self._mounts[0].address == self._mounts[1].address:
            raise ValueError(
                f"qwp_address and hwp_address are both '{self._mounts[0].address}'; "
                "give each mount an address of its own"
            )
        self._one_at_a_time = bool(self.options.get("one_at_a_time", False))
        self._bus = asyncio.Lock()
        self._moving = False
        self._unsettled = False
        self.lost_replies = 0
        """Ends of moves whose reply was lost or garbled on the bus since this driver was made."""

    def _mount(self, name: str, default: str) -> Mount:
        address = self.options.get(f"{name}_address", default)
        if not isinstance(address, str) or re.fullmatch("[0-9A-Fa-f]", address) is None:
            raise ValueError(f"{name}_address = {address!r}, expected one of '0' to 'F'")
        zero = self.options.get(f"{name}_zero_deg", 0.0)
        if isinstance(zero, bool) or not isinstance(zero, int | float) or not -360 <= zero <= 360:
            raise ValueError(f"{name}_zero_deg = {zero!r}, expected -360 to 360 degrees")
        return Mount(name, address.upper(), float(zero))

    async def connect(self) -> Identity:
        """Find both mounts, wait for a move that still goes on, and home both.

        Homes at every connect: a mount that was without power has lost its zero and tells nobody.
        """
        async with self._bus:
            await drain(self.link, quiet_s=0.05, limit_s=1.0)
            found = [await self._identify(mount) for mount in self._mounts]
            self._mounts = (found[0], found[1])
            for mount in found:
                await self._until_idle(mount)
            self._unsettled = False
            fault = await self._run(
                [(mount, "ho0") for mount in found], one_at_a_time=self._one_at_a_time
            )
            if fault is not None:
                raise fault
        serials = dict.fromkeys(mount.serial for mount in found)
        described = ", ".join(f"{m.name} {m.serial} at address {m.address}" for m in found)
        return Identity(f"ELL14 mounts: {described}", "+".join(serials), found[0].firmware)

    @property
    def busy(self) -> bool:
        """See Instrument: while a mount moves."""
        return self._moving

    async def enter_safe_state(self) -> None:
        """Wait until both mounts stand still."""
        async with self._bus:
            for mount in self._mounts:
                await self._until_idle(mount)

    async def ping(self) -> None:
        """Ask both for their status. A move under way has time limits of its own and is proof."""
        if self._moving:
            return
        async with self._bus:
            for mount in self._mounts:
                await self._status(mount)

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`qwp_deg` and `hwp_deg`, from horizontal, and `lost_replies`."""
        async with self._bus:
            stands = {f"{m.name}_deg": m.angle_deg(await self._position(m)) for m in self._mounts}
        return {**stands, "lost_replies": self.lost_replies}

    async def set_basis(self, basis: Basis) -> None:
        """See Analyzer; raises InstrumentError when a mount is not within 0.1 degree after a
        second try."""
        if basis not in ANGLES_DEG:
            raise Refused(f"basis {basis!r}, accepted are {', '.join(ANGLES_DEG)}", **self._about())
        wanted = list(zip(self._mounts, ANGLES_DEG[basis], strict=True))
        async with self._bus:
            off = wanted
            for one_at_a_time in (self._one_at_a_time, True):
                moves = [(mount, f"ma{mount.counts(angle):08X}") for mount, angle in off]
                fault = await self._run(moves, one_at_a_time=one_at_a_time)
                off = [(m, angle) for m, angle in wanted if not await self._is_at(m, angle)]
                if not off:
                    return
            if fault is not None:
                raise fault
            mount, angle = off[0]
            stands = mount.angle_deg(await self._position(mount))
            raise InstrumentError(
                "position",
                f"the {mount.name} mount stands at {stands:.2f} degrees instead of {angle:g}",
                **self._about(f"set_basis({basis})"),
            )

    async def basis(self) -> Basis | None:
        """See Analyzer; plates are the same after half a turn."""
        async with self._bus:
            stands = [m.angle_deg(await self._position(m)) for m in self._mounts]
        for basis, angles in ANGLES_DEG.items():
            if all(_apart_deg(a, b) <= TOLERANCE_DEG for a, b in zip(stands, angles, strict=True)):
                return basis
        return None

    async def _run(
        self, moves: list[tuple[Mount, str]], *, one_at_a_time: bool
    ) -> InstrumentError | None:
        """Send moves and wait until their mounts stand still; returns what a mount complained of.

        Where the mounts stand is checked by the caller.
        """
        if self._unsettled:  # an earlier move was cancelled, its replies may still come
            await drain(self.link, quiet_s=0.05, limit_s=1.0)
            for mount in self._mounts:
                await self._until_idle(mount)
        self._moving = self._unsettled = True
        fault = None
        try:
            for group in [[move] for move in moves] if one_at_a_time else [moves]:
                for mount, command in group:
                    await self.link.send(f"{mount.address}{command}".encode())
                fault = await self._collect([mount for mount, _ in group]) or fault
            self._unsettled = False
        finally:
            self._moving = False
        return fault

    async def _collect(self, mounts: list[Mount]) -> InstrumentError | None:
        """Take the replies that end the moves; where one is lost, ask until the mounts are idle."""
        waiting = {mount.address for mount in mounts}
        fault = None
        try:
            async with asyncio.timeout(_LOST_AFTER_S):
                while waiting:
                    line = await self.link.receive(LINE_CRLF, timeout_s=None, command="(moving)")
                    address, word, data = self._parse(line, "(moving)")
                    failed = word == "GS" and int(data, 16) not in (0, _BUSY)
                    if failed:
                        fault = self._fault(address, int(data, 16))
                    if failed or word == "PO":
                        waiting.discard(address)
        except (TimeoutError, ProtocolError):
            # Two mounts that answered at the same time; readings() tells how often.
            self.lost_replies += 1
            await drain(self.link, quiet_s=0.05, limit_s=0.5)
            for mount in mounts:
                await self._until_idle(mount)
        return fault

    async def _until_idle(self, mount: Mount) -> None:
        end_s = asyncio.get_running_loop().time() + _MOVE_LIMIT_S
        while (status := await self._status(mount)) == _BUSY:
            if asyncio.get_running_loop().time() >= end_s:
                raise Timeout(
                    f"the {mount.name} mount is still busy after {_MOVE_LIMIT_S:g} s",
                    **self._about(f"{mount.address}gs"),
                )
            await asyncio.sleep(_POLL_S)
        if status:
            raise self._fault(mount.address, status)

    async def _is_at(self, mount: Mount, angle_deg: float) -> bool:
        stands = mount.angle_deg(await self._position(mount))
        return _apart_deg(stands, angle_deg) <= TOLERANCE_DEG

    async def _position(self, mount: Mount) -> int:
        counts = int(await self._ask(mount, "gp", "PO"), 16)
        return counts - (1 << 32) if counts >= 1 << 31 else counts

    async def _status(self, mount: Mount) -> int:
        return int(await self._ask(mount, "gs", "GS"), 16)

    async def _identify(self, mount: Mount) -> Mount:
        """Ask for the identity, also of a mount that still waits for the end of half a command."""
        problem: InstrumentProblem | None = None
        for _ in range(_TRIES):
            await self.link.send(f"{mount.address}in".encode())
            try:
                async with asyncio.timeout(1.0):
                    data = await self._reply(mount, "in", "IN")
            except TimeoutError:
                problem = Timeout(
                    f"no {mount.name} mount answers at address {mount.address}; check "
                    f"{mount.name}_address and the power",
                    **self._about(f"{mount.address}in"),
                )
            except (ProtocolError, InstrumentError) as error:
                problem = error
            else:
                return self._known(mount, data)
            await drain(self.link, quiet_s=0.05, limit_s=0.5)
        assert problem is not None
        raise problem

    def _known(self, mount: Mount, data: str) -> Mount:
        # type 2, serial 8, year 4, firmware 2, thread and hardware 2, travel 4, counts 8 digits
        kind, travel, counts = int(data[:2], 16), int(data[18:22], 16), int(data[22:30], 16)
        if kind != _ROTATION_MOUNT or travel != 360 or counts == 0:
            raise InstrumentError(
                "type",
                f"at address {mount.address} is an ELL{kind} with travel {travel} and {counts} "
                "counts; expected an ELL14 with travel 360",
                **self._about(f"{mount.address}in"),
            )
        return Mount(mount.name, mount.address, mount.zero_deg, data[2:10], data[14:16], counts)

    async def _ask(self, mount: Mount, command: str, expected: str) -> str:
        request = f"{mount.address}{command}"
        first = await self.link.exchange(
            request.encode(), LINE_CRLF, timeout_s=_REPLY_LIMIT_S, command=request
        )
        try:
            async with asyncio.timeout(_REPLY_LIMIT_S):
                return await self._reply(mount, command, expected, first)
        except TimeoutError:
            self.link.poison()
            raise Timeout(
                f"no {expected} answer within {_REPLY_LIMIT_S:g} s", **self._about(request)
            ) from None

    async def _reply(
        self, mount: Mount, command: str, expected: str, line: bytes | None = None
    ) -> str:
        """The data of the expected reply; late ends of moves before it are passed over."""
        request = f"{mount.address}{command}"
        while True:
            if line is None:
                line = await self.link.receive(LINE_CRLF, timeout_s=None, command=request)
            address, word, data = self._parse(line, request)
            if address == mount.address and word == expected:
                return data
            if address == mount.address and word == "GS" and int(data, 16) not in (0, _BUSY):
                raise self._fault(address, int(data, 16))
            line = None

    def _parse(self, line: bytes, command: str) -> tuple[str, str, str]:
        found = _REPLY.fullmatch(line.strip())
        if found is None or len(found[3]) != _DIGITS[found[2].decode()]:
            raise ProtocolError("expected an Elliptec reply", line, **self._about(command))
        return found[1].decode(), found[2].decode(), found[3].decode()

    def _fault(self, address: str, status: int) -> InstrumentError:
        meaning = STATUS.get(status, "unknown status")
        return InstrumentError(status, f"mount {address}: {meaning}", **self._about())

    def _about(self, command: str = "") -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}


def _apart_deg(one: float, other: float) -> float:
    """Distance of two plate angles, which repeat after half a turn."""
    apart = abs(one - other) % 180.0
    return min(apart, 180.0 - apart)
