"""Fields of so many bits one after the other, the most significant bit first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class MalformedMessage(ValueError):
    """Bytes that are no message of the draft; the text says what was found and expected."""


class Layout:
    """The fields of one message: names and widths in bits; an empty name is unused, sent as 0."""

    def __init__(self, name: str, fields: Sequence[tuple[str, int]]):
        self.name = name
        self.fields = tuple(fields)
        bits = sum(width for _, width in fields)
        if bits % 32:
            raise ValueError(f"{name} has {bits} bits, expected whole words of 32")
        self.size_bytes = bits // 8

    def pack(self, values: Mapping[str, int]) -> bytes:
        """The bytes of these values; raises ValueError for one that does not fit its field."""
        word = 0
        for name, width in self.fields:
            value = values[name] if name else 0
            if not 0 <= value < 1 << width:
                raise ValueError(
                    f"{name} of {self.name} is {value}, expected 0 to {(1 << width) - 1}"
                )
            word = word << width | value
        return word.to_bytes(self.size_bytes, "big")

    def unpack(self, data: bytes) -> dict[str, int]:
        """The values; what is in unused bits is ignored, as the draft wants. Raises
        MalformedMessage."""
        if len(data) != self.size_bytes:
            raise MalformedMessage(
                f"{self.name}: found {len(data)} bytes, expected {self.size_bytes}"
            )
        word, left, values = int.from_bytes(data, "big"), 8 * self.size_bytes, {}
        for name, width in self.fields:
            left -= width
            if name:
                values[name] = word >> left & (1 << width) - 1
        return values
