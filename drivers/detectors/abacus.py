"""Tausand Abacus coincidence counters with 32-bit registers, on a USB serial port.

Read: 02 0E address 00 00 00 n 04, answered by 7E length (address d3 d2 d1 d0)* checksum, where sum
of payload and checksum is FF. Write: 02 0F address d3 d2 d1 d0 04, not answered, so every write is
read back. A register of a time holds c + e * 4096, meaning c * 10^(e - 10) s with two digits in c.
`*IDN?` without a line end gives 21 characters. Facts from the vendor's client PyAbacus, see
docs/instruments.md. Not for AB1002 and AB1502, with 16-bit registers and another map.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from drivers.checks import Setter, apply_in_order, is_number, known_options
from drivers.devices import CoincidenceCounter, Counts, Identity
from drivers.draining import drain
from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.framing import Anything
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.plugin import Manifest

_ANYTHING = Anything()
_TRIES = 5
_REPLY_S = 0.5
_GATES_MS = (*(c * 10**k for k in range(6) for c in (1, 2, 5)), 10**6)
SHORTEST_GATE_MS = 50
"""Of a shorter gate the counts cannot be read before the next one is over."""

_DELAY, _SLEEP, _SAMPLING, _WINDOW, _DATA_ID, _TIME_LEFT = 64, 72, 80, 81, 83, 84
_MULTI_INPUTS, _MULTI_COUNTS = 88, 96
_LARGEST_NS = {"window_ns": 10_000, "delay_ns": 100, "sleep_ns": 100}
_MODEL = re.compile(r"Tausand Abacus AB([12])([059])0([248])")


@dataclass(frozen=True, slots=True)
class AbacusFrame:
    """7E, length, payload, checksum, given from the length on; what comes before 7E is noise.

    Whether the checksum is right is for the reader, who may ask again.
    """

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing.take`."""
        start = buffer.find(0x7E)
        if start < 0 or len(buffer) < start + 2:
            return None
        end = start + 3 + buffer[start + 1]
        if len(buffer) < end:
            return None
        frame = bytes(buffer[start + 1 : end])
        del buffer[:end]
        return frame


_FRAME = AbacusFrame()


