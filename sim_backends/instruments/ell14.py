"""Two Thorlabs ELL14 rotation mounts on one Elliptec bus, as a serial port shows it.

Address "0" turns the quarter-wave plate, "1" the half-wave plate. Facts: the messages and their
lengths are those that the public clients `elliptec` and `thorlabs_elliptec` use; both were seen to
work against this machine. Unverified: GS09 for what is asked of a mount that still moves.
"""

from __future__ import annotations

from typing import Final

from sim_backends.analyzers import RotationStage, WaveplatePair
from sim_backends.mount import Channel

__all__ = ["PULSES_PER_TURN", "Ell14Bus"]

PULSES_PER_TURN: Final = 143360

_OK: Final = 0
_COMMAND_ERROR: Final = 3
_OUT_OF_RANGE: Final = 4
_BUSY: Final = 9
_ADDRESSES: Final = "0123456789ABCDEF"
# Characters after address and name; a home may come without its direction.
_ARGUMENT: Final = {
    "in": 0, "gs": 0, "gp": 0, "gj": 0, "go": 0, "i1": 0, "i2": 0, "us": 0, "st": 0,
    "ho": 1, "fw": 0, "bw": 0, "ma": 8, "mr": 8, "sj": 8, "so": 8, "ca": 1,
}  # fmt: skip
_BUFFER_LIMIT: Final = 256
_LINE_ENDS: Final = b"\r\n"
_HEX: Final = frozenset(b"0123456789ABCDEFabcdef")


class _Mount:
    """One mount: a stage, its settings, and whether the end of a move has still to be told."""

    def __init__(self, stage: RotationStage, serial: str) -> None:
        self.stage = stage
        self.serial = serial
        self.jog = PULSES_PER_TURN // 8
        self.home_offset = 0
        self.telling = False

    @property
    def position(self) -> int:
        return round(self.stage.position_deg() * PULSES_PER_TURN / 360.0)

    def move(self, pulses: int) -> None:
        self.stage.move_to(pulses * 360.0 / PULSES_PER_TURN)
        self.telling = True


class Ell14Bus:
    """The bus; `poll` tells the ends of moves and has to be called each 20 ms or so."""

    def __init__(self, analyzer: WaveplatePair, serial: str) -> None:
        number = int(serial) if serial.isdecimal() else 0
        plates = analyzer.plates
        self._mounts = {
            "0": _Mount(plates["qwp"], f"{number % 10**8:08d}"),
            "1": _Mount(plates["hwp"], f"{(number + 1) % 10**8:08d}"),
        }
        self._channels: list[Channel] = []

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the port."""
        self._channels.append(channel)
        return _Session(self, channel)

    def leave(self, channel: Channel) -> None:
        """A client has closed the port; a move under way goes on."""
        self._channels.remove(channel)

    def poll(self) -> None:
        """Answer the moves that have come to their end."""
        for address, mount in self._mounts.items():
            if mount.telling and not mount.stage.moving():
                mount.telling = False
                self._position(address, mount.position)

    def command(self, address: str, name: str, argument: str) -> None:
        """One message to one address; nobody answers for an address where no mount is."""
        mount = self._mounts.get(address)
        if mount is None:
            return
        if mount.telling and name != "st":
            self._status(address, _BUSY)
            return
        match name:
            case "in":
                # Type 0x0E, serial, year, firmware, thread and hardware, 360 degrees, pulses.
                self._say(f"{address}IN0E{mount.serial}202117010168{PULSES_PER_TURN:08X}")
            case "gs" | "us":
                self._status(address, _OK)
            case "gp":
                self._position(address, mount.position)
            case "gj":
                self._say(f"{address}GJ{mount.jog & 0xFFFFFFFF:08X}")
            case "go":
                self._say(f"{address}HO{mount.home_offset & 0xFFFFFFFF:08X}")
            case "i1" | "i2":
                self._say(f"{address}{name.upper()}100000FFFFFFFF00B800AF")
            case "ho":
                mount.move(mount.home_offset)
            case "ma":
                self._move(address, mount, _signed(argument))
            case "mr":
                self._move(address, mount, mount.position + _signed(argument))
            case "fw":
                self._move(address, mount, mount.position + mount.jog)
            case "bw":
                self._move(address, mount, mount.position - mount.jog)
            case "st":
                mount.stage.move_to(mount.stage.position_deg())
                mount.telling = False
                self._status(address, _OK)
            case "sj" | "so" if 0 <= _signed(argument) < PULSES_PER_TURN:
                setattr(mount, "jog" if name == "sj" else "home_offset", _signed(argument))
                self._status(address, _OK)
            case "sj" | "so":
                self._status(address, _OUT_OF_RANGE)
            case "ca" if argument.upper() == address or argument.upper() not in self._mounts:
                self._mounts[argument.upper()] = self._mounts.pop(address)
                self._status(argument.upper(), _OK)
            case _:
                self._status(address, _COMMAND_ERROR)

    def bad(self, address: str) -> None:
        """A message that is none, to one address."""
        if address in self._mounts:
            self._status(address, _COMMAND_ERROR)

    def _move(self, address: str, mount: _Mount, pulses: int) -> None:
        if abs(pulses) > PULSES_PER_TURN:
            self._status(address, _OUT_OF_RANGE)
        else:
            mount.move(pulses)

    def _status(self, address: str, code: int) -> None:
        self._say(f"{address}GS{code:02X}")

    def _position(self, address: str, pulses: int) -> None:
        self._say(f"{address}PO{pulses & 0xFFFFFFFF:08X}")

    def _say(self, text: str) -> None:
        for channel in self._channels:
            channel.send(f"{text}\r\n".encode())


class _Session:
    """What one client has written: messages of fixed length, with or without ends of line."""

    def __init__(self, bus: Ell14Bus, channel: Channel) -> None:
        self._bus = bus
        self._channel = channel
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._take():
            pass
        if len(self._buffer) > _BUFFER_LIMIT:
            self._buffer.clear()

    def closed(self) -> None:
        self._bus.leave(self._channel)

    def _take(self) -> bool:
        """Take one message from the front; False when there is none yet."""
        buffer = self._buffer
        while buffer and (buffer[0] in _LINE_ENDS or chr(buffer[0]) not in _ADDRESSES):
            del buffer[0]
        if len(buffer) < 3:
            if any(byte in _LINE_ENDS for byte in buffer):
                self._bus.bad(chr(buffer[0]))
                self._drop_line()
                return True
            return False
        address, name = chr(buffer[0]), buffer[1:3].decode("latin-1")
        length = _ARGUMENT.get(name)
        if length is None:
            self._bus.bad(address)
            self._drop_line()
            return True
        argument = bytes(buffer[3 : 3 + length])
        ended = next((i for i, byte in enumerate(argument) if byte in _LINE_ENDS), None)
        if name == "ho" and ended == 0:
            argument, length = b"0", 0
        elif ended is not None or not all(byte in _HEX for byte in argument):
            self._bus.bad(address)
            self._drop_line()
            return True
        elif len(argument) < length:
            return False
        del buffer[: 3 + length]
        self._bus.command(address, name, argument.decode("ascii"))
        return True

    def _drop_line(self) -> None:
        """Forget the rest of a line that makes no sense."""
        ends = [i for i, byte in enumerate(self._buffer) if byte in _LINE_ENDS]
        del self._buffer[: ends[0] + 1 if ends else len(self._buffer)]


def _signed(argument: str) -> int:
    value = int(argument, 16)
    return value - (1 << 32) if value >= 1 << 31 else value
