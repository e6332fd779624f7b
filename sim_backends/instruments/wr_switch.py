"""A White Rabbit switch as its SNMP agent (version 2c) shows it.

Facts: the objects and the meaning of their values are those of WR-SWITCH-MIB and of the switch's
public software. Only GET, GETNEXT and GETBULK of one client's community are answered; with another
community nothing is, as with net-snmp. Unverified: the words of the system description.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from sim_backends.mount import Channel

__all__ = ["WrSwitch"]

Oid: TypeAlias = tuple[int, ...]
Item: TypeAlias = tuple[int, bytes]  # tag, content

_WRS: Final = (1, 3, 6, 1, 4, 1, 96, 100)
_INTEGER, _OCTETS, _NULL, _OBJECT, _SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
_GET, _GET_NEXT, _RESPONSE, _GET_BULK = 0xA0, 0xA1, 0xA2, 0xA5
_NO_OBJECT, _END_OF_VIEW = 0x80, 0x82
_COUNTER64: Final = 0x46
_MOST_BINDINGS: Final = 64


class _Broken(Exception):
    """A message that an agent throws away."""


class WrSwitch:
    """The switch. `synchronised` and `offset_ps` say how it follows its master; `slave` if it does.

    `temperature_high` raises the warning of that name. `objects` are all that can be asked.
    """

    def __init__(self, serial: str, *, community: str = "public") -> None:
        self._serial = serial
        self._community = community.encode()
        self.slave = True
        self.synchronised = True
        self.offset_ps = 12
        self.temperature_high = False

    def connect(self, channel: Channel) -> _Session:
        """A sender of datagrams."""
        return _Session(self, channel)

    def objects(self) -> dict[Oid, Item]:
        """Every object with its value, as type and content."""
        timing = 1 if self.synchronised else 2
        ptp = timing if self.slave else 1
        temperature = 3 if self.temperature_high else 1
        main = max(timing, temperature)
        numbers = {
            (6, 1, 1): main,
            (6, 1, 2): 1,
            (6, 1, 3): timing,
            (6, 1, 4): 1,
            (6, 2, 1, 2): temperature,
            (6, 2, 2, 1): ptp,
            (6, 2, 2, 2): timing,
            (6, 2, 2, 3): 1,
            (6, 2, 2, 4): 1,
            (6, 2, 2, 5): 1,
            (7, 1, 3, 1): 85 if self.temperature_high else 46,
            (7, 1, 3, 2): 41,
            (7, 3, 2, 1): 3 if self.slave else 2,
        }
        found: dict[Oid, Item] = {
            (1, 3, 6, 1, 2, 1, 1, 1, 0): (_OCTETS, b"Linux wrs 3.16.38 #1 armv5tejl"),
            (*_WRS, 6, 3, 1, 0): (_OCTETS, b"v6.1"),
            (*_WRS, 6, 3, 7, 0): (_OCTETS, self._serial.encode()),
        }
        for tail, value in numbers.items():
            found[*_WRS, *tail, 0] = (_INTEGER, _signed(value))
        if self.slave:
            offset = abs(self.offset_ps)
            found[*_WRS, 7, 5, 1, 10, 1] = (_COUNTER64, _signed(offset))
            found[*_WRS, 7, 5, 1, 11, 1] = (_INTEGER, _signed(min(offset, 2**31 - 1)))
        return dict(sorted(found.items()))

    def answer(self, datagram: bytes) -> bytes | None:
        """The answer to a datagram; None where an agent keeps silent."""
        try:
            version, community, pdu = _several(_one(datagram, _SEQUENCE))
            if version != (_INTEGER, b"\x01") or community != (_OCTETS, self._community):
                return None
            number, first, second, bindings = _several(pdu[1])
            names = [_oid(_several(each[1])[0][1]) for each in _several(bindings[1])]
        except (_Broken, ValueError, IndexError):
            return None
        pairs = self._look_up(pdu[0], names, _integer(first[1]), _integer(second[1]))
        if pairs is None:
            return None
        listed = b"".join(
            _encode(_SEQUENCE, _encode(_OBJECT, _name(oid)) + _encode(*item)) for oid, item in pairs
        )
        response = _encode(*number) + _encode(_INTEGER, b"\0") * 2 + _encode(_SEQUENCE, listed)
        body = _encode(*version) + _encode(*community) + _encode(_RESPONSE, response)
        return _encode(_SEQUENCE, body)

    def _look_up(
        self, kind: int, names: list[Oid], singles: int, repeats: int
    ) -> list[tuple[Oid, Item]] | None:
        objects = self.objects()
        if kind == _GET:
            return [(name, objects.get(name, (_NO_OBJECT, b""))) for name in names]
        if kind == _GET_NEXT:
            return [_after(objects, name) for name in names]
        if kind != _GET_BULK:
            return None
        pairs = [_after(objects, name) for name in names[:singles]]
        columns = names[singles:]
        for _ in range(repeats):
            row = [_after(objects, name) for name in columns]
            pairs += row
            columns = [name for name, _ in row]
            if len(pairs) > _MOST_BINDINGS or all(item[0] == _END_OF_VIEW for _, item in row):
                break
        return pairs


class _Session:
    """One sender."""

    def __init__(self, switch: WrSwitch, channel: Channel) -> None:
        self._switch = switch
        self._channel = channel

    def feed(self, data: bytes) -> None:
        answer = self._switch.answer(data)
        if answer is not None:
            self._channel.send(answer)

    def closed(self) -> None:
        pass


def _after(objects: dict[Oid, Item], name: Oid) -> tuple[Oid, Item]:
    following = [oid for oid in objects if oid > name]
    return (following[0], objects[following[0]]) if following else (name, (_END_OF_VIEW, b""))


def _several(content: bytes) -> list[Item]:
    """All that stands in a sequence."""
    items, at = [], 0
    while at < len(content):
        tag, size, start = _header(content, at)
        if start + size > len(content):
            raise _Broken
        items.append((tag, content[start : start + size]))
        at = start + size
    return items


def _one(message: bytes, tag: int) -> bytes:
    items = _several(message)
    if len(items) != 1 or items[0][0] != tag:
        raise _Broken
    return items[0][1]


def _header(content: bytes, at: int) -> tuple[int, int, int]:
    """(tag, size of the content, where it starts)."""
    tag, size = content[at], content[at + 1]
    if size < 0x80:
        return tag, size, at + 2
    digits = size - 0x80
    if not 1 <= digits <= 3:
        raise _Broken
    return tag, int.from_bytes(content[at + 2 : at + 2 + digits], "big"), at + 2 + digits


def _encode(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    return bytes((tag, 0x82, size >> 8, size & 0xFF)) + content


def _integer(content: bytes) -> int:
    return int.from_bytes(content, "big", signed=True)


def _signed(value: int) -> bytes:
    size = 1
    while not -(1 << (8 * size - 1)) <= value < 1 << (8 * size - 1):
        size += 1
    return value.to_bytes(size, "big", signed=True)


def _oid(content: bytes) -> Oid:
    numbers, value = [], 0
    for byte in content:
        value = value * 128 + byte % 128
        if byte < 128:
            numbers.append(value)
            value = 0
    return (numbers[0] // 40, numbers[0] % 40, *numbers[1:])


def _name(oid: Oid) -> bytes:
    content = bytearray((oid[0] * 40 + oid[1],))
    for number in oid[2:]:
        digits = [number % 128]
        while number := number // 128:
            digits.insert(0, 128 + number % 128)
        content += bytes(digits)
    return bytes(content)
