"""A Stanford Research Systems DG645 delay generator by its lines.

Facts: the manual's error numbers as the lantz driver lists them, the answers in InstrumentKit's
tests. Unverified: that an illegal delay leaves all as it was, and the largest error queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final

from sim_backends.mount import Channel, take_lines
from sim_backends.replies import Paced

__all__ = ["Dg645"]

_LONGEST_S: Final = Decimal(2000)
_STEP_S: Final = Decimal("5e-12")
_VALUE, _DELAY, _LINK = 10, 12, 13
_UNDEFINED, _QUERY, _MISSING, _FLOAT, _INTEGER, _FULL = 111, 112, 116, 118, 120, 254
_QUEUE: Final = 20
_SINGLES: Final = {
    # What TSRC, BURM... accept, and how an answer looks.
    "TRAT": (Decimal("1e-4"), Decimal("1e7"), "{:+.6f}", Decimal(1000)),
    "TLVL": (Decimal("-3.5"), Decimal("3.5"), "{:+.2f}", Decimal(1)),
    "HOLD": (Decimal(0), Decimal(10), "{:+.12f}", Decimal(0)),
    "BURP": (Decimal("1e-7"), Decimal("42.9"), "{:+.12f}", Decimal("1e-6")),
    "BURD": (Decimal(0), Decimal(2000), "{:+.12f}", Decimal(0)),
}
_WHOLE: Final = {
    "TSRC": (0, 6, 5),
    "BURM": (0, 1, 0),
    "BURC": (1, 2**32 - 1, 5),
    "BURT": (0, 1, 0),
    "ADVT": (0, 1, 0),
}


class _Fault(Exception):
    """Goes into the queue of errors."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Dg645:
    """The generator. `edges` are, by channel from T0 = 0 to H = 9, the channel tied to and seconds.

    Wakes up waiting for a single shot.
    """

    def __init__(self, serial: str, *, latency_s: float = 0.01) -> None:
        self._serial, self._latency_s = serial, latency_s
        self._errors: deque[int] = deque()
        self._reset()

    def _reset(self) -> None:
        self.edges: dict[int, tuple[int, Decimal]] = {n: (0, Decimal(0)) for n in range(1, 10)}
        self.singles = {name: start for name, (_, _, _, start) in _SINGLES.items()}
        self.whole = {name: start for name, (_, _, start) in _WHOLE.items()}
        self._levels = {"LAMP": dict.fromkeys(range(5), Decimal("2.5"))}
        self._levels["LOFF"] = dict.fromkeys(range(5), Decimal(0))
        self._polarity = dict.fromkeys(range(5), 1)

    def connect(self, channel: Channel) -> _Session:
        """A client has connected."""
        return _Session(self, Paced(channel, self._latency_s))

    @property
    def triggers(self) -> bool:
        """It follows its trigger source by itself."""
        return self.whole["TSRC"] in (0, 1, 2, 6)

    def run(self, line: str) -> str:
        """Run one command; what it answers, "" for nothing."""
        head, query, tail = line.upper().partition("?")
        name, _, argument = head.strip().partition(" ")
        arguments = [part.strip() for part in (tail if query else argument).split(",")]
        try:
            if query:
                return self._ask(name, [part for part in arguments if part])
            self._set(name, [part for part in arguments if part])
        except _Fault as fault:
            if len(self._errors) < _QUEUE:
                self._errors.append(fault.code if len(self._errors) < _QUEUE - 1 else _FULL)
        return ""

    def _ask(self, name: str, arguments: list[str]) -> str:
        match name:
            case "*IDN":
                return f"Stanford Research Systems,DG645,s/n{self._serial},ver1.14.10E"
            case "LERR":
                return str(self._errors.popleft() if self._errors else 0)
            case "*OPC":
                return "1"
            case "DLAY":
                tied, delay_s = self.edges[_index(arguments, 1, 9)]
                return f"{tied},{delay_s:+.12f}"
            case "LAMP" | "LOFF":
                return f"{self._levels[name][_index(arguments, 0, 4)]:+.2f}"
            case "LPOL":
                return str(self._polarity[_index(arguments, 0, 4)])
            case "LINK":
                return str(self.edges[_index(arguments, 1, 9)][0])
        if name in _SINGLES:
            return _SINGLES[name][2].format(self.singles[name])
        if name in _WHOLE:
            return str(self.whole[name])
        raise _Fault(_QUERY if name in ("*TRG", "*CLS", "*RST") else _UNDEFINED)

    def _set(self, name: str, arguments: list[str]) -> None:
        if name in ("*CLS", "*RST", "*TRG", ""):
            actions: dict[str, Callable[[], None]] = {
                "*CLS": self._errors.clear,
                "*RST": self._reset,
            }
            actions.get(name, lambda: None)()
        elif name == "DLAY":
            self._set_delay(arguments)
        elif name in ("LAMP", "LOFF"):
            output = _index(arguments, 0, 4)
            self._levels[name][output] = _decimal(arguments, 1, Decimal(-5), Decimal(5))
        elif name == "LPOL":
            self._polarity[_index(arguments, 0, 4)] = _index(arguments[1:], 0, 1)
        elif name in _SINGLES:
            low, high, _, _ = _SINGLES[name]
            self.singles[name] = _decimal(arguments, 0, low, high)
        elif name in _WHOLE:
            lowest, highest, _ = _WHOLE[name]
            self.whole[name] = _index(arguments, lowest, highest)
        else:
            raise _Fault(_UNDEFINED)

    def _set_delay(self, arguments: list[str]) -> None:
        channel, tied = _index(arguments, 2, 9), _index(arguments[1:], 0, 9)
        delay_s = _decimal(arguments, 2, -_LONGEST_S, _LONGEST_S, out_of_range=_DELAY)
        before = self.edges[channel]
        self.edges[channel] = (tied, (delay_s / _STEP_S).to_integral_value() * _STEP_S)
        try:
            for each in range(2, 10):
                if not 0 <= self._at_s(each) <= _LONGEST_S:
                    raise _Fault(_DELAY)
        except _Fault:
            self.edges[channel] = before
            raise

    def _at_s(self, channel: int) -> Decimal:
        at_s = Decimal(0)
        for _ in range(10):
            if channel == 0:
                return at_s
            channel, delay_s = self.edges[channel]
            at_s += delay_s
        raise _Fault(_LINK)


class _Session:
    """One client's lines."""

    def __init__(self, generator: Dg645, out: Paced) -> None:
        self._generator, self._out = generator, out
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, b"\r\n", limit=256):
            for command in line.decode("ascii", "replace").split(";"):
                if answer := self._generator.run(command.strip()):
                    self._out.send(f"{answer}\r\n".encode())

    def closed(self) -> None:
        pass


def _index(arguments: list[str], low: int, high: int) -> int:
    if not arguments:
        raise _Fault(_MISSING)
    if not arguments[0].lstrip("+-").isdecimal():
        raise _Fault(_INTEGER)
    if not low <= int(arguments[0]) <= high:
        raise _Fault(_VALUE)
    return int(arguments[0])


def _decimal(
    arguments: list[str], at: int, low: Decimal, high: Decimal, *, out_of_range: int = _VALUE
) -> Decimal:
    if len(arguments) <= at:
        raise _Fault(_MISSING)
    try:
        number = Decimal(arguments[at])
    except InvalidOperation:
        raise _Fault(_FLOAT) from None
    if number.is_nan() or not low <= number <= high:
        raise _Fault(out_of_range)
    return number