class Abacus(CoincidenceCounter):
    """An AB1004, AB1008, AB2002 or relative. No options.

    Settings: `gate_s`, `window_ns`, `delay_ns` and `sleep_ns` (one value or a list of one for each
    input), `multifold` (lists of three or more inputs; one on a four-channel model, up to eight on
    one of eight). The box tells no serial number.
    """

    manifest = Manifest(
        driver="tausand.abacus",
        kind="CoincidenceCounter",
        identity=r"^Tausand Abacus AB(1[059]0[48]|2[059]0[248])",
        links=("serial", "tcp"),
        safe_state="nothing to switch off: it only counts",
        read_only=("ping", "readings", "counts"),
        udev_hint='SUBSYSTEM=="tty", KERNEL=="ttyACM*", GROUP="dialout"',
        serial=SerialSettings(baud=115200),
        sources=("PyAbacus 1.2.1 constants.py, core.py (GPL, facts only)",),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("tausand.abacus", self.options)
        self._asking = asyncio.Lock()
        self._inputs = 4
        self._step_ns = 5
        self._multifold: tuple[tuple[int, ...], ...] = ()

    async def connect(self) -> Identity:
        """Drop what an earlier life left, ask who it is and which coincidences it counts."""
        found: re.Match[str] | None = None
        text = ""
        for _ in range(3):
            await drain(self.link, quiet_s=0.1, limit_s=1.0)
            await self.link.send(b"*IDN?")
            raw = await self._until_quiet()
            text = raw.strip(b"\0\r\n").decode("latin-1")
            # Late answers may come before it; it is what ends the bytes.
            if found := re.search(_MODEL.pattern + r"$", text):
                break
        if found is None:
            if not text:
                raise self._silent("*IDN?")
            raise self._garbled(
                "expected 'Tausand Abacus ABxxxx', of a model with 32-bit registers",
                text.encode("latin-1"),
                "*IDN?",
            )
        self._inputs = int(found[3])
        self._step_ns = {"0": 5, "5": 2, "9": 1}[found[2]]
        await self._learn_multifold()
        return Identity(found[0])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `gate_s`, `window_ns`, `delay_ns`, `sleep_ns`, `multifold`."""
        checked = {
            name: self._each_ns(name, settings[name])
            for name in ("delay_ns", "sleep_ns")
            if name in settings
        }
        multifold = self._sets_of_inputs(settings["multifold"]) if "multifold" in settings else None
        setters: dict[str, Setter] = {
            "gate_s": (float, self.set_gate_s),
            "window_ns": (float, self.set_window_ns),
        }
        rest = {k: v for k, v in settings.items() if k not in ("multifold", *checked)}
        await apply_in_order(rest, setters, self._about())
        for name, values in checked.items():
            first = _DELAY if name == "delay_ns" else _SLEEP
            for offset, value in enumerate(values):
                await self._write_ns(first + offset, value, name)
        if multifold is not None:
            await self._set_multifold(multifold)

    async def enter_safe_state(self) -> None:
        """A counter sends nothing out; shows that it answers."""
        await self.ping()

    async def ping(self) -> None:
        """Ask for the number of the last gate."""
        await self._read(_DATA_ID)

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Gate and window, and the delays."""
        sampling, window = await self._read(_SAMPLING, 2)
        shown: dict[str, float | int | bool | str] = {
            "gate_s": _ns(sampling) * 1e-9,
            "window_ns": _ns(window),
        }
        delays = await self._read(_DELAY, self._inputs)
        return shown | {f"delay_{n}_ns": _ns(delay) for n, delay in enumerate(delays, start=1)}

    async def set_window_ns(self, window_ns: float) -> None:
        """See CoincidenceCounter; two digits, up to 10 us in steps of the model's resolution."""
        low, high, step = self._step_ns, _LARGEST_NS["window_ns"], self._step_ns
        if step == 1 and is_number(window_ns, 10, high):
            step = 2  # from 10 ns on, a model of 1 ns takes even windows only
        self._check_ns("window_ns", window_ns, low, high, step)
        await self._write_ns(_WINDOW, int(window_ns), "window_ns")

    async def window_ns(self) -> float:
        """The coincidence window."""
        return _ns((await self._read(_WINDOW))[0])

    async def set_gate_s(self, gate_s: float) -> None:
        """See CoincidenceCounter; 1, 2 or 5 times a power of ten, from 0.05 to 1000 s."""
        gates = [gate for gate in _GATES_MS if gate >= SHORTEST_GATE_MS]
        ms = round(gate_s * 1000) if is_number(gate_s, 0.0, 1e6) else 0
        if ms not in gates or abs(ms - gate_s * 1000) > 1e-6:
            accepted = ", ".join(f"{gate / 1000:g}" for gate in gates)
            raise Refused(f"gate_s = {gate_s!r}, accepted are {accepted} s", **self._about())
        await self._write_ns(_SAMPLING, ms * 10**6, "gate_s")

    async def gate_s(self) -> float:
        """The length of a gate."""
        return _ns((await self._read(_SAMPLING))[0]) * 1e-9

    async def counts(self) -> Counts:
        """See CoincidenceCounter; the counts are of one gate, or asked for again."""
        gate_s = await self.gate_s()
        before = (await self._read(_DATA_ID))[0]
        end_s = asyncio.get_running_loop().time() + 4 * gate_s + 2.0
        while asyncio.get_running_loop().time() < end_s:
            number, left_ms = await self._read(_DATA_ID, 2)
            if number in (before, 0):  # 0: settings have changed, and no gate is over since
                await asyncio.sleep(min(left_ms / 1000, gate_s) + 0.002)
                continue
            singles, pairs = await self._take_counts()
            if (await self._read(_DATA_ID))[0] == number:
                return Counts(gate_s, singles, pairs)
            before = number  # another gate was over meanwhile: these counts are of two
        raise Timeout("no whole gate within its time", **self._about("counts"))

    async def _take_counts(self) -> tuple[dict[int, int], dict[tuple[int, ...], int]]:
        """Counts as they are now: a row of registers an input, itself and its pairs."""
        singles: dict[int, int] = {}
        coincidences: dict[tuple[int, ...], int] = {}
        for n in range(1, self._inputs + 1):
            row = await self._read(9 * (n - 1), self._inputs - n + 1)
            singles[n] = row[0]
            coincidences |= {(n, n + k): count for k, count in enumerate(row) if k}
        for place, inputs in enumerate(self._multifold):
            if inputs:
                coincidences[inputs] = (await self._read(_MULTI_COUNTS + place))[0]
        return singles, coincidences

    async def _learn_multifold(self) -> None:
        masks = await self._read(_MULTI_INPUTS, self._places()) if self._places() else ()
        self._multifold = tuple(
            tuple(n for n in range(1, 9) if mask >> (8 - n) & 1) for mask in masks
        )

    async def _set_multifold(self, wanted: Sequence[tuple[int, ...]]) -> None:
        for place in range(self._places()):
            inputs = wanted[place] if place < len(wanted) else ()
            # The first letter is the highest of eight bits.
            mask = sum(1 << (8 - n) for n in inputs)
            await self._write(_MULTI_INPUTS + place, mask, mask.__eq__)
        await self._learn_multifold()
        told = [inputs for inputs in self._multifold if inputs]
        if told != list(wanted):
            raise InstrumentError(
                "multifold", f"{list(wanted)} was set, but it tells {told}", **self._about()
            )

    def _places(self) -> int:
        """How many registers there are for coincidences of three and more."""
        return {2: 0, 4: 1, 8: 8}[self._inputs]

    async def _read(self, address: int, count: int = 1) -> tuple[int, ...]:
        """Some registers; asks again when the checksum is wrong, which happens on this line."""
        # One register is asked for as none, as the vendor's client does.
        request = bytes([0x02, 0x0E, address, 0, 0, 0, count if count > 1 else 0, 0x04])
        command = f"registers {address} to {address + count - 1}"
        frame = b""
        async with self._asking:
            for _ in range(_TRIES):
                await self.link.send(request)
                try:
                    async with asyncio.timeout(_REPLY_S):
                        frame = await self.link.receive(_FRAME, timeout_s=None, command=command)
                except TimeoutError:
                    self.link.poison()
                    if frame:
                        break
                    raise self._silent(command) from None
                values = _registers(frame, address, count)
                if values is not None:
                    return values
                await drain(self.link, quiet_s=0.02, limit_s=0.2)
        raise self._garbled(
            f"expected {count} registers from {address} with their checksum, {_TRIES} times",
            frame,
            command,
        )

    async def _write_ns(self, address: int, value_ns: int, name: str) -> None:
        told = await self._write(address, _code(value_ns), lambda bits: _ns(bits) == value_ns)
        if told is not None:
            raise InstrumentError(
                name,
                f"{value_ns} ns was set, but it tells {_ns(told):g} ns",
                **self._about(f"register {address}"),
            )

    async def _write(self, address: int, value: int, holds: Callable[[int], bool]) -> int | None:
        """Write a register until it holds the value, as a write may get lost; None, or what it
        holds instead."""
        told = -1
        for _ in range(_TRIES):
            request = bytes([0x02, 0x0F, address, *value.to_bytes(4, "big"), 0x04])
            async with self._asking:
                await self.link.send(request)
            told = (await self._read(address))[0]
            if holds(told):
                return None
        return told

    async def _until_quiet(self) -> bytes:
        raw = b""
        try:
            while len(raw) < 256:
                async with asyncio.timeout(0.1 if raw else _REPLY_S):
                    raw += await self.link.receive(_ANYTHING, timeout_s=None, command="*IDN?")
        except TimeoutError:
            pass
        return raw

    def _each_ns(self, name: str, value: Any) -> list[int]:
        values = list(value) if isinstance(value, list | tuple) else [value] * self._inputs
        if len(values) != self._inputs:
            raise Refused(
                f"{name} = {value!r}, expected one value or {self._inputs}", **self._about()
            )
        for each in values:
            self._check_ns(name, each, 0, _LARGEST_NS[name], self._step_ns)
        return [int(each) for each in values]

    def _check_ns(self, name: str, value: object, low: int, high: int, step: int) -> None:
        whole = is_number(value, low, high) and value % step == 0  # type: ignore[operator]
        if not whole or _ns(_code(int(value))) != value:  # type: ignore[call-overload]
            raise Refused(
                f"{name} = {value!r}, accepted are {low} to {high} ns in steps of {step}, with "
                "two digits that are not zero",
                **self._about(),
            )

    def _sets_of_inputs(self, value: Any) -> list[tuple[int, ...]]:
        every = range(1, self._inputs + 1)
        known = {c for k in range(3, self._inputs + 1) for c in combinations(every, k)}
        sets = [tuple(each) for each in value] if _is_list_of_lists(value) else None
        if sets is None or len(sets) > self._places() or not set(sets) <= known:
            raise Refused(
                f"multifold = {value!r}, expected up to {self._places()} ascending lists of three "
                f"or more inputs of 1 to {self._inputs}",
                **self._about(),
            )
        return sets

    def _silent(self, command: str) -> Timeout:
        self.link.poison()
        return Timeout(f"no answer within {_REPLY_S:g} s", **self._about(command))

    def _garbled(self, reason: str, raw: bytes, command: str) -> ProtocolError:
        self.link.poison()
        return ProtocolError(reason, raw, **self._about(command))

    def _about(self, command: str = "") -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}


def _registers(frame: bytes, address: int, count: int) -> tuple[int, ...] | None:
    """The registers of a frame (from its length on); None for a wrong checksum or others."""
    payload = frame[1:-1]
    if len(payload) != 5 * count or (sum(payload) + frame[-1]) & 0xFF != 0xFF:
        return None
    if any(payload[5 * k] != address + k for k in range(count)):
        return None
    return tuple(int.from_bytes(payload[5 * k + 1 : 5 * k + 5], "big") for k in range(count))


def _code(value_ns: int) -> int:
    """The register of a time: the two leading digits, and the power of ten of the first."""
    tenths = value_ns * 10
    exponent = max(0, len(str(tenths)) - 2)
    digits: int = tenths // 10**exponent
    return exponent << 12 | digits


def _ns(bits: int) -> float:
    """The time that a register holds."""
    return float((bits & 0xFFF) * 10 ** (bits >> 12)) / 10


def _is_list_of_lists(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, list | tuple) and all(type(n) is int for n in each) for each in value
    )
